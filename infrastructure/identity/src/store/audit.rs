//! The audit log: one row a change, written in the change's own transaction, never changed.

use backlot_foundation_ids::Uuid;
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::OrganisationId;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, Order, QueryFilter, QueryOrder,
    QuerySelect,
};

use crate::entities::audit;

/// What is written down about one change. Ids only: the row outlives the account.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// Where; none: outside of any organisation.
    pub organisation: Option<OrganisationId>,
    /// Who.
    pub actor: &'a str,
    /// What, for example `api_key.revoked`.
    pub action: &'a str,
    /// Which thing.
    pub subject: String,
    /// More facts, a JSON object.
    pub detail: serde_json::Value,
    /// When.
    pub at: Timestamp,
}

pub(crate) async fn write<C: ConnectionTrait>(c: &C, entry: Entry<'_>) -> Result<(), DbErr> {
    let row = audit::ActiveModel {
        id: Set(Uuid::now_v7().to_string()),
        organisation_id: Set(entry.organisation),
        actor: Set(entry.actor.to_owned()),
        action: Set(entry.action.to_owned()),
        subject: Set(entry.subject),
        detail: Set(entry.detail.to_string()),
        at: Set(entry.at),
    };
    audit::Entity::insert(row).exec_without_returning(c).await?;
    Ok(())
}

/// Which part of an organisation's log.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// Only rows before this one.
    pub before: Option<&'a str>,
    /// Only what begins with this word: `api_key` is all that happened to keys.
    pub kind: Option<&'a str>,
    /// Only what this actor did.
    pub actor: Option<&'a str>,
    /// Most rows.
    pub limit: u64,
}

/// An organisation's rows, newest first.
pub(crate) async fn of_organisation<C: ConnectionTrait>(
    c: &C,
    organisation: OrganisationId,
    wanted: Wanted<'_>,
) -> Result<Vec<audit::Model>, DbErr> {
    let mut query = audit::Entity::find().filter(audit::Column::OrganisationId.eq(organisation));
    if let Some(before) = wanted.before {
        query = query.filter(audit::Column::Id.lt(before));
    }
    if let Some(kind) = wanted.kind {
        query = query.filter(audit::Column::Action.starts_with(format!("{kind}.")));
    }
    if let Some(actor) = wanted.actor {
        query = query.filter(audit::Column::Actor.eq(actor));
    }
    query.order_by(audit::Column::Id, Order::Desc).limit(wanted.limit).all(c).await
}

/// What one actor did, newest first.
pub(crate) async fn of_actor<C: ConnectionTrait>(
    c: &C,
    actor: &str,
    limit: u64,
) -> Result<Vec<audit::Model>, DbErr> {
    audit::Entity::find()
        .filter(audit::Column::Actor.eq(actor))
        .order_by(audit::Column::Id, Order::Desc)
        .limit(limit)
        .all(c)
        .await
}
