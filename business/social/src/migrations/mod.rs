//! Tables of the community, in business's database.

use sea_orm_migration::prelude::*;

/// Migrations of the community.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Community)]
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
