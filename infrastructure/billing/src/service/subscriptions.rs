//! Plans, subscriptions and invoices.

use std::time::Duration;

use backlot_foundation_db::WriteTx;
use backlot_foundation_events::{EventMeta, outbox};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::events::billing as events;
use backlot_infrastructure_api::{OrganisationId, UserId};

use super::authority::{CheckOrder, check_in};
use super::by_hand::{Deed, write_down};
use super::grants::{GrantOrder, PRIORITY_DEFAULT, grant_in};
use super::{Service, retried};
use crate::error::Error;
use crate::ledger::GrantKind;
use crate::plans::{FREE, Plan, ProviderInvoice, on_offer};
use crate::store;
use crate::store::plans::{Invoice, InvoiceId, InvoiceState, Subscription};

/// Invoices of one organisation that are shown.
const INVOICES_SHOWN_MAX: i64 = 200;
/// What choosing a plan is called in mandates.
const SUBSCRIBE: &str = "billing.subscribe";
pub(super) const DAY: Duration = Duration::from_secs(86_400);

impl Service {
    /// The plans on offer.
    #[must_use]
    pub fn plans(&self) -> Vec<Plan> {
        on_offer(self.config().sign_up_credits_micro)
    }

    pub(super) fn plan(&self, name: &str) -> Result<Plan, Error> {
        let found = self.plans().into_iter().find(|plan| plan.name == name);
        found.ok_or_else(|| Error::PlanUnknown(name.chars().take(64).collect()))
    }

    /// What the organisation has subscribed to.
    ///
    /// # Errors
    /// An unknown organisation.
    pub async fn subscription(&self, organisation: OrganisationId) -> Result<Subscription, Error> {
        let found = store::plans::subscription(self.db().read(), organisation).await?;
        found.ok_or(Error::UnknownOrganisation(organisation))
    }

    /// The organisation's invoices, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn invoices(&self, organisation: OrganisationId) -> Result<Vec<Invoice>, Error> {
        Ok(store::plans::invoices(self.db().read(), organisation, INVOICES_SHOWN_MAX).await?)
    }

    /// Chooses a plan. One with a price begins when its invoice is paid; asking again gives the same open
    /// invoice. The free plan begins at once and cancels what is open.
    ///
    /// # Errors
    /// An unknown plan, an actor whose mandates do not allow `billing.subscribe`, or a provider that refuses.
    pub async fn subscribe(
        &self,
        organisation: OrganisationId,
        actor: UserId,
        plan: &str,
    ) -> Result<(Subscription, Option<Invoice>), Error> {
        let plan = self.plan(plan)?;
        let authority = CheckOrder {
            organisation,
            actor,
            mandate: None,
            action: SUBSCRIBE.to_owned(),
            project: None,
            tool: String::new(),
            unit_price_micro: 0,
            amount_micro: 0,
        };
        check_in(self.db().read(), self.now(), &authority).await?;
        if plan.price_minor == 0 {
            let subscription = retried(|| self.change_at_once(organisation, &plan)).await?;
            return Ok((subscription, None));
        }
        if let Some(invoice) = store::plans::open_invoice(self.db().read(), organisation, &plan.name).await? {
            return Ok((self.subscription(organisation).await?, Some(invoice)));
        }
        // The provider is asked outside of the transaction: it may be slow, and an invoice that is never
        // stored asks nobody for money.
        let id = InvoiceId::generate();
        let opened = self.provider().open_invoice(id, &plan).await?;
        retried(|| self.open_invoice(organisation, &plan, id, &opened)).await
    }

    async fn change_at_once(&self, organisation: OrganisationId, plan: &Plan) -> Result<Subscription, Error> {
        let tx = self.db().begin_write().await?;
        store::ledger::lock(&tx, organisation).await?;
        let now = self.now();
        let before = store::plans::subscription(&*tx, organisation).await?;
        store::plans::cancel_open(&tx, organisation).await?;
        let subscription = self.begin_plan(&tx, organisation, before, plan, now).await?;
        tx.commit().await?;
        Ok(subscription)
    }

    /// Back to the plan without a price, with nothing left to pay.
    pub(crate) async fn end_plan(
        &self,
        tx: &WriteTx,
        organisation: OrganisationId,
        now: Timestamp,
    ) -> Result<(), Error> {
        store::plans::cancel_open(tx, organisation).await?;
        let before = store::plans::subscription(&**tx, organisation).await?;
        if before.as_ref().is_some_and(|before| before.plan != FREE || before.pending_plan.is_some()) {
            self.begin_plan(tx, organisation, before, &self.plan(FREE)?, now).await?;
        }
        Ok(())
    }

    async fn open_invoice(
        &self,
        organisation: OrganisationId,
        plan: &Plan,
        id: InvoiceId,
        opened: &ProviderInvoice,
    ) -> Result<(Subscription, Option<Invoice>), Error> {
        let tx = self.db().begin_write().await?;
        store::ledger::lock(&tx, organisation).await?;
        let now = self.now();
        let subscription = store::plans::subscription(&*tx, organisation).await?;
        let mut subscription = subscription.ok_or(Error::UnknownOrganisation(organisation))?;
        if let Some(invoice) = store::plans::open_invoice(&*tx, organisation, &plan.name).await? {
            return Ok((subscription, Some(invoice)));
        }
        let invoice = self.invoice_for(organisation, plan, id, opened, now);
        store::plans::cancel_open(&tx, organisation).await?;
        store::plans::insert_invoice(&tx, &invoice).await?;
        subscription.pending_plan = Some(plan.name.clone());
        store::plans::put_subscription(&tx, &subscription, now).await?;
        tx.commit().await?;
        Ok((subscription, Some(invoice)))
    }

    /// The bill for one period.
    pub(super) fn invoice_for(
        &self,
        organisation: OrganisationId,
        plan: &Plan,
        id: InvoiceId,
        opened: &ProviderInvoice,
        now: Timestamp,
    ) -> Invoice {
        Invoice {
            id,
            organisation,
            plan: plan.name.clone(),
            state: InvoiceState::Open,
            amount_minor: plan.price_minor,
            currency: plan.currency.clone(),
            credits_micro: plan.period_credits_micro,
            provider: self.provider().name().to_owned(),
            provider_ref: opened.reference.clone(),
            instructions: opened.instructions.clone(),
            created_at: now,
            paid_at: None,
        }
    }

    /// Says that an invoice was paid: its credits arrive and its plan begins, once. The audit log tells by whom.
    ///
    /// # Errors
    /// An unknown or canceled invoice.
    pub async fn mark_paid(&self, id: InvoiceId, by: &str) -> Result<Invoice, Error> {
        retried(|| self.mark_paid_once(id, by)).await
    }

    async fn mark_paid_once(&self, id: InvoiceId, by: &str) -> Result<Invoice, Error> {
        let tx = self.db().begin_write().await?;
        let invoice = store::plans::invoice(&*tx, id).await?.ok_or(Error::Unknown("invoice"))?;
        let mut ledger = store::ledger::lock(&tx, invoice.organisation).await?;
        let now = self.now();
        if !store::plans::mark_paid(&tx, id, now, by).await? {
            let invoice = store::plans::invoice(&*tx, id).await?.ok_or(Error::Unknown("invoice"))?;
            return if invoice.state == InvoiceState::Paid {
                Ok(invoice)
            } else {
                Err(Error::InvoiceNotOpen)
            };
        }
        if invoice.credits_micro > 0 {
            let order = GrantOrder {
                organisation: invoice.organisation,
                kind: GrantKind::Paid,
                source: "invoice",
                source_ref: id.to_string(),
                priority: PRIORITY_DEFAULT,
                amount_micro: invoice.credits_micro,
                expires_at: None,
                reason: format!("Plan {}", invoice.plan),
            };
            grant_in(&tx, &mut ledger, now, &order).await?;
        }
        let before = store::plans::subscription(&*tx, invoice.organisation).await?;
        self.begin_plan(&tx, invoice.organisation, before, &self.plan(&invoice.plan)?, now).await?;
        let deed = Deed {
            organisation: invoice.organisation,
            staff: by,
            action: "invoice.marked_paid",
            subject: id.to_string(),
            amount_micro: invoice.credits_micro,
            reason: None,
        };
        write_down(&tx, now, deed).await?;
        tx.commit().await?;
        Ok(Invoice { state: InvoiceState::Paid, paid_at: Some(now), ..invoice })
    }
}

impl Service {
    /// Begins a plan, or its next period, now, with the space that comes with it.
    pub(super) async fn begin_plan(
        &self,
        tx: &WriteTx,
        organisation: OrganisationId,
        before: Option<Subscription>,
        plan: &Plan,
        now: Timestamp,
    ) -> Result<Subscription, Error> {
        let renewed = before.as_ref().filter(|before| before.plan == plan.name);
        let period_start = renewed.and_then(|before| before.period_end).map_or(now, |end| end.max(now));
        let subscription = Subscription {
            organisation,
            plan: plan.name.clone(),
            pending_plan: None,
            provider: "manual".to_owned(),
            period_start,
            period_end: (plan.period_days > 0).then(|| period_start.plus(DAY * plan.period_days)),
            created_at: before.as_ref().map_or(now, |before| before.created_at),
        };
        store::plans::put_subscription(tx, &subscription, now).await?;
        let event = events::SubscriptionChanged {
            organisation_id: organisation,
            previous_plan: before.map(|before| before.plan),
            plan: plan.name.clone(),
            price_minor: plan.price_minor,
            currency: plan.currency.clone(),
            period_end_us: subscription.period_end.map(Timestamp::micros),
        };
        let meta = EventMeta {
            subject: organisation.to_string(),
            organisation: organisation.to_string(),
            actor: String::new(),
            time: now,
        };
        outbox::publish(tx, meta, &event).await?;
        // A new organisation has what everybody has, without a word.
        if event.previous_plan.is_some() || plan.storage_bytes.is_some() {
            self.space().give(tx, organisation, plan.storage_bytes).await?;
        }
        Ok(subscription)
    }

    /// The first plan of a new organisation, with its credits.
    pub(crate) async fn begin_free(
        &self,
        tx: &WriteTx,
        ledger: &mut store::ledger::Ledger,
        now: Timestamp,
    ) -> Result<(), Error> {
        let plan = self.plan(FREE)?;
        self.begin_plan(tx, ledger.organisation, None, &plan, now).await?;
        if plan.sign_up_credits_micro > 0 {
            let order = GrantOrder {
                organisation: ledger.organisation,
                kind: GrantKind::Promotional,
                source: "sign_up",
                source_ref: ledger.organisation.to_string(),
                priority: PRIORITY_DEFAULT,
                amount_micro: plan.sign_up_credits_micro,
                expires_at: None,
                reason: "Welcome".to_owned(),
            };
            grant_in(tx, ledger, now, &order).await?;
        }
        Ok(())
    }
}
