//! What came back to a grant after it had run out may be used for a while.

use sea_orm_migration::prelude::*;

pub(super) struct Returned;

impl MigrationName for Returned {
    fn name(&self) -> &'static str {
        "m0004_returned"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Returned {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "ALTER TABLE billing_grants ADD COLUMN returned_until BIGINT";
        manager.get_connection().execute_unprepared(sql).await?;
        Ok(())
    }
}
