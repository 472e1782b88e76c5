//! What moderation looks at, what it said, and what people decided.

use sea_orm_migration::prelude::*;

pub(super) struct Moderation;

impl MigrationName for Moderation {
    fn name(&self) -> &'static str {
        "m0003_moderation"
    }
}

const STATEMENTS: &[&str] = &[
    "ALTER TABLE runs ADD COLUMN looks_at_inputs BOOLEAN NOT NULL DEFAULT FALSE",
    "ALTER TABLE runs ADD COLUMN looks_at_outputs BOOLEAN NOT NULL DEFAULT FALSE",
    "ALTER TABLE runs ADD COLUMN inputs_passed BOOLEAN NOT NULL DEFAULT FALSE",
    "ALTER TABLE runs ADD COLUMN outputs_passed BOOLEAN NOT NULL DEFAULT FALSE",
    "ALTER TABLE runs ADD COLUMN in_review BOOLEAN NOT NULL DEFAULT FALSE",
    // A look is a job of its own; another try is another row.
    "CREATE TABLE run_looks (
        job_id TEXT PRIMARY KEY,
        run_id TEXT NOT NULL REFERENCES runs (id),
        side TEXT NOT NULL,
        subject TEXT NOT NULL,
        try INTEGER NOT NULL,
        state TEXT NOT NULL,
        score_ppm BIGINT NOT NULL,
        asked_at BIGINT NOT NULL,
        answered_at BIGINT,
        UNIQUE (run_id, side, subject, try))",
    "CREATE TABLE reviews (
        id TEXT PRIMARY KEY,
        run_id TEXT NOT NULL REFERENCES runs (id),
        organisation_id TEXT NOT NULL,
        tool TEXT NOT NULL,
        side TEXT NOT NULL,
        subjects TEXT NOT NULL,
        score_ppm BIGINT,
        state TEXT NOT NULL,
        decided_by TEXT NOT NULL,
        note TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        decided_at BIGINT,
        UNIQUE (run_id, side))",
    "CREATE INDEX reviews_by_state ON reviews (state, id)",
    // Pictures that a person has released: they are not looked at again in this organisation.
    "CREATE TABLE released_assets (
        organisation_id TEXT NOT NULL,
        asset_id TEXT NOT NULL,
        review_id TEXT NOT NULL REFERENCES reviews (id),
        PRIMARY KEY (organisation_id, asset_id))",
];

#[async_trait::async_trait]
impl MigrationTrait for Moderation {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in STATEMENTS {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}
