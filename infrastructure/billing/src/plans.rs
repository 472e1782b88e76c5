//! Plans, and whoever takes the money for them.

use async_trait::async_trait;
use backlot_foundation_db::WriteTx;
use backlot_foundation_errors::Problem;
use backlot_infrastructure_api::OrganisationId;
use serde::{Deserialize, Serialize};

use crate::store::plans::InvoiceId;

/// What a plan costs and gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Plan {
    /// Its stable name.
    pub name: String,
    /// For people.
    pub label: String,
    /// What it is, in one sentence.
    pub description: String,
    /// Price of one period in the currency's smallest unit; 0: nothing.
    pub price_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// Days of a period; 0: it never ends.
    pub period_days: u32,
    /// Credits that come at sign-up.
    pub sign_up_credits_micro: i64,
    /// Credits that come with each paid period.
    pub period_credits_micro: i64,
    /// Space for media, in bytes, while the plan is in force; null: as much as everybody has.
    pub storage_bytes: Option<i64>,
}

/// Space for media in the studio plan: 100 GiB.
const STUDIO_STORAGE_BYTES: i64 = 100 << 30;

/// The plan of everybody who pays nothing.
pub(crate) const FREE: &str = "free";

/// The plans on offer.
pub(crate) fn on_offer(sign_up_credits_micro: i64) -> Vec<Plan> {
    vec![
        Plan {
            name: FREE.to_owned(),
            label: "Free".to_owned(),
            description: "Credits to try everything, once, with no expiry.".to_owned(),
            price_minor: 0,
            currency: "USD".to_owned(),
            period_days: 0,
            sign_up_credits_micro,
            period_credits_micro: 0,
            storage_bytes: None,
        },
        Plan {
            name: "studio".to_owned(),
            label: "Studio".to_owned(),
            description:
                "5,000 credits every 30 days and 100 GiB for media. Credits that were paid for do not \
                          expire."
                    .to_owned(),
            price_minor: 4_900,
            currency: "USD".to_owned(),
            period_days: 30,
            sign_up_credits_micro: 0,
            period_credits_micro: 5_000_000_000,
            storage_bytes: Some(STUDIO_STORAGE_BYTES),
        },
    ]
}

/// What a payment provider made of an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderInvoice {
    /// The provider's name for it.
    pub reference: String,
    /// How to pay, for people; at most 500 characters.
    pub instructions: String,
}

/// Takes the money. A provider only opens invoices; that one was paid is told to billing, which gives the
/// credits, once.
#[async_trait]
pub trait PaymentProvider: Send + Sync + 'static {
    /// Stable name, for example `manual`.
    fn name(&self) -> &'static str;

    /// Asks for the money of one period. Called before the invoice is stored, with its future id.
    ///
    /// # Errors
    /// Any problem; no invoice exists then.
    async fn open_invoice(&self, id: InvoiceId, plan: &Plan) -> Result<ProviderInvoice, Problem>;
}

/// Gives an organisation the space that comes with its plan.
#[async_trait]
pub trait SpaceGiver: Send + Sync + 'static {
    /// Sets the space, in bytes, in the transaction that begins the plan; none: as much as everybody has.
    ///
    /// # Errors
    /// Any problem; the plan does not begin then.
    async fn give(
        &self,
        tx: &WriteTx,
        organisation: OrganisationId,
        bytes: Option<i64>,
    ) -> Result<(), Problem>;
}

/// Where media is somebody else's: plans give no space.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSpace;

#[async_trait]
impl SpaceGiver for NoSpace {
    async fn give(&self, _: &WriteTx, _: OrganisationId, _: Option<i64>) -> Result<(), Problem> {
        Ok(())
    }
}

/// The operator takes the money by other means and marks the invoice as paid.
#[derive(Debug, Clone, Copy, Default)]
pub struct ManualProvider;

#[async_trait]
impl PaymentProvider for ManualProvider {
    fn name(&self) -> &'static str {
        "manual"
    }

    async fn open_invoice(&self, id: InvoiceId, plan: &Plan) -> Result<ProviderInvoice, Problem> {
        let (whole, rest) = (plan.price_minor / 100, plan.price_minor % 100);
        Ok(ProviderInvoice {
            reference: id.to_string(),
            instructions: format!(
                "Pay {} {whole}.{rest:02} to the operator and name invoice {id}. The credits arrive when the \
                 operator marks it as paid.",
                plan.currency
            ),
        })
    }
}
