//! What the platform's staff do by hand with credits: each stands in the organisation's audit log, in the
//! transaction that moves them.

use backlot_foundation_db::WriteTx;
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::OrganisationId;
use backlot_infrastructure_identity::audit;
use serde_json::{Map, Value};

use crate::error::Error;

/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 200;

/// Who does something by hand, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByHand {
    /// The person of the staff, as the token names them.
    pub staff: String,
    /// What for, for people; names nobody.
    pub reason: String,
}

impl ByHand {
    /// Refuses a reason that says nothing, or too much.
    pub(super) fn validate(&self) -> Result<(), Error> {
        let chars = self.reason.chars().count();
        if self.reason.trim().is_empty() || chars > REASON_CHARS_MAX {
            let message = format!("must have 1 to {REASON_CHARS_MAX} characters");
            return Err(Error::Invalid { pointer: "/reason", message });
        }
        Ok(())
    }
}

/// One thing that the staff did, about to be written down.
pub(super) struct Deed<'a> {
    pub(super) organisation: OrganisationId,
    pub(super) staff: &'a str,
    /// For example `credits.granted`.
    pub(super) action: &'static str,
    /// The grant, run or invoice.
    pub(super) subject: String,
    pub(super) amount_micro: i64,
    /// What for; none where the subject says it.
    pub(super) reason: Option<&'a str>,
}

/// Writes the audit row. Whoever reads it sees by `staff` that it was nobody of the organisation.
pub(super) async fn write_down(tx: &WriteTx, at: Timestamp, deed: Deed<'_>) -> Result<(), Error> {
    let mut detail = Map::new();
    detail.insert("amount_micro".to_owned(), deed.amount_micro.into());
    detail.insert("staff".to_owned(), true.into());
    if let Some(reason) = deed.reason {
        detail.insert("reason".to_owned(), reason.into());
    }
    let entry = audit::Entry {
        organisation: Some(deed.organisation),
        actor: deed.staff,
        action: deed.action,
        subject: deed.subject,
        detail: Value::Object(detail),
        at,
    };
    Ok(audit::write(&**tx, entry).await?)
}
