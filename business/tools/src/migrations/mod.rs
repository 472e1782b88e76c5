//! Tables of tools, in business's database.

mod moderation;

use sea_orm_migration::prelude::*;

/// Migrations of tools.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(Runs),
            Box::new(Traces),
            Box::new(moderation::Moderation),
            Box::new(KeyAge),
            Box::new(Deadlines),
        ]
    }

    fn migration_table_name() -> DynIden {
        "migrations_tools".into_iden()
    }
}

struct Runs;

impl MigrationName for Runs {
    fn name(&self) -> &'static str {
        "m0001_runs"
    }
}

const STATEMENTS: &[&str] = &[
    "CREATE TABLE runs (
        id TEXT PRIMARY KEY,
        version BIGINT NOT NULL,
        organisation_id TEXT NOT NULL,
        project_id TEXT,
        actor_id TEXT NOT NULL,
        mandate_id TEXT,
        tool TEXT NOT NULL,
        tool_version TEXT NOT NULL,
        category TEXT NOT NULL,
        input TEXT NOT NULL,
        input_assets TEXT NOT NULL,
        request_digest TEXT NOT NULL,
        price_micro BIGINT NOT NULL,
        quote_lines TEXT NOT NULL,
        predicted_ms BIGINT NOT NULL,
        cost_micro_per_compute_second BIGINT NOT NULL,
        uses_storage BOOLEAN NOT NULL,
        stage TEXT NOT NULL,
        held_micro BIGINT NOT NULL,
        held_by_mandate TEXT NOT NULL,
        cancel_reason TEXT,
        accepted BOOLEAN NOT NULL,
        cancel_sent BOOLEAN NOT NULL,
        outcome TEXT,
        failure_class TEXT,
        failure_detail TEXT NOT NULL,
        delivered_ppm BIGINT NOT NULL,
        compute_ms BIGINT NOT NULL,
        load_ms BIGINT NOT NULL,
        queue_ms BIGINT NOT NULL,
        job_attempts INTEGER NOT NULL,
        has_outputs BOOLEAN NOT NULL,
        job_outputs TEXT NOT NULL,
        winning_fence TEXT NOT NULL,
        outputs TEXT NOT NULL,
        charge_micro BIGINT,
        absorbed_micro BIGINT NOT NULL,
        cost_micro BIGINT NOT NULL,
        settled_micro BIGINT NOT NULL,
        refusal TEXT,
        tries INTEGER NOT NULL,
        due_at BIGINT,
        last_error TEXT NOT NULL,
        created_at BIGINT NOT NULL,
        cancel_requested_at BIGINT,
        started_at BIGINT,
        ended_at BIGINT,
        finalised_at BIGINT,
        closed_at BIGINT)",
    "CREATE INDEX runs_of_organisation ON runs (organisation_id, id)",
    "CREATE INDEX runs_due ON runs (due_at)",
    "CREATE TABLE run_steps (
        run_id TEXT NOT NULL REFERENCES runs (id),
        version BIGINT NOT NULL,
        n INTEGER NOT NULL,
        at BIGINT NOT NULL,
        system TEXT NOT NULL,
        what TEXT NOT NULL,
        detail TEXT NOT NULL,
        PRIMARY KEY (run_id, version, n))",
    "CREATE TABLE run_mandates (
        run_id TEXT NOT NULL REFERENCES runs (id),
        mandate_id TEXT NOT NULL,
        PRIMARY KEY (run_id, mandate_id))",
    "CREATE INDEX run_mandates_by_mandate ON run_mandates (mandate_id)",
    "CREATE TABLE revoked_mandates (
        mandate_id TEXT PRIMARY KEY,
        at BIGINT NOT NULL)",
    "CREATE TABLE run_keys (
        organisation_id TEXT NOT NULL,
        key_digest TEXT NOT NULL,
        body_digest TEXT NOT NULL,
        run_id TEXT NOT NULL REFERENCES runs (id),
        PRIMARY KEY (organisation_id, key_digest))",
    "CREATE TABLE tool_versions (
        name TEXT NOT NULL,
        version TEXT NOT NULL,
        hash TEXT NOT NULL,
        manifest TEXT NOT NULL,
        published_at BIGINT NOT NULL,
        PRIMARY KEY (name, version))",
    // For analysts: stable names, no input and no URL.
    "CREATE VIEW analyst_runs AS SELECT id AS run_id, organisation_id, project_id, actor_id, tool, tool_version,
        category, stage, outcome, failure_class, price_micro, held_micro, settled_micro, absorbed_micro, cost_micro,
        compute_ms, load_ms, queue_ms, created_at, started_at, ended_at, closed_at FROM runs",
];

#[async_trait::async_trait]
impl MigrationTrait for Runs {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in STATEMENTS {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

/// A run's trace goes on, whoever drives it and after whatever restart.
struct Traces;

impl MigrationName for Traces {
    fn name(&self) -> &'static str {
        "m0002_traces"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Traces {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "ALTER TABLE runs ADD COLUMN traceparent TEXT NOT NULL DEFAULT ''";
        manager.get_connection().execute_unprepared(sql).await?;
        Ok(())
    }
}

/// The latest useful finish of a run.
struct Deadlines;

impl MigrationName for Deadlines {
    fn name(&self) -> &'static str {
        "m0005_deadlines"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Deadlines {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "ALTER TABLE runs ADD COLUMN deadline_at BIGINT";
        manager.get_connection().execute_unprepared(sql).await?;
        Ok(())
    }
}

/// Keys are forgotten by the age of their runs, which their ids begin with.
struct KeyAge;

impl MigrationName for KeyAge {
    fn name(&self) -> &'static str {
        "m0004_key_age"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for KeyAge {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "CREATE INDEX run_keys_by_run ON run_keys (run_id)";
        manager.get_connection().execute_unprepared(sql).await?;
        Ok(())
    }
}
