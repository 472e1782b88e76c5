//! What is proved every day, and grants that are asked for twice.

use backlot_infrastructure_api::HoldId;
use backlot_infrastructure_billing::{Error, GrantOrder, ledger::GrantKind};
use sea_orm::ConnectionTrait as _;

use crate::common::{CREDIT, STAFF, by_hand, studios};

#[tokio::test]
async fn a_reference_gives_once_and_never_on_other_terms() {
    for studio in studios().await {
        let order = GrantOrder {
            organisation: studio.organisation,
            kind: GrantKind::Promotional,
            source: "staff",
            source_ref: "ticket-7".to_owned(),
            priority: 100,
            amount_micro: 5 * CREDIT,
            expires_at: None,
            reason: "sorry".to_owned(),
        };
        let before = studio.balance().await.0;
        let first = studio.service.grant(&order, STAFF).await.unwrap();
        assert_eq!(studio.service.grant(&order, STAFF).await.unwrap(), first);
        for other in [
            GrantOrder { amount_micro: 50 * CREDIT, ..order.clone() },
            GrantOrder { kind: GrantKind::Paid, ..order.clone() },
            GrantOrder { expires_at: Some(studio.clock_plus_a_day()), ..order.clone() },
            GrantOrder { reason: "thanks".to_owned(), ..order.clone() },
        ] {
            let refused = studio.service.grant(&other, STAFF).await;
            assert!(matches!(refused, Err(Error::KeyReused)), "{other:?}: {refused:?}");
        }
        // Another organisation's key is another key.
        let (neighbour, _) = studio.neighbour().await;
        let theirs = GrantOrder { organisation: neighbour, amount_micro: CREDIT, ..order };
        assert_ne!(studio.service.grant(&theirs, STAFF).await.unwrap(), first);
        assert_eq!(studio.balance().await.0, before + 5);
        studio.assert_sound().await;
    }
}

#[tokio::test]
async fn the_daily_proof_names_the_organisation_whose_books_are_wrong() {
    for studio in studios().await {
        let (neighbour, _) = studio.neighbour().await;
        studio.hold(studio.owner, 3).await;
        let sound = studio.service.prove().await.unwrap();
        assert!(sound.balanced, "{:?}", sound.problems);
        assert_eq!(sound.open_holds, 1);

        let change = format!(
            "UPDATE billing_balances SET amount_micro = amount_micro + 1
             WHERE organisation_id = '{neighbour}' AND account LIKE 'grant:%'"
        );
        studio.db().read().execute_unprepared(&change).await.unwrap();
        let wrong = studio.service.prove().await.unwrap();
        assert!(!wrong.balanced);
        let named = format!("organisation {neighbour}: balance of grant:");
        assert!(wrong.problems.iter().all(|problem| problem.starts_with(&named)), "{:?}", wrong.problems);
        assert!(!wrong.problems.is_empty());
    }
}

#[tokio::test]
async fn a_refund_without_a_charge_moves_nothing() {
    for studio in studios().await {
        let held = studio.hold(studio.owner, 3).await;
        let (service, sorry) = (&studio.service, by_hand("sorry"));
        for (run, amount_micro) in
            [(held.run, 1), (held.run, i64::MAX), (held.run, -1), (HoldId::generate(), 1)]
        {
            assert!(service.refund(studio.organisation, run, amount_micro, &sorry).await.is_err());
        }
        let (neighbour, _) = studio.neighbour().await;
        studio.settle(held.run, 3).await;
        assert!(service.refund(neighbour, held.run, 1, &sorry).await.is_err(), "another tenant's run");
        assert_eq!(studio.balance().await.1, 0);
        studio.assert_sound().await;
    }
}
