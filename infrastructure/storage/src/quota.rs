//! The space of a plan, set by whoever knows plans, in their transaction: infrastructure shares one database.

use backlot_foundation_db::{DbError, WriteTx};
use backlot_infrastructure_api::OrganisationId;

use crate::service::SIZE_BYTES_MAX;
use crate::store;

/// Sets what an organisation may use; `None`: the default of the configuration. What it uses already stays, also
/// where it is more.
///
/// # Errors
/// The database's.
pub async fn set_quota(
    tx: &WriteTx,
    organisation: OrganisationId,
    quota_bytes: Option<i64>,
) -> Result<(), DbError> {
    store::set_quota(&**tx, organisation, quota_bytes.map(|bytes| bytes.clamp(0, SIZE_BYTES_MAX))).await?;
    Ok(())
}
