//! The reconciler, and the tails that wake it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backlot_business_api::RunId;
use backlot_foundation_db::{DbError, WriteTx};
use backlot_foundation_errors::Kind;
use backlot_foundation_events::{Consumer, Handler, HandlerError, v1};
use backlot_foundation_rpc::Channel;
use backlot_foundation_runtime::{Stop, Tasks};
use backlot_foundation_time::Timestamp;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::moderation::run_of_look;
use crate::service::Service;
use crate::store::Store;

/// Due runs that are read at once.
const DUE_MAX: u64 = 256;
/// First pause before a model is registered again; doubles up to [`REGISTER_PAUSE_MAX`].
const REGISTER_PAUSE_MIN: Duration = Duration::from_millis(200);
const REGISTER_PAUSE_MAX: Duration = Duration::from_secs(30);
/// What infrastructure says when a mandate is taken back.
const MANDATE_REVOKED: &str = "mandates.mandate.revoked";
/// What infrastructure says when it has taken a run's price.
const HOLD_CREATED: &str = "billing.hold.created";
/// What infrastructure says of a hold that is open for too long.
const HOLD_OVERDUE: &str = "billing.hold.overdue";
/// What inference says when something happens to a job that a run must hear of.
const JOB_EVENTS: &[&str] = &[
    "inference.job.started",
    "inference.job.succeeded",
    "inference.job.failed",
    "inference.job.canceled",
    "inference.job.expired",
];

impl Service {
    /// Starts the reconciler and the tails of infrastructure and inference.
    pub fn tasks(&self, tasks: &Tasks, infrastructure_events: &Channel, inference_events: &Channel) {
        let service = self.clone();
        tasks.spawn_loop("tools-reconciler", move |stop| reconcile(service.clone(), stop));
        let service = self.clone();
        tasks.spawn_loop("tools-models", move |stop| register_models(service.clone(), stop));
        let service = self.clone();
        tasks.spawn_loop("tools-keys", move |stop| crate::retention::hourly(service.clone(), stop));
        let service = self.clone();
        tasks.spawn_loop("tools-extensions", move |stop| crate::extensions::watch(service.clone(), stop));
        let service = self.clone();
        tasks.spawn_loop("tools-streams", move |stop| {
            let service = service.clone();
            async move {
                stop.stopped().await;
                service.streams().stop();
            }
        });
        let sources = [
            (
                "tools-infrastructure",
                infrastructure_events,
                &[MANDATE_REVOKED, HOLD_CREATED, HOLD_OVERDUE][..],
            ),
            ("tools-inference", inference_events, JOB_EVENTS),
        ];
        for (name, source, types) in sources {
            let waker = Arc::new(Waker { service: self.clone(), runs: Mutex::default() });
            let db = self.store().db().clone();
            let consumer = Arc::new(Consumer::new(db, name, source.clone(), types, waker));
            tasks.spawn_loop(name, move |stop| {
                let consumer = consumer.clone();
                async move { consumer.run(stop).await }
            });
        }
    }

    /// Drives every run that is due, once; for tests and for one sweep of the reconciler.
    pub async fn sweep(&self) -> Result<(), crate::Error> {
        for id in self.take_due().await? {
            self.drive(id).await;
        }
        Ok(())
    }

    async fn take_due(&self) -> Result<Vec<RunId>, DbError> {
        let now = self.now();
        self.store().take_due(now, now.plus(self.config().lease()), DUE_MAX).await
    }
}

/// Drives runs that are due or that something woke, a bounded number at once, until the stop signal.
async fn reconcile(service: Service, stop: Stop) {
    // Whatever was in flight when the last process ended is asked again, now.
    if let Err(error) = service.store().make_all_due(service.now()).await {
        tracing::warn!(%error, "open runs could not be made due; their own times hold");
    }
    let mut drivers = JoinSet::new();
    let mut waiting: VecDeque<RunId> = VecDeque::new();
    let mut swept = tokio::time::interval(service.config().sweep());
    loop {
        while drivers.len() < service.config().drivers_max
            && let Some(id) = waiting.pop_front()
        {
            let service = service.clone();
            drivers.spawn(async move { service.drive(id).await });
        }
        tokio::select! {
            () = stop.stopped() => break,
            () = service.waked() => waiting.extend(service.take_wakes()),
            Some(_) = drivers.join_next(), if !drivers.is_empty() => (),
            _ = swept.tick() => match service.take_due().await {
                Ok(due) => {
                    let new: Vec<RunId> = due.into_iter().filter(|id| !waiting.contains(id)).collect();
                    waiting.extend(new);
                }
                Err(error) => tracing::warn!(%error, "due runs could not be read"),
            },
        }
    }
    // A call that was sent is heard out, within the grace period of whoever stops us.
    while drivers.join_next().await.is_some() {}
}

/// Registers the models of all manifests with inference.
async fn register_models(service: Service, stop: Stop) {
    let mut pause = REGISTER_PAUSE_MIN;
    while let Err(problem) = service.systems().put_checks_tenant().await {
        tracing::info!(%problem, "the studio's own tenant could not be made and is tried again");
        stop.sleep(pause).await;
        pause = (pause * 2).min(REGISTER_PAUSE_MAX);
        if stop.is_stopped() {
            return;
        }
    }
    let mut left: VecDeque<_> = service.catalogue().all().cloned().collect();
    while let Some(tool) = left.pop_front() {
        let model = &tool.manifest.model;
        match service.systems().put_model(model).await {
            Ok(()) => pause = REGISTER_PAUSE_MIN,
            Err(problem) if problem.kind == Kind::Conflict => {
                tracing::info!(
                    model = model.name,
                    version = model.version,
                    "another registration of this model stands"
                );
            }
            Err(problem) => {
                tracing::info!(model = model.name, %problem, "a model could not be registered and is tried again");
                left.push_back(tool.clone());
                stop.sleep(pause).await;
                pause = (pause * 2).min(REGISTER_PAUSE_MAX);
            }
        }
        if stop.is_stopped() {
            return;
        }
    }
    stop.stopped().await;
}

/// Turns events into wakes: the rows say what is to be done.
struct Waker {
    service: Service,
    runs: Mutex<Vec<RunId>>,
}

#[async_trait]
impl Handler for Waker {
    async fn handle(&self, tx: &WriteTx, event: &v1::Event) -> Result<(), HandlerError> {
        if event.r#type == MANDATE_REVOKED {
            let at = Timestamp::from_micros(event.time_us);
            let affected = Store::revoke(tx, &event.subject, at).await?;
            self.runs.lock().extend(affected);
        } else if matches!(event.r#type.as_str(), HOLD_CREATED | HOLD_OVERDUE) {
            let Ok(id) = RunId::parse(&event.subject) else { return Ok(()) };
            // A run that is not over drives its hold itself; one that was refused does not know that it has one. A hold
            // that was made before the refusal was written is found by the look that is due after each refusal.
            if Store::make_refused_due_in(tx, id, self.service.now()).await? {
                self.runs.lock().push(id);
            }
        } else if let Ok(id) = RunId::parse(&event.subject) {
            // Jobs of others than tools are in the stream, too: there is no row of theirs, and nothing happens.
            let run = run_of_look(tx, id).await?.unwrap_or(id);
            self.runs.lock().push(run);
        }
        Ok(())
    }

    async fn committed(&self) {
        let runs = std::mem::take(&mut *self.runs.lock());
        self.service.nudge(runs);
    }
}
