//! Identity's migrations. Expand first, contract one release later.

use sea_orm_migration::prelude::*;

mod m0001_identity;

/// Brings identity's tables up to date.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m0001_identity::Migration)]
    }

    fn migration_table_name() -> DynIden {
        Alias::new("identity_migrations").into_iden()
    }
}
