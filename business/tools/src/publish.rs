//! Publishing: a version is recorded once, and what was recorded stays.

use backlot_business_api::events::ToolPublished;
use backlot_foundation_db::DbError;
use backlot_foundation_time::Timestamp;

use crate::catalogue::Catalogue;
use crate::error::Error;
use crate::manifest::{Manifest, Tool};
use crate::store::{PublishedVersion, Store};

/// Records what ships, the first time that it is seen; what was recorded first stays in force.
pub(crate) async fn publish(store: &Store, shipped: &Catalogue, now: Timestamp) -> Result<Catalogue, Error> {
    let mut tools = Vec::new();
    for tool in shipped.all() {
        let manifest = &tool.manifest;
        let offered = PublishedVersion {
            hash: tool.hash.clone(),
            manifest: serde_json::to_string(manifest).unwrap_or_default(),
        };
        let event = ToolPublished {
            tool: manifest.name.clone(),
            tool_version: manifest.version.clone(),
            category: manifest.category.clone(),
            model: manifest.model.name.clone(),
            model_version: manifest.model.version.clone(),
            manifest_hash: tool.hash.clone(),
        };
        let recorded = store.publish(&manifest.name, &manifest.version, &offered, &event, now).await?;
        if recorded.hash != tool.hash {
            tracing::error!(
                tool = manifest.name,
                version = manifest.version,
                "a published manifest was changed: the published one stays in force; give the change a new version"
            );
        }
        let in_force: Manifest = serde_json::from_str(&recorded.manifest)
            .map_err(|error| DbError::Database(sea_orm::DbErr::Json(error.to_string())))?;
        tools.push(Tool::check(in_force)?);
    }
    Ok(Catalogue::of(tools)?)
}
