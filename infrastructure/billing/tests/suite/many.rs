//! An organisation in which somebody made more envelopes than one entry of the journal has lines for: everything can
//! still be taken back, run out and come back.

use std::time::Duration;

use backlot_foundation_testkit::TestDb;
use backlot_foundation_time::Clock as _;
use backlot_infrastructure_api::MandateId;
use backlot_infrastructure_billing::GiveOrder;
use backlot_infrastructure_billing::ledger::GrantKind;
use backlot_infrastructure_billing::ledger::posting::POSTINGS_MAX;
use backlot_infrastructure_mandates::Envelope;

use sea_orm::ConnectionTrait as _;

use crate::common::{CREDIT, Studio};

/// Two lines each are more than one entry takes.
const ENVELOPES: usize = POSTINGS_MAX / 2 + 1;

const COLUMNS: &str = "organisation_id, parent_id, grantor_id, grantee_id, project_id, actions, tools, \
     max_unit_price_micro, envelope_mode, envelope_micro, period, funded_by, depth_max, not_before, expires_at, \
     share_bps, state, purpose, role, created_at, ended_at";

/// A studio in which one person has given so many envelopes on, of the smallest amount there is.
async fn crowded() -> (Studio, MandateId) {
    let studio = Studio::new(TestDb::sqlite("infrastructure").await).await;
    studio.grant(GrantKind::Paid, 100, Some(studio.clock.now().plus(Duration::from_secs(60)))).await;
    let envelope = Envelope::Transfer { amount_micro: CREDIT };
    let order = GiveOrder { depth_max: 1, ..studio.give_order(studio.root, studio.owner, envelope) };
    let mandate = studio.service.give(&order).await.unwrap().row.mandate.id;
    let child = studio.give_order(mandate, order.grantee, Envelope::Transfer { amount_micro: 1 });
    let child = GiveOrder { depth_max: 0, ..child };
    let child = studio.service.give(&child).await.unwrap().row.mandate.id;
    repeat(&studio, mandate, child).await;
    studio.assert_sound().await;
    (studio, mandate)
}

/// Writes what giving the child so many times more would have written, as that takes minutes.
async fn repeat(studio: &Studio, mandate: MandateId, child: MandateId) {
    let tx = studio.db().begin_write().await.unwrap();
    let run = async |sql: String| tx.execute_unprepared(&sql).await.unwrap();
    let (organisation, parent) = (studio.organisation, format!("envelope:{mandate}"));
    let number =
        format!("(SELECT last_number FROM billing_ledgers WHERE organisation_id = '{organisation}')");
    let grant = format!("(SELECT grant_id FROM billing_balances WHERE account = '{parent}')");
    run(format!(
        "UPDATE billing_ledgers SET last_number = last_number + 1 WHERE organisation_id = '{organisation}'"
    ))
    .await;
    run(format!(
        "INSERT INTO billing_transactions VALUES ('{organisation}', {number}, 'transfer', '{mandate}', 0)"
    ))
    .await;
    let mut accounts = vec![(parent, -i64::try_from(ENVELOPES).unwrap())];
    for _ in 0..ENVELOPES {
        let id = MandateId::generate();
        run(format!(
            "INSERT INTO mandates (id, {COLUMNS}) SELECT '{id}', {COLUMNS} FROM mandates WHERE id = '{child}'"
        ))
        .await;
        accounts.push((format!("envelope:{id}"), 1));
    }
    for (ordinal, (account, amount)) in accounts.into_iter().enumerate() {
        run(format!(
            "INSERT INTO billing_postings
             VALUES ('{organisation}', {number}, {ordinal}, '{account}', {grant}, {amount})"
        ))
        .await;
        run(format!(
            "INSERT INTO billing_balances VALUES ('{organisation}', '{account}', {grant}, {amount})
             ON CONFLICT DO UPDATE SET amount_micro = amount_micro + excluded.amount_micro"
        ))
        .await;
    }
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_mandate_out_of_which_thousands_were_given_can_be_taken_back() {
    let (studio, mandate) = crowded().await;
    studio.service.revoke(studio.organisation, studio.owner, mandate).await.unwrap();
    assert_eq!(studio.balance().await, (600, 0));
    studio.assert_sound().await;
}

#[tokio::test]
async fn a_grant_that_lies_in_thousands_of_envelopes_runs_out_and_what_it_gave_returns() {
    let (studio, _) = crowded().await;
    let run = studio.hold(studio.owner, 30).await.run;
    studio.clock.advance(Duration::from_secs(60));
    // What lapsed is closed first, in the same transaction.
    studio.service.void(run, "lost_worker", 0).await.unwrap();
    assert_eq!(studio.balance().await, (530, 0));
    studio.assert_sound().await;
}
