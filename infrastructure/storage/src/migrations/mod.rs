//! The schema of storage, one step a file.

use sea_orm_migration::prelude::*;

mod m0001_assets;
mod m0002_public;
mod m0003_closed;

/// Brings the tables of storage up to date.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_assets::Migration),
            Box::new(m0002_public::Migration),
            Box::new(m0003_closed::Migration),
        ]
    }

    fn migration_table_name() -> DynIden {
        "storage_migrations".into_iden()
    }
}
