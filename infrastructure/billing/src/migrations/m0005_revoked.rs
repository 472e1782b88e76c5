//! A grant that was taken back stays taken back, whatever comes back to it later.

use sea_orm_migration::prelude::*;

pub(super) struct Revoked;

impl MigrationName for Revoked {
    fn name(&self) -> &'static str {
        "m0005_revoked"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Revoked {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        connection.execute_unprepared("ALTER TABLE billing_grants ADD COLUMN revoked_at BIGINT").await?;
        // The journal knows which were taken back before there was this column. Where something has come back since and
        // could be used in good faith, it stays as it is: whoever took it back may do so again.
        let sql = "UPDATE billing_grants SET revoked_at = taken.at
                   FROM (SELECT subject, MIN(created_at) AS at FROM billing_transactions
                         WHERE kind = 'grant_revoked' GROUP BY subject) AS taken
                   WHERE taken.subject = billing_grants.id AND NOT EXISTS (
                       SELECT 1 FROM billing_balances b
                       WHERE b.organisation_id = billing_grants.organisation_id AND b.grant_id = billing_grants.id
                         AND b.amount_micro > 0 AND (b.account LIKE 'grant:%' OR b.account LIKE 'envelope:%'))";
        connection.execute_unprepared(sql).await?;
        Ok(())
    }
}
