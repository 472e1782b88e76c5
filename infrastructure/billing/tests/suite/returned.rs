//! Credits that come back after their grant ran out: usable for seven days, once, and only they.

use std::time::Duration;

use backlot_foundation_time::Clock as _;
use backlot_infrastructure_api::{GrantId, HoldId};
use backlot_infrastructure_billing::ledger::{GrantKind, RETURNED_KEPT};
use backlot_infrastructure_billing::{GrantView, HoldOrder};
use backlot_infrastructure_mandates::Envelope;

use crate::common::{CREDIT, Studio, by_hand, studios};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// A grant of a hundred credits that runs out in a minute, and burns first.
async fn soon_gone(studio: &Studio) -> GrantId {
    studio.grant(GrantKind::Paid, 100, Some(studio.clock.now().plus(MINUTE))).await;
    studio.service.balance(studio.organisation).await.unwrap().grants[0].id
}

async fn view(studio: &Studio, grant: GrantId) -> GrantView {
    let balance = studio.service.balance(studio.organisation).await.unwrap();
    balance.grants.into_iter().find(|found| found.id == grant).unwrap()
}

/// Available, spent and expired of a grant, in credits.
async fn parts(studio: &Studio, grant: GrantId) -> (i64, i64, i64) {
    let view = view(studio, grant).await;
    (view.available_micro / CREDIT, view.spent_micro / CREDIT, view.expired_micro / CREDIT)
}

async fn void(studio: &Studio, run: HoldId) {
    studio.service.void(run, "lost_worker", 0).await.unwrap();
}

#[tokio::test]
async fn what_a_failed_run_brings_back_late_can_be_used_for_seven_days_and_nothing_else_can() {
    for studio in studios().await {
        let grant = soon_gone(&studio).await;
        let failed = studio.hold(studio.owner, 30).await.run;
        studio.clock.advance(MINUTE);
        assert_eq!(studio.balance().await, (500, 30), "what nothing held is gone from that moment");
        // Without waiting for the sweeper: what lapsed stays lapsed.
        void(&studio, failed).await;
        assert_eq!(studio.balance().await, (530, 0));
        assert_eq!(parts(&studio, grant).await, (30, 0, 70));
        let until = view(&studio, grant).await.returned_until.unwrap();
        assert_eq!(until, studio.clock.now().plus(RETURNED_KEPT));
        assert_eq!(studio.service.expire_grants(10).await.unwrap(), 0);
        studio.assert_sound().await;

        studio.clock.advance(DAY);
        void(&studio, failed).await;
        assert_eq!(
            view(&studio, grant).await.returned_until,
            Some(until),
            "the same end again is no new one"
        );
        let next = studio.hold(studio.owner, 10).await;
        assert_eq!(next.parts[0].grant, grant, "it burns first");
        studio.settle(next.run, 10).await;
        studio.clock.advance(DAY * 6);
        assert_eq!(studio.balance().await, (500, 0));
        assert_eq!(studio.service.expire_grants(10).await.unwrap(), 1);
        assert_eq!(studio.service.expire_grants(10).await.unwrap(), 0);
        assert_eq!(parts(&studio, grant).await, (0, 10, 90));
        studio.assert_sound().await;
    }
}

#[tokio::test]
async fn the_rest_of_a_settlement_and_a_refund_come_back_like_that_and_once_for_each_key() {
    for studio in studios().await {
        let grant = soon_gone(&studio).await;
        let run = studio.hold(studio.owner, 30).await.run;
        studio.clock.advance(MINUTE);
        studio.service.expire_grants(10).await.unwrap();
        studio.settle(run, 20).await;
        assert_eq!(parts(&studio, grant).await, (10, 20, 70));

        // Weeks later, when everything has lapsed again, support gives a part of the charge back.
        studio.clock.advance(DAY * 30);
        let refund = async || {
            let by = by_hand("late");
            let given = studio.service.refund_with_key(studio.organisation, run, 5 * CREDIT, &by, Some("k"));
            given.await.unwrap()
        };
        refund().await;
        let until = view(&studio, grant).await.returned_until;
        assert_eq!(until, Some(studio.clock.now().plus(RETURNED_KEPT)));
        studio.clock.advance(DAY);
        refund().await;
        assert_eq!(view(&studio, grant).await.returned_until, until);
        assert_eq!(parts(&studio, grant).await, (5, 15, 80));
        assert_eq!(studio.balance().await, (505, 0));
        studio.assert_sound().await;
    }
}

#[tokio::test]
async fn runs_within_those_days_make_them_no_longer_and_lose_nothing() {
    for studio in studios().await {
        let grant = soon_gone(&studio).await;
        let first = studio.hold(studio.owner, 30).await.run;
        studio.clock.advance(MINUTE);
        void(&studio, first).await;
        let until = view(&studio, grant).await.returned_until.unwrap();
        studio.clock.advance(DAY * 5);
        let second = studio.hold(studio.owner, 30).await.run;
        studio.clock.advance(DAY);
        void(&studio, second).await;
        assert_eq!(view(&studio, grant).await.returned_until, Some(until), "it came back in time");

        let third = studio.hold(studio.owner, 20).await.run;
        studio.clock.advance(DAY * 4);
        void(&studio, third).await;
        let left = view(&studio, grant).await.returned_until.unwrap().since(studio.clock.now());
        assert_eq!(left, DAY, "what was left when the run took it");
        assert_eq!(parts(&studio, grant).await, (20, 0, 80), "what the run had not taken is gone");
        studio.assert_sound().await;
    }
}

#[tokio::test]
async fn what_comes_back_first_lasts_no_longer_because_more_comes_back() {
    for studio in studios().await {
        let grant = soon_gone(&studio).await;
        let mut runs = Vec::new();
        for _ in 0..4 {
            runs.push(studio.hold(studio.owner, 10).await.run);
        }
        studio.clock.advance(MINUTE);
        void(&studio, runs[0]).await;
        let until = view(&studio, grant).await.returned_until.unwrap();
        for run in &runs[1..3] {
            studio.clock.advance(DAY * 3);
            void(&studio, *run).await;
            assert_eq!(view(&studio, grant).await.returned_until, Some(until));
        }
        assert_eq!(parts(&studio, grant).await, (30, 0, 60));
        studio.clock.advance(DAY);
        assert_eq!(
            studio.balance().await,
            (500, 10),
            "seven days after the first they are over for all three"
        );
        // Whoever waited longer than that gets days of their own, and nothing else does.
        void(&studio, runs[3]).await;
        assert_eq!(parts(&studio, grant).await, (10, 0, 90));
        assert_eq!(view(&studio, grant).await.returned_until, Some(studio.clock.now().plus(RETURNED_KEPT)));
        studio.assert_sound().await;
    }
}

#[tokio::test]
async fn an_envelope_gets_them_back_and_loses_them_after_those_days() {
    for studio in studios().await {
        let grant = soon_gone(&studio).await;
        let (mandate, artist) = studio.give(Envelope::Transfer { amount_micro: 50 * CREDIT }).await;
        let run = studio.hold(artist, 30).await.run;
        studio.clock.advance(MINUTE);
        let again = HoldOrder { run: HoldId::generate(), ..studio.order(artist, 30) };
        assert!(studio.service.hold(&again).await.is_err(), "the envelope's credits have run out");
        void(&studio, run).await;
        assert_eq!(parts(&studio, grant).await, (30, 0, 70));
        let left = studio.service.mandate(studio.organisation, mandate).await.unwrap().left_micro;
        assert_eq!(left, Some(30 * CREDIT));
        let second = studio.service.hold(&again).await.unwrap().run;
        void(&studio, second).await;
        studio.clock.advance(RETURNED_KEPT);
        assert_eq!(studio.service.expire_grants(10).await.unwrap(), 1);
        assert_eq!(parts(&studio, grant).await, (0, 0, 100));
        studio.assert_sound().await;
    }
}
