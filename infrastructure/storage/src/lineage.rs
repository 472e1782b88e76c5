//! Where an asset came from and what became of it: asset ← run ← inputs, in both directions.

use std::collections::BTreeSet;

use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{AssetId, OrganisationId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::Error;
use crate::service::Service;
use crate::store;

/// Most assets of one answer.
const NODES_MAX: usize = 500;
/// Most generations that are followed, each way.
const GENERATIONS_MAX: usize = 32;

/// A graph of assets.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Lineage {
    /// The asset that was asked for.
    pub asset_id: AssetId,
    /// All assets of the graph, this one included, oldest first.
    pub nodes: Vec<LineageNode>,
    /// Which was made from which.
    pub edges: Vec<LineageEdge>,
    /// Whether there is more than the answer holds.
    pub truncated: bool,
}

/// One asset of the graph. Those deleted are still in it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LineageNode {
    /// Which.
    pub asset_id: AssetId,
    /// uploading, ready, rejected or deleted.
    pub state: String,
    /// Its media type.
    pub content_type: String,
    /// The run that made it; absent for an upload.
    pub run_id: Option<String>,
    /// The tool of that run.
    pub tool: Option<String>,
    /// The tool's version.
    pub tool_version: Option<String>,
    /// When.
    pub created_at: Timestamp,
}

/// An asset was made from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LineageEdge {
    /// The input.
    pub from: AssetId,
    /// What was made.
    pub to: AssetId,
    /// The run that made it.
    pub run_id: Option<String>,
}

impl Service {
    /// Follows an asset's inputs to their beginnings and what was made from it to its ends.
    pub async fn lineage(&self, organisation: OrganisationId, id: AssetId) -> Result<Lineage, Error> {
        let db = self.inner.db.read();
        store::asset_of(db, organisation, id).await?.ok_or(Error::NotFound("asset"))?;
        let mut seen = BTreeSet::from([id]);
        let mut edges = BTreeSet::new();
        let mut truncated = false;
        for upwards in [true, false] {
            let mut frontier = vec![id];
            for generation in 0..=GENERATIONS_MAX {
                if frontier.is_empty() {
                    break;
                }
                if generation == GENERATIONS_MAX || seen.len() >= NODES_MAX {
                    truncated = true;
                    break;
                }
                let pairs = if upwards {
                    store::inputs_of(db, &frontier).await?
                } else {
                    store::made_from(db, &frontier, NODES_MAX as u64).await?
                };
                frontier = pairs
                    .iter()
                    .map(|&(asset, input)| if upwards { input } else { asset })
                    .filter(|next| seen.insert(*next))
                    .collect();
                edges.extend(pairs);
            }
        }
        let ids: Vec<AssetId> = seen.into_iter().collect();
        let mut rows = store::assets_among(db, organisation, &ids).await?;
        rows.sort_by_key(|row| (row.created_at, row.id));
        let run_of = |id| rows.iter().find(|row| row.id == id).and_then(|row| row.run_id.clone());
        let known = |id| rows.iter().any(|row| row.id == id);
        let edges = edges
            .into_iter()
            .filter(|&(asset, input)| known(asset) && known(input))
            .map(|(asset, input)| LineageEdge { from: input, to: asset, run_id: run_of(asset) })
            .collect();
        let nodes = rows
            .iter()
            .map(|row| LineageNode {
                asset_id: row.id,
                state: row.state.clone(),
                content_type: row.content_type.clone(),
                run_id: row.run_id.clone(),
                tool: row.tool.clone(),
                tool_version: row.tool_version.clone(),
                created_at: row.created_at,
            })
            .collect();
        Ok(Lineage { asset_id: id, nodes, edges, truncated })
    }
}
