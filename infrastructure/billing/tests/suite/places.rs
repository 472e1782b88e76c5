//! What follows from a place in an organisation, in identity's transactions.

use std::sync::Arc;

use backlot_foundation_errors::Problem;
use backlot_foundation_testkit::databases;
use backlot_foundation_time::{Clock as _, SystemClock};
use backlot_infrastructure_api::{HoldId, UserId};
use backlot_infrastructure_billing::{Config, Deps, HoldOrder, Service};
use backlot_infrastructure_identity::{
    self as identity, AuthorityCheck, AuthorityQuestion, MembershipChange, OrganisationObserver as _,
    PasswordCost, Role, actions,
};

use crate::common::{CREDIT, Studio, settle, studios};

async fn change(studio: &Studio, user: UserId, from: Option<Role>, to: Option<Role>) -> Result<(), String> {
    let tx = studio.db().begin_write().await.unwrap();
    let change = MembershipChange {
        organisation: studio.organisation,
        user,
        previous: from,
        role: to,
        by: studio.owner,
        at: studio.clock.now(),
    };
    studio.service.membership_changed(&tx, &change).await.map_err(|problem| problem.code)?;
    tx.commit().await.unwrap();
    Ok(())
}

async fn may(studio: &Studio, actor: UserId, role: Role, action: &str) -> bool {
    let tx = studio.db().begin_write().await.unwrap();
    let question = AuthorityQuestion {
        organisation: studio.organisation,
        actor,
        role,
        action,
        project: None,
        at: studio.clock.now(),
    };
    AuthorityCheck::check(&studio.service, &tx, &question).await.is_ok()
}

#[tokio::test]
async fn a_place_brings_authority_and_losing_it_takes_it_away() {
    for studio in studios().await {
        let admin = UserId::generate();
        assert!(may(&studio, studio.owner, Role::Owner, actions::MEMBERS_INVITE).await);
        assert!(!may(&studio, admin, Role::Admin, actions::MEMBERS_INVITE).await);
        change(&studio, admin, None, Some(Role::Admin)).await.unwrap();
        for action in actions::ALL {
            assert!(may(&studio, admin, Role::Admin, action).await, "{action}");
        }
        assert!(studio.service.hold(&studio.order(admin, 1)).await.is_err(), "a place brings no credits");
        change(&studio, admin, Some(Role::Admin), Some(Role::Member)).await.unwrap();
        assert!(!may(&studio, admin, Role::Member, actions::MEMBERS_INVITE).await);
        studio.assert_sound().await;
    }
}

#[tokio::test]
async fn who_leaves_loses_what_they_were_given_and_gave() {
    for studio in studios().await {
        let envelope = backlot_infrastructure_mandates::Envelope::Transfer { amount_micro: 90 * CREDIT };
        let (_, lead) = studio.give(envelope).await;
        studio.hold(lead, 10).await;
        change(&studio, lead, Some(Role::Member), None).await.unwrap();
        assert!(studio.service.hold(&studio.order(lead, 1)).await.is_err());
        assert_eq!(studio.balance().await, (490, 10));
        studio.assert_sound().await;
    }
}

#[tokio::test]
async fn the_root_goes_to_another_owner_and_never_to_nobody() {
    for studio in studios().await {
        let leave = change(&studio, studio.owner, Some(Role::Owner), None).await;
        assert_eq!(leave, Err("mandate_root_protected".to_owned()));
        let heir = UserId::generate();
        change(&studio, heir, None, Some(Role::Owner)).await.unwrap();
        let (mandate, artist) = studio.give(backlot_infrastructure_mandates::Envelope::Unlimited).await;
        change(&studio, studio.owner, Some(Role::Owner), None).await.unwrap();
        let root = studio.service.mandate(studio.organisation, studio.root).await.unwrap();
        assert_eq!(root.row.mandate.grantee, heir);
        studio.hold(heir, 1).await;
        assert_eq!(
            studio.hold(artist, 1).await.chain,
            [mandate, studio.root],
            "what came out of the root stays"
        );
        assert!(studio.service.hold(&studio.order(studio.owner, 1)).await.is_err());
        studio.assert_sound().await;
    }
}

#[tokio::test]
async fn who_closes_an_organisation_ends_its_spending_and_not_what_runs() {
    for test_db in databases("infrastructure").await {
        let db = test_db.db.clone();
        db.migrate::<backlot_foundation_events::Migrator>().await.unwrap();
        db.migrate::<backlot_infrastructure_identity::Migrator>().await.unwrap();
        db.migrate::<backlot_infrastructure_billing::Migrator>().await.unwrap();
        let clock = SystemClock::shared();
        let billing = Service::new(db.clone(), Deps::default(), Config::default(), clock.clone());
        let deps =
            identity::Deps { observer: Arc::new(billing.clone()), authority: Arc::new(billing.clone()) };
        let password_cost = PasswordCost { memory_kib: 64, passes: 1, concurrent_max: 4 };
        let config = identity::Config { password_cost, ..identity::Config::default() };
        let identity = identity::Service::new(db, deps, config, clock).unwrap();
        let password = "a quiet evening walk";
        let ada = identity::SignUp {
            email: "ada@example.com".into(),
            password: password.into(),
            name: "Ada".into(),
            organisation: None,
        };
        let session = identity.sign_up(ada, None).await.unwrap().session.token;
        let ada = identity.authenticate_session(&session).await.unwrap();
        let organisation = ada.organisation.unwrap();
        let order = || HoldOrder {
            run: HoldId::generate(),
            organisation,
            project: None,
            actor: ada.user,
            mandate: None,
            action: "tools.run".to_owned(),
            tool: "upscale".to_owned(),
            amount_micro: CREDIT,
            overdue_after: std::time::Duration::ZERO,
        };
        let before = order();
        let open = billing.hold(&before).await.unwrap();
        billing.subscribe(organisation, ada.user, "studio").await.unwrap();
        let actor = identity::Actor {
            user: ada.user,
            organisation: ada.organisation,
            credential: ada.credential,
            scopes: Vec::new(),
            staff: false,
        };
        identity.delete_account(&actor, password).await.unwrap();

        let refused = Problem::from(billing.hold(&order()).await.unwrap_err());
        assert_eq!((refused.code.as_str(), refused.status), ("organisation_closed", 403));
        assert_eq!(billing.hold(&before).await.unwrap().run, open.run, "a repetition is no new hold");
        assert_eq!(billing.settle(&settle(open.run, 1)).await.unwrap().settled_micro, CREDIT);
        let invoices = billing.invoices(organisation).await.unwrap();
        assert!(invoices.iter().all(|invoice| invoice.state.as_str() == "canceled"));
        assert_eq!(billing.subscription(organisation).await.unwrap().pending_plan, None);
    }
}
