//! Hold, settle, void, refund: what one run sees.

use std::time::Duration;

use crate::common::{CREDIT, by_hand, settle, studios};
use backlot_foundation_errors::Problem;
use backlot_foundation_time::Clock as _;
use backlot_infrastructure_api::HoldId;
use backlot_infrastructure_billing::ledger::GrantKind;
use backlot_infrastructure_billing::{Error, GiveOrder, HoldOrder, HoldState, SettleOrder};
use backlot_infrastructure_mandates::{Envelope, Period};

fn code(error: Error) -> String {
    Problem::from(error).code
}

#[tokio::test]
async fn credits_arrive_at_sign_up_and_a_run_takes_and_returns_them() {
    for studio in studios().await {
        assert_eq!(studio.balance().await, (500, 0));
        let hold = studio.hold(studio.owner, 40).await;
        assert_eq!(hold.chain, [studio.root]);
        assert_eq!(studio.balance().await, (460, 40));
        let settled = studio.settle(hold.run, 25).await;
        assert_eq!((settled.state, settled.settled_micro), (HoldState::Settled, 25 * CREDIT));
        assert_eq!(studio.balance().await, (475, 0));
        assert_eq!(studio.assert_sound().await, 0);
    }
}

#[tokio::test]
async fn the_same_call_gives_the_same_answer_and_another_body_an_error() {
    for studio in studios().await {
        let order = studio.order(studio.owner, 10);
        let first = studio.service.hold(&order).await.unwrap();
        assert_eq!(studio.service.hold(&order).await.unwrap(), first);
        let other = HoldOrder { amount_micro: 11 * CREDIT, ..order.clone() };
        assert_eq!(code(studio.service.hold(&other).await.unwrap_err()), "hold_conflict");
        let (organisation, actor) = studio.neighbour().await;
        let stolen = HoldOrder { organisation, actor, ..order };
        assert_eq!(code(studio.service.hold(&stolen).await.unwrap_err()), "hold_conflict");

        let settled = studio.settle(first.run, 4).await;
        assert_eq!(studio.settle(first.run, 4).await, settled);
        assert_eq!(code(studio.service.settle(&settle(first.run, 5)).await.unwrap_err()), "hold_ended");
        assert_eq!(code(studio.service.void(first.run, "late", 0).await.unwrap_err()), "hold_ended");
        assert_eq!(studio.balance().await, (496, 0));
        studio.assert_sound().await;
    }
}

#[tokio::test]
async fn a_hold_never_takes_more_than_there_is_and_a_settlement_never_more_than_was_held() {
    for studio in studios().await {
        let too_much = studio.order(studio.owner, 501);
        assert_eq!(code(studio.service.hold(&too_much).await.unwrap_err()), "insufficient_credits");
        let hold = studio.hold(studio.owner, 500).await;
        let again = studio.order(studio.owner, 1);
        assert_eq!(code(studio.service.hold(&again).await.unwrap_err()), "insufficient_credits");
        let above = settle(hold.run, 501);
        assert_eq!(code(studio.service.settle(&above).await.unwrap_err()), "settle_exceeds_hold");
        let negative = SettleOrder { amount_micro: -1, ..above };
        assert_eq!(code(studio.service.settle(&negative).await.unwrap_err()), "amount_out_of_range");
        assert_eq!(studio.assert_sound().await, 1);
        studio.service.void(hold.run, "canceled", 0).await.unwrap();
        studio.service.void(hold.run, "canceled", 0).await.unwrap();
        assert_eq!(studio.balance().await, (500, 0));
        assert_eq!(code(studio.service.void(HoldId::generate(), "x", 0).await.unwrap_err()), "hold_unknown");
        assert_eq!(studio.assert_sound().await, 0);
    }
}

#[tokio::test]
async fn grants_burn_in_order_and_a_refund_unwinds_it() {
    for studio in studios().await {
        let soon = studio.clock.now().plus(Duration::from_secs(60));
        studio.grant(GrantKind::Paid, 30, None).await;
        studio.grant(GrantKind::Paid, 20, Some(soon)).await;
        let hold = studio.hold(studio.owner, 540).await;
        let parts: Vec<i64> = hold.parts.iter().map(|part| part.held_micro / CREDIT).collect();
        assert_eq!(parts, [20, 500, 20], "what expires first, then promotional, then paid");
        studio.settle(hold.run, 530).await;
        let refunded = studio
            .service
            .refund(studio.organisation, hold.run, 15 * CREDIT, &by_hand("sorry"))
            .await
            .unwrap();
        let back: Vec<i64> = refunded.parts.iter().map(|part| part.refunded_micro / CREDIT).collect();
        assert_eq!(back, [0, 5, 10]);
        let too_much =
            studio.service.refund(studio.organisation, hold.run, 516 * CREDIT, &by_hand("sorry")).await;
        assert_eq!(code(too_much.unwrap_err()), "refund_exceeds_charge");
        studio.assert_sound().await;
    }
}

#[tokio::test]
async fn what_we_absorb_is_posted_and_costs_nobody_credits() {
    for studio in studios().await {
        let hold = studio.hold(studio.owner, 10).await;
        let order = SettleOrder { absorbed_micro: 3 * CREDIT, ..settle(hold.run, 0) };
        let settled = studio.service.settle(&order).await.unwrap();
        assert_eq!(settled.absorbed_micro, 3 * CREDIT);
        assert_eq!(studio.balance().await, (500, 0));
        studio.assert_sound().await;
    }
}

#[tokio::test]
async fn a_run_that_costs_nothing_holds_nothing_and_ends_like_any_other() {
    for studio in studios().await {
        let hold = studio.hold(studio.owner, 0).await;
        assert!(hold.parts.is_empty());
        studio.settle(hold.run, 0).await;
        assert_eq!(studio.assert_sound().await, 0);
    }
}

#[tokio::test]
async fn a_spend_holds_along_the_whole_chain() {
    for studio in studios().await {
        let cap = |limit| Envelope::Cap { limit_micro: limit * CREDIT, period: Period::Life };
        let (first, lead) = studio.give(cap(50)).await;
        let order = GiveOrder { depth_max: 1, ..studio.give_order(first, lead, cap(40)) };
        let artist = order.grantee;
        studio.service.give(&order).await.unwrap();

        let hold = studio.hold(artist, 30).await;
        assert_eq!(hold.chain.len(), 3);
        let over_own = studio.service.hold(&studio.order(artist, 11)).await.unwrap_err();
        let problem = Problem::from(over_own);
        assert_eq!(problem.code, "envelope_exceeded");
        assert_eq!(problem.extra["holder_id"], artist.to_string());
        studio.hold(lead, 15).await;
        let over_above = Problem::from(studio.service.hold(&studio.order(artist, 6)).await.unwrap_err());
        assert_eq!(over_above.extra["mandate_id"], first.to_string(), "{}", over_above.detail);
        assert_eq!(over_above.extra["left_micro"], 5 * CREDIT);

        studio.settle(hold.run, 10).await;
        studio.hold(artist, 25).await;
        studio.assert_sound().await;
    }
}

#[tokio::test]
async fn an_overdue_hold_is_told_once_and_never_voided() {
    for studio in studios().await {
        let hold = studio.hold(studio.owner, 10).await;
        studio.clock.advance(Duration::from_secs(86_399));
        assert_eq!(studio.service.alert_overdue(10).await.unwrap(), 0);
        studio.clock.advance(Duration::from_secs(2));
        assert_eq!(studio.service.alert_overdue(10).await.unwrap(), 1);
        assert_eq!(studio.service.alert_overdue(10).await.unwrap(), 0);
        assert_eq!(studio.service.find_hold(hold.run).await.unwrap().state, HoldState::Held);
    }
}

#[tokio::test]
async fn what_runs_out_is_gone_from_that_moment_and_posted_later() {
    for studio in studios().await {
        let soon = studio.clock.now().plus(Duration::from_secs(60));
        studio.grant(GrantKind::Promotional, 100, Some(soon)).await;
        studio.hold(studio.owner, 30).await;
        studio.clock.advance(Duration::from_secs(60));
        assert_eq!(studio.balance().await, (500, 30));
        assert_eq!(studio.service.expire_grants(10).await.unwrap(), 1);
        assert_eq!(studio.service.expire_grants(10).await.unwrap(), 0);
        studio.assert_sound().await;
    }
}
