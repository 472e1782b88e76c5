//! The agent's loop: what control says, what attempts report, and what is not handed over yet.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use backlot_foundation_runtime::Stop;
use backlot_inference_api::v1::agent_message::Message as FromAgent;
use backlot_inference_api::v1::control_message::Message as FromControl;
use backlot_inference_api::v1::{
    AgentMessage, Assign, AttemptFinished, AttemptPhase, CancelAttempt, Draining, Evict, FailureClass,
    Heartbeat, Hello, LoadFinished, Prefetch, ResidencyReport, RunningAttempt, Welcome, WorkerSpec,
};
use backlot_inference_runtimes::{HoldControl, Reporter, Snapshot};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::agent::{Agent, workers};
use crate::attempt::{Attempt, millis, refusal};
use crate::link::{Happened, Link};
use crate::models::key;
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
    Unloaded,
}

/// An attempt that runs here.
struct Running {
    worker_id: String,
    model: String,
    cancel: CancellationToken,
    hold: HoldControl,
    snapshot: watch::Receiver<Snapshot>,
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

    fn assigned(&mut self, assign: Assign) {
        let key = (assign.job_id.clone(), assign.fence.clone());
        if self.attempts.contains_key(&key) {
            return;
        }
        if let Some(report) = self.reports.get(&key) {
            self.link.send(FromAgent::Finished(report));
            return;
        }
        // A newer fence of the same job: what the older one does or did counts no more.
        let older: Vec<AttemptKey> = self
            .attempts
            .keys()
            .chain(self.reports.keys())
            .filter(|(job, fence)| *job == key.0 && *fence != key.1)
            .cloned()
            .collect();
        for older in &older {
            self.drop_attempt(older);
            self.forget(older);
        }
        if let Err(why) = self.start(&assign, key) {
            tracing::warn!(job_id = assign.job_id, why, "an attempt is refused");
            self.keep(refusal(&assign, &why));
        }
    }

    fn start(&mut self, assign: &Assign, key_of_attempt: AttemptKey) -> Result<(), String> {
        if self.is_draining {
            return Err("the agent is stopping".to_owned());
        }
        let model = assign.model.as_ref().ok_or("the assignment names no model")?;
        let worker = self
            .workers
            .get_mut(&assign.worker_id)
            .ok_or_else(|| format!("no worker \"{}\"", assign.worker_id))?;
        let taken = worker.take(model, &self.agent.maker)?;
        let cancel = CancellationToken::new();
        let (hold_control, hold) = HoldControl::new();
        let (report, reader) = Reporter::new();
        let running = Running {
            worker_id: assign.worker_id.clone(),
            model: key(model),
            cancel: cancel.clone(),
            hold: hold_control,
            snapshot: reader.clone(),
            is_stale: false,
            is_evicted: false,
            phase: None,
        };
        self.attempts.insert(key_of_attempt, running);
        let attempt = Attempt {
            assign: assign.clone(),
            runtime: taken.runtime,
            evict: taken.evict,
            cancel,
            hold,
            report,
            reader,
            events: self.sender.clone(),
            http: self.agent.http.clone(),
            folder: self.agent.attempts.clone(),
        };
        let span = tracing::info_span!(
            "attempt",
            job_id = assign.job_id,
            fence = assign.fence,
            worker = assign.worker_id,
            model = model.name
        );
        backlot_foundation_telemetry::continue_trace(&span, &assign.traceparent);
        let running = AbortOnDropHandle::new(tokio::spawn(attempt.run().instrument(span)));
        let (sender, assign) = (self.sender.clone(), assign.clone());
        self.tasks.spawn(async move {
            let report = running.await.unwrap_or_else(|error| {
                tracing::error!(%error, "an attempt's task failed");
                refusal(&assign, "the agent failed while it ran this")
            });
            // Nobody listens only where the agent ends.
            let _ = sender.send(Event::Finished(Box::new(report))).await;
        });
        Ok(())
    }

    fn cancel(&mut self, cancel: CancelAttempt) {
        let key = (cancel.job_id, cancel.fence);
        if let Some(running) = self.attempts.get(&key) {
            running.cancel.cancel();
            return;
        }
        // Nothing of it runs here, which is what a canceled attempt's report says.
        let report = self.reports.get(&key).unwrap_or_else(|| AttemptFinished {
            job_id: key.0,
            fence: key.1,
            outcome: "canceled".to_owned(),
            ..AttemptFinished::default()
        });
        self.link.send(FromAgent::Finished(report));
    }

    /// An attempt stands still after the step that it computes, or goes on. One that has ended has said so.
    fn hold(&mut self, job_id: String, fence: String, wanted: bool) {
        if let Some(running) = self.attempts.get(&(job_id, fence)) {
            running.hold.set(wanted);
        }
    }

    /// Where control cannot be asked, what stands still goes on as soon as nothing else runs on its worker.
    fn go_on_alone(&self) {
        if self.link.is_welcome() {
            return;
        }
        for running in self.attempts.values().filter(|running| running.hold.is_wanted()) {
            let on_worker =
                |other: &&Running| other.worker_id == running.worker_id && !other.hold.is_wanted();
            if self.attempts.values().find(on_worker).is_none() {
                running.hold.set(false);
            }
        }
    }

    fn evict(&mut self, evict: &Evict) {
        let Some(runtime) =
            self.workers.get_mut(&evict.worker_id).and_then(|worker| worker.evict(&evict.model))
        else {
            return;
        };
        let sender = self.sender.clone();
        self.tasks.spawn(async move {
            runtime.unload().await;
            let _ = sender.send(Event::Unloaded).await;
        });
        self.report_residency();
    }

    fn prefetch(&mut self, prefetch: Prefetch) {
        let Some(model) = prefetch.model else {
            return;
        };
        let model_key = key(&model);
        let taken = match self.workers.get_mut(&prefetch.worker_id) {
            Some(worker) if !self.is_draining => worker.take(&model, &self.agent.maker),
            Some(_) | None => Err("the worker is not there".to_owned()),
        };
        let mut report =
            LoadFinished { worker_id: prefetch.worker_id, model: model_key, load_ms: 0, loaded: false };
        match taken {
            Ok(taken) => {
                let sender = self.sender.clone();
                self.tasks.spawn(async move {
                    let started = Instant::now();
                    for runtime in &taken.evict {
                        runtime.unload().await;
                    }
                    let loaded = taken.runtime.load(&CancellationToken::new()).await;
                    if let Err(error) = &loaded {
                        tracing::warn!(%error, model = report.model, "a model could not be loaded ahead");
                    }
                    report.loaded = loaded.is_ok();
                    report.load_ms = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
                    let _ = sender.send(Event::Loaded(report)).await;
                });
            }
            Err(why) => {
                tracing::warn!(why, model = report.model, "a model cannot be loaded ahead");
                self.link.send(FromAgent::Loaded(report));
            }
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
