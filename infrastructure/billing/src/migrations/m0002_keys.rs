//! Idempotency keys of orders that move credits.

use sea_orm_migration::prelude::*;

pub(super) struct Keys;

impl MigrationName for Keys {
    fn name(&self) -> &'static str {
        "m0002_keys"
    }
}

const STATEMENTS: &[&str] = &[
    "CREATE TABLE billing_keys (
        organisation_id VARCHAR(36) NOT NULL,
        area VARCHAR(16) NOT NULL,
        key_digest VARCHAR(64) NOT NULL,
        body_digest VARCHAR(64) NOT NULL,
        subject VARCHAR(64) NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (organisation_id, area, key_digest))",
    "CREATE INDEX billing_keys_by_age ON billing_keys (created_at)",
];

#[async_trait::async_trait]
impl MigrationTrait for Keys {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in STATEMENTS {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}
