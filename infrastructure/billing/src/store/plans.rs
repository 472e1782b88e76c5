//! Subscriptions and invoices.

use backlot_foundation_db::WriteTx;
use backlot_foundation_ids::typed_id;
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::OrganisationId;
use sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};

use super::{all, execute, one, unreadable};

typed_id!(
    /// Names an invoice.
    InvoiceId
);

/// What an organisation has subscribed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Who.
    pub organisation: OrganisationId,
    /// The plan in force.
    pub plan: String,
    /// A plan that waits for its first invoice to be paid.
    pub pending_plan: Option<String>,
    /// Who takes the money.
    pub provider: String,
    /// When the present period began.
    pub period_start: Timestamp,
    /// When it ends; none for a plan without a price.
    pub period_end: Option<Timestamp>,
    /// When the organisation first subscribed.
    pub created_at: Timestamp,
}

/// Where an invoice stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvoiceState {
    /// To be paid.
    Open,
    /// Paid, and its credits were given.
    Paid,
    /// No longer asked for.
    Canceled,
}

impl InvoiceState {
    /// As text, in rows and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Paid => "paid",
            Self::Canceled => "canceled",
        }
    }
}

/// A bill for one period of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    /// Its name.
    pub id: InvoiceId,
    /// Who pays.
    pub organisation: OrganisationId,
    /// For which plan.
    pub plan: String,
    /// Where it stands.
    pub state: InvoiceState,
    /// The price in the currency's smallest unit.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// Credits that come with it.
    pub credits_micro: i64,
    /// Who takes the money.
    pub provider: String,
    /// The provider's name for it.
    pub provider_ref: String,
    /// How to pay, for people.
    pub instructions: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was paid.
    pub paid_at: Option<Timestamp>,
}

pub(crate) async fn subscription(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
) -> Result<Option<Subscription>, DbErr> {
    let sql = "SELECT organisation_id, plan, pending_plan, provider, period_start, period_end, created_at
               FROM billing_subscriptions WHERE organisation_id = $1";
    one(connection, sql, [organisation.into()], |row| {
        Ok(Subscription {
            organisation: row.try_get("", "organisation_id")?,
            plan: row.try_get("", "plan")?,
            pending_plan: row.try_get("", "pending_plan")?,
            provider: row.try_get("", "provider")?,
            period_start: row.try_get("", "period_start")?,
            period_end: row.try_get("", "period_end")?,
            created_at: row.try_get("", "created_at")?,
        })
    })
    .await
}

/// Writes the subscription, the first one or a changed one.
pub(crate) async fn put_subscription(
    tx: &WriteTx,
    subscription: &Subscription,
    now: Timestamp,
) -> Result<(), DbErr> {
    let sql = "INSERT INTO billing_subscriptions
                 (organisation_id, plan, pending_plan, provider, period_start, period_end, created_at, updated_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
               ON CONFLICT (organisation_id) DO UPDATE SET plan = excluded.plan,
                 pending_plan = excluded.pending_plan, provider = excluded.provider,
                 period_start = excluded.period_start, period_end = excluded.period_end,
                 updated_at = excluded.updated_at";
    let values: [Value; 8] = [
        subscription.organisation.into(),
        subscription.plan.clone().into(),
        subscription.pending_plan.clone().into(),
        subscription.provider.clone().into(),
        subscription.period_start.into(),
        subscription.period_end.into(),
        subscription.created_at.into(),
        now.into(),
    ];
    execute(&**tx, sql, values).await?;
    Ok(())
}

const INVOICE_COLUMNS: &str = "id, organisation_id, plan, state, amount_minor, currency, credits_micro, \
                               provider, provider_ref, instructions, created_at, paid_at";

fn decode_invoice(row: &QueryResult) -> Result<Invoice, DbErr> {
    let state: String = row.try_get("", "state")?;
    let states = [InvoiceState::Open, InvoiceState::Paid, InvoiceState::Canceled];
    Ok(Invoice {
        id: row.try_get("", "id")?,
        organisation: row.try_get("", "organisation_id")?,
        plan: row.try_get("", "plan")?,
        state: states
            .into_iter()
            .find(|known| known.as_str() == state)
            .ok_or_else(|| unreadable("state", &state))?,
        amount_minor: row.try_get("", "amount_minor")?,
        currency: row.try_get("", "currency")?,
        credits_micro: row.try_get("", "credits_micro")?,
        provider: row.try_get("", "provider")?,
        provider_ref: row.try_get("", "provider_ref")?,
        instructions: row.try_get("", "instructions")?,
        created_at: row.try_get("", "created_at")?,
        paid_at: row.try_get("", "paid_at")?,
    })
}

pub(crate) async fn insert_invoice(tx: &WriteTx, invoice: &Invoice) -> Result<(), DbErr> {
    let sql = format!(
        "INSERT INTO billing_invoices ({INVOICE_COLUMNS})
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
    );
    let values: [Value; 12] = [
        invoice.id.into(),
        invoice.organisation.into(),
        invoice.plan.clone().into(),
        invoice.state.as_str().into(),
        invoice.amount_minor.into(),
        invoice.currency.clone().into(),
        invoice.credits_micro.into(),
        invoice.provider.clone().into(),
        invoice.provider_ref.clone().into(),
        invoice.instructions.clone().into(),
        invoice.created_at.into(),
        invoice.paid_at.into(),
    ];
    execute(&**tx, &sql, values).await?;
    Ok(())
}

pub(crate) async fn invoice(
    connection: &impl ConnectionTrait,
    id: InvoiceId,
) -> Result<Option<Invoice>, DbErr> {
    let sql = format!("SELECT {INVOICE_COLUMNS} FROM billing_invoices WHERE id = $1");
    one(connection, &sql, [id.into()], decode_invoice).await
}

/// An organisation's invoices, newest first.
pub(crate) async fn invoices(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
    limit: i64,
) -> Result<Vec<Invoice>, DbErr> {
    let sql = format!(
        "SELECT {INVOICE_COLUMNS} FROM billing_invoices WHERE organisation_id = $1
         ORDER BY created_at DESC, id DESC LIMIT $2"
    );
    all(connection, &sql, [organisation.into(), limit.into()], decode_invoice).await
}

pub(crate) async fn open_invoice(
    connection: &impl ConnectionTrait,
    organisation: OrganisationId,
    plan: &str,
) -> Result<Option<Invoice>, DbErr> {
    let sql = format!(
        "SELECT {INVOICE_COLUMNS} FROM billing_invoices
         WHERE organisation_id = $1 AND plan = $2 AND state = 'open' ORDER BY created_at, id LIMIT 1"
    );
    one(connection, &sql, [organisation.into(), plan.into()], decode_invoice).await
}

/// Whose period ends before `soon`, without an invoice for the next one.
pub(crate) async fn ending(
    connection: &impl ConnectionTrait,
    soon: Timestamp,
    limit: i64,
) -> Result<Vec<OrganisationId>, DbErr> {
    let sql = "SELECT organisation_id FROM billing_subscriptions s
               WHERE period_end IS NOT NULL AND period_end < $1
                 AND NOT EXISTS (SELECT 1 FROM billing_invoices i
                   WHERE i.organisation_id = s.organisation_id AND i.plan = s.plan AND i.state = 'open')
               ORDER BY period_end, organisation_id LIMIT $2";
    all(connection, sql, [soon.into(), limit.into()], |row| row.try_get("", "organisation_id")).await
}

/// Whose period ended before `latest`.
pub(crate) async fn unpaid_since(
    connection: &impl ConnectionTrait,
    latest: Timestamp,
    limit: i64,
) -> Result<Vec<OrganisationId>, DbErr> {
    let sql = "SELECT organisation_id FROM billing_subscriptions
               WHERE period_end IS NOT NULL AND period_end < $1 ORDER BY period_end, organisation_id LIMIT $2";
    all(connection, sql, [latest.into(), limit.into()], |row| row.try_get("", "organisation_id")).await
}

/// Asks no longer for a plan's money.
pub(crate) async fn cancel_open_of(
    tx: &WriteTx,
    organisation: OrganisationId,
    plan: &str,
) -> Result<(), DbErr> {
    let sql = "UPDATE billing_invoices SET state = 'canceled'
               WHERE organisation_id = $1 AND plan = $2 AND state = 'open'";
    execute(&**tx, sql, [organisation.into(), plan.into()]).await?;
    Ok(())
}

/// Marks an open invoice as paid. False where it was not open.
pub(crate) async fn mark_paid(tx: &WriteTx, id: InvoiceId, now: Timestamp, by: &str) -> Result<bool, DbErr> {
    let sql = "UPDATE billing_invoices SET state = 'paid', paid_at = $2, paid_by = $3
               WHERE id = $1 AND state = 'open'";
    Ok(execute(&**tx, sql, [id.into(), now.into(), by.into()]).await? == 1)
}

/// Asks no longer for what an organisation has not paid.
pub(crate) async fn cancel_open(tx: &WriteTx, organisation: OrganisationId) -> Result<(), DbErr> {
    let sql = "UPDATE billing_invoices SET state = 'canceled' WHERE organisation_id = $1 AND state = 'open'";
    execute(&**tx, sql, [organisation.into()]).await?;
    Ok(())
}
