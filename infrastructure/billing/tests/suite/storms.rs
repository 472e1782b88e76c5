//! Many tasks at once, with calls that are cut off in the middle: whatever order things happen in, every
//! invariant of the ledger holds, at the end and at every moment in between.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use backlot_foundation_errors::Problem;
use backlot_foundation_time::Clock as _;
use backlot_infrastructure_api::{HoldId, MandateId, UserId};
use backlot_infrastructure_billing::ledger::GrantKind;
use backlot_infrastructure_billing::{Error, GiveOrder, GrantOrder, Hold, HoldOrder, HoldState, SettleOrder};
use backlot_infrastructure_mandates::{ActionPattern, Envelope, Period};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sea_orm::{ConnectionTrait as _, Statement};
use tokio::sync::Mutex;

use crate::common::{CREDIT, STAFF, Studio, by_hand, studios};

const SEEDS: u64 = 4;
const TASKS: u64 = 6;
const STEPS: usize = 40;
/// What may be answered in a storm. Anything else, and above all `internal`, is a bug.
const REFUSALS: &[&str] = &[
    "insufficient_credits",
    "envelope_exceeded",
    "hold_unknown",
    "hold_ended",
    "settle_exceeds_hold",
    "refund_exceeds_charge",
    "mandate_missing",
    "mandate_revoked",
    "mandate_expired",
    "mandate_not_held",
    "mandate_depth_exceeded",
    "mandate_share_exceeded",
    "mandate_expiry_exceeded",
    "mandate_root_protected",
    "mandate_revoke_refused",
    "action_not_allowed",
    "invalid_fields",
];

struct World {
    studio: Studio,
    mandates: Mutex<Vec<(MandateId, UserId)>>,
    runs: Mutex<Vec<HoldId>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_invariant_holds_in_a_storm() {
    for studio in studios().await {
        let mandates = Mutex::new(vec![(studio.root, studio.owner)]);
        let world = Arc::new(World { studio, mandates, runs: Mutex::default() });
        for seed in 0..SEEDS {
            let tasks = (0..TASKS).map(|task| {
                let world = world.clone();
                tokio::spawn(async move {
                    let mut random = StdRng::seed_from_u64(seed * 1_000 + task);
                    for _ in 0..STEPS {
                        world.step(&mut random).await;
                    }
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                task.await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            }
            world.studio.assert_sound().await;
        }
        world.end_all().await;
        assert_eq!(world.studio.assert_sound().await, 0);
        world.assert_events_reconcile().await;
        world.assert_snapshots_are_nothing_but_folds().await;
    }
}

/// Drops the call after some time, as a crash would, before or after it was committed.
async fn cut_off<T>(random: &mut StdRng, call: impl Future<Output = T>) -> Option<T> {
    let polls = if random.random_bool(0.3) { random.random_range(0..400) } else { u32::MAX };
    let crash = async {
        for _ in 0..polls {
            tokio::task::yield_now().await;
        }
    };
    if polls == u32::MAX {
        return Some(call.await);
    }
    tokio::select! {
        biased;
        outcome = call => Some(outcome),
        () = crash => None,
    }
}

/// What was answered; a refusal that may happen is no answer, any other is a bug.
fn expect<T>(outcome: Result<T, Error>) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(error) => {
            let problem = Problem::from(error);
            assert!(REFUSALS.contains(&problem.code.as_str()), "{problem}");
            None
        }
    }
}

impl World {
    async fn step(&self, random: &mut StdRng) {
        match random.random_range(0..100) {
            0..38 => self.hold(random).await,
            38..62 => self.end(random).await,
            62..68 => self.refund(random).await,
            68..82 => self.give(random).await,
            82..84 => self.revoke(random).await,
            84..91 => self.grant(random).await,
            91..93 => self.revoke_grant(random).await,
            93..95 => self.sweep(random).await,
            95..98 => {
                self.studio.service.seal().await.unwrap();
            }
            _ => {
                let report = self.studio.service.check_ledger(self.studio.organisation).await.unwrap();
                assert!(report.balanced && report.chain_verified, "{:#?}", report.problems);
            }
        }
    }

    /// The root now and then, else one of the newest, which are likely to live.
    async fn pick(&self, random: &mut StdRng) -> (MandateId, UserId) {
        let mandates = self.mandates.lock().await;
        let newest = mandates.len().saturating_sub(8);
        mandates[if random.random_bool(0.3) { 0 } else { random.random_range(newest..mandates.len()) }]
    }

    async fn pick_run(&self, random: &mut StdRng) -> Option<HoldId> {
        let runs = self.runs.lock().await;
        let newest = runs.len().saturating_sub(30);
        (!runs.is_empty()).then(|| runs[random.random_range(newest..runs.len())])
    }

    async fn hold(&self, random: &mut StdRng) {
        let (mandate, actor) = self.pick(random).await;
        let order = HoldOrder {
            amount_micro: random.random_range(0..20 * CREDIT),
            mandate: random.random_bool(0.5).then_some(mandate),
            ..self.studio.order(actor, 0)
        };
        self.runs.lock().await.push(order.run);
        let service = &self.studio.service;
        if let Some(outcome) = cut_off(random, service.hold(&order)).await {
            expect(outcome);
        }
        if random.random_bool(0.3) {
            let (one, other) = tokio::join!(service.hold(&order), service.hold(&order));
            if let (Some(one), Some(other)) = (expect(one), expect(other)) {
                let facts =
                    |hold: &Hold| (hold.held_micro, hold.mandate, hold.chain.clone(), hold.created_at);
                assert_eq!(facts(&one), facts(&other));
            }
        }
    }

    async fn end(&self, random: &mut StdRng) {
        let Some(run) = self.pick_run(random).await else { return };
        let service = &self.studio.service;
        if random.random_bool(0.3) {
            cut_off(random, service.void(run, "canceled", 0)).await.map(expect);
            return;
        }
        let order = SettleOrder {
            run,
            amount_micro: random.random_range(0..15 * CREDIT),
            absorbed_micro: random.random_range(0..2) * CREDIT,
            reason: "succeeded".to_owned(),
        };
        cut_off(random, service.settle(&order)).await.map(expect);
        // Whoever did not hear the answer asks again, and hears the same.
        if let Some(hold) = expect(service.settle(&order).await) {
            assert_eq!((hold.state, hold.settled_micro), (HoldState::Settled, order.amount_micro));
            assert!(hold.settled_micro <= hold.held_micro);
        }
    }

    async fn refund(&self, random: &mut StdRng) {
        let Some(run) = self.pick_run(random).await else { return };
        let amount_micro = random.random_range(0..20 * CREDIT);
        let by = by_hand("storm");
        let refund = self.studio.service.refund(self.studio.organisation, run, amount_micro, &by);
        cut_off(random, refund).await.map(expect);
    }

    async fn give(&self, random: &mut StdRng) {
        let (parent, giver) = self.pick(random).await;
        let amount_micro = random.random_range(1..90 * CREDIT);
        let period = if random.random_bool(0.5) { Period::Life } else { Period::Day };
        let envelope = if random.random_bool(0.5) {
            Envelope::Transfer { amount_micro }
        } else {
            Envelope::Cap { limit_micro: amount_micro, period }
        };
        let expires_at = random
            .random_bool(0.2)
            .then(|| self.studio.clock.now().plus(Duration::from_secs(random.random_range(1..900))));
        let order = GiveOrder {
            actions: BTreeSet::from([ActionPattern::parse("tools.*").unwrap()]),
            depth_max: random.random_range(0..7),
            share_bps: random.random_range(0..800),
            expires_at,
            ..self.studio.give_order(parent, giver, envelope)
        };
        if let Some(given) = cut_off(random, self.studio.service.give(&order)).await.and_then(expect) {
            self.mandates.lock().await.push((given.row.mandate.id, order.grantee));
        }
    }

    async fn revoke(&self, random: &mut StdRng) {
        let (mandate, _) = self.pick(random).await;
        let (_, by) =
            if random.random_bool(0.7) { (mandate, self.studio.owner) } else { self.pick(random).await };
        cut_off(random, self.studio.service.revoke(self.studio.organisation, by, mandate)).await.map(expect);
    }

    async fn grant(&self, random: &mut StdRng) {
        let order = GrantOrder {
            organisation: self.studio.organisation,
            kind: if random.random_bool(0.5) { GrantKind::Paid } else { GrantKind::Promotional },
            source: "staff",
            source_ref: HoldId::generate().to_string(),
            priority: random.random_range(1..4),
            amount_micro: random.random_range(1..200 * CREDIT),
            expires_at: random
                .random_bool(0.5)
                .then(|| self.studio.clock.now().plus(Duration::from_secs(random.random_range(1..900)))),
            reason: "storm".to_owned(),
        };
        cut_off(random, self.studio.service.grant(&order, STAFF)).await.map(expect);
        expect(self.studio.service.grant(&order, STAFF).await);
    }

    async fn revoke_grant(&self, random: &mut StdRng) {
        let balance = self.studio.service.balance(self.studio.organisation).await.unwrap();
        let grant = balance.grants[random.random_range(0..balance.grants.len())].id;
        let by = by_hand("storm");
        let revoke = self.studio.service.revoke_grant(self.studio.organisation, grant, &by);
        cut_off(random, revoke).await.map(expect);
    }

    async fn sweep(&self, random: &mut StdRng) {
        self.studio.clock.advance(Duration::from_secs(random.random_range(1..100)));
        let service = &self.studio.service;
        cut_off(random, service.expire_grants(50)).await.map(expect);
        cut_off(random, service.expire_mandates(50)).await.map(expect);
    }

    async fn end_all(&self) {
        for run in self.runs.lock().await.iter() {
            let is_open =
                self.studio.service.find_hold(*run).await.is_ok_and(|hold| hold.state == HoldState::Held);
            if is_open {
                self.studio.service.void(*run, "storm over", 0).await.unwrap();
            }
        }
    }

    /// Credit burn as data computes it from events is what the ledger says, by kind of grant.
    async fn assert_events_reconcile(&self) {
        let db = self.studio.db();
        let sql = "SELECT type, data FROM outbox WHERE type LIKE 'billing.hold.%'";
        let rows = db.read().query_all_raw(Statement::from_string(db.backend(), sql)).await.unwrap();
        let (mut promotional, mut paid, mut absorbed) = (0, 0, 0);
        for row in rows {
            let kind: String = row.try_get("", "type").unwrap();
            let data: serde_json::Value =
                serde_json::from_str(&row.try_get::<String>("", "data").unwrap()).unwrap();
            let amount = |name: &str| data[name].as_i64().unwrap_or(0);
            let refund = kind == "billing.hold.refunded";
            promotional += amount("settled_promotional_micro") - amount("refunded_promotional_micro");
            paid += amount("settled_paid_micro") - amount("refunded_paid_micro");
            absorbed += if refund { 0 } else { amount("absorbed_micro") };
        }
        let balance = self.studio.service.balance(self.studio.organisation).await.unwrap();
        let spent = |kind| -> i64 {
            balance.grants.iter().filter(|grant| grant.kind == kind).map(|grant| grant.spent_micro).sum()
        };
        assert_eq!((promotional, paid), (spent(GrantKind::Promotional), spent(GrantKind::Paid)));
        assert!(promotional > 0 && paid > 0 && absorbed > 0, "the storm was no storm");
    }

    /// Dropping the snapshot and folding it again changes nothing.
    async fn assert_snapshots_are_nothing_but_folds(&self) {
        let before = self.studio.service.balance(self.studio.organisation).await.unwrap();
        let db = self.studio.db();
        let tx = db.begin_write().await.unwrap();
        tx.execute_unprepared("DELETE FROM billing_balances").await.unwrap();
        tx.execute_unprepared(
            "INSERT INTO billing_balances (organisation_id, account, grant_id, amount_micro)
             SELECT organisation_id, account, grant_id, CAST(SUM(amount_micro) AS BIGINT) FROM billing_postings
             GROUP BY organisation_id, account, grant_id",
        )
        .await
        .unwrap();
        tx.commit().await.unwrap();
        let after = self.studio.service.balance(self.studio.organisation).await.unwrap();
        let facts = |balance: &backlot_infrastructure_billing::Balance| {
            (balance.available_micro, balance.held_micro, balance.spent_micro, balance.granted_micro)
        };
        assert_eq!(facts(&before), facts(&after));
        self.studio.assert_sound().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_holds_never_overspend() {
    for studio in studios().await {
        let studio = Arc::new(studio);
        let (_, artist) =
            studio.give(Envelope::Cap { limit_micro: 100 * CREDIT, period: Period::Life }).await;
        let holds = (0..24).map(|index| {
            let studio = studio.clone();
            let actor = if index % 2 == 0 { artist } else { studio.owner };
            tokio::spawn(async move { studio.service.hold(&studio.order(actor, 45)).await.is_ok() })
        });
        let mut taken = 0;
        for hold in holds.collect::<Vec<_>>() {
            taken += i64::from(hold.await.unwrap());
        }
        assert_eq!(taken, 11, "500 credits carry 11 holds of 45, of which the cap allows the artist 2");
        assert_eq!(studio.balance().await, (5, 495));
        assert_eq!(studio.assert_sound().await, 11);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_run_ends_once_whoever_asks() {
    for studio in studios().await {
        let studio = Arc::new(studio);
        let run = studio.hold(studio.owner, 100).await.run;
        let ends = (0..12).map(|index| {
            let studio = studio.clone();
            tokio::spawn(async move {
                match index % 3 {
                    0 => studio.service.void(run, "canceled", 0).await,
                    credits => studio.service.settle(&crate::common::settle(run, credits * 10)).await,
                }
            })
        });
        let mut outcomes = BTreeSet::new();
        for end in ends.collect::<Vec<_>>() {
            if let Ok(hold) = end.await.unwrap() {
                outcomes.insert((hold.state.as_str(), hold.settled_micro));
            }
        }
        assert_eq!(outcomes.len(), 1, "{outcomes:?}");
        assert_eq!(studio.assert_sound().await, 0);
    }
}

#[tokio::test]
async fn a_journal_that_was_changed_does_not_verify() {
    for studio in studios().await {
        studio.hold(studio.owner, 10).await;
        studio.assert_sound().await;
        let db = studio.db();
        let change = "UPDATE billing_postings SET amount_micro = amount_micro + 1 WHERE account = 'hold'";
        let tx = db.begin_write().await.unwrap();
        let refused = tx.execute_unprepared(change).await;
        assert!(refused.unwrap_err().to_string().contains("append-only"));
        drop(tx);
        // Somebody who owns the database takes the guard away first.
        let on = if db.backend() == sea_orm::DatabaseBackend::Postgres { "ON billing_postings" } else { "" };
        let tx = db.begin_write().await.unwrap();
        tx.execute_unprepared(&format!("DROP TRIGGER billing_postings_no_UPDATE {on}")).await.unwrap();
        tx.execute_unprepared(change).await.unwrap();
        tx.commit().await.unwrap();
        let report = studio.service.check_ledger(studio.organisation).await.unwrap();
        assert!(!report.balanced && !report.chain_verified, "{report:?}");
        assert!(report.problems.iter().any(|problem| problem.contains("does not reproduce")));
    }
}
