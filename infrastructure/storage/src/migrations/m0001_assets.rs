//! Assets, what they were made from, quotas, issuers and outputs; and the view for analysts.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, boolean, integer, integer_null, string, string_len, string_len_null,
    string_null, text, text_null,
};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0001_assets"
    }
}

const ID_CHARS: u32 = 36;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create_assets(manager).await?;
        create_inputs_and_usage(manager).await?;
        create_outputs(manager).await?;
        // What analysts read; its columns stay when the table changes.
        manager
            .get_connection()
            .execute_unprepared(
                "CREATE VIEW assets AS SELECT id, organisation_id, project_id, actor_id, state, origin, \
                 content_type, size_bytes, width_px, height_px, duration_ms, run_id, tool, tool_version, \
                 created_at, ended_at FROM storage_assets",
            )
            .await?;
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("the first step of storage is not taken back".to_owned()))
    }
}

fn index(table: &str, columns: &[&str]) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(format!("{table}_{}", columns.join("_"))).table(Alias::new(table));
    for column in columns {
        index.col(Alias::new(*column));
    }
    index
}

async fn create_assets(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table("storage_assets")
        .col(string_len("id", ID_CHARS).primary_key())
        .col(string_len("organisation_id", ID_CHARS))
        .col(string_len_null("project_id", ID_CHARS))
        .col(string("actor_id"))
        .col(string("state"))
        .col(string("origin"))
        .col(text("name"))
        .col(string("content_type"))
        .col(big_integer("size_bytes"))
        .col(string_null("sha256"))
        .col(integer_null("width_px"))
        .col(integer_null("height_px"))
        .col(big_integer_null("duration_ms"))
        .col(string_null("preview_type"))
        .col(string_null("run_id"))
        .col(string_null("tool"))
        .col(string_null("tool_version"))
        .col(string_null("rejected_code"))
        .col(text_null("rejected_detail"))
        .col(boolean("objects_pending"))
        .col(big_integer_null("upload_expires_at"))
        .col(string_null("lease_token"))
        .col(big_integer_null("lease_until"))
        .col(big_integer("created_at"))
        .col(big_integer_null("ended_at"))
        .to_owned();
    manager.create_table(table).await?;
    manager.create_index(index("storage_assets", &["organisation_id", "id"])).await?;
    manager.create_index(index("storage_assets", &["state", "upload_expires_at"])).await?;
    manager.create_index(index("storage_assets", &["objects_pending"])).await?;
    manager.create_index(index("storage_assets", &["run_id"])).await
}

async fn create_inputs_and_usage(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let inputs = Table::create()
        .table("storage_asset_inputs")
        .col(string_len("asset_id", ID_CHARS))
        .col(integer("position"))
        .col(string_len("input_asset_id", ID_CHARS))
        .primary_key(Index::create().col("asset_id").col("position"))
        .to_owned();
    manager.create_table(inputs).await?;
    manager.create_index(index("storage_asset_inputs", &["input_asset_id"])).await?;
    let usage = Table::create()
        .table("storage_usage")
        .col(string_len("organisation_id", ID_CHARS).primary_key())
        .col(big_integer("used_bytes"))
        .col(big_integer("reserved_bytes"))
        .col(big_integer_null("quota_bytes"))
        .to_owned();
    manager.create_table(usage).await
}

async fn create_outputs(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let issuers = Table::create()
        .table("storage_issuers")
        .col(string("job_id").primary_key())
        .col(string_len("organisation_id", ID_CHARS))
        .col(string_len_null("project_id", ID_CHARS))
        .col(string("actor_id"))
        .col(string("capability_hash").unique_key())
        .col(big_integer("max_bytes"))
        .col(integer("max_outputs"))
        .col(string("state"))
        .col(string_null("fence"))
        .col(big_integer("expires_at"))
        .col(boolean("objects_pending"))
        .col(big_integer("created_at"))
        .col(big_integer_null("ended_at"))
        .to_owned();
    manager.create_table(issuers).await?;
    manager.create_index(index("storage_issuers", &["state", "expires_at"])).await?;
    manager.create_index(index("storage_issuers", &["objects_pending"])).await?;
    let outputs = Table::create()
        .table("storage_outputs")
        .col(string("job_id"))
        .col(string("fence"))
        .col(integer("n"))
        .col(string_len("asset_id", ID_CHARS))
        .col(text("name"))
        .col(string("content_type"))
        .col(big_integer("size_bytes"))
        .col(string("sha256"))
        .col(big_integer("created_at"))
        .primary_key(Index::create().col("job_id").col("fence").col("n"))
        .to_owned();
    manager.create_table(outputs).await?;
    manager.create_index(index("storage_outputs", &["asset_id"])).await
}
