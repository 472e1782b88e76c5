//! Users, authority, credits and media over one database, so that one transaction can span them.

use std::sync::Arc;

use async_trait::async_trait;
use backlot_foundation_errors::{Problem, codes};
use backlot_infrastructure_api::{OrganisationId, ProjectId, UserId};

use backlot_foundation_db::{Db, WriteTx};
use backlot_foundation_events::EventsService;
use backlot_foundation_rpc::Server;
use backlot_foundation_time::Timestamp;
use backlot_foundation_tokens::audience;
use backlot_infrastructure_billing as billing;
use backlot_infrastructure_identity as identity;
use backlot_infrastructure_storage as storage;

use super::{Context, System};

/// The space of a plan: what billing decides, storage keeps.
struct PlanSpace;

#[async_trait]
impl billing::SpaceGiver for PlanSpace {
    async fn give(
        &self,
        tx: &WriteTx,
        organisation: OrganisationId,
        bytes: Option<i64>,
    ) -> Result<(), Problem> {
        Ok(storage::set_quota(tx, organisation, bytes).await?)
    }
}

/// Closed organisations that are told to storage at once.
const CLOSED_PAGE: u64 = 500;

/// What follows from identity's changes: billing's part of all of them, and the media of whoever leaves for good.
struct Followers(billing::Service);

#[async_trait]
impl identity::OrganisationObserver for Followers {
    async fn created(
        &self,
        tx: &WriteTx,
        organisation: OrganisationId,
        owner: UserId,
        at: Timestamp,
    ) -> Result<(), Problem> {
        self.0.created(tx, organisation, owner, at).await
    }

    async fn membership_changed(
        &self,
        tx: &WriteTx,
        change: &identity::MembershipChange,
    ) -> Result<(), Problem> {
        self.0.membership_changed(tx, change).await
    }

    async fn closed(
        &self,
        tx: &WriteTx,
        organisation: OrganisationId,
        owner: UserId,
        at: Timestamp,
    ) -> Result<(), Problem> {
        self.0.closed(tx, organisation, owner, at).await?;
        Ok(storage::organisation_closed(tx, organisation, at).await?)
    }
}

/// Tells storage of organisations that closed before it was told at once. Those it knows stay as they are.
async fn tell_closed(db: &Db) -> anyhow::Result<()> {
    let mut after = None;
    loop {
        let closed = identity::belonging::closed_organisations(db.read(), after, CLOSED_PAGE).await?;
        let Some((last, _)) = closed.last() else { return Ok(()) };
        after = Some(*last);
        let tx = db.begin_write().await?;
        for (organisation, at) in closed {
            storage::organisation_closed(&tx, organisation, at).await?;
        }
        tx.commit().await?;
    }
}

/// Media under mandates: what storage asks, billing decides.
struct Mandated(billing::Service);

#[async_trait]
impl storage::Authority for Mandated {
    async fn check(
        &self,
        organisation: OrganisationId,
        actor: &str,
        action: &str,
        project: Option<ProjectId>,
    ) -> Result<(), Problem> {
        let actor = UserId::parse(actor)
            .map_err(|_| Problem::new(&codes::FORBIDDEN, "Only persons and systems change media."))?;
        let order = billing::CheckOrder {
            organisation,
            actor,
            mandate: None,
            action: action.to_owned(),
            project,
            tool: String::new(),
            unit_price_micro: 0,
            amount_micro: 0,
        };
        match self.0.check(&order).await? {
            billing::CheckOutcome::Allowed { .. } => Ok(()),
            billing::CheckOutcome::Refused { problem } => Err(problem),
        }
    }
}

/// The services of infrastructure.
pub(crate) struct Infrastructure {
    db: Db,
    identity: identity::Service,
    billing: billing::Service,
    storage: storage::Service,
}

impl Infrastructure {
    /// Builds the services and starts their tasks.
    pub(crate) async fn build(context: &Context) -> anyhow::Result<Self> {
        let config = &context.config.infrastructure;
        let db = Db::connect(&config.db, audience::INFRASTRUCTURE).await?;
        migrate(&db).await?;
        tell_closed(&db).await?;
        let clock = context.clock.clone();
        let billing = billing::Service::new(
            db.clone(),
            billing::Deps { space: Arc::new(PlanSpace), ..billing::Deps::default() },
            config.billing.clone(),
            clock.clone(),
        );
        // Billing joins identity's transactions: an organisation comes with its root mandate and credits.
        let followers = Arc::new(Followers(billing.clone()));
        let deps = identity::Deps { observer: followers, authority: Arc::new(billing.clone()) };
        let mut accounts = config.identity.clone();
        // Where the studio is reached by HTTPS, a session never travels without it.
        accounts.cookie_secure |= context.public_url.starts_with("https://");
        let identity = identity::Service::new(db.clone(), deps, accounts, clock.clone())?;
        let mut storage = config.storage.clone();
        if storage.folder.is_relative() {
            storage.folder = context.folder.join(&storage.folder);
        }
        let storage = storage::Service::new(db.clone(), clock, storage).await?;
        storage.set_public_base_url(&context.public_url);
        storage.set_authority(Arc::new(Mandated(billing.clone())));
        identity.tasks(&context.tasks);
        billing.tasks(&context.tasks);
        storage.tasks(&context.tasks);
        Ok(Self { db, identity, billing, storage })
    }

    /// Their contract, routes and events as one system.
    pub(crate) fn system(self, context: &Context) -> anyhow::Result<System> {
        let schemas = backlot_infrastructure_api::events::schemas();
        let events = EventsService::new(self.db.clone(), context.clock.clone(), schemas);
        let mut routes = tonic::service::Routes::builder();
        routes
            .add_service(self.identity.rpc())
            .add_service(self.billing.mandates_rpc())
            .add_service(self.billing.billing_rpc())
            .add_service(self.storage.rpc())
            .add_service(events.server());
        let verifier = context.trust.verifier(audience::INFRASTRUCTURE)?;
        Ok(System {
            name: audience::INFRASTRUCTURE,
            rpc: Server::new(verifier.clone()).layer(routes.routes()),
            http: self.identity.http().merge(self.billing.http()).merge(self.storage.http()),
            verifier,
            db: self.db,
        })
    }
}

/// Brings infrastructure's schema up to date.
pub(super) async fn migrate(db: &Db) -> anyhow::Result<()> {
    db.migrate::<backlot_foundation_events::Migrator>().await?;
    db.migrate::<identity::Migrator>().await?;
    db.migrate::<billing::Migrator>().await?;
    db.migrate::<storage::Migrator>().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use backlot_foundation_testkit::TestDb;
    use sea_orm::{ConnectionTrait as _, Statement};

    use super::*;

    #[tokio::test]
    async fn storage_hears_once_of_organisations_that_closed_before() {
        let test_db = TestDb::sqlite("infrastructure").await;
        let db = &test_db.db;
        migrate(db).await.unwrap();
        let row = |closed_at: &str| {
            let id = OrganisationId::generate();
            format!("INSERT INTO identity_organisations VALUES ('{id}', 'a', 'personal', 0, 1, {closed_at})")
        };
        for closed_at in ["NULL", "7", "8"] {
            db.read().execute_unprepared(&row(closed_at)).await.unwrap();
        }
        for _ in 0..2 {
            tell_closed(db).await.unwrap();
            let sql = "SELECT closed_at FROM storage_closed WHERE cleared_at IS NULL ORDER BY closed_at";
            let rows = db.read().query_all_raw(Statement::from_string(db.backend(), sql)).await.unwrap();
            let told: Vec<i64> = rows.iter().map(|row| row.try_get("", "closed_at").unwrap()).collect();
            assert_eq!(told, [7, 8]);
        }
    }
}
