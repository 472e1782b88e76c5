//! Giving, taking back and running out, with the credits that go along.

use std::collections::BTreeSet;
use std::time::Duration;

use backlot_foundation_errors::Problem;
use backlot_foundation_time::Clock as _;
use backlot_infrastructure_api::{MandateId, ProjectId, UserId};
use backlot_infrastructure_billing::{CheckOrder, CheckOutcome, Error, GiveOrder, HoldOrder};
use backlot_infrastructure_mandates::{ActionPattern, Envelope, Period};

use crate::common::{CREDIT, Studio, by_hand, studios};

fn code(error: Error) -> String {
    Problem::from(error).code
}

const fn transfer(credits: i64) -> Envelope {
    Envelope::Transfer { amount_micro: credits * CREDIT }
}

const fn cap(credits: i64) -> Envelope {
    Envelope::Cap { limit_micro: credits * CREDIT, period: Period::Life }
}

async fn left(studio: &Studio, mandate: MandateId) -> i64 {
    studio.service.mandate(studio.organisation, mandate).await.unwrap().left_micro.unwrap() / CREDIT
}

/// Gives on, one level lower.
async fn give_on(
    studio: &Studio,
    parent: MandateId,
    giver: UserId,
    envelope: Envelope,
) -> (MandateId, UserId) {
    let order = GiveOrder { depth_max: 1, ..studio.give_order(parent, giver, envelope) };
    (studio.service.give(&order).await.unwrap().row.mandate.id, order.grantee)
}

#[tokio::test]
async fn nobody_hides_what_others_give_behind_what_they_give() {
    for studio in studios().await {
        let (middle, lead) = give_on(&studio, studio.root, studio.owner, cap(100)).await;
        let artist = UserId::generate();
        let useless = |tool: &str| GiveOrder {
            grantee: artist,
            depth_max: 0,
            tools: Some(BTreeSet::from([tool.to_owned()])),
            ..studio.give_order(middle, lead, cap(1))
        };
        let mut given = 0;
        let refusal = loop {
            match studio.service.give(&useless("nothing")).await {
                Ok(_) => given += 1,
                Err(error) => break code(error),
            }
        };
        assert_eq!((given, refusal.as_str()), (24, "mandate_limit"));
        let order = GiveOrder { grantee: artist, ..studio.give_order(studio.root, studio.owner, cap(50)) };
        let wide = studio.service.give(&order).await.unwrap().row.mandate.id;
        assert_eq!(studio.hold(artist, 40).await.mandate, wide, "found without being named");
        let first = studio.service.mandates(studio.organisation).await.unwrap();
        let first = first.iter().find(|view| view.row.mandate.parent == Some(middle)).unwrap().row.mandate.id;
        studio.service.revoke(studio.organisation, lead, first).await.unwrap();
        studio.service.give(&useless("another")).await.unwrap();
    }
}

#[tokio::test]
async fn a_transfer_is_set_aside_spent_from_and_returns_what_is_unspent_once() {
    for studio in studios().await {
        let (mandate, artist) = studio.give(transfer(100)).await;
        assert_eq!(left(&studio, mandate).await, 100);
        let owners = studio.order(studio.owner, 401);
        assert_eq!(code(studio.service.hold(&owners).await.unwrap_err()), "insufficient_credits");

        let spent = studio.hold(artist, 30).await;
        studio.settle(spent.run, 20).await;
        let open = studio.hold(artist, 15).await;
        assert_eq!(left(&studio, mandate).await, 65);
        let over = studio.service.hold(&studio.order(artist, 66)).await;
        assert_eq!(code(over.unwrap_err()), "envelope_exceeded");
        studio.assert_sound().await;

        for _ in 0..2 {
            studio.service.revoke(studio.organisation, studio.owner, mandate).await.unwrap();
            assert_eq!(left(&studio, mandate).await, 0);
            assert_eq!(studio.balance().await, (465, 15));
            studio.assert_sound().await;
        }
        assert_eq!(code(studio.service.hold(&studio.order(artist, 1)).await.unwrap_err()), "mandate_missing");
        let named = HoldOrder { mandate: Some(mandate), ..studio.order(artist, 1) };
        assert_eq!(code(studio.service.hold(&named).await.unwrap_err()), "mandate_revoked");

        studio.settle(open.run, 5).await;
        assert_eq!(
            studio.balance().await,
            (475, 0),
            "the rest of an open hold returns past the ended envelope"
        );
        studio.assert_sound().await;
    }
}

#[tokio::test]
async fn a_chain_of_transfers_returns_to_where_each_came_from() {
    for studio in studios().await {
        let (limit, lead) = studio.give(cap(200)).await;
        let (first, middle) = give_on(&studio, limit, lead, transfer(120)).await;
        assert_eq!(left(&studio, limit).await, 80, "the cap above counts the whole transfer");
        let order = GiveOrder { depth_max: 0, ..studio.give_order(first, middle, transfer(50)) };
        let second = studio.service.give(&order).await.unwrap().row.mandate.id;
        assert_eq!((left(&studio, first).await, left(&studio, second).await), (70, 50));

        let hold = studio.hold(order.grantee, 40).await;
        studio.settle(hold.run, 30).await;
        assert_eq!((left(&studio, limit).await, left(&studio, first).await), (80, 70));
        let open = studio.hold(order.grantee, 10).await;
        studio.service.revoke(studio.organisation, middle, second).await.unwrap();
        assert_eq!((left(&studio, first).await, left(&studio, limit).await), (80, 80));
        studio.service.void(open.run, "canceled", 0).await.unwrap();
        assert_eq!(left(&studio, first).await, 90);
        studio.service.revoke(studio.organisation, studio.owner, first).await.unwrap();
        assert_eq!(left(&studio, limit).await, 170, "only the 30 that were spent still count");
        let refunded = studio
            .service
            .refund(studio.organisation, hold.run, 30 * CREDIT, &by_hand("sorry"))
            .await
            .unwrap();
        assert_eq!(refunded.refunded_micro, 30 * CREDIT);
        assert_eq!(left(&studio, limit).await, 200);
        assert_eq!(studio.balance().await, (500, 0));
        studio.assert_sound().await;
    }
}

#[tokio::test]
async fn revoking_an_ancestor_ends_everything_below_it() {
    for studio in studios().await {
        let (first, lead) = studio.give(cap(100)).await;
        let (second, artist) = give_on(&studio, first, lead, transfer(40)).await;
        studio.service.revoke(studio.organisation, studio.owner, first).await.unwrap();
        for (mandate, person) in [(first, lead), (second, artist)] {
            let named = HoldOrder { mandate: Some(mandate), ..studio.order(person, 1) };
            assert_eq!(code(studio.service.hold(&named).await.unwrap_err()), "mandate_revoked");
        }
        assert_eq!(studio.balance().await, (500, 0));
        studio.assert_sound().await;
    }
}

#[tokio::test]
async fn a_mandate_that_runs_out_denies_at_once_and_returns_what_is_unspent() {
    for studio in studios().await {
        let expires_at = Some(studio.clock.now().plus(Duration::from_secs(60)));
        let order = GiveOrder { expires_at, ..studio.give_order(studio.root, studio.owner, transfer(100)) };
        let mandate = studio.service.give(&order).await.unwrap().row.mandate.id;
        studio.hold(order.grantee, 10).await;
        studio.clock.advance(Duration::from_secs(60));
        let late = studio.service.hold(&studio.order(order.grantee, 1)).await;
        assert_eq!(code(late.unwrap_err()), "mandate_expired");
        assert_eq!(studio.service.expire_mandates(10).await.unwrap(), 1);
        assert_eq!(studio.service.expire_mandates(10).await.unwrap(), 0);
        assert_eq!(left(&studio, mandate).await, 0);
        assert_eq!(studio.balance().await, (490, 10));
        studio.assert_sound().await;
    }
}

#[tokio::test]
async fn a_cap_begins_again_with_its_period() {
    for studio in studios().await {
        let daily = Envelope::Cap { limit_micro: 20 * CREDIT, period: Period::Day };
        let (mandate, artist) = studio.give(daily).await;
        let first = studio.hold(artist, 20).await;
        assert_eq!(
            code(studio.service.hold(&studio.order(artist, 1)).await.unwrap_err()),
            "envelope_exceeded"
        );
        studio.clock.advance(Duration::from_secs(86_400));
        studio.hold(artist, 15).await;
        studio.settle(first.run, 0).await;
        assert_eq!(left(&studio, mandate).await, 5, "what returns counts in the day in which it was taken");
        studio.assert_sound().await;
    }
}

#[tokio::test]
async fn nobody_gives_what_they_do_not_hold() {
    for studio in studios().await {
        let (mandate, lead) = studio.give(transfer(50)).await;
        let own = GiveOrder { depth_max: 1, ..studio.give_order(mandate, lead, cap(10)) };
        let everything = BTreeSet::from([ActionPattern::everything()]);
        let cases = [
            (GiveOrder { actions: everything, ..own.clone() }, "action_not_allowed"),
            (GiveOrder { depth_max: 2, ..own.clone() }, "mandate_depth_exceeded"),
            (GiveOrder { envelope: transfer(51), ..own.clone() }, "envelope_exceeded"),
            (GiveOrder { envelope: Envelope::Unlimited, ..own.clone() }, "envelope_exceeded"),
            (GiveOrder { giver: studio.owner, ..own.clone() }, "mandate_not_held"),
            (GiveOrder { grantee: studio.owner, ..own.clone() }, "mandate_self_raise"),
            (GiveOrder { envelope: cap(-1), ..own.clone() }, "amount_out_of_range"),
            (GiveOrder { envelope: transfer(0), ..own.clone() }, "invalid_fields"),
            (GiveOrder { parent: MandateId::generate(), ..own.clone() }, "not_found"),
            (GiveOrder { purpose: "a\nb".to_owned(), ..own.clone() }, "invalid_fields"),
            (GiveOrder { expires_at: Some(studio.clock.now()), ..own.clone() }, "invalid_fields"),
        ];
        for (order, expected) in cases {
            assert_eq!(code(studio.service.give(&order).await.unwrap_err()), expected);
        }
        let shared = GiveOrder { share_bps: 6_000, ..own.clone() };
        studio.service.give(&shared).await.unwrap();
        let too_much = GiveOrder { share_bps: 4_001, grantee: UserId::generate(), ..own };
        assert_eq!(code(studio.service.give(&too_much).await.unwrap_err()), "mandate_share_exceeded");
        studio.assert_sound().await;
    }
}

#[tokio::test]
async fn mandates_are_taken_back_from_above_only_and_the_root_never() {
    for studio in studios().await {
        let (mandate, lead) = studio.give(cap(50)).await;
        let (below, _) = give_on(&studio, mandate, lead, cap(10)).await;
        let (_, stranger) = studio.give(cap(50)).await;
        let revoke = |by, id| studio.service.revoke(studio.organisation, by, id);
        assert_eq!(code(revoke(stranger, below).await.unwrap_err()), "mandate_revoke_refused");
        assert_eq!(code(revoke(studio.owner, studio.root).await.unwrap_err()), "mandate_root_protected");
        let (other, neighbour) = studio.neighbour().await;
        assert_eq!(code(studio.service.revoke(other, neighbour, below).await.unwrap_err()), "not_found");
        revoke(lead, below).await.unwrap();
        revoke(lead, mandate).await.unwrap();
    }
}

#[tokio::test]
async fn the_nearest_mandate_is_the_narrowest() {
    for studio in studios().await {
        let project = ProjectId::generate();
        let wide = studio.give_order(studio.root, studio.owner, cap(50));
        let narrow = GiveOrder { project: Some(project), envelope: cap(10), ..wide.clone() };
        let wide_id = studio.service.give(&wide).await.unwrap().row.mandate.id;
        let narrow_id = studio.service.give(&narrow).await.unwrap().row.mandate.id;
        let in_project =
            |credits| HoldOrder { project: Some(project), ..studio.order(wide.grantee, credits) };
        assert_eq!(studio.service.hold(&in_project(10)).await.unwrap().mandate, narrow_id);
        assert_eq!(studio.service.hold(&in_project(1)).await.unwrap().mandate, wide_id);
        assert_eq!(studio.hold(wide.grantee, 1).await.mandate, wide_id);
    }
}

#[tokio::test]
async fn a_check_decides_and_spends_nothing() {
    for studio in studios().await {
        let (mandate, artist) = studio.give(cap(50)).await;
        let order = CheckOrder {
            organisation: studio.organisation,
            actor: artist,
            mandate: None,
            action: "tools.run".to_owned(),
            project: None,
            tool: "upscale".to_owned(),
            unit_price_micro: CREDIT,
            amount_micro: 50 * CREDIT,
        };
        let check = async |order: CheckOrder| match studio.service.check(&order).await.unwrap() {
            CheckOutcome::Allowed { chain } => Ok(chain),
            CheckOutcome::Refused { problem } => Err(problem.code),
        };
        assert_eq!(check(order.clone()).await, Ok(vec![mandate, studio.root]));
        let refused = |code: &str| Err(code.to_owned());
        assert_eq!(
            check(CheckOrder { amount_micro: 51 * CREDIT, ..order.clone() }).await,
            refused("envelope_exceeded")
        );
        assert_eq!(
            check(CheckOrder { action: "members.invite".into(), ..order.clone() }).await,
            refused("action_not_allowed")
        );
        assert_eq!(
            check(CheckOrder { actor: UserId::generate(), ..order.clone() }).await,
            refused("mandate_missing")
        );
        let owner = CheckOrder { actor: studio.owner, amount_micro: 501 * CREDIT, ..order };
        assert_eq!(check(owner).await, refused("insufficient_credits"));
        assert_eq!(studio.balance().await, (500, 0));
    }
}
