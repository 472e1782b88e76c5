//! Organisations: roles, invitations, keys, tenants, the last owner.

use crate::common::{Person, World, actor, code, config, worlds};
use backlot_infrastructure_api::{ApiKeyId, InvitationId, OrganisationId, ProjectId, UserId};
use backlot_infrastructure_identity::audit::Wanted;
use backlot_infrastructure_identity::{INVITATION_LIFE, Role, actions};

#[tokio::test]
async fn an_invitation_is_accepted_once_by_its_email() {
    for world in worlds(config()).await {
        let owner = world.person("owner@example.com").await;
        let ada = world.person("ada@example.com").await;
        let eve = world.person("eve@example.com").await;
        let made = world.service.invite(&owner.actor, "Ada@Example.com", Role::Member).await.unwrap();
        let accept = |person: &Person, token: &str| {
            let (service, actor, token) = (world.service.clone(), person.actor.clone(), token.to_owned());
            async move { code(service.accept_invitation(&actor, &token).await) }
        };
        assert_eq!(accept(&eve, &made.token).await, "invitation_for_another");
        assert_eq!(accept(&ada, "nonsense").await, "invitation_unknown");
        assert_eq!(accept(&ada, &made.token).await, "ok");
        assert_eq!(accept(&ada, &made.token).await, "already_member");
        assert!(world.service.invitations(&owner.actor).await.unwrap().is_empty());
        assert_eq!(
            code(world.service.invite(&owner.actor, "ada@example.com", Role::Admin).await),
            "already_member"
        );
        let change = *world.neighbour.changes.lock().last().unwrap();
        assert_eq!((change.user, change.role, change.by), (ada.user(), Some(Role::Member), owner.user()));
    }
}

#[tokio::test]
async fn an_invitation_ends_by_time_by_hand_by_a_newer_one_and_with_its_giver() {
    for world in worlds(config()).await {
        let owner = world.person("owner@example.com").await;
        let admin = world.member(&owner, "admin@example.com", Role::Admin).await;
        let ada = world.person("ada@example.com").await;
        let invite = |by: &Person| {
            let (service, actor) = (world.service.clone(), by.actor.clone());
            async move { service.invite(&actor, "ada@example.com", Role::Viewer).await.unwrap() }
        };
        let accept = |token: String| {
            let (service, actor) = (world.service.clone(), ada.actor.clone());
            async move { code(service.accept_invitation(&actor, &token).await) }
        };
        let replaced = invite(&owner).await;
        let late = invite(&owner).await;
        assert_eq!(accept(replaced.token).await, "invitation_ended");
        world.advance(INVITATION_LIFE.as_secs());
        assert_eq!(accept(late.token).await, "invitation_ended");
        let revoked = invite(&owner).await;
        world.service.revoke_invitation(&owner.actor, revoked.listed.id).await.unwrap();
        assert_eq!(accept(revoked.token).await, "invitation_ended");
        let orphan = invite(&admin).await;
        world.service.remove_member(&owner.actor, admin.user()).await.unwrap();
        assert_eq!(accept(orphan.token).await, "invitation_ended");
    }
}

#[tokio::test]
async fn nobody_gives_or_takes_what_they_do_not_hold() {
    for world in worlds(config()).await {
        let owner = world.person("owner@example.com").await;
        let admin = world.member(&owner, "admin@example.com", Role::Admin).await;
        let member = world.member(&owner, "member@example.com", Role::Member).await;
        let viewer = world.member(&owner, "viewer@example.com", Role::Viewer).await;
        let s = &world.service;
        let refused = "authority_not_held";
        assert_eq!(code(s.invite(&admin.actor, "x@example.com", Role::Owner).await), refused);
        assert_eq!(code(s.invite(&member.actor, "x@example.com", Role::Viewer).await), refused);
        assert_eq!(code(s.change_role(&admin.actor, admin.user(), Role::Owner).await), refused);
        assert_eq!(code(s.change_role(&admin.actor, owner.user(), Role::Member).await), refused);
        assert_eq!(code(s.change_role(&member.actor, member.user(), Role::Admin).await), refused);
        assert_eq!(code(s.remove_member(&admin.actor, owner.user()).await), refused);
        assert_eq!(code(s.remove_member(&viewer.actor, member.user()).await), refused);
        assert_eq!(code(s.create_project(&member.actor, "P").await), refused);
        assert_eq!(code(s.audit(&member.actor, Wanted::default()).await), refused);
        assert_eq!(code(s.invitations(&viewer.actor).await), refused);
        assert_eq!(code(s.invite(&admin.actor, "x@example.com", Role::Admin).await), "ok");
        assert_eq!(code(s.change_role(&admin.actor, viewer.user(), Role::Member).await), "ok");
        assert_eq!(code(s.remove_member(&viewer.actor, viewer.user()).await), "ok", "anybody may leave");
    }
}

#[tokio::test]
async fn mandates_have_the_last_word() {
    for world in worlds(config()).await {
        let owner = world.person("owner@example.com").await;
        let ada = world.member(&owner, "ada@example.com", Role::Member).await;
        for action in actions::ALL {
            *world.neighbour.refuse_action.lock() = Some((*action).to_owned());
            let s = &world.service;
            let answer = match *action {
                actions::MEMBERS_INVITE => code(s.invite(&owner.actor, "x@example.com", Role::Viewer).await),
                actions::MEMBERS_EDIT => code(s.change_role(&owner.actor, ada.user(), Role::Admin).await),
                actions::MEMBERS_REMOVE => code(s.remove_member(&owner.actor, ada.user()).await),
                _ => code(s.create_project(&owner.actor, "P").await),
            };
            assert_eq!(answer, "forbidden", "{action}");
        }
        let role = world.service.members(&owner.actor, None, 10).await.unwrap();
        assert_eq!(role.iter().find(|m| m.user_id == ada.user()).unwrap().role, Role::Member);
    }
}

#[tokio::test]
async fn the_last_owner_stays() {
    for world in worlds(config()).await {
        let owner = world.person("owner@example.com").await;
        let second = world.member(&owner, "second@example.com", Role::Admin).await;
        let s = &world.service;
        assert_eq!(code(s.change_role(&owner.actor, owner.user(), Role::Admin).await), "last_owner");
        assert_eq!(code(s.remove_member(&owner.actor, owner.user()).await), "last_owner");
        s.change_role(&owner.actor, second.user(), Role::Owner).await.unwrap();
        // Both step down at once: one of them must be refused.
        let (one, two) = tokio::join!(
            s.change_role(&owner.actor, owner.user(), Role::Member),
            s.change_role(&second.actor, second.user(), Role::Member),
        );
        let mut answers = [code(one), code(two)];
        answers.sort();
        assert_eq!(answers, ["last_owner", "ok"]);
    }
}

#[tokio::test]
async fn who_leaves_loses_keys_and_acts_at_home_again() {
    for world in worlds(config()).await {
        let owner = world.person("owner@example.com").await;
        let ada = world.member(&owner, "ada@example.com", Role::Member).await;
        let key = world.service.create_key(&ada.actor, "ci", vec![], None).await.unwrap();
        let before = world.service.authenticate_key(&key.key).await.unwrap();
        assert_eq!(before.organisation, Some(owner.organisation));
        world.service.remove_member(&owner.actor, ada.user()).await.unwrap();
        assert_eq!(code(world.service.authenticate_key(&key.key).await), "key_revoked");
        let after = world.service.authenticate_session(&ada.token).await.unwrap();
        assert_eq!(after.organisation, Some(ada.organisation));
        let owner_now = world.service.authenticate_session(&owner.token).await.unwrap();
        assert!(owner_now.authority_version > before.authority_version);
        assert_eq!(code(world.service.switch(&ada.actor, owner.organisation).await), "not_found");
        let change = *world.neighbour.changes.lock().last().unwrap();
        assert_eq!((change.user, change.previous, change.role), (ada.user(), Some(Role::Member), None));
    }
}

#[tokio::test]
async fn a_key_is_shown_once_expires_and_can_be_taken_back() {
    for world in worlds(config()).await {
        let ada = world.person("ada@example.com").await;
        let s = &world.service;
        let key = s.create_key(&ada.actor, "ci", vec!["assets:read".into()], Some(100)).await.unwrap();
        let listed = s.keys(&ada.actor).await.unwrap();
        assert_eq!(listed, std::slice::from_ref(&key.listed));
        assert!(key.key.starts_with(&key.listed.prefix));
        let principal = s.authenticate_key(&key.key).await.unwrap();
        assert_eq!(principal.scopes, ["assets:read"]);
        assert!(s.keys(&ada.actor).await.unwrap()[0].last_used_at.is_some());
        world.advance(100);
        assert_eq!(code(s.authenticate_key(&key.key).await), "key_expired");
        let other = s.create_key(&ada.actor, "ci", vec![], None).await.unwrap();
        s.revoke_key(&ada.actor, other.listed.id).await.unwrap();
        s.revoke_key(&ada.actor, other.listed.id).await.unwrap();
        assert_eq!(code(s.authenticate_key(&other.key).await), "key_revoked");
        let mut forged = other.key.clone();
        forged.replace_range(forged.len() - 1.., if forged.ends_with('0') { "1" } else { "0" });
        assert_eq!(code(s.authenticate_key(&forged).await), "unauthenticated");
        assert_eq!(code(s.authenticate_key("blk_").await), "unauthenticated");
        assert_eq!(code(s.authenticate_key(&ada.token).await), "unauthenticated");
        let revoked = world.events().await.iter().filter(|kind| *kind == "identity.api_key.revoked").count();
        assert_eq!(revoked, 1);
    }
}

#[tokio::test]
async fn a_key_that_ends_makes_no_key_that_lives_longer_and_one_that_was_taken_back_makes_none() {
    for world in worlds(config()).await {
        let ada = world.person("ada@example.com").await;
        let s = &world.service;
        let short = s.create_key(&ada.actor, "an hour", vec![], Some(3_600)).await.unwrap();
        let by_key = actor(&s.authenticate_key(&short.key).await.unwrap());
        let make = async |life_s| code(s.create_key(&by_key, "x", vec![], life_s).await);
        assert_eq!(make(None).await, "authority_not_held");
        assert_eq!(make(Some(3_601)).await, "authority_not_held");
        assert_eq!(make(Some(3_600)).await, "ok");
        world.advance(60);
        assert_eq!(make(Some(3_600)).await, "authority_not_held");
        s.revoke_key(&ada.actor, short.listed.id).await.unwrap();
        assert_eq!(make(Some(10)).await, "key_revoked", "its token is good for a moment longer");
        let lasting = s.create_key(&ada.actor, "for good", vec![], None).await.unwrap();
        let by_key = actor(&s.authenticate_key(&lasting.key).await.unwrap());
        assert_eq!(code(s.create_key(&by_key, "x", vec![], None).await), "ok");
    }
}

#[tokio::test]
async fn a_key_makes_no_stronger_key() {
    for world in worlds(config()).await {
        let ada = world.person("ada@example.com").await;
        let s = &world.service;
        let scopes = vec!["assets:read".to_owned(), "identity:write".to_owned()];
        let weak = s.create_key(&ada.actor, "weak", scopes, None).await.unwrap();
        let weak = actor(&s.authenticate_key(&weak.key).await.unwrap());
        assert_eq!(code(s.create_key(&weak, "x", vec!["assets:write".into()], None).await), "scope_missing");
        assert_eq!(code(s.create_key(&weak, "x", vec!["*".into()], None).await), "scope_missing");
        assert_eq!(code(s.create_key(&weak, "x", vec![], None).await), "authority_not_held");
        assert_eq!(code(s.create_key(&weak, "x", vec!["assets:read".into()], None).await), "ok");
        for wrong in ["assets", "assets:own", ":read", "Assets:read", "assets:read "] {
            assert_eq!(
                code(s.create_key(&ada.actor, "x", vec![wrong.into()], None).await),
                "invalid_fields",
                "{wrong}"
            );
        }
        assert_eq!(code(s.create_key(&ada.actor, "x", vec![], Some(0)).await), "invalid_fields");
    }
}

#[tokio::test]
async fn owners_see_and_take_back_their_members_keys_and_members_only_their_own() {
    for world in worlds(config()).await {
        let owner = world.person("owner@example.com").await;
        let ada = world.member(&owner, "ada@example.com", Role::Member).await;
        let s = &world.service;
        let owners = s.create_key(&owner.actor, "o", vec![], None).await.unwrap().listed.id;
        let adas = s.create_key(&ada.actor, "a", vec![], None).await.unwrap().listed.id;
        assert_eq!(s.keys(&owner.actor).await.unwrap().len(), 2);
        assert_eq!(s.keys(&ada.actor).await.unwrap().len(), 1);
        assert_eq!(code(s.revoke_key(&ada.actor, owners).await), "not_found");
        assert_eq!(code(s.revoke_key(&owner.actor, adas).await), "ok");
    }
}

#[tokio::test]
async fn another_tenants_ids_are_not_found() {
    for world in worlds(config()).await {
        let ours = world.person("ours@example.com").await;
        let theirs = world.person("theirs@example.com").await;
        let ids = made_by(&world, &theirs).await;
        let s = &world.service;
        for (key, project, invitation, user) in [ids, strangers()] {
            assert_eq!(code(s.revoke_key(&ours.actor, key).await), "not_found");
            assert_eq!(code(s.project(&ours.actor, project).await), "not_found");
            assert_eq!(code(s.revoke_invitation(&ours.actor, invitation).await), "not_found");
            assert_eq!(code(s.remove_member(&ours.actor, user).await), "not_found");
            assert_eq!(code(s.change_role(&ours.actor, user, Role::Viewer).await), "not_found");
        }
        assert_eq!(code(s.switch(&ours.actor, theirs.organisation).await), "not_found");
        // A forged place in the token would still meet the membership.
        let mut forged = ours.actor.clone();
        forged.organisation = Some(theirs.organisation);
        assert_eq!(code(s.invite(&forged, "x@example.com", Role::Viewer).await), "not_found");
        assert_eq!(code(s.create_project(&forged, "P").await), "not_found");
        assert_eq!(code(s.create_key(&forged, "K", vec![], None).await), "not_found");
        assert_eq!(code(s.keys(&forged).await), "not_found");
        assert_eq!(code(s.audit(&forged, Wanted::default()).await), "not_found");
        forged.organisation = Some(OrganisationId::generate());
        assert_eq!(code(s.create_project(&forged, "P").await), "not_found");
    }
}

async fn made_by(world: &World, person: &Person) -> (ApiKeyId, ProjectId, InvitationId, UserId) {
    let s = &world.service;
    let key = s.create_key(&person.actor, "k", vec![], None).await.unwrap().listed.id;
    let project = s.create_project(&person.actor, "P").await.unwrap().id;
    let invitation = s.invite(&person.actor, "x@example.com", Role::Viewer).await.unwrap().listed.id;
    (key, project, invitation, person.user())
}

fn strangers() -> (ApiKeyId, ProjectId, InvitationId, UserId) {
    (ApiKeyId::generate(), ProjectId::generate(), InvitationId::generate(), UserId::generate())
}

#[tokio::test]
async fn every_change_is_in_the_audit_log() {
    for world in worlds(config()).await {
        let owner = world.person("owner@example.com").await;
        let ada = world.member(&owner, "ada@example.com", Role::Member).await;
        let s = &world.service;
        made_by(&world, &owner).await;
        s.change_role(&owner.actor, ada.user(), Role::Admin).await.unwrap();
        s.remove_member(&owner.actor, ada.user()).await.unwrap();
        let rows = s.audit(&owner.actor, Wanted { limit: 200, ..Wanted::default() }).await.unwrap();
        let actions: Vec<&str> = rows.iter().rev().map(|row| row.action.as_str()).collect();
        let expected = [
            "user.created",
            "organisation.created",
            "membership.changed",
            "project.created",
            "session.started",
            "invitation.created",
            "invitation.accepted",
            "membership.changed",
            "session.switched",
            "api_key.created",
            "project.created",
            "invitation.created",
            "membership.changed",
            "membership.changed",
        ];
        // The session of a removed member is pointed elsewhere in the same organisation's log.
        let without: Vec<&str> = actions[..actions.len() - 2].to_vec();
        assert_eq!(without, expected[..without.len()]);
        let wanted = Wanted { before: Some(&rows[0].id), limit: 3, ..Wanted::default() };
        let page = s.audit(&owner.actor, wanted).await.unwrap();
        assert_eq!(page, rows[1..4]);
    }
}

#[tokio::test]
async fn the_audit_log_is_read_by_kind_and_by_person() {
    for world in worlds(config()).await {
        let owner = world.person("owner@example.com").await;
        let ada = world.member(&owner, "ada@example.com", Role::Admin).await;
        let s = &world.service;
        made_by(&world, &owner).await;
        made_by(&world, &ada).await;
        let all = Wanted { limit: 200, ..Wanted::default() };
        let by_ada = ada.user().to_string();
        let read = async |wanted| s.audit(&owner.actor, wanted).await.unwrap();
        let keys = read(Wanted { kind: Some("api_key"), ..all }).await;
        assert_eq!(keys.len(), 2);
        assert!(keys.iter().all(|row| row.action == "api_key.created"));
        let hers = read(Wanted { actor: Some(&by_ada), ..all }).await;
        assert!(!hers.is_empty() && hers.iter().all(|row| row.actor == by_ada));
        let both = Wanted { kind: Some("api_key"), actor: Some(&by_ada), ..all };
        assert_eq!(read(both).await, keys[..1]);
        let first = read(Wanted { limit: 1, kind: Some("api_key"), ..all }).await;
        let next = Wanted { before: Some(&first[0].id), kind: Some("api_key"), ..all };
        assert_eq!(read(next).await, keys[1..]);
        for nothing in ["api", "api_key.created", "nothing", ""] {
            assert_eq!(read(Wanted { kind: Some(nothing), ..all }).await, [], "{nothing}");
        }
    }
}
