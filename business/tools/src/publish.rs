//! Publishing: a version is recorded once, and what was recorded stays.

use backlot_business_api::events::ToolPublished;
use backlot_foundation_db::DbError;
use backlot_foundation_time::Timestamp;

use crate::catalogue::Catalogue;
use crate::error::Error;
use crate::manifest::{Manifest, Source, Tool};
use crate::store::{PublishedVersion, Store};

/// Records what ships, the first time that it is seen; what was recorded first stays in force. What did not ship
/// and was published while an earlier process ran is taken along.
pub(crate) async fn publish(store: &Store, shipped: &Catalogue, now: Timestamp) -> Result<Catalogue, Error> {
    let mut tools = Vec::new();
    for tool in shipped.all() {
        tools.push(publish_one(store, tool, now).await?);
    }
    for manifest in store.published().await? {
        let Ok(manifest) = serde_json::from_str::<Manifest>(&manifest) else { continue };
        if manifest.source == Source::Builtin {
            continue;
        }
        let (name, version) = (manifest.name.clone(), manifest.version.clone());
        match Tool::check(manifest) {
            Ok(tool) => tools.push(tool),
            Err(error) => {
                tracing::error!(tool = name, version, %error, "a published manifest cannot be used")
            }
        }
    }
    Ok(Catalogue::of(tools)?)
}

/// Records one version; answers what is in force.
pub(crate) async fn publish_one(store: &Store, tool: &Tool, now: Timestamp) -> Result<Tool, Error> {
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
    Ok(Tool::check(in_force)?)
}
