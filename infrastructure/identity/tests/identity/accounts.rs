//! Accounts, sessions, passwords, export and deletion.

use crate::common::{PASSWORD, code, config, session_of, worlds};
use backlot_infrastructure_identity::{Config, Rate, Role, SignUp};

#[tokio::test]
async fn a_sign_up_makes_everything_in_one_transaction() {
    for world in worlds(config()).await {
        let person = world.person(" Ada@Example.com ").await;
        let me = world.service.me(&person.actor).await.unwrap();
        assert_eq!((me.email.as_str(), me.organisations.len(), me.projects.len()), ("Ada@Example.com", 1, 1));
        assert_eq!(me.organisation.unwrap().role, Role::Owner);
        assert_eq!(*world.neighbour.created.lock(), [(person.organisation, person.user())]);
        let events = [
            "identity.user.created",
            "identity.organisation.created",
            "identity.membership.changed",
            "identity.project.created",
            "identity.session.started",
        ];
        assert_eq!(world.events().await, events);
    }
}

#[tokio::test]
async fn a_sign_up_that_the_neighbour_refuses_leaves_no_trace() {
    for world in worlds(config()).await {
        *world.neighbour.refuse_created.lock() = true;
        assert_eq!(code(world.try_sign_up("ada@example.com").await), "unavailable");
        for table in
            ["identity_users", "identity_organisations", "identity_install", "identity_audit", "outbox"]
        {
            assert_eq!(world.count(table).await, 0, "{table}");
        }
        *world.neighbour.refuse_created.lock() = false;
        assert!(world.person("ada@example.com").await.actor.staff, "still the first account");
    }
}

#[tokio::test]
async fn an_email_is_unique_however_it_is_written_and_however_many_try_at_once() {
    for world in worlds(config()).await {
        world.person("ada@example.com").await;
        assert_eq!(code(world.try_sign_up("ADA@example.com").await), "email_taken");
        let tries = (0..8).map(|_| world.try_sign_up("bob@example.com"));
        let made = futures_join(tries).await.into_iter().filter(Result::is_ok).count();
        assert_eq!(made, 1);
        assert_eq!(world.count("identity_users").await, 2);
        assert_eq!(world.count("identity_organisations").await, 2);
    }
}

async fn futures_join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut results = Vec::new();
    let mut pending: Vec<_> = futures.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        pending.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => {
                results.push(output);
                false
            }
            std::task::Poll::Pending => true,
        });
        if pending.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    results
}

#[tokio::test]
async fn bad_fields_are_named() {
    for world in worlds(config()).await {
        let sign_up = |email: &str, password: &str, name: &str| {
            let input = SignUp {
                email: email.into(),
                password: password.into(),
                name: name.into(),
                organisation: None,
            };
            world.service.sign_up(input, None)
        };
        assert_eq!(code(sign_up("nobody", PASSWORD, "Ada").await), "invalid_fields");
        assert_eq!(code(sign_up("ada@example.com", PASSWORD, " ").await), "invalid_fields");
        assert_eq!(code(sign_up("ada@example.com", PASSWORD, "a\u{0}b").await), "invalid_fields");
        assert_eq!(code(sign_up("ada@example.com", "short", "Ada").await), "weak_password");
        assert_eq!(code(sign_up("ada@example.com", "password123", "Ada").await), "weak_password");
        assert_eq!(world.count("identity_users").await, 0);
    }
}

#[tokio::test]
async fn only_the_first_account_and_listed_ones_are_staff() {
    let listed = Config { staff: vec!["Ops@Example.com".to_owned()], ..config() };
    for world in worlds(listed).await {
        assert!(world.person("first@example.com").await.actor.staff);
        assert!(!world.person("second@example.com").await.actor.staff);
        assert!(world.person("ops@example.com").await.actor.staff);
    }
    let guarded = Config {
        staff: vec!["ops@example.com".to_owned()],
        staff_at_sign_up: false,
        first_account_is_staff: false,
        ..config()
    };
    for world in worlds(guarded).await {
        let ops = world.person("ops@example.com").await;
        assert!(!ops.actor.staff);
        assert_eq!(world.service.apply_staff_list().await.unwrap(), 1);
        assert!(world.service.authenticate_session(&ops.token).await.unwrap().staff);
        assert_eq!(world.service.apply_staff_list().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn closed_sign_up_is_for_the_invited_only() {
    for world in worlds(config()).await {
        let owner = world.person("owner@example.com").await;
        let deps = backlot_infrastructure_identity::Deps {
            observer: world.neighbour.clone(),
            authority: world.neighbour.clone(),
        };
        let closed = Config { open_sign_up: false, ..config() };
        let closed = backlot_infrastructure_identity::Service::new(
            world.database.db.clone(),
            deps,
            closed,
            world.clock.clone(),
        )
        .unwrap();
        let input = |email: &str| SignUp {
            email: email.into(),
            password: PASSWORD.into(),
            name: "Ada".into(),
            organisation: None,
        };
        assert_eq!(code(closed.sign_up(input("eve@example.com"), None).await), "forbidden");
        world.service.invite(&owner.actor, "ada@example.com", Role::Member).await.unwrap();
        assert_eq!(code(closed.sign_up(input("ada@example.com"), None).await), "ok");
    }
}

#[tokio::test]
async fn signing_in_needs_the_right_password_of_a_known_account() {
    for world in worlds(config()).await {
        world.person("ada@example.com").await;
        let sign_in = |email: &'static str, password: &'static str| {
            let service = world.service.clone();
            async move { code(service.sign_in(email, password, None).await) }
        };
        assert_eq!(sign_in("ADA@example.com ", PASSWORD).await, "ok");
        assert_eq!(sign_in("ada@example.com", "wrong password").await, "invalid_credentials");
        assert_eq!(sign_in("nobody@example.com", PASSWORD).await, "invalid_credentials");
        assert_eq!(sign_in("nonsense", PASSWORD).await, "invalid_credentials");
    }
}

#[tokio::test]
async fn guessing_is_slowed_by_account_and_by_address() {
    let strict = Config {
        sign_in_pair_rate: Rate { burst: 3, per_hour: 60 },
        sign_in_account_rate: Rate { burst: 5, per_hour: 60 },
        sign_in_address_rate: Rate { burst: 6, per_hour: 60 },
        ..config()
    };
    for world in worlds(strict).await {
        world.person("ada@example.com").await;
        let sign_in = |email: &'static str, password: &'static str, address: &'static str| {
            let service = world.service.clone();
            async move { code(service.sign_in(email, password, Some(address)).await) }
        };
        for _ in 0..20 {
            assert_eq!(sign_in("ada@example.com", PASSWORD, "10.0.0.1").await, "ok", "right ones are free");
        }
        for _ in 0..3 {
            assert_eq!(sign_in("ada@example.com", "guess", "10.0.0.1").await, "invalid_credentials");
        }
        assert_eq!(sign_in("ada@example.com", PASSWORD, "10.0.0.1").await, "rate_limited");
        assert_eq!(sign_in("ada@example.com", PASSWORD, "10.0.0.2").await, "ok", "another address may");
        for _ in 0..2 {
            assert_eq!(sign_in("ada@example.com", "guess", "10.0.0.3").await, "invalid_credentials");
        }
        assert_eq!(
            sign_in("ada@example.com", PASSWORD, "10.0.0.4").await,
            "rate_limited",
            "the account is spent"
        );
        for email in ["a@example.com", "b@example.com", "c@example.com"] {
            assert_eq!(sign_in(email, "guess", "10.0.0.1").await, "invalid_credentials");
        }
        assert_eq!(
            sign_in("d@example.com", "guess", "10.0.0.1").await,
            "rate_limited",
            "the address is spent"
        );
        world.advance(61);
        assert_eq!(sign_in("ada@example.com", PASSWORD, "10.0.0.1").await, "ok");
    }
}

#[tokio::test]
async fn a_session_slides_and_ends() {
    let short = Config { session_idle_s: 1_000, session_life_s: 3_000, ..config() };
    for world in worlds(short).await {
        let person = world.person("ada@example.com").await;
        let check = |token: String| {
            let service = world.service.clone();
            async move { code(service.authenticate_session(&token).await) }
        };
        for _ in 0..3 {
            world.advance(900);
            assert_eq!(check(person.token.clone()).await, "ok", "use keeps it alive");
        }
        world.advance(900);
        assert_eq!(check(person.token.clone()).await, "session_ended", "but not for ever");
        let (_, idle) = world.service.sign_in("ada@example.com", PASSWORD, None).await.unwrap();
        world.advance(1_001);
        assert_eq!(check(idle.token).await, "session_ended");
        assert_eq!(check("x".repeat(43)).await, "unauthenticated");
        assert_eq!(check("x".repeat(100_000)).await, "unauthenticated");
    }
}

#[tokio::test]
async fn sessions_end_one_by_one_or_all_at_once() {
    for world in worlds(config()).await {
        let first = world.person("ada@example.com").await;
        let (_, second) = world.service.sign_in("ada@example.com", PASSWORD, None).await.unwrap();
        let (_, third) = world.service.sign_in("ada@example.com", PASSWORD, None).await.unwrap();
        let sessions = world.service.sessions(&first.actor).await.unwrap();
        assert_eq!((sessions.len(), sessions.iter().filter(|s| s.current).count()), (3, 1));
        world.service.end_session_by_id(&first.actor, second.id).await.unwrap();
        assert_eq!(code(world.service.authenticate_session(&second.token).await), "session_ended");
        world.service.sign_out(&first.actor).await.unwrap();
        world.service.sign_out(&first.actor).await.unwrap();
        assert_eq!(code(world.service.authenticate_session(&first.token).await), "session_ended");
        assert_eq!(code(world.service.authenticate_session(&third.token).await), "ok");
        assert_eq!(world.service.end_all_sessions(&first.actor).await.unwrap(), 1);
        assert_eq!(code(world.service.authenticate_session(&third.token).await), "session_ended");
        let ended = world.events().await.iter().filter(|kind| *kind == "identity.session.ended").count();
        assert_eq!(ended, 3, "an end is told once");
        let stranger = world.person("eve@example.com").await;
        assert_eq!(code(world.service.end_session_by_id(&stranger.actor, third.id).await), "not_found");
    }
}

#[tokio::test]
async fn old_sessions_are_forgotten() {
    for world in worlds(config()).await {
        let person = world.person("ada@example.com").await;
        assert_eq!(world.service.remove_old_sessions().await.unwrap(), 0);
        world.advance(45 * 24 * 3600);
        assert_eq!(world.service.remove_old_sessions().await.unwrap(), 1);
        assert_eq!(code(world.service.authenticate_session(&person.token).await), "unauthenticated");
    }
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    for world in worlds(config()).await {
        let person = world.person("ada@example.com").await;
        let (_, other) = world.service.sign_in("ada@example.com", PASSWORD, None).await.unwrap();
        let change = |old: &'static str, new: &'static str| {
            let (service, actor) = (world.service.clone(), person.actor.clone());
            async move { code(service.change_password(&actor, old, new).await) }
        };
        assert_eq!(change("wrong", "another quiet walk").await, "invalid_credentials");
        assert_eq!(change(PASSWORD, "ada@example.com").await, "weak_password");
        assert_eq!(change(PASSWORD, "another quiet walk").await, "ok");
        assert_eq!(code(world.service.authenticate_session(&other.token).await), "session_ended");
        assert_eq!(code(world.service.authenticate_session(&person.token).await), "ok");
        assert_eq!(
            code(world.service.sign_in("ada@example.com", PASSWORD, None).await),
            "invalid_credentials"
        );
        assert_eq!(code(world.service.sign_in("ada@example.com", "another quiet walk", None).await), "ok");
    }
}

#[tokio::test]
async fn a_suspended_account_may_do_nothing() {
    for world in worlds(config()).await {
        let staff = world.person("staff@example.com").await;
        let person = world.person("ada@example.com").await;
        let key = world.service.create_key(&person.actor, "ci", vec![], None).await.unwrap();
        let user = person.user();
        assert_eq!(
            code(world.service.set_suspended(&person.actor, staff.user(), true).await),
            "authority_not_held"
        );
        assert_eq!(
            code(world.service.set_suspended(&staff.actor, staff.user(), true).await),
            "authority_not_held"
        );
        world.service.set_suspended(&staff.actor, user, true).await.unwrap();
        assert_eq!(code(world.service.authenticate_session(&person.token).await), "session_ended");
        assert_eq!(code(world.service.authenticate_key(&key.key).await), "account_suspended");
        assert_eq!(code(world.service.sign_in("ada@example.com", PASSWORD, None).await), "account_suspended");
        assert_eq!(
            code(world.service.sign_in("ada@example.com", "wrong", None).await),
            "invalid_credentials"
        );
        world.service.set_suspended(&staff.actor, user, false).await.unwrap();
        assert_eq!(code(world.service.authenticate_key(&key.key).await), "ok");
    }
}

#[tokio::test]
async fn an_export_holds_what_is_held_and_a_deletion_erases_who_it_was() {
    for world in worlds(config()).await {
        let person = world.person("ada@example.com").await;
        let key = world.service.create_key(&person.actor, "ci", vec![], None).await.unwrap();
        let export = world.service.export(&person.actor).await.unwrap().to_string();
        assert!(export.contains("ada@example.com") && export.contains(&key.listed.id.to_string()));
        assert!(!export.contains(&key.key) && !export.contains("argon2"));

        assert_eq!(code(world.service.delete_account(&person.actor, "wrong").await), "invalid_credentials");
        world.service.delete_account(&person.actor, PASSWORD).await.unwrap();
        assert_eq!(code(world.service.authenticate_session(&person.token).await), "session_ended");
        assert_eq!(code(world.service.authenticate_key(&key.key).await), "key_revoked");
        assert_eq!(code(world.service.me(&person.actor).await), "unauthenticated");
        let events = world.events().await;
        assert!(events.contains(&"identity.organisation.closed".to_owned()));
        assert_eq!(events.last().unwrap(), "identity.user.deleted");
        assert_eq!(*world.neighbour.closed.lock(), [person.organisation]);
        assert!(world.neighbour.changes.lock().is_empty(), "the closing says it all");
        world.person("ada@example.com").await;
    }
}

#[tokio::test]
async fn an_owner_with_members_cannot_delete_the_account() {
    for world in worlds(config()).await {
        let owner = world.person("owner@example.com").await;
        let member = world.member(&owner, "ada@example.com", Role::Member).await;
        assert_eq!(code(world.service.delete_account(&owner.actor, PASSWORD).await), "last_owner");
        assert_eq!(code(world.service.authenticate_session(&owner.token).await), "ok", "nothing was changed");
        world.service.delete_account(&member.actor, PASSWORD).await.unwrap();
        world.service.delete_account(&owner.actor, PASSWORD).await.unwrap();
    }
}

#[tokio::test]
async fn neither_events_nor_audit_know_a_person() {
    for world in worlds(config()).await {
        let owner = world.person("owner@example.com").await;
        let ada = world.member(&owner, "ada@example.com", Role::Member).await;
        world.service.create_key(&ada.actor, "Ada's laptop", vec![], None).await.unwrap();
        world.service.create_project(&owner.actor, "Secret film").await.unwrap();
        world.service.delete_account(&ada.actor, PASSWORD).await.unwrap();
        let text = world.written_down().await;
        for private in ["example.com", "Ada", "Secret film", "laptop"] {
            assert!(!text.contains(private), "{private} is written down");
        }
        assert!(session_of(&ada).text().starts_with("session:"));
    }
}
