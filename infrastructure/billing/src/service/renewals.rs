//! Paid plans go on when they are paid for, and end when they are not.
//!
//! Days before a period ends, the provider is asked for the next one. Paid in time, the next period follows without a
//! gap. Some days after the end, a plan that was not paid for gives way to the free one; credits that were paid for stay.

use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::OrganisationId;

use super::subscriptions::DAY;
use super::{Service, retried};
use crate::error::Error;
use crate::plans::{FREE, Plan, ProviderInvoice};
use crate::store;
use crate::store::plans::{InvoiceId, Subscription};

impl Service {
    /// Asks for the money of periods that end soon; how many invoices were opened.
    ///
    /// # Errors
    /// The database's.
    pub async fn renew_due(&self, limit: i64) -> Result<usize, Error> {
        let soon = self.now().plus(DAY * self.config().renew_before_days);
        let mut opened = 0;
        for organisation in store::plans::ending(self.db().read(), soon, limit).await? {
            match self.renew(organisation).await {
                Ok(true) => opened += 1,
                Ok(false) => {}
                // One that cannot be renewed must not keep the others: the next round tries it again.
                Err(error) => tracing::error!(%error, %organisation, "a period could not be billed"),
            }
        }
        Ok(opened)
    }

    async fn renew(&self, organisation: OrganisationId) -> Result<bool, Error> {
        let subscription = self.subscription(organisation).await?;
        let plan = self.plan(&subscription.plan)?;
        // Outside of the transaction, as for the first invoice.
        let id = InvoiceId::generate();
        let opened = self.provider().open_invoice(id, &plan).await?;
        retried(|| self.bill(&subscription, &plan, id, &opened)).await
    }

    /// Stores the invoice where the subscription still is what it was, and nobody was faster.
    async fn bill(
        &self,
        subscription: &Subscription,
        plan: &Plan,
        id: InvoiceId,
        opened: &ProviderInvoice,
    ) -> Result<bool, Error> {
        let organisation = subscription.organisation;
        let tx = self.db().begin_write().await?;
        store::ledger::lock(&tx, organisation).await?;
        let now = store::plans::subscription(&*tx, organisation).await?;
        let is_same = now
            .is_some_and(|now| (&now.plan, now.period_end) == (&subscription.plan, subscription.period_end));
        if !is_same || store::plans::open_invoice(&*tx, organisation, &plan.name).await?.is_some() {
            return Ok(false);
        }
        let invoice = self.invoice_for(organisation, plan, id, opened, self.now());
        store::plans::insert_invoice(&tx, &invoice).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Ends plans whose period is over and was not paid for; how many there were.
    ///
    /// # Errors
    /// The database's.
    pub async fn lapse_due(&self, limit: i64) -> Result<usize, Error> {
        let latest = self.now().minus(DAY * self.config().lapse_after_days);
        let mut lapsed = 0;
        for organisation in store::plans::unpaid_since(self.db().read(), latest, limit).await? {
            match retried(|| self.lapse(organisation, latest)).await {
                Ok(true) => lapsed += 1,
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(%error, %organisation, "a plan that ran out could not be ended")
                }
            }
        }
        Ok(lapsed)
    }

    async fn lapse(&self, organisation: OrganisationId, latest: Timestamp) -> Result<bool, Error> {
        let tx = self.db().begin_write().await?;
        store::ledger::lock(&tx, organisation).await?;
        let before = store::plans::subscription(&*tx, organisation).await?;
        let over = |before: &Subscription| before.period_end.is_some_and(|end| end < latest);
        let Some(before) = before.filter(over) else { return Ok(false) };
        let now = self.now();
        store::plans::cancel_open_of(&tx, organisation, &before.plan).await?;
        // Another plan that waits for its first payment goes on waiting.
        let pending_plan = before.pending_plan.clone();
        let free = self.begin_plan(&tx, organisation, Some(before), &self.plan(FREE)?, now).await?;
        if pending_plan.is_some() {
            store::plans::put_subscription(&tx, &Subscription { pending_plan, ..free }, now).await?;
        }
        tx.commit().await?;
        Ok(true)
    }
}
