//! A studio to test with: an organisation with an owner, on each engine that is at hand.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use backlot_foundation_db::Db;
use backlot_foundation_testkit::{TestDb, databases};
use backlot_foundation_time::{ManualClock, Timestamp};
use backlot_infrastructure_api::{HoldId, MandateId, OrganisationId, UserId};
use backlot_infrastructure_billing::{
    ByHand, Config, Deps, Everybody, GiveOrder, GrantOrder, Hold, HoldOrder, ManualProvider, NoSpace,
    Service, SettleOrder, SpaceGiver, ledger::GrantKind,
};
use backlot_infrastructure_mandates::{ActionPattern, Envelope};

pub(crate) const CREDIT: i64 = 1_000_000;
/// A person of the platform's staff.
pub(crate) const STAFF: &str = "01890a5d-ac96-7000-8000-00000000beef";

pub(crate) struct Studio {
    pub(crate) service: Service,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) organisation: OrganisationId,
    pub(crate) owner: UserId,
    pub(crate) root: MandateId,
    pub(crate) test_db: TestDb,
}

/// One fresh studio on each engine.
pub(crate) async fn studios() -> Vec<Studio> {
    let mut studios = Vec::new();
    for test_db in databases("infrastructure").await {
        studios.push(Studio::new(test_db).await);
    }
    studios
}

impl Studio {
    pub(crate) async fn new(test_db: TestDb) -> Self {
        let db = test_db.db.clone();
        db.migrate::<backlot_foundation_events::Migrator>().await.unwrap();
        // The audit log is identity's.
        db.migrate::<backlot_infrastructure_identity::Migrator>().await.unwrap();
        db.migrate::<backlot_infrastructure_billing::Migrator>().await.unwrap();
        let clock = ManualClock::at(Timestamp::parse("2026-11-23T06:00:00Z").unwrap());
        let service = service(db.clone(), &clock);
        let (organisation, owner) = (OrganisationId::generate(), UserId::generate());
        create(&service, &db, organisation, owner, &clock).await;
        let root = service.mandates(organisation).await.unwrap()[0].row.mandate.id;
        Self { service, clock, organisation, owner, root, test_db }
    }

    pub(crate) fn db(&self) -> &Db {
        &self.test_db.db
    }

    pub(crate) fn clock_plus_a_day(&self) -> Timestamp {
        use backlot_foundation_time::Clock as _;
        self.clock.now().plus(Duration::from_secs(86_400))
    }

    /// Another organisation in the same database.
    pub(crate) async fn neighbour(&self) -> (OrganisationId, UserId) {
        let (organisation, owner) = (OrganisationId::generate(), UserId::generate());
        create(&self.service, self.db(), organisation, owner, &self.clock).await;
        (organisation, owner)
    }

    pub(crate) fn order(&self, actor: UserId, credits: i64) -> HoldOrder {
        HoldOrder {
            run: HoldId::generate(),
            organisation: self.organisation,
            project: None,
            actor,
            mandate: None,
            action: "tools.run".to_owned(),
            tool: "upscale".to_owned(),
            amount_micro: credits * CREDIT,
            overdue_after: Duration::ZERO,
        }
    }

    pub(crate) async fn hold(&self, actor: UserId, credits: i64) -> Hold {
        self.service.hold(&self.order(actor, credits)).await.unwrap()
    }

    pub(crate) async fn settle(&self, run: HoldId, credits: i64) -> Hold {
        self.service.settle(&settle(run, credits)).await.unwrap()
    }

    pub(crate) fn give_order(&self, parent: MandateId, giver: UserId, envelope: Envelope) -> GiveOrder {
        GiveOrder {
            organisation: self.organisation,
            giver,
            parent,
            grantee: UserId::generate(),
            project: None,
            actions: BTreeSet::from([ActionPattern::parse("tools.*").unwrap()]),
            tools: None,
            max_unit_price_micro: None,
            envelope,
            depth_max: 2,
            expires_at: None,
            share_bps: 0,
            purpose: "a part of the film".to_owned(),
        }
    }

    /// Gives out of the root; answers the mandate and who holds it.
    pub(crate) async fn give(&self, envelope: Envelope) -> (MandateId, UserId) {
        let order = self.give_order(self.root, self.owner, envelope);
        let given = self.service.give(&order).await.unwrap();
        (given.row.mandate.id, order.grantee)
    }

    pub(crate) async fn grant(&self, kind: GrantKind, credits: i64, expires_at: Option<Timestamp>) {
        let order = GrantOrder {
            organisation: self.organisation,
            kind,
            source: "staff",
            source_ref: HoldId::generate().to_string(),
            priority: 100,
            amount_micro: credits * CREDIT,
            expires_at,
            reason: "test".to_owned(),
        };
        self.service.grant(&order, STAFF).await.unwrap();
    }

    /// Every invariant, and the number of open holds.
    pub(crate) async fn assert_sound(&self) -> i64 {
        self.service.seal().await.unwrap();
        let report = self.service.check_ledger(self.organisation).await.unwrap();
        assert!(report.balanced && report.chain_verified, "{:#?}", report.problems);
        assert_eq!(report.sealed_transactions, report.transactions);
        report.open_holds
    }

    /// Available and held, in credits.
    pub(crate) async fn balance(&self) -> (i64, i64) {
        let balance = self.service.balance(self.organisation).await.unwrap();
        (balance.available_micro / CREDIT, balance.held_micro / CREDIT)
    }
}

pub(crate) fn by_hand(reason: &str) -> ByHand {
    ByHand { staff: STAFF.to_owned(), reason: reason.to_owned() }
}

pub(crate) fn service(db: Db, clock: &Arc<ManualClock>) -> Service {
    service_with(db, clock, Arc::new(NoSpace))
}

pub(crate) fn service_with(db: Db, clock: &Arc<ManualClock>, space: Arc<dyn SpaceGiver>) -> Service {
    let deps = Deps { directory: Arc::new(Everybody), provider: Arc::new(ManualProvider), space };
    Service::new(db, deps, Config::default(), clock.clone())
}

pub(crate) fn settle(run: HoldId, credits: i64) -> SettleOrder {
    SettleOrder { run, amount_micro: credits * CREDIT, absorbed_micro: 0, reason: "succeeded".to_owned() }
}

async fn create(
    service: &Service,
    db: &Db,
    organisation: OrganisationId,
    owner: UserId,
    clock: &Arc<ManualClock>,
) {
    use backlot_foundation_time::Clock as _;
    let tx = db.begin_write().await.unwrap();
    service.organisation_created(&tx, organisation, owner, clock.now()).await.unwrap();
    tx.commit().await.unwrap();
}
