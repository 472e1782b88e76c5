//! The first tables: journal, snapshots, grants, holds, mandates, plans, seals.

use sea_orm_migration::prelude::*;

pub(super) struct Ledger;

impl MigrationName for Ledger {
    fn name(&self) -> &'static str {
        "m0001_ledger"
    }
}

/// SQL that both engines read the same.
const TABLES: &[&str] = &[
    // One row for each organisation: its lock, and the numbers of its transactions without a gap.
    "CREATE TABLE billing_ledgers (
        organisation_id VARCHAR(36) NOT NULL PRIMARY KEY,
        last_number BIGINT NOT NULL,
        mandate_version BIGINT NOT NULL,
        created_at BIGINT NOT NULL)",
    "CREATE TABLE billing_transactions (
        organisation_id VARCHAR(36) NOT NULL,
        number BIGINT NOT NULL,
        kind VARCHAR(32) NOT NULL,
        subject VARCHAR(64) NOT NULL,
        created_at BIGINT NOT NULL,
        PRIMARY KEY (organisation_id, number))",
    "CREATE TABLE billing_postings (
        organisation_id VARCHAR(36) NOT NULL,
        number BIGINT NOT NULL,
        ordinal BIGINT NOT NULL,
        account VARCHAR(64) NOT NULL,
        grant_id VARCHAR(36) NOT NULL,
        amount_micro BIGINT NOT NULL,
        PRIMARY KEY (organisation_id, number, ordinal))",
    // A snapshot: everything in it is the fold of the postings.
    "CREATE TABLE billing_balances (
        organisation_id VARCHAR(36) NOT NULL,
        account VARCHAR(64) NOT NULL,
        grant_id VARCHAR(36) NOT NULL,
        amount_micro BIGINT NOT NULL,
        PRIMARY KEY (organisation_id, account, grant_id))",
    "CREATE INDEX billing_balances_open ON billing_balances (organisation_id, account) WHERE amount_micro > 0",
    "CREATE TABLE billing_grants (
        id VARCHAR(36) NOT NULL PRIMARY KEY,
        organisation_id VARCHAR(36) NOT NULL,
        kind VARCHAR(16) NOT NULL,
        source VARCHAR(32) NOT NULL,
        source_ref VARCHAR(64) NOT NULL,
        priority BIGINT NOT NULL,
        amount_micro BIGINT NOT NULL,
        effective_at BIGINT NOT NULL,
        expires_at BIGINT,
        created_at BIGINT NOT NULL,
        reason VARCHAR(500) NOT NULL,
        UNIQUE (organisation_id, source, source_ref))",
    "CREATE INDEX billing_grants_expiry ON billing_grants (expires_at) WHERE expires_at IS NOT NULL",
    "CREATE TABLE billing_holds (
        run_id VARCHAR(36) NOT NULL PRIMARY KEY,
        organisation_id VARCHAR(36) NOT NULL,
        project_id VARCHAR(36),
        actor_id VARCHAR(36) NOT NULL,
        mandate_id VARCHAR(36) NOT NULL,
        mandate_chain TEXT NOT NULL,
        action VARCHAR(64) NOT NULL,
        tool VARCHAR(128) NOT NULL,
        state VARCHAR(16) NOT NULL,
        held_micro BIGINT NOT NULL,
        settled_micro BIGINT NOT NULL,
        refunded_micro BIGINT NOT NULL,
        absorbed_micro BIGINT NOT NULL,
        reason VARCHAR(64) NOT NULL,
        body_hash VARCHAR(64) NOT NULL,
        overdue_at BIGINT NOT NULL,
        alerted_at BIGINT,
        created_at BIGINT NOT NULL,
        ended_at BIGINT)",
    "CREATE INDEX billing_holds_open ON billing_holds (overdue_at) WHERE ended_at IS NULL",
    "CREATE INDEX billing_holds_organisation ON billing_holds (organisation_id, created_at)",
    "CREATE TABLE billing_hold_parts (
        run_id VARCHAR(36) NOT NULL,
        ordinal BIGINT NOT NULL,
        organisation_id VARCHAR(36) NOT NULL,
        source VARCHAR(64) NOT NULL,
        grant_id VARCHAR(36) NOT NULL,
        kind VARCHAR(16) NOT NULL,
        held_micro BIGINT NOT NULL,
        settled_micro BIGINT NOT NULL,
        refunded_micro BIGINT NOT NULL,
        PRIMARY KEY (run_id, ordinal))",
    "CREATE TABLE mandates (
        id VARCHAR(36) NOT NULL PRIMARY KEY,
        organisation_id VARCHAR(36) NOT NULL,
        parent_id VARCHAR(36),
        grantor_id VARCHAR(36) NOT NULL,
        grantee_id VARCHAR(36) NOT NULL,
        project_id VARCHAR(36),
        actions TEXT NOT NULL,
        tools TEXT,
        max_unit_price_micro BIGINT,
        envelope_mode VARCHAR(16) NOT NULL,
        envelope_micro BIGINT,
        period VARCHAR(16) NOT NULL,
        funded_by VARCHAR(36),
        depth_max BIGINT NOT NULL,
        not_before BIGINT NOT NULL,
        expires_at BIGINT,
        share_bps BIGINT NOT NULL,
        state VARCHAR(16) NOT NULL,
        purpose VARCHAR(500) NOT NULL,
        role VARCHAR(16) NOT NULL,
        created_at BIGINT NOT NULL,
        ended_at BIGINT,
        ended_by VARCHAR(36))",
    "CREATE INDEX mandates_grantee ON mandates (organisation_id, grantee_id)",
    "CREATE INDEX mandates_parent ON mandates (parent_id)",
    "CREATE UNIQUE INDEX mandates_root ON mandates (organisation_id) WHERE parent_id IS NULL",
    "CREATE INDEX mandates_expiry ON mandates (expires_at) WHERE expires_at IS NOT NULL AND ended_at IS NULL",
    // What each cap has counted, by period: a snapshot of the charges.
    "CREATE TABLE mandate_counters (
        mandate_id VARCHAR(36) NOT NULL,
        period_start BIGINT NOT NULL,
        organisation_id VARCHAR(36) NOT NULL,
        used_micro BIGINT NOT NULL,
        PRIMARY KEY (mandate_id, period_start))",
    // What a run, or a transfer to a child, counts on each cap now.
    "CREATE TABLE mandate_charges (
        cause_id VARCHAR(36) NOT NULL,
        mandate_id VARCHAR(36) NOT NULL,
        period_start BIGINT NOT NULL,
        organisation_id VARCHAR(36) NOT NULL,
        amount_micro BIGINT NOT NULL,
        PRIMARY KEY (cause_id, mandate_id))",
    "CREATE INDEX mandate_charges_mandate ON mandate_charges (mandate_id)",
    "CREATE TABLE billing_subscriptions (
        organisation_id VARCHAR(36) NOT NULL PRIMARY KEY,
        plan VARCHAR(32) NOT NULL,
        pending_plan VARCHAR(32),
        provider VARCHAR(32) NOT NULL,
        period_start BIGINT NOT NULL,
        period_end BIGINT,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL)",
    "CREATE TABLE billing_invoices (
        id VARCHAR(36) NOT NULL PRIMARY KEY,
        organisation_id VARCHAR(36) NOT NULL,
        plan VARCHAR(32) NOT NULL,
        state VARCHAR(16) NOT NULL,
        amount_minor BIGINT NOT NULL,
        currency VARCHAR(3) NOT NULL,
        credits_micro BIGINT NOT NULL,
        provider VARCHAR(32) NOT NULL,
        provider_ref VARCHAR(128) NOT NULL,
        instructions VARCHAR(500) NOT NULL,
        created_at BIGINT NOT NULL,
        paid_at BIGINT,
        paid_by VARCHAR(64))",
    "CREATE INDEX billing_invoices_organisation ON billing_invoices (organisation_id, created_at)",
    "CREATE TABLE billing_seals (
        organisation_id VARCHAR(36) NOT NULL,
        first_number BIGINT NOT NULL,
        last_number BIGINT NOT NULL,
        previous_hash VARCHAR(64) NOT NULL,
        hash VARCHAR(64) NOT NULL,
        sealed_at BIGINT NOT NULL,
        PRIMARY KEY (organisation_id, first_number))",
];

/// Tables that are only ever added to.
const APPEND_ONLY: &[&str] = &["billing_transactions", "billing_postings", "billing_seals"];

#[async_trait::async_trait]
impl MigrationTrait for Ledger {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        for table in TABLES {
            connection.execute_unprepared(table).await?;
        }
        let is_postgres = manager.get_database_backend() == sea_orm::DatabaseBackend::Postgres;
        if is_postgres {
            connection
                .execute_unprepared(
                    "CREATE FUNCTION billing_append_only() RETURNS trigger LANGUAGE plpgsql AS $body$
                     BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $body$",
                )
                .await?;
        }
        for table in APPEND_ONLY {
            for change in ["UPDATE", "DELETE"] {
                let trigger = if is_postgres {
                    format!(
                        "CREATE TRIGGER {table}_no_{change} BEFORE {change} ON {table}
                         FOR EACH ROW EXECUTE FUNCTION billing_append_only()"
                    )
                } else {
                    format!(
                        "CREATE TRIGGER {table}_no_{change} BEFORE {change} ON {table}
                         BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                    )
                };
                connection.execute_unprepared(&trigger).await?;
            }
        }
        Ok(())
    }
}
