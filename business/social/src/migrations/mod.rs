//! Tables of the community, in business's database.

use sea_orm_migration::prelude::*;

/// Migrations of the community.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Community), Box::new(Acts), Box::new(Search)]
    }

    fn migration_table_name() -> DynIden {
        "migrations_social".into_iden()
    }
}

struct Community;

impl MigrationName for Community {
    fn name(&self) -> &'static str {
        "m0001_community"
    }
}

const PEOPLE: &[&str] = &[
    "CREATE TABLE social_profiles (
        user_id TEXT PRIMARY KEY,
        handle TEXT NOT NULL UNIQUE,
        skeleton TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        bio TEXT NOT NULL,
        avatar_asset TEXT,
        avatar_organisation TEXT,
        state TEXT NOT NULL,
        posts BIGINT NOT NULL,
        followers BIGINT NOT NULL,
        following BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL)",
    "CREATE TABLE social_follows (
        follower_id TEXT NOT NULL,
        followee_id TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (follower_id, followee_id))",
    "CREATE INDEX social_follows_of ON social_follows (followee_id, follower_id)",
    // Whom a person does not see, and why: 'block' and 'mute' are theirs, 'blocked' is the other side of a block.
    "CREATE TABLE social_hidden (
        viewer_id TEXT NOT NULL,
        author_id TEXT NOT NULL,
        reason TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (viewer_id, author_id, reason))",
    "CREATE INDEX social_hidden_of ON social_hidden (author_id, viewer_id)",
    "CREATE TABLE social_rates (
        user_id TEXT NOT NULL,
        action TEXT NOT NULL,
        window_start BIGINT NOT NULL,
        used BIGINT NOT NULL,
        PRIMARY KEY (user_id, action, window_start))",
    "CREATE INDEX social_rates_old ON social_rates (window_start)",
];

const POSTS: &[&str] = &[
    "CREATE TABLE social_posts (
        id TEXT PRIMARY KEY,
        author_id TEXT NOT NULL,
        organisation_id TEXT NOT NULL,
        state TEXT NOT NULL,
        asset_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        width_px INTEGER NOT NULL,
        height_px INTEGER NOT NULL,
        duration_ms BIGINT NOT NULL,
        title TEXT NOT NULL,
        text TEXT NOT NULL,
        tags TEXT NOT NULL,
        board_id TEXT,
        parent_post_id TEXT,
        share_parameters BOOLEAN NOT NULL,
        remixable BOOLEAN NOT NULL,
        tool TEXT NOT NULL,
        tool_version TEXT NOT NULL,
        model TEXT NOT NULL,
        model_version TEXT NOT NULL,
        parameters TEXT NOT NULL,
        likes BIGINT NOT NULL,
        comments BIGINT NOT NULL,
        remixes BIGINT NOT NULL,
        hot BIGINT NOT NULL,
        granted BOOLEAN NOT NULL,
        grant_version BIGINT NOT NULL,
        removed_because TEXT NOT NULL,
        due_at BIGINT,
        tries INTEGER NOT NULL,
        last_error TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL)",
    "CREATE INDEX social_posts_new ON social_posts (id DESC) WHERE state = 'public'",
    "CREATE INDEX social_posts_hot ON social_posts (hot DESC, id DESC) WHERE state = 'public'",
    "CREATE INDEX social_posts_author ON social_posts (author_id, id DESC) WHERE state = 'public'",
    "CREATE INDEX social_posts_author_hot ON social_posts (author_id, hot DESC, id DESC) WHERE state = 'public'",
    "CREATE INDEX social_posts_author_all ON social_posts (author_id, state)",
    "CREATE INDEX social_posts_organisation ON social_posts (organisation_id)",
    "CREATE INDEX social_posts_asset ON social_posts (asset_id)",
    "CREATE INDEX social_posts_parent ON social_posts (parent_post_id) WHERE parent_post_id IS NOT NULL",
    "CREATE INDEX social_posts_due ON social_posts (due_at) WHERE due_at IS NOT NULL",
    "CREATE TABLE social_tags (
        tag TEXT NOT NULL,
        post_id TEXT NOT NULL,
        hot BIGINT NOT NULL,
        PRIMARY KEY (tag, post_id))",
    "CREATE INDEX social_tags_hot ON social_tags (tag, hot DESC, post_id DESC)",
    "CREATE INDEX social_tags_post ON social_tags (post_id)",
    "CREATE TABLE social_terms (
        word TEXT NOT NULL,
        post_id TEXT NOT NULL,
        PRIMARY KEY (word, post_id))",
    "CREATE INDEX social_terms_post ON social_terms (post_id)",
    "CREATE TABLE social_likes (
        post_id TEXT NOT NULL,
        user_id TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (post_id, user_id))",
    "CREATE INDEX social_likes_of ON social_likes (user_id)",
    "CREATE TABLE social_comments (
        id TEXT PRIMARY KEY,
        post_id TEXT NOT NULL,
        author_id TEXT NOT NULL,
        state TEXT NOT NULL,
        text TEXT NOT NULL,
        created_at BIGINT NOT NULL)",
    "CREATE INDEX social_comments_post ON social_comments (post_id, id DESC)",
    "CREATE INDEX social_comments_author ON social_comments (author_id, id DESC)",
    "CREATE TABLE social_keys (
        user_id TEXT NOT NULL,
        key_digest TEXT NOT NULL,
        body_digest TEXT NOT NULL,
        post_id TEXT NOT NULL,
        PRIMARY KEY (user_id, key_digest))",
    // For analysts: stable names, no text that anybody wrote.
    "CREATE VIEW analyst_posts AS SELECT id AS post_id, author_id, organisation_id, state, asset_id, kind, tool,
        parent_post_id, likes, comments, remixes, created_at FROM social_posts",
];

#[async_trait::async_trait]
impl MigrationTrait for Community {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        for statement in PEOPLE.iter().chain(POSTS) {
            connection.execute_unprepared(statement).await?;
        }
        // Beginnings of words are ranges of bytes, whatever language the database sorts by.
        let bytewise = match manager.get_database_backend() {
            sea_orm::DatabaseBackend::Postgres => "COLLATE \"C\"",
            _ => "",
        };
        connection
            .execute_unprepared(&format!(
                "CREATE TABLE social_words (
                    kind TEXT NOT NULL,
                    word TEXT {bytewise} NOT NULL,
                    posts BIGINT NOT NULL,
                    PRIMARY KEY (kind, word))"
            ))
            .await?;
        let sql = "CREATE INDEX social_words_most ON social_words (kind, posts DESC, word)";
        connection.execute_unprepared(sql).await?;
        Ok(())
    }
}

/// What people hear of, report and decide; what is erased; what was remixed.
struct Acts;

impl MigrationName for Acts {
    fn name(&self) -> &'static str {
        "m0002_acts"
    }
}

const ACTS: &[&str] = &[
    "ALTER TABLE social_profiles ADD COLUMN banned BOOLEAN NOT NULL DEFAULT FALSE",
    "ALTER TABLE social_profiles ADD COLUMN suspended BOOLEAN NOT NULL DEFAULT FALSE",
    "ALTER TABLE social_profiles ADD COLUMN erasing BOOLEAN NOT NULL DEFAULT FALSE",
    "CREATE INDEX social_profiles_erasing ON social_profiles (user_id) WHERE erasing",
    // What was made on the board when the post was published; a remix begins with it where the author shares it.
    "ALTER TABLE social_posts ADD COLUMN recipe TEXT NOT NULL DEFAULT ''",
    "CREATE TABLE social_notifications (
        id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        actor_id TEXT,
        post_id TEXT,
        comment_id TEXT,
        text TEXT NOT NULL,
        once TEXT NOT NULL,
        read_at BIGINT,
        created_at BIGINT NOT NULL)",
    "CREATE UNIQUE INDEX social_notifications_once ON social_notifications (user_id, once)",
    "CREATE INDEX social_notifications_of ON social_notifications (user_id, id DESC)",
    "CREATE INDEX social_notifications_unread ON social_notifications (user_id) WHERE read_at IS NULL",
    "CREATE INDEX social_notifications_actor ON social_notifications (actor_id)",
    "CREATE INDEX social_notifications_old ON social_notifications (created_at)",
    "CREATE TABLE social_cases (
        id TEXT PRIMARY KEY,
        subject TEXT NOT NULL,
        target_id TEXT NOT NULL,
        author_id TEXT NOT NULL,
        post_id TEXT,
        state TEXT NOT NULL,
        reports BIGINT NOT NULL,
        decision TEXT NOT NULL,
        reason TEXT NOT NULL,
        decided_by TEXT,
        opened_at BIGINT NOT NULL,
        decided_at BIGINT)",
    "CREATE UNIQUE INDEX social_cases_target ON social_cases (subject, target_id)",
    "CREATE INDEX social_cases_state ON social_cases (state, opened_at, id)",
    "CREATE TABLE social_reports (
        case_id TEXT NOT NULL,
        reporter_id TEXT NOT NULL,
        reason TEXT NOT NULL,
        text TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (case_id, reporter_id))",
    "CREATE INDEX social_reports_of ON social_reports (reporter_id)",
    "CREATE TABLE social_audit (
        id TEXT PRIMARY KEY,
        at BIGINT NOT NULL,
        actor_id TEXT NOT NULL,
        action TEXT NOT NULL,
        subject TEXT NOT NULL,
        target_id TEXT NOT NULL,
        detail TEXT NOT NULL)",
    // Media of profiles that are to be public no longer: storage is told, and the row goes.
    "CREATE TABLE social_revocations (
        asset_id TEXT NOT NULL,
        grant_id TEXT NOT NULL,
        organisation_id TEXT NOT NULL,
        version BIGINT NOT NULL,
        due_at BIGINT NOT NULL,
        PRIMARY KEY (asset_id, grant_id))",
    "CREATE INDEX social_revocations_due ON social_revocations (due_at)",
    "CREATE TABLE social_closing (organisation_id TEXT PRIMARY KEY, at BIGINT NOT NULL)",
    "CREATE TABLE social_remixes (
        id TEXT PRIMARY KEY,
        post_id TEXT NOT NULL,
        user_id TEXT NOT NULL,
        organisation_id TEXT NOT NULL,
        key_digest TEXT NOT NULL,
        state TEXT NOT NULL,
        board_id TEXT,
        problem TEXT NOT NULL,
        due_at BIGINT,
        tries INTEGER NOT NULL,
        created_at BIGINT NOT NULL)",
    "CREATE UNIQUE INDEX social_remixes_key ON social_remixes (user_id, key_digest)",
    "CREATE INDEX social_remixes_board ON social_remixes (board_id)",
    "CREATE INDEX social_remixes_due ON social_remixes (due_at) WHERE due_at IS NOT NULL",
];

#[async_trait::async_trait]
impl MigrationTrait for Acts {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in ACTS {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

/// What a search of several words asks of each candidate: whether it has a word, or one that begins so.
struct Search;

impl MigrationName for Search {
    fn name(&self) -> &'static str {
        "m0003_search"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Search {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        if manager.get_database_backend() == sea_orm::DatabaseBackend::Postgres {
            // Beginnings of words are ranges of bytes, whatever language the database sorts by.
            let sql = "ALTER TABLE social_terms ALTER COLUMN word TYPE TEXT COLLATE \"C\"";
            connection.execute_unprepared(sql).await?;
        }
        connection.execute_unprepared("CREATE INDEX social_terms_of ON social_terms (post_id, word)").await?;
        connection.execute_unprepared("DROP INDEX social_terms_post").await?;
        // The list of an author's posts, beside those of words: the posts' own index is used by neither any more.
        let sql = "INSERT INTO social_terms (word, post_id) SELECT '@' || author_id, id FROM social_posts
                   WHERE state IN ('public', 'hidden')";
        connection.execute_unprepared(sql).await?;
        connection.execute_unprepared("DROP INDEX social_posts_author").await?;
        Ok(())
    }
}
