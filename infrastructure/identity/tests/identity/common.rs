//! A fresh identity on every database at hand, on a clock that the test moves.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backlot_foundation_db::WriteTx;
use backlot_foundation_errors::{Problem, codes};
use backlot_foundation_testkit::{TestDb, databases};
use backlot_foundation_time::{ManualClock, Timestamp};
use backlot_infrastructure_api::{OrganisationId, UserId};
use backlot_infrastructure_identity::{
    Actor, AuthorityCheck, AuthorityQuestion, Config, Credential, Deps, Error, MembershipChange, Migrator,
    OrganisationObserver, PasswordCost, Principal, Role, Service, SignUp, SignedUp,
};
use parking_lot::Mutex;
use sea_orm::{ConnectionTrait, Statement};

/// A password that the rule accepts.
pub(crate) const PASSWORD: &str = "a quiet evening walk";

/// What the observer and the authority heard, and what they shall answer.
#[derive(Default)]
pub(crate) struct Neighbour {
    pub(crate) created: Mutex<Vec<(OrganisationId, UserId)>>,
    pub(crate) closed: Mutex<Vec<OrganisationId>>,
    pub(crate) changes: Mutex<Vec<MembershipChange>>,
    pub(crate) refuse_created: Mutex<bool>,
    pub(crate) refuse_action: Mutex<Option<String>>,
}

#[async_trait]
impl OrganisationObserver for Neighbour {
    async fn created(
        &self,
        _: &WriteTx,
        organisation: OrganisationId,
        owner: UserId,
        _: Timestamp,
    ) -> Result<(), Problem> {
        if *self.refuse_created.lock() {
            return Err(Problem::new(&codes::UNAVAILABLE, "no credits today"));
        }
        self.created.lock().push((organisation, owner));
        Ok(())
    }

    async fn membership_changed(&self, _: &WriteTx, change: &MembershipChange) -> Result<(), Problem> {
        self.changes.lock().push(*change);
        Ok(())
    }

    async fn closed(
        &self,
        _: &WriteTx,
        organisation: OrganisationId,
        _: UserId,
        _: Timestamp,
    ) -> Result<(), Problem> {
        self.closed.lock().push(organisation);
        Ok(())
    }
}

#[async_trait]
impl AuthorityCheck for Neighbour {
    async fn check(&self, _: &WriteTx, question: &AuthorityQuestion<'_>) -> Result<(), Problem> {
        if self.refuse_action.lock().as_deref() == Some(question.action) {
            return Err(Problem::new(&codes::FORBIDDEN, "no mandate"));
        }
        Ok(())
    }
}

/// One identity under test.
pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) neighbour: Arc<Neighbour>,
    pub(crate) database: TestDb,
}

pub(crate) fn config() -> Config {
    Config {
        password_cost: PasswordCost { memory_kib: 64, passes: 1, concurrent_max: 4 },
        ..Config::default()
    }
}

/// A world on each database.
pub(crate) async fn worlds(config: Config) -> Vec<World> {
    let mut worlds = Vec::new();
    for database in databases("infrastructure").await {
        database.db.migrate::<backlot_foundation_events::Migrator>().await.unwrap();
        database.db.migrate::<Migrator>().await.unwrap();
        let clock = ManualClock::at(Timestamp::from_micros(1_790_000_000_000_000));
        let neighbour = Arc::new(Neighbour::default());
        let deps = Deps { observer: neighbour.clone(), authority: neighbour.clone() };
        let service = Service::new(database.db.clone(), deps, config.clone(), clock.clone()).unwrap();
        worlds.push(World { service, clock, neighbour, database });
    }
    worlds
}

impl World {
    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) async fn try_sign_up(&self, email: &str) -> Result<SignedUp, Error> {
        let input = SignUp {
            email: email.to_owned(),
            password: PASSWORD.to_owned(),
            name: "Ada".to_owned(),
            organisation: None,
        };
        self.service.sign_up(input, None).await
    }

    /// A new account, acting in its own organisation.
    pub(crate) async fn person(&self, email: &str) -> Person {
        let made = self.try_sign_up(email).await.unwrap();
        let principal = self.service.authenticate_session(&made.session.token).await.unwrap();
        Person { actor: actor(&principal), token: made.session.token, organisation: made.organisation }
    }

    /// A new account that joined `owner`'s organisation with `role`, and acts there.
    pub(crate) async fn member(&self, owner: &Person, email: &str, role: Role) -> Person {
        let invitation = self.service.invite(&owner.actor, email, role).await.unwrap();
        let mut person = self.person(email).await;
        self.service.accept_invitation(&person.actor, &invitation.token).await.unwrap();
        self.service.switch(&person.actor, owner.organisation).await.unwrap();
        person.actor.organisation = Some(owner.organisation);
        person
    }

    /// Types of all events so far, in commit order.
    pub(crate) async fn events(&self) -> Vec<String> {
        let db = &self.database.db;
        let statement = Statement::from_string(db.backend(), "SELECT type FROM outbox ORDER BY txid, seq");
        let rows = db.read().query_all_raw(statement).await.unwrap();
        rows.iter().map(|row| row.try_get::<String>("", "type").unwrap()).collect()
    }

    /// Everything that the outbox and the audit log hold, as one text.
    pub(crate) async fn written_down(&self) -> String {
        let db = &self.database.db;
        let mut text = String::new();
        for sql in ["SELECT data AS t FROM outbox", "SELECT detail AS t FROM identity_audit"] {
            for row in db.read().query_all_raw(Statement::from_string(db.backend(), sql)).await.unwrap() {
                text += &row.try_get::<String>("", "t").unwrap();
            }
        }
        text
    }

    pub(crate) async fn count(&self, table: &str) -> i64 {
        let db = &self.database.db;
        let sql = format!("SELECT count(*) AS n FROM {table}");
        let row = db.read().query_one_raw(Statement::from_string(db.backend(), sql)).await.unwrap();
        row.unwrap().try_get("", "n").unwrap()
    }
}

/// Somebody with a session.
pub(crate) struct Person {
    pub(crate) actor: Actor,
    pub(crate) token: String,
    pub(crate) organisation: OrganisationId,
}

impl Person {
    pub(crate) fn user(&self) -> UserId {
        self.actor.user
    }
}

pub(crate) fn actor(principal: &Principal) -> Actor {
    Actor {
        user: principal.user,
        organisation: principal.organisation,
        credential: principal.credential,
        scopes: principal.scopes.clone(),
        staff: principal.staff,
    }
}

/// The code of a refusal.
pub(crate) fn code<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => Problem::from(error).code,
    }
}

pub(crate) fn session_of(person: &Person) -> Credential {
    person.actor.credential
}
