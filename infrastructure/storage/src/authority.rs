//! Whom storage asks before a person changes an organisation's media.

use async_trait::async_trait;
use backlot_foundation_errors::Problem;
use backlot_infrastructure_api::{OrganisationId, ProjectId};

/// Upload a file.
pub(crate) const WRITE: &str = "assets.write";
/// Delete an asset or cancel an upload.
pub(crate) const DELETE: &str = "assets.delete";

/// Decides from mandates whether somebody may change media. Storage knows no mandates itself.
#[async_trait]
pub trait Authority: Send + Sync + 'static {
    /// Agrees, or refuses with the problem that the person is shown.
    ///
    /// # Errors
    /// The refusal, or a fault.
    async fn check(
        &self,
        organisation: OrganisationId,
        actor: &str,
        action: &str,
        project: Option<ProjectId>,
    ) -> Result<(), Problem>;
}

/// Where there are no mandates: whoever acts in an organisation may change its media.
pub(crate) struct Everyone;

#[async_trait]
impl Authority for Everyone {
    async fn check(&self, _: OrganisationId, _: &str, _: &str, _: Option<ProjectId>) -> Result<(), Problem> {
        Ok(())
    }
}
