//! What the staff do by hand stands in the organisation's audit log, for whoever reads it there.

use std::sync::Arc;

use backlot_foundation_tokens::Claims;
use backlot_infrastructure_api::{HoldId, OrganisationId, UserId};
use backlot_infrastructure_billing::{Error, GiveOrder, HoldOrder};
use backlot_infrastructure_identity::audit::Wanted;
use backlot_infrastructure_identity::{self as identity, Actor, AuditRow, Credential, PasswordCost};
use backlot_infrastructure_mandates::{Envelope, Period};
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};

use crate::common::{CREDIT, Studio, by_hand, settle, studios};
use crate::doors::Door;

/// Identity over the studio's database, and somebody who signed up there.
async fn owner(studio: &Studio) -> (identity::Service, Actor) {
    let billing = Arc::new(studio.service.clone());
    let deps = identity::Deps { observer: billing.clone(), authority: billing };
    let config = identity::Config {
        password_cost: PasswordCost { memory_kib: 64, passes: 1, concurrent_max: 4 },
        ..identity::Config::default()
    };
    let service = identity::Service::new(studio.db().clone(), deps, config, studio.clock.clone()).unwrap();
    let input = identity::SignUp {
        email: "ada@example.com".to_owned(),
        password: "a quiet evening walk".to_owned(),
        name: "Ada".to_owned(),
        organisation: None,
    };
    let made = service.sign_up(input, None).await.unwrap();
    let person = service.authenticate_session(&made.session.token).await.unwrap();
    let actor = Actor {
        user: person.user,
        organisation: Some(made.organisation),
        credential: Credential::Other,
        scopes: Vec::new(),
        staff: false,
    };
    (service, actor)
}

/// A charge of ten credits.
async fn charged(studio: &Studio, actor: &Actor) -> HoldId {
    let organisation = actor.organisation.unwrap();
    let order = HoldOrder { organisation, ..studio.order(actor.user, 10) };
    studio.service.hold(&order).await.unwrap();
    studio.service.settle(&settle(order.run, 10)).await.unwrap();
    order.run
}

async fn deeds(identity: &identity::Service, actor: &Actor) -> Vec<AuditRow> {
    let rows = identity.audit(actor, Wanted { limit: 200, ..Wanted::default() }).await.unwrap();
    rows.into_iter().rev().filter(|row| row.detail["staff"] == json!(true)).collect()
}

#[tokio::test]
async fn an_organisation_reads_who_of_the_staff_moved_its_credits_and_why() {
    for studio in studios().await {
        let (identity, ada) = owner(&studio).await;
        let organisation = ada.organisation.unwrap();
        let run = charged(&studio, &ada).await;
        let door = Door::new(&studio);
        let (support, home) = (UserId::generate(), OrganisationId::generate());
        let token = door.token(&Claims { staff: true, ..door.claims(support, home) });
        let post = async |path: &str, body: &Value, key: &str| {
            let (status, answer) =
                door.send_with_key(Some(&token), "POST", path, Some(body.clone()), Some(key)).await;
            assert!((200..300).contains(&status), "{path}: {answer}");
            answer
        };
        let body = |credits: i64, reason: &str| json!({"organisation_id": organisation, "amount_micro": credits * CREDIT, "reason": reason});
        let mut grant = Value::Null;
        // A repetition did nothing, and so is not written down.
        for _ in 0..2 {
            grant = post("/v1/billing/grants", &body(5, "the outage"), "g").await;
            post(&format!("/v1/billing/holds/{run}/refund"), &body(3, "late"), "r").await;
        }
        let revoke = json!({"organisation_id": organisation, "reason": "given twice"});
        let grant = grant["id"].as_str().unwrap().to_owned();
        for _ in 0..2 {
            post(&format!("/v1/billing/grants/{grant}/revoke"), &revoke, "t").await;
        }
        let (_, invoice) = studio.service.subscribe(organisation, ada.user, "studio").await.unwrap();
        let invoice = invoice.unwrap().id;
        for _ in 0..2 {
            post(&format!("/v1/billing/invoices/{invoice}/mark-paid"), &Value::Null, "p").await;
        }

        let rows = deeds(&identity, &ada).await;
        assert!(rows.iter().all(|row| row.actor == support.to_string()), "{rows:?}");
        let told: Vec<_> =
            rows.iter().map(|row| (row.action.as_str(), row.subject.clone(), row.detail.clone())).collect();
        let detail = |credits: i64, reason: &str| json!({"amount_micro": credits * CREDIT, "staff": true, "reason": reason});
        let paid = json!({"amount_micro": 5_000 * CREDIT, "staff": true});
        let expected = [
            ("credits.granted", grant.clone(), detail(5, "the outage")),
            ("credits.refunded", run.to_string(), detail(3, "late")),
            ("credits.revoked", grant, detail(5, "given twice")),
            ("invoice.marked_paid", invoice.to_string(), paid),
        ];
        assert_eq!(told, expected);
    }
}

#[tokio::test]
async fn nothing_is_moved_by_hand_without_a_reason_or_without_its_row() {
    for studio in studios().await {
        let (identity, ada) = owner(&studio).await;
        let organisation = ada.organisation.unwrap();
        let run = charged(&studio, &ada).await;
        let service = &studio.service;
        let balance = async || service.balance(organisation).await.unwrap().available_micro;
        let before = balance().await;
        for reason in ["", "  ", &"x".repeat(201)] {
            let refused = service.refund(organisation, run, CREDIT, &by_hand(reason)).await;
            assert!(matches!(refused, Err(Error::Invalid { pointer: "/reason", .. })), "{refused:?}");
        }
        // Where the log cannot be written, nothing moves.
        let connection = studio.db().read();
        connection.execute_unprepared("ALTER TABLE identity_audit RENAME TO gone").await.unwrap();
        assert!(service.refund(organisation, run, CREDIT, &by_hand("late")).await.is_err());
        assert_eq!(balance().await, before);
        connection.execute_unprepared("ALTER TABLE gone RENAME TO identity_audit").await.unwrap();
        service.refund(organisation, run, CREDIT, &by_hand("late")).await.unwrap();
        assert_eq!((balance().await, deeds(&identity, &ada).await.len()), (before + CREDIT, 1));
    }
}

#[tokio::test]
async fn who_gave_a_mandate_to_whom_and_who_took_it_back_is_written_down_once() {
    for studio in studios().await {
        let (identity, ada) = owner(&studio).await;
        let organisation = ada.organisation.unwrap();
        let root = studio.service.mandates(organisation).await.unwrap()[0].row.mandate.id;
        let envelope = Envelope::Cap { limit_micro: 50 * CREDIT, period: Period::Life };
        let order = GiveOrder { organisation, ..studio.give_order(root, ada.user, envelope) };
        let mut given = Vec::new();
        // A repetition gives nothing, nor does taking back what has ended.
        for _ in 0..2 {
            given.push(studio.service.give_with_key(&order, Some("g")).await.unwrap().row.mandate.id);
        }
        for _ in 0..2 {
            studio.service.revoke(organisation, ada.user, given[0]).await.unwrap();
        }
        let wanted = Wanted { limit: 200, kind: Some("mandate"), ..Wanted::default() };
        let rows = identity.audit(&ada, wanted).await.unwrap();
        let told: Vec<_> =
            rows.iter().rev().map(|row| (row.action.as_str(), &row.subject, &row.actor)).collect();
        let (subject, actor) = (given[1].to_string(), ada.user.to_string());
        assert_eq!(told, [("mandate.given", &subject, &actor), ("mandate.revoked", &subject, &actor)]);
        let detail = json!({"grantee_id": order.grantee, "envelope": "cap", "amount_micro": 50 * CREDIT});
        assert!(rows.iter().all(|row| row.detail == detail), "{rows:?}");
    }
}
