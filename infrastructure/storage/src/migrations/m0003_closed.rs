//! Which organisations have closed, and whether their media are gone.

use sea_orm_migration::prelude::*;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0003_closed"
    }
}

const TABLES: &[&str] = &[
    "CREATE TABLE storage_closed (
        organisation_id VARCHAR(36) NOT NULL PRIMARY KEY,
        closed_at BIGINT NOT NULL,
        cleared_at BIGINT)",
    "CREATE INDEX storage_closed_open ON storage_closed (organisation_id) WHERE cleared_at IS NULL",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES {
            manager.get_connection().execute_unprepared(table).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("storage_closed").to_owned()).await
    }
}
