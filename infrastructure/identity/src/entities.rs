//! Identity's tables as sea-orm entities. Times are Unix microseconds, ids their text.

/// Accounts.
pub(crate) mod user {
    use backlot_foundation_time::Timestamp;
    use backlot_infrastructure_api::UserId;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "identity_users")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: UserId,
        /// None after deletion, as are the next three.
        pub email: Option<String>,
        pub email_normalised: Option<String>,
        pub name: Option<String>,
        pub password_hash: Option<String>,
        pub kind: String,
        pub is_staff: bool,
        pub state: String,
        pub created_at: Timestamp,
        pub deleted_at: Option<Timestamp>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

/// One row a sign-in.
pub(crate) mod session {
    use backlot_foundation_time::Timestamp;
    use backlot_infrastructure_api::{OrganisationId, SessionId, UserId};
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "identity_sessions")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: SessionId,
        pub user_id: UserId,
        pub token_sha256: String,
        /// Where it acts; none: its person is in no organisation.
        pub organisation_id: Option<OrganisationId>,
        pub created_at: Timestamp,
        pub last_seen_at: Timestamp,
        pub expires_at: Timestamp,
        pub ended_at: Option<Timestamp>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

/// Tenants.
pub(crate) mod organisation {
    use backlot_foundation_time::Timestamp;
    use backlot_infrastructure_api::OrganisationId;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "identity_organisations")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: OrganisationId,
        pub name: String,
        pub kind: String,
        /// Rises with every change of authority in the organisation.
        pub authority_version: i64,
        pub created_at: Timestamp,
        pub closed_at: Option<Timestamp>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

/// Parts of an organisation's work.
pub(crate) mod project {
    use backlot_foundation_time::Timestamp;
    use backlot_infrastructure_api::{OrganisationId, ProjectId};
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "identity_projects")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: ProjectId,
        pub organisation_id: OrganisationId,
        pub name: String,
        pub created_at: Timestamp,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

/// Who belongs where.
pub(crate) mod membership {
    use backlot_foundation_time::Timestamp;
    use backlot_infrastructure_api::{OrganisationId, UserId};
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "identity_memberships")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub organisation_id: OrganisationId,
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: UserId,
        pub role: String,
        pub created_at: Timestamp,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

/// Invitations into organisations.
pub(crate) mod invitation {
    use backlot_foundation_time::Timestamp;
    use backlot_infrastructure_api::{InvitationId, OrganisationId, UserId};
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "identity_invitations")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: InvitationId,
        pub organisation_id: OrganisationId,
        /// None after the account that it names was deleted.
        pub email_normalised: Option<String>,
        pub role: String,
        pub token_sha256: String,
        pub invited_by: UserId,
        pub created_at: Timestamp,
        pub expires_at: Timestamp,
        pub accepted_at: Option<Timestamp>,
        pub accepted_by: Option<UserId>,
        pub revoked_at: Option<Timestamp>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

/// Keys for programs.
pub(crate) mod api_key {
    use backlot_foundation_time::Timestamp;
    use backlot_infrastructure_api::{ApiKeyId, OrganisationId, UserId};
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "identity_api_keys")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: ApiKeyId,
        pub organisation_id: OrganisationId,
        pub user_id: UserId,
        pub name: String,
        pub prefix: String,
        pub key_sha256: String,
        /// JSON list of texts; empty: everything that its person may.
        pub scopes: String,
        pub created_at: Timestamp,
        pub expires_at: Option<Timestamp>,
        pub last_used_at: Option<Timestamp>,
        pub revoked_at: Option<Timestamp>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

/// One row a change. Holds ids only, so that it can stay when an account goes.
pub(crate) mod audit {
    use backlot_foundation_time::Timestamp;
    use backlot_infrastructure_api::OrganisationId;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "identity_audit")]
    pub(crate) struct Model {
        /// A UUIDv7, so that its order is the order of time.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub organisation_id: Option<OrganisationId>,
        pub actor: String,
        pub action: String,
        pub subject: String,
        /// JSON object.
        pub detail: String,
        pub at: Timestamp,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

/// One row: which account was the first. Its primary key decides between two that sign up at once.
pub(crate) mod install {
    use backlot_foundation_time::Timestamp;
    use backlot_infrastructure_api::UserId;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "identity_install")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i32,
        pub first_user_id: UserId,
        pub created_at: Timestamp,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}
