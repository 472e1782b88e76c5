//! Periods of plans: billed in time, ended when nobody pays, with the space that comes and goes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backlot_foundation_db::WriteTx;
use backlot_foundation_errors::Problem;
use backlot_infrastructure_api::OrganisationId;
use backlot_infrastructure_billing::{Invoice, InvoiceState, Service, SpaceGiver};
use sea_orm::ConnectionTrait as _;

use crate::common::{CREDIT, Studio, service_with, studios};

const GIB: i64 = 1 << 30;
const LIMIT: i64 = 100;

/// Keeps what was given in a table, in the transaction that gave it.
struct Kept;

#[async_trait]
impl SpaceGiver for Kept {
    async fn give(&self, tx: &WriteTx, _: OrganisationId, bytes: Option<i64>) -> Result<(), Problem> {
        let bytes = bytes.map_or("NULL".to_owned(), |bytes| bytes.to_string());
        tx.execute_unprepared(&format!("UPDATE space SET bytes = {bytes}")).await.unwrap();
        Ok(())
    }
}

/// A studio that pays for its plan.
async fn subscribed(studio: &Studio) -> Service {
    studio.db().read().execute_unprepared("CREATE TABLE space (bytes BIGINT)").await.unwrap();
    studio.db().read().execute_unprepared("INSERT INTO space VALUES (NULL)").await.unwrap();
    let service = service_with(studio.db().clone(), &studio.clock, Arc::new(Kept));
    let (_, invoice) = service.subscribe(studio.organisation, studio.owner, "studio").await.unwrap();
    service.mark_paid(invoice.unwrap().id, "staff").await.unwrap();
    service
}

async fn space(studio: &Studio) -> Option<i64> {
    let statement = sea_orm::Statement::from_string(studio.db().backend(), "SELECT bytes FROM space");
    let row = studio.db().read().query_one_raw(statement).await.unwrap().unwrap();
    row.try_get("", "bytes").unwrap()
}

async fn open(service: &Service, studio: &Studio) -> Vec<Invoice> {
    let invoices = service.invoices(studio.organisation).await.unwrap();
    invoices.into_iter().filter(|invoice| invoice.state == InvoiceState::Open).collect()
}

fn days(n: u64) -> Duration {
    Duration::from_secs(n * 86_400)
}

#[tokio::test]
async fn a_period_is_billed_a_week_before_its_end_and_the_next_follows_without_a_gap() {
    for studio in studios().await {
        let service = subscribed(&studio).await;
        assert_eq!(space(&studio).await, Some(100 * GIB));
        let first_end = service.subscription(studio.organisation).await.unwrap().period_end.unwrap();
        studio.clock.advance(days(22));
        assert_eq!(service.renew_due(LIMIT).await.unwrap(), 0);
        studio.clock.advance(days(2));
        assert_eq!(service.renew_due(LIMIT).await.unwrap(), 1);
        assert_eq!(service.renew_due(LIMIT).await.unwrap(), 0, "once");
        let subscription = service.subscription(studio.organisation).await.unwrap();
        assert_eq!((subscription.plan.as_str(), subscription.pending_plan), ("studio", None));
        let invoice = open(&service, &studio).await.remove(0);
        service.mark_paid(invoice.id, "staff").await.unwrap();
        let subscription = service.subscription(studio.organisation).await.unwrap();
        assert_eq!(subscription.period_start, first_end);
        assert_eq!(subscription.period_end.unwrap(), first_end.plus(days(30)));
        assert_eq!(studio.balance().await.0, 500 + 2 * 5_000);
        assert_eq!(service.renew_due(LIMIT).await.unwrap(), 0);
        assert_eq!(service.lapse_due(LIMIT).await.unwrap(), 0);
        studio.assert_sound().await;
    }
}

#[tokio::test]
async fn a_plan_that_nobody_pays_for_ends_after_three_days_and_its_credits_stay() {
    for studio in studios().await {
        let service = subscribed(&studio).await;
        studio.clock.advance(days(29));
        service.renew_due(LIMIT).await.unwrap();
        let unpaid = open(&service, &studio).await.remove(0);
        studio.clock.advance(days(3));
        assert_eq!(service.lapse_due(LIMIT).await.unwrap(), 0);
        studio.clock.advance(days(2));
        assert_eq!(service.lapse_due(LIMIT).await.unwrap(), 1);
        assert_eq!(service.lapse_due(LIMIT).await.unwrap(), 0, "once");
        let subscription = service.subscription(studio.organisation).await.unwrap();
        assert_eq!((subscription.plan.as_str(), subscription.period_end), ("free", None));
        assert_eq!(space(&studio).await, None, "as much as everybody has");
        assert_eq!(studio.balance().await.0 * CREDIT, 5_500 * CREDIT);
        let late = Problem::from(service.mark_paid(unpaid.id, "staff").await.unwrap_err());
        assert_eq!(late.code, "invoice_not_open");
        assert_eq!(service.renew_due(LIMIT).await.unwrap(), 0, "nothing is asked for any more");
        studio.assert_sound().await;
    }
}

#[tokio::test]
async fn several_replicas_bill_a_period_once() {
    for studio in studios().await {
        let service = subscribed(&studio).await;
        studio.clock.advance(days(24));
        let rounds = (0..8).map(|_| {
            let service = service.clone();
            tokio::spawn(async move { service.renew_due(LIMIT).await.unwrap() })
        });
        let mut opened = 0;
        for round in rounds.collect::<Vec<_>>() {
            opened += round.await.unwrap();
        }
        assert_eq!((opened, open(&service, &studio).await.len()), (1, 1));
    }
}
