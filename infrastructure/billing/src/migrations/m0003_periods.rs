//! Periods that end are found by their end.

use sea_orm_migration::prelude::*;

pub(super) struct Periods;

impl MigrationName for Periods {
    fn name(&self) -> &'static str {
        "m0003_periods"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Periods {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql =
            "CREATE INDEX billing_subscriptions_ending ON billing_subscriptions (period_end, organisation_id)
                   WHERE period_end IS NOT NULL";
        manager.get_connection().execute_unprepared(sql).await?;
        Ok(())
    }
}
