//! The collector's tables in data's database.

use sea_orm_migration::prelude::*;

/// Migrations of the collector.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Collector)]
    }

    fn migration_table_name() -> DynIden {
        "migrations_collector".into_iden()
    }
}

struct Collector;

impl MigrationName for Collector {
    fn name(&self) -> &'static str {
        "m0001_collector"
    }
}

/// `collector_state` is one row; whoever stages an event locks it first, so that positions are in commit order.
/// `seen_events` remembers ids after their rows have moved to the lake.
const TABLES: &[&str] = &[
    "CREATE TABLE collector_state (
        id INTEGER PRIMARY KEY,
        application TEXT NOT NULL,
        position BIGINT NOT NULL,
        adopted INTEGER NOT NULL)",
    "CREATE TABLE staged_events (
        position BIGINT PRIMARY KEY,
        id TEXT NOT NULL,
        type TEXT NOT NULL,
        version INTEGER NOT NULL,
        source TEXT NOT NULL,
        subject TEXT NOT NULL,
        organisation TEXT NOT NULL,
        actor TEXT NOT NULL,
        time_us BIGINT NOT NULL,
        data TEXT NOT NULL,
        received_us BIGINT NOT NULL)",
    "CREATE TABLE seen_events (id TEXT PRIMARY KEY, received_us BIGINT NOT NULL)",
    "CREATE INDEX seen_events_received ON seen_events (received_us)",
    "CREATE TABLE event_schemas (
        type TEXT NOT NULL,
        version INTEGER NOT NULL,
        source TEXT NOT NULL,
        json TEXT NOT NULL,
        learned_us BIGINT NOT NULL,
        PRIMARY KEY (type, version))",
];

#[async_trait::async_trait]
impl MigrationTrait for Collector {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        for table in TABLES {
            connection.execute_unprepared(table).await?;
        }
        let key = match manager.get_database_backend() {
            sea_orm::DatabaseBackend::Postgres => "BIGSERIAL PRIMARY KEY",
            _ => "INTEGER PRIMARY KEY AUTOINCREMENT",
        };
        let quarantine = format!(
            "CREATE TABLE quarantined_events (
                number {key},
                id TEXT NOT NULL UNIQUE,
                type TEXT NOT NULL,
                version INTEGER NOT NULL,
                source TEXT NOT NULL,
                subject TEXT NOT NULL,
                organisation TEXT NOT NULL,
                actor TEXT NOT NULL,
                time_us BIGINT NOT NULL,
                data TEXT NOT NULL,
                received_us BIGINT NOT NULL,
                reason TEXT NOT NULL,
                detail TEXT NOT NULL)"
        );
        connection.execute_unprepared(&quarantine).await?;
        Ok(())
    }
}
