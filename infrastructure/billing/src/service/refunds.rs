//! Refunds: a part of a charge returns to the grants that it came from.

use backlot_foundation_events::outbox;
use backlot_infrastructure_api::events::billing as events;
use backlot_infrastructure_api::{HoldId, OrganisationId};

use super::by_hand::{ByHand, Deed, write_down};
use super::holds::meta;
use super::returns::Returns;
use super::{Service, check_amount, retried, used};
use crate::error::Error;
use crate::ledger::{Account, EntryKind, GrantKind, PartsError, refund};
use crate::store;
use crate::store::holds::Hold;
use crate::store::keys::Key;

/// The area of keys that stand for refunds.
const REFUNDED: &str = "refund";

impl Service {
    /// Gives a part of a charge back to the grants that it came from, unwinding the recorded order. What came from a
    /// grant that was taken back since stays taken back. The audit log tells by whom and why.
    ///
    /// # Errors
    /// More than is left of the charge, a run that was not charged, or a reason that is none.
    pub async fn refund(
        &self,
        organisation: OrganisationId,
        run: HoldId,
        amount_micro: i64,
        by: &ByHand,
    ) -> Result<Hold, Error> {
        self.refund_with_key(organisation, run, amount_micro, by, None).await
    }

    /// The same, once for each key: a repetition is answered with the hold as it is now.
    ///
    /// # Errors
    /// As [`Service::refund`], and a key that stands for another refund.
    pub async fn refund_with_key(
        &self,
        organisation: OrganisationId,
        run: HoldId,
        amount_micro: i64,
        by: &ByHand,
        key: Option<&str>,
    ) -> Result<Hold, Error> {
        check_amount(amount_micro, "/amount_micro")?;
        by.validate()?;
        let key = key.map(|key| Key::new(REFUNDED, key, &[run.to_string(), amount_micro.to_string()]));
        retried(|| self.refund_once(organisation, run, amount_micro, by, key.as_ref())).await
    }

    async fn refund_once(
        &self,
        organisation: OrganisationId,
        run: HoldId,
        amount_micro: i64,
        by: &ByHand,
        key: Option<&Key>,
    ) -> Result<Hold, Error> {
        let tx = self.db().begin_write().await?;
        let mut ledger = store::ledger::lock(&tx, organisation).await?;
        let now = self.now();
        let mut hold = self.hold_of(&*tx, organisation, run).await?;
        if used(&tx, organisation, key).await?.is_some() {
            return Ok(hold);
        }
        let back = refund(&hold.parts, amount_micro).map_err(|error| match error {
            PartsError::Exceeds { most_micro } => Error::RefundExceedsCharge { most_micro },
            PartsError::Negative => Error::AmountOutOfRange { pointer: "/amount_micro" },
        })?;
        let (mut returns, mut promotional_micro) = (Returns::new(Account::Earnings, hold.created_at), 0);
        for (part, back_micro) in hold.parts.iter_mut().zip(back) {
            part.refunded_micro += back_micro;
            if part.kind == GrantKind::Promotional {
                promotional_micro += back_micro;
            }
            returns.give_back(&tx, &mut ledger, now, part, back_micro).await?;
        }
        let (subject, lines) = (run.to_string(), returns.take_lines());
        store::ledger::post_lines(&tx, &mut ledger, now, &subject, EntryKind::Refund, lines).await?;
        returns.close(&tx, &mut ledger, now).await?;
        store::mandates::uncount(&tx, &run.to_string(), amount_micro).await?;
        hold.refunded_micro += amount_micro;
        store::holds::update(&tx, &hold).await?;
        if let Some(key) = key {
            store::keys::insert(&tx, organisation, key, &run.to_string(), now).await?;
        }
        let event = events::HoldRefunded {
            run_id: run,
            organisation_id: organisation,
            project_id: hold.project,
            refunded_micro: amount_micro,
            refunded_promotional_micro: promotional_micro,
            refunded_paid_micro: amount_micro - promotional_micro,
        };
        outbox::publish(&tx, meta(&hold, now), &event).await?;
        let deed = Deed {
            organisation,
            staff: &by.staff,
            action: "credits.refunded",
            subject: run.to_string(),
            amount_micro,
            reason: Some(&by.reason),
        };
        write_down(&tx, now, deed).await?;
        tx.commit().await?;
        Ok(hold)
    }
}
