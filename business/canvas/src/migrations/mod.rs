//! Tables of the canvas, in business's database.

use sea_orm_migration::prelude::*;

/// Migrations of the canvas.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Boards), Box::new(Runs), Box::new(Media), Box::new(Uploads)]
    }

    fn migration_table_name() -> DynIden {
        "migrations_canvas".into_iden()
    }
}

struct Boards;

impl MigrationName for Boards {
    fn name(&self) -> &'static str {
        "m0001_boards"
    }
}

/// `{blob}` is the engine's type of bytes.
const STATEMENTS: &[&str] = &[
    // seq: the last update. snapshot: the document up to snapshot_seq; board_updates has what came after.
    // access_version rises with every change of who may do what, so that other replicas see it.
    "CREATE TABLE boards (
        id TEXT PRIMARY KEY,
        organisation_id TEXT NOT NULL,
        project_id TEXT,
        title TEXT NOT NULL,
        created_by TEXT NOT NULL,
        is_template BOOLEAN NOT NULL,
        parent_board_id TEXT,
        parent_post_id TEXT,
        nodes BIGINT NOT NULL,
        seq BIGINT NOT NULL,
        snapshot {blob},
        snapshot_seq BIGINT NOT NULL,
        access_version BIGINT NOT NULL,
        preview_asset TEXT,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        deleted_at BIGINT)",
    "CREATE INDEX boards_of_organisation ON boards (organisation_id, id)",
    "CREATE INDEX board_templates ON boards (organisation_id, is_template)",
    "CREATE TABLE board_updates (
        board_id TEXT NOT NULL REFERENCES boards (id),
        seq BIGINT NOT NULL,
        bytes {blob} NOT NULL,
        actor_id TEXT NOT NULL,
        at BIGINT NOT NULL,
        PRIMARY KEY (board_id, seq))",
    "CREATE TABLE board_members (
        board_id TEXT NOT NULL REFERENCES boards (id),
        user_id TEXT NOT NULL,
        role TEXT NOT NULL,
        added_by TEXT NOT NULL,
        at BIGINT NOT NULL,
        PRIMARY KEY (board_id, user_id))",
    "CREATE INDEX board_members_of_user ON board_members (user_id, board_id)",
    "CREATE TABLE board_shares (
        id TEXT PRIMARY KEY,
        board_id TEXT NOT NULL REFERENCES boards (id),
        token_digest TEXT NOT NULL UNIQUE,
        role TEXT NOT NULL,
        created_by TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT,
        withdrawn_at BIGINT)",
    "CREATE INDEX board_shares_of_board ON board_shares (board_id, id)",
    "CREATE TABLE board_comments (
        id TEXT PRIMARY KEY,
        board_id TEXT NOT NULL REFERENCES boards (id),
        node TEXT,
        author_id TEXT NOT NULL,
        body TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        resolved_at BIGINT,
        resolved_by TEXT,
        deleted_at BIGINT)",
    "CREATE INDEX board_comments_of_board ON board_comments (board_id, id)",
    // For analysts: stable names, no text and no content.
    "CREATE VIEW analyst_boards AS SELECT id AS board_id, organisation_id, project_id, created_by, is_template,
        parent_board_id, parent_post_id, nodes, created_at, updated_at, deleted_at FROM boards",
];

#[async_trait::async_trait]
impl MigrationTrait for Boards {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, STATEMENTS).await
    }
}

struct Runs;

impl MigrationName for Runs {
    fn name(&self) -> &'static str {
        "m0002_runs"
    }
}

const RUNS: &[&str] = &[
    "CREATE TABLE board_runs (
        id TEXT PRIMARY KEY,
        board_id TEXT NOT NULL REFERENCES boards (id),
        organisation_id TEXT NOT NULL,
        project_id TEXT,
        actor_id TEXT NOT NULL,
        mandate_id TEXT,
        kind TEXT NOT NULL,
        revision BIGINT NOT NULL,
        state TEXT NOT NULL,
        price_micro BIGINT NOT NULL,
        budget_micro BIGINT NOT NULL,
        settled_micro BIGINT NOT NULL,
        version BIGINT NOT NULL,
        cancel_requested_at BIGINT,
        created_at BIGINT NOT NULL,
        ended_at BIGINT)",
    "CREATE INDEX board_runs_of_board ON board_runs (board_id, id)",
    "CREATE INDEX board_runs_open ON board_runs (ended_at, id)",
    // step: what the node was when the run began. order_json: written before the order is sent, so that a
    // repetition is the same order. told: the document names the take.
    "CREATE TABLE board_run_children (
        board_run_id TEXT NOT NULL REFERENCES board_runs (id),
        ord BIGINT NOT NULL,
        node TEXT NOT NULL,
        tool TEXT NOT NULL,
        step TEXT NOT NULL,
        state TEXT NOT NULL,
        order_json TEXT,
        input_hash TEXT,
        run_id TEXT,
        price_micro BIGINT NOT NULL,
        settled_micro BIGINT NOT NULL,
        problem TEXT,
        outputs TEXT NOT NULL,
        take_id TEXT,
        told BOOLEAN NOT NULL,
        PRIMARY KEY (board_run_id, ord))",
    "CREATE TABLE board_run_keys (
        organisation_id TEXT NOT NULL,
        key_digest TEXT NOT NULL,
        body_digest TEXT NOT NULL,
        board_run_id TEXT NOT NULL,
        PRIMARY KEY (organisation_id, key_digest))",
    "CREATE TABLE board_takes (
        id TEXT PRIMARY KEY,
        board_id TEXT NOT NULL REFERENCES boards (id),
        node TEXT NOT NULL,
        run_id TEXT NOT NULL,
        n BIGINT NOT NULL,
        tool TEXT NOT NULL,
        tool_version TEXT NOT NULL,
        input_hash TEXT NOT NULL,
        asset_id TEXT,
        content_type TEXT NOT NULL,
        width BIGINT NOT NULL,
        height BIGINT NOT NULL,
        duration_ms BIGINT NOT NULL,
        value TEXT,
        cost_micro BIGINT NOT NULL,
        seed BIGINT,
        created_at BIGINT NOT NULL,
        UNIQUE (board_id, node, run_id, n))",
    "CREATE INDEX board_takes_of_board ON board_takes (board_id, id)",
    "CREATE INDEX board_takes_of_node ON board_takes (board_id, node, id)",
    "CREATE VIEW analyst_board_runs AS SELECT id AS board_run_id, board_id, organisation_id, project_id, actor_id,
        kind, state, price_micro, settled_micro, created_at, ended_at FROM board_runs",
];

#[async_trait::async_trait]
impl MigrationTrait for Runs {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, RUNS).await
    }
}

struct Media;

impl MigrationName for Media {
    fn name(&self) -> &'static str {
        "m0003_media"
    }
}

/// What people of a board's own organisation have put on it: others who are on the board may look at that.
const MEDIA: &[&str] = &["CREATE TABLE board_media (
        board_id TEXT NOT NULL REFERENCES boards (id),
        asset_id TEXT NOT NULL,
        PRIMARY KEY (board_id, asset_id))"];

#[async_trait::async_trait]
impl MigrationTrait for Media {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, MEDIA).await
    }
}

struct Uploads;

impl MigrationName for Uploads {
    fn name(&self) -> &'static str {
        "m0004_uploads"
    }
}

/// Files that people bring to a board, on their way and arrived.
const UPLOADS: &[&str] = &[
    "CREATE TABLE board_uploads (
        asset_id TEXT PRIMARY KEY,
        board_id TEXT NOT NULL REFERENCES boards (id),
        user_id TEXT NOT NULL,
        size_bytes BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        completed_at BIGINT)",
    "CREATE INDEX board_uploads_of ON board_uploads (board_id, user_id)",
];

#[async_trait::async_trait]
impl MigrationTrait for Uploads {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run(manager, UPLOADS).await
    }
}

async fn run(manager: &SchemaManager<'_>, statements: &[&str]) -> Result<(), DbErr> {
    let blob = match manager.get_database_backend() {
        sea_orm::DatabaseBackend::Postgres => "BYTEA",
        _ => "BLOB",
    };
    for statement in statements {
        manager.get_connection().execute_unprepared(&statement.replace("{blob}", blob)).await?;
    }
    Ok(())
}
