//! Who may do what with a board.
//!
//! A person is named on the board with a role, or a mandate of theirs covers the board's project:
//! `boards.manage` makes an owner, `boards.edit` an editor, `boards.read` a viewer. The higher counts. To
//! everybody else the board does not exist.

use backlot_business_api::BoardId;
use backlot_foundation_errors::Problem;
use backlot_infrastructure_api::ProjectId;
use backlot_infrastructure_api::v1::CheckRequest;
use backlot_infrastructure_api::v1::mandates_client::MandatesClient;

use crate::error::Error;
use crate::role::Role;
use crate::service::{Actor, Service};
use crate::store::BoardRow;

/// What a mandate must allow for each role, the highest first.
const ACTIONS: [(&str, Role); 3] =
    [("boards.manage", Role::Owner), ("boards.edit", Role::Editor), ("boards.read", Role::Viewer)];
/// What a mandate must allow, if not `boards.edit`, to make boards in a project: who may run tools there may plan there.
const ACTION_RUN: &str = "tools.run";

impl Service {
    /// The board and the actor's role on it.
    pub(crate) async fn role(&self, actor: &Actor, id: BoardId) -> Result<(BoardRow, Role), Error> {
        self.at_least_known(actor, id, Role::Owner).await
    }

    /// The board, where the actor is at least this; the role may be higher than what is answered.
    pub(crate) async fn at_least(
        &self,
        actor: &Actor,
        id: BoardId,
        needs: Role,
    ) -> Result<(BoardRow, Role), Error> {
        let (row, has) = self.at_least_known(actor, id, needs).await?;
        if has < needs { Err(Error::RoleMissing { has, needs }) } else { Ok((row, has)) }
    }

    /// Asks mandates only where the board's own list says less than `enough`.
    async fn at_least_known(
        &self,
        actor: &Actor,
        id: BoardId,
        enough: Role,
    ) -> Result<(BoardRow, Role), Error> {
        let unknown = || Error::BoardUnknown(id.to_string());
        let row = self.store().board(id).await?.ok_or_else(unknown)?;
        let named = self.store().member(id, &actor.id).await?;
        let named = named.and_then(|member| Role::parse(&member.role));
        if named.is_some_and(|role| role >= enough) || row.organisation_id != actor.organisation {
            return named.map(|role| (row, role)).ok_or_else(unknown);
        }
        let role = match (self.mandate_role(actor, row.project_id).await, named) {
            (Ok(by_mandate), named) => by_mandate.max(named),
            // Mandates do not answer: what the board itself says still holds.
            (Err(_), Some(named)) => Some(named),
            (Err(error), None) => return Err(error),
        };
        role.map(|role| (row, role)).ok_or_else(unknown)
    }

    /// The role that a mandate gives in this project, or in the whole organisation.
    pub(crate) async fn mandate_role(
        &self,
        actor: &Actor,
        project: Option<ProjectId>,
    ) -> Result<Option<Role>, Error> {
        for (action, role) in ACTIONS {
            if self.mandate_allows(actor, action, project).await? {
                return Ok(Some(role));
            }
        }
        Ok(None)
    }

    pub(crate) async fn mandate_allows(
        &self,
        actor: &Actor,
        action: &str,
        project: Option<ProjectId>,
    ) -> Result<bool, Error> {
        let request = CheckRequest {
            organisation_id: actor.organisation.to_string(),
            actor_id: actor.id.clone(),
            action: action.to_owned(),
            project_id: project.map(|id| id.to_string()).unwrap_or_default(),
            ..CheckRequest::default()
        };
        let answer = MandatesClient::new(self.infrastructure()).check(request).await.map_err(Problem::from);
        match answer {
            Ok(answer) => Ok(answer.into_inner().allowed),
            Err(problem) if problem.is_transient() => Err(problem.into()),
            // Somebody whom mandates do not know, or a project that is not there: no.
            Err(_) => Ok(false),
        }
    }

    /// Whether the actor may put a board into this project.
    pub(crate) async fn may_make_in(&self, actor: &Actor, project: ProjectId) -> Result<(), Error> {
        for action in ["boards.edit", ACTION_RUN] {
            if self.mandate_allows(actor, action, Some(project)).await? {
                return Ok(());
            }
        }
        let message = "is no project in which you may make boards".to_owned();
        Err(Error::Field { pointer: "/project_id", message })
    }
}
