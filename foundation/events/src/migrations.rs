//! The outbox and the consumers' cursors, in every system's database.

use sea_orm_migration::prelude::*;

/// Migrations of the events tables.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Outbox), Box::new(Horizon)]
    }

    fn migration_table_name() -> DynIden {
        "migrations_events".into_iden()
    }
}

struct Outbox;

impl MigrationName for Outbox {
    fn name(&self) -> &'static str {
        "m0001_outbox"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Outbox {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        let key = match manager.get_database_backend() {
            sea_orm::DatabaseBackend::Postgres => "BIGSERIAL PRIMARY KEY",
            _ => "INTEGER PRIMARY KEY AUTOINCREMENT",
        };
        connection
            .execute_unprepared(&format!(
                "CREATE TABLE outbox (
                    seq {key},
                    txid BIGINT NOT NULL,
                    id TEXT NOT NULL,
                    type TEXT NOT NULL,
                    version INTEGER NOT NULL,
                    subject TEXT NOT NULL,
                    organisation TEXT NOT NULL,
                    actor TEXT NOT NULL,
                    time_us BIGINT NOT NULL,
                    data TEXT NOT NULL,
                    traceparent TEXT NOT NULL)"
            ))
            .await?;
        connection.execute_unprepared("CREATE INDEX outbox_position ON outbox (txid, seq)").await?;
        connection
            .execute_unprepared(
                "CREATE TABLE event_cursors (consumer TEXT PRIMARY KEY, cursor TEXT NOT NULL)",
            )
            .await?;
        Ok(())
    }
}

struct Horizon;

impl MigrationName for Horizon {
    fn name(&self) -> &'static str {
        "m0002_horizon"
    }
}

/// Up to which position the outbox was pruned.
const HORIZON: &[&str] = &[
    "CREATE TABLE outbox_horizon (id INTEGER PRIMARY KEY, txid BIGINT NOT NULL, seq BIGINT NOT NULL)",
    "INSERT INTO outbox_horizon (id, txid, seq) VALUES (1, 0, 0)",
];

#[async_trait::async_trait]
impl MigrationTrait for Horizon {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in HORIZON {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}
