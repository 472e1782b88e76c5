//! A grant that was taken back stays taken back, whatever comes back to it, and however.

use std::time::Duration;

use backlot_infrastructure_api::{GrantId, HoldId};
use backlot_infrastructure_billing::GrantView;
use backlot_infrastructure_billing::ledger::GrantKind;
use backlot_infrastructure_mandates::Envelope;
use sea_orm::ConnectionTrait as _;

use crate::common::{CREDIT, Studio, by_hand, studios};

/// A grant of a hundred credits that burns first.
async fn first_to_burn(studio: &Studio) -> GrantId {
    let tomorrow = studio.clock_plus_a_day();
    studio.grant(GrantKind::Paid, 100, Some(tomorrow)).await;
    studio.service.balance(studio.organisation).await.unwrap().grants[0].id
}

async fn take_back(studio: &Studio, grant: GrantId) -> i64 {
    let by = by_hand("a chargeback");
    studio.service.revoke_grant(studio.organisation, grant, &by).await.unwrap() / CREDIT
}

async fn view(studio: &Studio, grant: GrantId) -> GrantView {
    let balance = studio.service.balance(studio.organisation).await.unwrap();
    balance.grants.into_iter().find(|found| found.id == grant).unwrap()
}

/// Available, held, spent and revoked of a grant, in credits.
async fn parts(studio: &Studio, grant: GrantId) -> (i64, i64, i64, i64) {
    let view = view(studio, grant).await;
    let [available, held, spent, revoked] =
        [view.available_micro, view.held_micro, view.spent_micro, view.revoked_micro]
            .map(|part| part / CREDIT);
    (available, held, spent, revoked)
}

async fn void(studio: &Studio, run: HoldId) {
    studio.service.void(run, "lost_worker", 0).await.unwrap();
}

/// How often, and how much in all, the journal and the events say that this grant was taken back.
async fn told(studio: &Studio, grant: GrantId) -> (Vec<i64>, Vec<i64>) {
    let db = studio.db();
    let rows = async |sql: &str, column: &str| -> Vec<i64> {
        let values = [grant.to_string().into()];
        let statement = sea_orm::Statement::from_sql_and_values(db.backend(), sql, values);
        let rows = db.read().query_all_raw(statement).await.unwrap();
        rows.iter().map(|row| row.try_get::<i64>("", column).unwrap() / CREDIT).collect()
    };
    let journal = "SELECT p.amount_micro FROM billing_transactions t JOIN billing_postings p
            ON p.organisation_id = t.organisation_id AND p.number = t.number
        WHERE t.kind = 'grant_revoked' AND t.subject = $1 AND p.account = 'cash_clearing' ORDER BY t.number";
    let outbox = "SELECT data FROM outbox WHERE type = 'billing.grant.reduced' AND subject = $1 ORDER BY id";
    let events = db
        .read()
        .query_all_raw(sea_orm::Statement::from_sql_and_values(
            db.backend(),
            outbox,
            [grant.to_string().into()],
        ))
        .await
        .unwrap();
    let events = events.iter().map(|row| {
        let data: serde_json::Value =
            serde_json::from_str(&row.try_get::<String>("", "data").unwrap()).unwrap();
        assert_eq!(data["reason"], "revoked");
        data["amount_micro"].as_i64().unwrap() / CREDIT
    });
    (rows(journal, "amount_micro").await, events.collect())
}

#[tokio::test]
async fn what_a_void_a_settlement_or_a_refund_brings_back_is_taken_back_too() {
    for studio in studios().await {
        let grant = first_to_burn(&studio).await;
        let failed = studio.hold(studio.owner, 30).await.run;
        let cheaper = studio.hold(studio.owner, 20).await.run;
        assert_eq!(take_back(&studio, grant).await, 50);
        assert_eq!(parts(&studio, grant).await, (0, 50, 0, 50));

        void(&studio, failed).await;
        assert_eq!(parts(&studio, grant).await, (0, 20, 0, 80));
        studio.settle(cheaper, 15).await;
        assert_eq!(parts(&studio, grant).await, (0, 0, 15, 85));
        let refund = studio.service.refund(studio.organisation, cheaper, 5 * CREDIT, &by_hand("late")).await;
        assert_eq!(refund.unwrap().refunded_micro, 5 * CREDIT);
        assert_eq!(parts(&studio, grant).await, (0, 0, 10, 90));
        // The same ends again move nothing.
        void(&studio, failed).await;
        studio.settle(cheaper, 15).await;
        assert_eq!(take_back(&studio, grant).await, 0);

        assert_eq!(studio.balance().await, (500, 0), "only the studio's other credits can be used");
        let all = vec![50, 30, 5, 5];
        assert_eq!(told(&studio, grant).await, (all.clone(), all));
        studio.assert_sound().await;
    }
}

#[tokio::test]
async fn a_grant_that_is_held_whole_can_be_taken_back_and_is_when_it_returns() {
    for studio in studios().await {
        let grant = first_to_burn(&studio).await;
        let run = studio.hold(studio.owner, 100).await.run;
        assert_eq!(take_back(&studio, grant).await, 0);
        let at = view(&studio, grant).await.revoked_at;
        assert!(at.is_some());
        studio.clock.advance(Duration::from_secs(2 * 86_400));
        void(&studio, run).await;
        assert_eq!(parts(&studio, grant).await, (0, 0, 0, 100));
        let after = view(&studio, grant).await;
        assert_eq!((after.revoked_at, after.returned_until), (at, None), "no days of use begin");
        assert_eq!(studio.service.expire_grants(10).await.unwrap(), 0);
        assert_eq!(studio.balance().await, (500, 0));
        studio.assert_sound().await;
    }
}

#[tokio::test]
async fn what_an_envelope_gets_back_of_it_is_taken_back_too() {
    for studio in studios().await {
        let grant = first_to_burn(&studio).await;
        let (mandate, artist) = studio.give(Envelope::Transfer { amount_micro: 50 * CREDIT }).await;
        let (one, other) = (studio.hold(artist, 30).await.run, studio.hold(artist, 10).await.run);
        assert_eq!(take_back(&studio, grant).await, 60);
        void(&studio, one).await;
        let left = studio.service.mandate(studio.organisation, mandate).await.unwrap().left_micro;
        assert_eq!(left, Some(0));
        studio.service.revoke(studio.organisation, studio.owner, mandate).await.unwrap();
        void(&studio, other).await;
        assert_eq!(parts(&studio, grant).await, (0, 0, 0, 100));
        assert_eq!(studio.balance().await, (500, 0));
        studio.assert_sound().await;
    }
}

#[tokio::test]
async fn a_grant_that_was_taken_back_before_this_was_written_down_is_known_by_its_journal() {
    use backlot_infrastructure_billing::Migrator;
    use sea_orm_migration::MigratorTrait as _;
    for studio in studios().await {
        let (grant, run) = (first_to_burn(&studio).await, studio.hold(studio.owner, 30).await.run);
        take_back(&studio, grant).await;
        let marked = view(&studio, grant).await.revoked_at;
        let connection = studio.db().read();
        connection.execute_unprepared("ALTER TABLE billing_grants DROP COLUMN revoked_at").await.unwrap();
        let last = "DELETE FROM migrations_billing WHERE version = 'm0005_revoked'";
        connection.execute_unprepared(last).await.unwrap();
        assert_eq!(Migrator::migrations().last().unwrap().name(), "m0005_revoked");
        studio.db().migrate::<Migrator>().await.unwrap();
        assert_eq!(view(&studio, grant).await.revoked_at, marked);
        void(&studio, run).await;
        assert_eq!(parts(&studio, grant).await, (0, 0, 0, 100));
        studio.assert_sound().await;
    }
}
