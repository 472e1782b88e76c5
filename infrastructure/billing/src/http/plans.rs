//! Routes about plans, subscriptions and invoices.

use axum::Json;
use axum::extract::State;
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::http::{Path, ValidJson};
use backlot_foundation_time::Timestamp;
use garde::Validate;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Member, Page, Staff, nothing};
use crate::plans::Plan;
use crate::service::Service;
use crate::store::plans::{Invoice, InvoiceId, Subscription};

/// Longest name of a plan that is looked at, in bytes.
const PLAN_BYTES_MAX: usize = 64;

/// What can be subscribed to.
#[utoipa::path(get, path = "/v1/billing/plans", tag = "billing",
    responses((status = 200, body = Page<Plan>), (status = "default", body = Problem)))]
pub(super) async fn plans(
    State(service): State<Service>,
    _member: Member,
) -> Result<Json<Page<Plan>>, Problem> {
    Ok(Json(Page::whole(service.plans())))
}

/// A bill for one period of a plan.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InvoiceJson {
    id: InvoiceId,
    plan: String,
    /// `open`, `paid` or `canceled`.
    state: &'static str,
    /// The price in the currency's smallest unit.
    amount_minor: i64,
    /// ISO 4217.
    currency: String,
    /// Credits that arrive when it is paid.
    credits_micro: i64,
    provider: String,
    /// How to pay.
    instructions: String,
    created_at: Timestamp,
    paid_at: Option<Timestamp>,
}

impl From<Invoice> for InvoiceJson {
    fn from(invoice: Invoice) -> Self {
        Self {
            id: invoice.id,
            plan: invoice.plan,
            state: invoice.state.as_str(),
            amount_minor: invoice.amount_minor,
            currency: invoice.currency,
            credits_micro: invoice.credits_micro,
            provider: invoice.provider,
            instructions: invoice.instructions,
            created_at: invoice.created_at,
            paid_at: invoice.paid_at,
        }
    }
}

/// What the organisation has subscribed to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SubscriptionJson {
    plan: String,
    /// A plan that waits for its invoice to be paid.
    pending_plan: Option<String>,
    provider: String,
    period_start: Timestamp,
    /// Null: it never ends.
    period_end: Option<Timestamp>,
    created_at: Timestamp,
    /// The invoice to pay, where this request made or found one.
    invoice: Option<InvoiceJson>,
}

impl SubscriptionJson {
    fn new(subscription: Subscription, invoice: Option<Invoice>) -> Self {
        Self {
            plan: subscription.plan,
            pending_plan: subscription.pending_plan,
            provider: subscription.provider,
            period_start: subscription.period_start,
            period_end: subscription.period_end,
            created_at: subscription.created_at,
            invoice: invoice.map(Into::into),
        }
    }
}

/// The plan in force.
#[utoipa::path(get, path = "/v1/billing/subscription", tag = "billing",
    responses((status = 200, body = SubscriptionJson), (status = "default", body = Problem)))]
pub(super) async fn subscription(
    State(service): State<Service>,
    member: Member,
) -> Result<Json<SubscriptionJson>, Problem> {
    Ok(Json(SubscriptionJson::new(service.subscription(member.organisation).await?, None)))
}

/// A plan to subscribe to.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SubscribeBody {
    /// Its name, as `GET /v1/billing/plans` lists it.
    #[garde(length(bytes, min = 1, max = PLAN_BYTES_MAX))]
    plan: String,
}

/// Choose a plan. One with a price begins when its invoice is paid; asking again gives the same invoice.
#[utoipa::path(post, path = "/v1/billing/subscription", tag = "billing", request_body = SubscribeBody,
    responses((status = 201, body = SubscriptionJson), (status = "default", body = Problem)))]
pub(super) async fn subscribe(
    State(service): State<Service>,
    member: Member,
    ValidJson(body): ValidJson<SubscribeBody>,
) -> Result<(StatusCode, Json<SubscriptionJson>), Problem> {
    let (subscription, invoice) = service.subscribe(member.organisation, member.user, &body.plan).await?;
    Ok((StatusCode::CREATED, Json(SubscriptionJson::new(subscription, invoice))))
}

/// The organisation's invoices, newest first.
#[utoipa::path(get, path = "/v1/billing/invoices", tag = "billing",
    responses((status = 200, body = Page<InvoiceJson>), (status = "default", body = Problem)))]
pub(super) async fn invoices(
    State(service): State<Service>,
    member: Member,
) -> Result<Json<Page<InvoiceJson>>, Problem> {
    let invoices = service.invoices(member.organisation).await?;
    Ok(Json(Page::whole(invoices.into_iter().map(Into::into).collect())))
}

/// Say that an invoice was paid: its credits arrive and its plan begins, once. For platform staff. The
/// organisation's audit log tells who said it.
#[utoipa::path(post, path = "/v1/billing/invoices/{id}/mark-paid", tag = "billing",
    params(("id" = InvoiceId, Path)),
    responses((status = 200, body = InvoiceJson), (status = "default", body = Problem)))]
pub(super) async fn mark_paid(
    State(service): State<Service>,
    staff: Staff,
    Path(id): Path<String>,
) -> Result<Json<InvoiceJson>, Problem> {
    let id = InvoiceId::parse(&id).map_err(|_| nothing("invoice"))?;
    Ok(Json(service.mark_paid(id, &staff.0.sub).await?.into()))
}
