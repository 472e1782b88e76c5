//! What the community may say of where a picture or a film came from.

use async_trait::async_trait;
use backlot_business_api::RunId;
use backlot_business_api::doors::{RunOrigin, RunOrigins};
use backlot_foundation_errors::Problem;
use backlot_infrastructure_api::OrganisationId;
use serde_json::Value;

use crate::service::Service;

#[async_trait]
impl RunOrigins for Service {
    async fn origin(&self, organisation: &str, run: RunId) -> Result<Option<RunOrigin>, Problem> {
        let Ok(organisation) = OrganisationId::parse(organisation) else { return Ok(None) };
        let Some(row) = self.store().run_of(organisation, run).await? else { return Ok(None) };
        let mut parameters = row.input();
        let catalogue = self.catalogue();
        let tool = catalogue.version(&row.tool, &row.tool_version);
        // Without the manifest nobody knows which properties name media: then none is told.
        let (model, model_version) = match tool {
            Some(tool) => (tool.manifest.model.name.clone(), tool.manifest.model.version.clone()),
            None => (String::new(), String::new()),
        };
        match (&mut parameters, tool) {
            (Value::Object(fields), Some(tool)) => {
                for asset in tool.input.assets() {
                    fields.shift_remove(&asset.property);
                }
            }
            (parameters, _) => *parameters = Value::Object(serde_json::Map::new()),
        }
        let (tool, tool_version) = (row.tool, row.tool_version);
        Ok(Some(RunOrigin { tool, tool_version, model, model_version, parameters }))
    }
}
