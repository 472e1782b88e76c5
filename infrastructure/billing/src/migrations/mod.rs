//! The tables of mandates and billing, in infrastructure's database.

mod m0001_ledger;
mod m0002_keys;
mod m0003_periods;
mod m0004_returned;
mod m0005_revoked;

use sea_orm_migration::prelude::*;

/// Migrations of mandates and billing.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_ledger::Ledger),
            Box::new(m0002_keys::Keys),
            Box::new(m0003_periods::Periods),
            Box::new(m0004_returned::Returned),
            Box::new(m0005_revoked::Revoked),
        ]
    }

    fn migration_table_name() -> DynIden {
        "migrations_billing".into_iden()
    }
}
