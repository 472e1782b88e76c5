//! The rows of storage, as both databases hold them.

/// One piece of media.
pub(crate) mod asset {
    use backlot_foundation_time::Timestamp;
    use backlot_infrastructure_api::{AssetId, OrganisationId};
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "storage_assets")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) id: AssetId,
        pub(crate) organisation_id: OrganisationId,
        pub(crate) project_id: Option<String>,
        pub(crate) actor_id: String,
        pub(crate) state: String,
        pub(crate) origin: String,
        pub(crate) name: String,
        pub(crate) content_type: String,
        pub(crate) size_bytes: i64,
        pub(crate) sha256: Option<String>,
        pub(crate) width_px: Option<i32>,
        pub(crate) height_px: Option<i32>,
        pub(crate) duration_ms: Option<i64>,
        pub(crate) preview_type: Option<String>,
        pub(crate) run_id: Option<String>,
        pub(crate) tool: Option<String>,
        pub(crate) tool_version: Option<String>,
        pub(crate) rejected_code: Option<String>,
        pub(crate) rejected_detail: Option<String>,
        pub(crate) objects_pending: bool,
        pub(crate) upload_expires_at: Option<Timestamp>,
        pub(crate) lease_token: Option<String>,
        pub(crate) lease_until: Option<Timestamp>,
        pub(crate) created_at: Timestamp,
        pub(crate) ended_at: Option<Timestamp>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What an asset was made from.
pub(crate) mod asset_input {
    use backlot_infrastructure_api::AssetId;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "storage_asset_inputs")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) asset_id: AssetId,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) position: i32,
        pub(crate) input_asset_id: AssetId,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The space that an organisation uses.
pub(crate) mod usage {
    use backlot_infrastructure_api::OrganisationId;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "storage_usage")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) organisation_id: OrganisationId,
        pub(crate) used_bytes: i64,
        pub(crate) reserved_bytes: i64,
        pub(crate) quota_bytes: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Who may write the outputs of a job.
pub(crate) mod issuer {
    use backlot_foundation_time::Timestamp;
    use backlot_infrastructure_api::OrganisationId;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "storage_issuers")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) job_id: String,
        pub(crate) organisation_id: OrganisationId,
        pub(crate) project_id: Option<String>,
        pub(crate) actor_id: String,
        pub(crate) capability_hash: String,
        pub(crate) max_bytes: i64,
        pub(crate) max_outputs: i32,
        pub(crate) state: String,
        pub(crate) fence: Option<String>,
        pub(crate) expires_at: Timestamp,
        pub(crate) objects_pending: bool,
        pub(crate) created_at: Timestamp,
        pub(crate) ended_at: Option<Timestamp>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// An output that an attempt announced.
pub(crate) mod output {
    use backlot_foundation_time::Timestamp;
    use backlot_infrastructure_api::AssetId;
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "storage_outputs")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) job_id: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) fence: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) n: i32,
        pub(crate) asset_id: AssetId,
        pub(crate) name: String,
        pub(crate) content_type: String,
        pub(crate) size_bytes: i64,
        pub(crate) sha256: String,
        pub(crate) created_at: Timestamp,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
