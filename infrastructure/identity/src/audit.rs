//! What the rest of infrastructure writes into the audit log, inside a transaction of its own.

use sea_orm::{ConnectionTrait, DbErr};

use crate::store;
pub use crate::store::audit::{Entry, Wanted};

/// Writes one row: it stands as soon as the change does, and not without it.
///
/// # Errors
/// The database's; the change must not be committed then.
pub async fn write<C: ConnectionTrait>(c: &C, entry: Entry<'_>) -> Result<(), DbErr> {
    store::audit::write(c, entry).await
}
