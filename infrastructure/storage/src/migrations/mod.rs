//! The schema of storage, one step a file.

use sea_orm_migration::prelude::*;

mod m0001_assets;

/// Brings the tables of storage up to date.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m0001_assets::Migration)]
    }

    fn migration_table_name() -> DynIden {
        "storage_migrations".into_iden()
    }
}
