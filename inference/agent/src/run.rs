//! The agent's loop: what control says, what attempts report, and what is not handed over yet.

mod orders;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use backlot_foundation_runtime::Stop;
use backlot_inference_api::v1::agent_message::Message as FromAgent;
use backlot_inference_api::v1::control_message::Message as FromControl;
use backlot_inference_api::v1::{
    AgentMessage, AttemptFinished, AttemptPhase, Draining, FailureClass, Heartbeat, Hello, LoadFinished,
    ResidencyReport, RunningAttempt, Welcome, WorkerSpec,
};
use backlot_inference_runtimes::{HoldControl, Snapshot};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::agent::{Agent, workers};
use crate::attempt::millis;
use crate::link::{Happened, Link};
use crate::reports::Reports;
use crate::spool::AttemptKey;
use crate::worker::Worker;

/// Events of attempts that may wait.
const EVENTS_MAX: usize = 256;
/// How long canceled attempts of a stopping agent may take to end.
const STOP_MAX: Duration = Duration::from_secs(10);
/// How long a stopping agent waits for control to take its last reports.
const HAND_OVER_MAX: Duration = Duration::from_secs(2);

/// Attempts that one message names; control takes no more. At about 70 bytes each they fit into a message
/// beside the reports of a greeting.
const NAMED_MAX: usize = 16_384;

/// How often the folder of extensions is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(300);

/// What attempts and loads tell the loop.
pub(crate) enum Event {
    Phase(AttemptPhase),
    Finished(Box<AttemptFinished>),
    Loaded(LoadFinished),
    /// What an attempt needed is loaded, and waits for what computes.
    Ready(LoadFinished),
    Unloaded,
}

/// An attempt that runs here.
struct Running {
    worker_id: String,
    model: String,
    cancel: CancellationToken,
    hold: HoldControl,
    snapshot: watch::Receiver<Snapshot>,
    /// The fence of the first one of its call; empty: it is alone.
    batch: String,
    /// Its fence is no longer the current one: nobody wants its report.
    is_stale: bool,
    /// Stopped by the agent's own end, not by a cancel.
    is_evicted: bool,
    phase: Option<AttemptPhase>,
}

/// The loop's state.
pub(crate) struct Run<'a> {
    agent: &'a Agent,
    link: Link,
    workers: BTreeMap<String, Worker>,
    attempts: HashMap<AttemptKey, Running>,
    reports: Reports,
    tasks: JoinSet<()>,
    events: mpsc::Receiver<Event>,
    sender: mpsc::Sender<Event>,
    is_draining: bool,
    /// What control was told of each worker.
    offered: Vec<WorkerSpec>,
    /// When the folder of extensions is looked at.
    looks: tokio::time::Interval,
}

impl<'a> Run<'a> {
    pub(crate) fn new(agent: &'a Agent) -> Self {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let workers = agent.workers.iter().map(|spec| (spec.id.clone(), Worker::new(spec.clone()))).collect();
        Self {
            agent,
            link: Link::new(agent.channel.clone()),
            workers,
            attempts: HashMap::new(),
            reports: Reports::new(agent.spool.clone()),
            tasks: JoinSet::new(),
            events,
            sender,
            is_draining: false,
            offered: agent.workers.clone(),
            looks: tokio::time::interval(LOOK_INTERVAL),
        }
    }

    /// Works until `stop`, then drains.
    pub(crate) async fn until(mut self, stop: &Stop) {
        let mut stop_signal = std::pin::pin!(stop.stopped());
        loop {
            tokio::select! {
                () = &mut stop_signal => break,
                () = self.step() => (),
            }
        }
        self.drain().await;
    }

    /// One thing that happens. May be dropped and called again: what it has taken it also handles.
    async fn step(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        let write_at = self.reports.write_at();
        tokio::select! {
            biased;
            Some(event) = self.events.recv() => self.reported(event),
            happened = self.link.next() => self.happened(happened),
            () = tokio::time::sleep_until(write_at.unwrap_or_else(Instant::now)), if write_at.is_some() => {
                self.reports.write_overdue(Instant::now());
            }
            _ = self.looks.tick(), if self.agent.config.watches_extensions() => self.look_for_models(),
        }
    }

    fn happened(&mut self, happened: Happened) {
        match happened {
            Happened::Due => {
                let hello = self.hello();
                self.link.dial(hello);
            }
            Happened::HeartbeatDue => {
                let running = self.running();
                self.link.send(FromAgent::Heartbeat(Heartbeat { running }));
            }
            Happened::Lost => {
                self.reports.write_all();
                self.go_on_alone();
            }
            Happened::Said(said) => self.said(*said),
        }
    }

    fn said(&mut self, said: FromControl) {
        match said {
            FromControl::Welcome(welcome) => self.welcomed(&welcome),
            FromControl::Assign(assign) => self.assigned(assign),
            FromControl::Batch(batch) => self.batch_assigned(batch),
            FromControl::Cancel(cancel) => self.cancel(cancel),
            FromControl::Pause(pause) => self.hold(pause.job_id, pause.fence, true),
            FromControl::Resume(resume) => self.hold(resume.job_id, resume.fence, false),
            FromControl::Evict(evict) => self.evict(&evict),
            FromControl::Prefetch(prefetch) => self.prefetch(prefetch),
            // That it came is what counts, and the link has noted it.
            FromControl::Lease(_) => (),
            FromControl::Acknowledged(one) => self.forget(&(one.job_id, one.fence)),
        }
    }

    /// Offers what has appeared in the folder of extensions.
    fn look_for_models(&mut self) {
        let models = self.agent.config.models();
        let offered = match workers(&self.agent.config, &models) {
            Ok(offered) if offered != self.offered => offered,
            Ok(_) => return,
            Err(error) => return tracing::error!(%error, "the workers are left as they are"),
        };
        for spec in &offered {
            match self.workers.get_mut(&spec.id) {
                Some(worker) => worker.spec = spec.clone(),
                None => drop(self.workers.insert(spec.id.clone(), Worker::new(spec.clone()))),
            }
        }
        tracing::info!(models = models.len(), "this agent offers other models than before");
        self.offered = offered;
        self.link.greet_again();
    }

    fn hello(&mut self) -> AgentMessage {
        // Before the names: what the greeting carries whole it does not name as well.
        let spooled = self.reports.first_portion();
        let hello = Hello {
            agent_id: self.agent.id.clone(),
            boot_id: self.agent.boot_id.clone(),
            name: self.agent.config.name.clone(),
            region: self.agent.config.region.clone(),
            workers: self.offered.clone(),
            running: self.running(),
            spooled,
            pool: self.agent.config.pool.clone(),
            machine: self.agent.config.machine.clone(),
        };
        AgentMessage { message: Some(FromAgent::Hello(hello)) }
    }

    /// What runs here, and what has ended and is not on its way to control yet.
    fn running(&self) -> Vec<RunningAttempt> {
        let current = self.attempts.iter().filter(|(_, running)| !running.is_stale);
        current
            .map(|((job, fence), running)| RunningAttempt {
                job_id: job.clone(),
                fence: fence.clone(),
                worker_id: running.worker_id.clone(),
                paused: running.snapshot.borrow().is_held(),
                held_ms: millis(running.snapshot.borrow().held()),
                batch: running.batch.clone(),
            })
            .chain(self.reports.unsent())
            .take(NAMED_MAX)
            .collect()
    }

    fn welcomed(&mut self, welcome: &Welcome) {
        tracing::info!(epoch = welcome.epoch, kill = welcome.kill.len(), "control has welcomed this agent");
        self.link.welcomed(welcome.heartbeat_ms, welcome.lease_ms);
        for one in &welcome.kill {
            let key = (one.job_id.clone(), one.fence.clone());
            self.drop_attempt(&key);
            self.forget(&key);
        }
        let residency: Vec<ResidencyReport> = self
            .workers
            .values_mut()
            .map(|worker| {
                worker.changed_residency();
                let resident = worker.resident().into_iter().collect();
                ResidencyReport { worker_id: worker.spec.id.clone(), resident }
            })
            .collect();
        for report in residency {
            self.link.send(FromAgent::Residency(report));
        }
        if self.is_draining {
            self.link.send(FromAgent::Draining(Draining {}));
        }
        let phases: Vec<AttemptPhase> =
            self.attempts.values().filter_map(|running| running.phase.clone()).collect();
        for phase in phases {
            self.link.send(FromAgent::Phase(phase));
        }
        self.send_reports();
    }

    fn send_reports(&mut self) {
        if self.link.is_welcome() {
            let link = &mut self.link;
            self.reports.send(|report| link.send(FromAgent::Finished(report)));
        }
    }

    fn reported(&mut self, event: Event) {
        match event {
            Event::Phase(phase) => {
                let key = (phase.job_id.clone(), phase.fence.clone());
                if let Some(running) = self.attempts.get_mut(&key).filter(|running| !running.is_stale) {
                    running.phase = Some(phase.clone());
                    self.link.send(FromAgent::Phase(phase));
                }
            }
            Event::Finished(report) => self.finished(*report),
            Event::Loaded(report) => {
                if let Some(worker) = self.workers.get_mut(&report.worker_id) {
                    worker.give_back(&report.model);
                }
                self.report_residency();
                self.link.send(FromAgent::Loaded(report));
            }
            Event::Ready(report) => {
                self.report_residency();
                self.link.send(FromAgent::Loaded(report));
            }
            Event::Unloaded => self.report_residency(),
        }
    }

    fn finished(&mut self, mut report: AttemptFinished) {
        let Some(running) = self.attempts.remove(&(report.job_id.clone(), report.fence.clone())) else {
            return;
        };
        if let Some(worker) = self.workers.get_mut(&running.worker_id) {
            worker.give_back(&running.model);
        }
        // Before the report: whoever reads it may at once give us the next job.
        self.report_residency();
        if running.is_evicted && report.outcome == "canceled" {
            report.outcome = "failed".to_owned();
            report.failure = FailureClass::LostWorker.into();
            report.message = "the agent was stopped".to_owned();
            report.retryable = true;
        }
        tracing::info!(
            job_id = report.job_id,
            fence = report.fence,
            outcome = report.outcome,
            compute_ms = report.compute_ms,
            load_ms = report.load_ms,
            message = report.message,
            "an attempt ended"
        );
        let labels = [("model", running.model), ("outcome", report.outcome.clone())];
        metrics::counter!("backlot_agent_attempts_total", &labels).increment(1);
        metrics::histogram!("backlot_agent_compute_seconds", &labels)
            .record(report.compute_ms as f64 / 1_000.0);
        if !running.is_stale {
            self.keep(report);
        }
        self.go_on_alone();
    }

    fn report_residency(&mut self) {
        for (id, worker) in &mut self.workers {
            if let Some(resident) = worker.changed_residency() {
                self.link.send(FromAgent::Residency(ResidencyReport { worker_id: id.clone(), resident }));
            }
        }
    }

    /// Keeps a report until control has it, and sends it.
    fn keep(&mut self, report: AttemptFinished) {
        self.reports.keep(report, self.link.is_welcome());
        self.send_reports();
    }

    fn forget(&mut self, key: &AttemptKey) {
        self.reports.forget(key);
        self.send_reports();
    }

    fn drop_attempt(&mut self, key: &AttemptKey) {
        if let Some(running) = self.attempts.get_mut(key) {
            running.is_stale = true;
            running.cancel.cancel();
        }
    }

    /// Lets attempts finish, hands the last reports over, and unloads everything.
    async fn drain(mut self) {
        self.is_draining = true;
        self.link.send(FromAgent::Draining(Draining {}));
        let patience = Duration::from_millis(self.agent.config.drain_ms);
        let is_idle = self.step_until(patience, |run| run.attempts.is_empty()).await;
        if !is_idle {
            tracing::warn!(attempts = self.attempts.len(), "attempts are stopped, to be tried elsewhere");
            for running in self.attempts.values_mut() {
                running.is_evicted = true;
                running.cancel.cancel();
            }
            self.step_until(STOP_MAX, |run| run.attempts.is_empty()).await;
        }
        if self.link.is_welcome() {
            self.step_until(HAND_OVER_MAX, |run| run.reports.is_empty() || !run.link.is_welcome()).await;
        }
        self.reports.write_all();
        let runtimes: Vec<Arc<dyn backlot_inference_runtimes::Runtime>> =
            self.workers.values().flat_map(Worker::runtimes).collect();
        futures::future::join_all(runtimes.iter().map(|runtime| runtime.unload())).await;
        self.tasks.shutdown().await;
    }

    /// Works on until `is_done`; false where `patience` ended first.
    async fn step_until(&mut self, patience: Duration, is_done: impl Fn(&Self) -> bool) -> bool {
        let until = Instant::now() + patience;
        while !is_done(self) {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return false,
                () = self.step() => (),
            }
        }
        true
    }
}
