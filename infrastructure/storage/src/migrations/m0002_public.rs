//! Which assets everybody signed in may see, and under which name.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, boolean, string_len};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0002_public"
    }
}

const ID_CHARS: u32 = 36;
const GRANT_CHARS: u32 = 64;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("storage_public")
            .col(string_len("asset_id", ID_CHARS))
            .col(string_len("grant_id", GRANT_CHARS))
            .col(string_len("organisation_id", ID_CHARS))
            .col(big_integer("version"))
            .col(boolean("is_public"))
            .col(big_integer("updated_at"))
            .primary_key(Index::create().col("asset_id").col("grant_id"))
            .to_owned();
        manager.create_table(table).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("storage_public").to_owned()).await
    }
}
