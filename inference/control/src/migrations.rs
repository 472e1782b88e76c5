//! The tables of control.

use sea_orm_migration::prelude::*;

/// Migrations of control.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(Jobs),
            Box::new(Retention),
            Box::new(ModelOwners),
            Box::new(LeaderAddress),
            Box::new(Machines),
            Box::new(Overflow),
            Box::new(HeldAttempts),
            Box::new(Charges),
            Box::new(Batches),
            Box::new(Deadlines),
            Box::new(EndedBadly),
        ]
    }

    fn migration_table_name() -> DynIden {
        "migrations_control".into_iden()
    }
}

struct Jobs;

impl MigrationName for Jobs {
    fn name(&self) -> &'static str {
        "m0001_jobs"
    }
}

/// Both engines take these as they stand.
const STATEMENTS: &[&str] = &[
    "CREATE TABLE leader (id INTEGER PRIMARY KEY, epoch BIGINT NOT NULL, renewed_at BIGINT NOT NULL)",
    "CREATE TABLE tenants (
        namespace TEXT NOT NULL, tenant TEXT NOT NULL, weight_milli BIGINT NOT NULL, queued_max BIGINT NOT NULL,
        regions TEXT NOT NULL, version BIGINT NOT NULL, PRIMARY KEY (namespace, tenant))",
    "CREATE TABLE models (
        name TEXT NOT NULL, version TEXT NOT NULL, spec TEXT NOT NULL, created_at BIGINT NOT NULL,
        PRIMARY KEY (name, version))",
    "CREATE TABLE jobs (
        id TEXT PRIMARY KEY, namespace TEXT NOT NULL, tenant TEXT NOT NULL, model TEXT NOT NULL,
        model_version TEXT NOT NULL, tier TEXT NOT NULL, state TEXT NOT NULL, input TEXT NOT NULL,
        target TEXT NOT NULL, ttl_ms BIGINT NOT NULL, predicted_ms BIGINT NOT NULL, regions TEXT NOT NULL,
        traceparent TEXT NOT NULL, fence TEXT NOT NULL, failure TEXT NOT NULL, message TEXT NOT NULL,
        outputs TEXT NOT NULL, log_tail TEXT NOT NULL, compute_ms BIGINT NOT NULL, created_at BIGINT NOT NULL,
        queued_at BIGINT NOT NULL, started_at BIGINT, cancel_requested_at BIGINT, ended_at BIGINT)",
    "CREATE INDEX jobs_live ON jobs (created_at, id) WHERE ended_at IS NULL",
    "CREATE INDEX jobs_of_tenant ON jobs (namespace, tenant, created_at, id)",
    "CREATE INDEX jobs_of_namespace ON jobs (namespace, created_at, id)",
    "CREATE TABLE attempts (
        job_id TEXT NOT NULL, epoch BIGINT NOT NULL, sequence BIGINT NOT NULL, agent TEXT NOT NULL,
        worker TEXT NOT NULL, region TEXT NOT NULL, assigned_at BIGINT NOT NULL, started_at BIGINT, ended_at BIGINT,
        outcome TEXT NOT NULL, failure TEXT NOT NULL, message TEXT NOT NULL, load_ms BIGINT NOT NULL,
        compute_ms BIGINT NOT NULL, late_outcome TEXT NOT NULL, late_at BIGINT,
        PRIMARY KEY (job_id, epoch, sequence))",
    "CREATE TABLE idempotency_keys (
        namespace TEXT NOT NULL, key_hash TEXT NOT NULL, body_hash TEXT NOT NULL, job_id TEXT NOT NULL,
        outcome TEXT NOT NULL, created_at BIGINT NOT NULL, PRIMARY KEY (namespace, key_hash))",
    "CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at)",
    "CREATE TABLE scheduler_snapshot (id INTEGER PRIMARY KEY, body TEXT NOT NULL, written_at BIGINT NOT NULL)",
    "INSERT INTO leader (id, epoch, renewed_at) VALUES (1, 0, 0)",
];

#[async_trait::async_trait]
impl MigrationTrait for Jobs {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in STATEMENTS {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

struct Retention;

impl MigrationName for Retention {
    fn name(&self) -> &'static str {
        "m0002_retention"
    }
}

/// What ended is found by its age.
const BY_AGE: &[&str] = &[
    "CREATE INDEX jobs_ended ON jobs (ended_at, id) WHERE ended_at IS NOT NULL",
    "CREATE INDEX jobs_ended_with_input ON jobs (ended_at) WHERE ended_at IS NOT NULL AND input <> ''",
];

#[async_trait::async_trait]
impl MigrationTrait for Retention {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in BY_AGE {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

struct ModelOwners;

impl MigrationName for ModelOwners {
    fn name(&self) -> &'static str {
        "m0003_model_owners"
    }
}

/// Who registered the models of an older version is read from their jobs; where there is none, it was the studio itself.
const OWNERS: &[&str] = &[
    "ALTER TABLE models ADD COLUMN namespace TEXT NOT NULL DEFAULT ''",
    "UPDATE models SET namespace = COALESCE(
        (SELECT MIN(jobs.namespace) FROM jobs WHERE jobs.model = models.name), 'studio')",
];

#[async_trait::async_trait]
impl MigrationTrait for ModelOwners {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in OWNERS {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

struct LeaderAddress;

impl MigrationName for LeaderAddress {
    fn name(&self) -> &'static str {
        "m0004_leader_address"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for LeaderAddress {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "ALTER TABLE leader ADD COLUMN address TEXT NOT NULL DEFAULT ''";
        manager.get_connection().execute_unprepared(sql).await?;
        Ok(())
    }
}

struct Machines;

impl MigrationName for Machines {
    fn name(&self) -> &'static str {
        "m0005_machines"
    }
}

const MACHINES: &[&str] = &[
    "CREATE TABLE machines (
        id TEXT PRIMARY KEY, pool TEXT NOT NULL, agent TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,
        message TEXT NOT NULL, epoch BIGINT NOT NULL, workers BIGINT NOT NULL, price_micro_per_hour BIGINT NOT NULL,
        ordered_at BIGINT NOT NULL, created_at BIGINT, joined_at BIGINT, leaving_at BIGINT, gone_at BIGINT)",
    "CREATE INDEX machines_live ON machines (pool) WHERE gone_at IS NULL",
    "CREATE INDEX machines_gone ON machines (gone_at) WHERE gone_at IS NOT NULL",
];

#[async_trait::async_trait]
impl MigrationTrait for Machines {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in MACHINES {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

struct Overflow;

impl MigrationName for Overflow {
    fn name(&self) -> &'static str {
        "m0006_overflow"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Overflow {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "CREATE TABLE overflow_spent (
            pool TEXT NOT NULL, day BIGINT NOT NULL, tenant TEXT NOT NULL, micro BIGINT NOT NULL,
            PRIMARY KEY (pool, day, tenant))";
        manager.get_connection().execute_unprepared(sql).await?;
        Ok(())
    }
}

struct HeldAttempts;

impl MigrationName for HeldAttempts {
    fn name(&self) -> &'static str {
        "m0007_held_attempts"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for HeldAttempts {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "ALTER TABLE attempts ADD COLUMN held_ms BIGINT NOT NULL DEFAULT 0";
        manager.get_connection().execute_unprepared(sql).await?;
        Ok(())
    }
}

struct Charges;

impl MigrationName for Charges {
    fn name(&self) -> &'static str {
        "m0008_charges"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Charges {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "ALTER TABLE attempts ADD COLUMN charge TEXT NOT NULL DEFAULT ''";
        manager.get_connection().execute_unprepared(sql).await?;
        Ok(())
    }
}

struct Batches;

impl MigrationName for Batches {
    fn name(&self) -> &'static str {
        "m0009_batches"
    }
}

const BATCHES: &[&str] = &[
    "ALTER TABLE jobs ADD COLUMN batch_key BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE attempts ADD COLUMN batch TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE attempts ADD COLUMN batched BIGINT NOT NULL DEFAULT 0",
];

#[async_trait::async_trait]
impl MigrationTrait for Batches {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in BATCHES {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

struct Deadlines;

impl MigrationName for Deadlines {
    fn name(&self) -> &'static str {
        "m0010_deadlines"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Deadlines {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "ALTER TABLE jobs ADD COLUMN deadline_at BIGINT";
        manager.get_connection().execute_unprepared(sql).await?;
        Ok(())
    }
}

struct EndedBadly;

impl MigrationName for EndedBadly {
    fn name(&self) -> &'static str {
        "m0011_ended_badly"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for EndedBadly {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Few are: whoever lists them shall not read all that succeeded, and these pay nothing for it.
        let sql = "CREATE INDEX jobs_ended_badly ON jobs (namespace, state, created_at, id)
                   WHERE ended_at IS NOT NULL AND state <> 'succeeded'";
        manager.get_connection().execute_unprepared(sql).await?;
        Ok(())
    }
}
