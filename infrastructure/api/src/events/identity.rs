//! Events of identity.

use backlot_foundation_events::{EventSchema, EventType, schema_of};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ApiKeyId, InvitationId, OrganisationId, ProjectId, SessionId, UserId};

/// Declares an event's name and version beside its struct.
macro_rules! event {
    ($name:ident, $kind:literal) => {
        impl EventType for $name {
            const TYPE: &'static str = $kind;
            const VERSION: u32 = 1;
        }
    };
}

/// Who acts: data excludes services from every count of people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    /// A human being.
    Person,
    /// A program with an account of its own.
    Service,
}

/// Whose an organisation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrganisationKind {
    /// A customer's.
    Customer,
    /// The operator's own: it guards the operator's pages and the company's numbers.
    Platform,
}

/// Whether an account may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountState {
    /// It may.
    Active,
    /// It may not, until staff change that.
    Suspended,
    /// It is gone for good; only its pseudonymous id is left.
    Deleted,
}

/// A place in an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    /// Holds the root mandate.
    Owner,
    /// Manages people, projects and keys.
    Admin,
    /// Works.
    Member,
    /// Looks.
    Viewer,
}

/// Somebody signed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserCreated {
    /// Who.
    pub user_id: UserId,
    /// Person or service.
    pub kind: AccountKind,
    /// Whether it is the operator's own people, who are excluded from the company's numbers.
    pub is_staff: bool,
}
event!(UserCreated, "identity.user.created");

/// An account was suspended, reinstated, or became or ceased to be staff.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserStateChanged {
    /// Who.
    pub user_id: UserId,
    /// From now on.
    pub state: AccountState,
    /// From now on.
    pub is_staff: bool,
}
event!(UserStateChanged, "identity.user.state_changed");

/// An account was deleted. Its name and e-mail are gone; the id stays in what it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserDeleted {
    /// Who it was.
    pub user_id: UserId,
}
event!(UserDeleted, "identity.user.deleted");

/// Somebody signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionStarted {
    /// Which session.
    pub session_id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// Person or service.
    pub kind: AccountKind,
    /// Whether it is the operator's own people.
    pub is_staff: bool,
    /// Whether the session began with the account itself.
    pub first: bool,
}
event!(SessionStarted, "identity.session.started");

/// A session now acts in another organisation of its person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionSwitched {
    /// Which session.
    pub session_id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// Where it acts now.
    pub organisation_id: OrganisationId,
}
event!(SessionSwitched, "identity.session.switched");

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionEnd {
    /// The person signed out.
    SignOut,
    /// The person ended it from another session.
    EndedElsewhere,
    /// The password was changed.
    PasswordChanged,
    /// The account was suspended or deleted.
    AccountClosed,
    /// The person is no longer a member of the organisation in which it acted, nor of any other.
    MembershipEnded,
}

/// A session can no longer be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionEnded {
    /// Which session.
    pub session_id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// Why.
    pub reason: SessionEnd,
}
event!(SessionEnded, "identity.session.ended");

/// An API key was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKeyCreated {
    /// Which key.
    pub api_key_id: ApiKeyId,
    /// On whose behalf it acts.
    pub user_id: UserId,
    /// Where it acts.
    pub organisation_id: OrganisationId,
    /// What it is limited to; empty: everything its person may.
    pub scopes: Vec<String>,
}
event!(ApiKeyCreated, "identity.api_key.created");

/// An API key can no longer be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKeyRevoked {
    /// Which key.
    pub api_key_id: ApiKeyId,
    /// On whose behalf it acted.
    pub user_id: UserId,
    /// Where it acted.
    pub organisation_id: OrganisationId,
}
event!(ApiKeyRevoked, "identity.api_key.revoked");

/// An organisation was founded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrganisationCreated {
    /// Which.
    pub organisation_id: OrganisationId,
    /// Its first owner.
    pub owner_id: UserId,
    /// Customer or platform.
    pub kind: OrganisationKind,
}
event!(OrganisationCreated, "identity.organisation.created");

/// An organisation was closed with its last member's account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrganisationClosed {
    /// Which.
    pub organisation_id: OrganisationId,
}
event!(OrganisationClosed, "identity.organisation.closed");

/// A project was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectCreated {
    /// Which.
    pub project_id: ProjectId,
    /// Whose.
    pub organisation_id: OrganisationId,
}
event!(ProjectCreated, "identity.project.created");

/// Somebody was invited. The e-mail stays in identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InvitationCreated {
    /// Which invitation.
    pub invitation_id: InvitationId,
    /// Into which organisation.
    pub organisation_id: OrganisationId,
    /// As what.
    pub role: MemberRole,
}
event!(InvitationCreated, "identity.invitation.created");

/// An invitation was taken back before anybody accepted it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InvitationRevoked {
    /// Which invitation.
    pub invitation_id: InvitationId,
    /// Into which organisation.
    pub organisation_id: OrganisationId,
}
event!(InvitationRevoked, "identity.invitation.revoked");

/// Somebody joined, left, or changed place in an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MembershipChanged {
    /// In which organisation.
    pub organisation_id: OrganisationId,
    /// Who.
    pub user_id: UserId,
    /// Before; absent: was no member.
    pub previous_role: Option<MemberRole>,
    /// From now on; absent: is no member.
    pub role: Option<MemberRole>,
}
event!(MembershipChanged, "identity.membership.changed");

/// The schemas of identity's events.
pub fn schemas() -> Vec<EventSchema> {
    vec![
        schema_of::<UserCreated>(),
        schema_of::<UserStateChanged>(),
        schema_of::<UserDeleted>(),
        schema_of::<SessionStarted>(),
        schema_of::<SessionSwitched>(),
        schema_of::<SessionEnded>(),
        schema_of::<ApiKeyCreated>(),
        schema_of::<ApiKeyRevoked>(),
        schema_of::<OrganisationCreated>(),
        schema_of::<OrganisationClosed>(),
        schema_of::<ProjectCreated>(),
        schema_of::<InvitationCreated>(),
        schema_of::<InvitationRevoked>(),
        schema_of::<MembershipChanged>(),
    ]
}
