//! Credits and authority: the ledger, holds, plans and subscriptions, and the store of mandates.
//!
//! Authority and budget are one object, decided in one transaction: [`Service::hold`] checks the chain of
//! mandates with the pure crate beside this one and writes every envelope and grant at once. Billing
//! never voids a hold on its own; the run's row in business decides, and an overdue hold raises an alert.

mod config;
mod directory;
mod error;
mod http;
pub mod ledger;
mod migrations;
mod observer;
mod plans;
mod rpc;
mod service;
mod store;
mod tasks;

pub use config::Config;
pub use directory::{Directory, Everybody, IdentityDirectory};
pub use error::Error;
pub use migrations::Migrator;
pub use plans::{ManualProvider, NoSpace, PaymentProvider, Plan, ProviderInvoice, SpaceGiver};
pub use service::{
    Balance, ByHand, CheckOrder, CheckOutcome, Deps, GiveOrder, GrantOrder, GrantView, HoldOrder,
    LedgerReport, MandateView, Service, SettleOrder,
};
pub use store::holds::{Hold, HoldState};
pub use store::mandates::MandateRow;
pub use store::plans::{Invoice, InvoiceId, InvoiceState, Subscription};
