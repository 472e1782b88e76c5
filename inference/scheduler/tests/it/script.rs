//! A scheduler that is driven step by step, and its effects as text.

use std::{collections::BTreeSet, sync::Arc};

use backlot_inference_scheduler::{
    AgentKey, AgentSpec, AttemptOutcome, Batching, Effect, Event, Features, Fence, JobKey, JobSpec, ModelKey,
    ModelProfile, Offers, Pausing, RegionKey, RunningAttempt, Scheduler, TenantKey, Tier, TimeUs, WorkerSpec,
};
use expect_test::Expect;

pub(crate) struct Script {
    pub(crate) scheduler: Scheduler,
    pub(crate) now: TimeUs,
}

pub(crate) fn job(n: u128) -> JobSpec {
    JobSpec {
        job: JobKey(n),
        tenant: TenantKey::from("studio/t1"),
        model: ModelKey::from("own/a:1"),
        tier: Tier::Standard,
        created_at: TimeUs(0),
        ttl_ms: 3_600_000,
        predicted_ms: 0,
        regions: BTreeSet::new(),
        features: Features::default(),
        adapters: Arc::from([]),
        data_region: None,
        deadline: None,
        batch_key: 0,
    }
}

pub(crate) fn model(name: &str, load_ms: i64) -> ModelProfile {
    let (model, offers) = (ModelKey::from(name), Offers::default());
    ModelProfile { model, load_ms, run_ms: 1_000, memory_mib: 100, gpus: 0, timeout_ms: 60_000, offers }
}

/// A model whose runs take minutes, and whose runtime can pause them.
pub(crate) fn long_model(name: &str) -> ModelProfile {
    let offers = Offers { pause: Some(Pausing { cost_ms: 100 }), ..Offers::default() };
    ModelProfile { run_ms: 300_000, timeout_ms: 600_000, offers, ..model(name, 0) }
}

/// A model that takes up to four jobs in one call, each further one a quarter of what one takes.
pub(crate) fn batch_model(name: &str) -> ModelProfile {
    let batch = Some(Batching { max: 4, more_permille: 250, memory_mib: 40 });
    let offers = Offers { batch, ..Offers::default() };
    ModelProfile { run_ms: 10_000, timeout_ms: 60_000, offers, ..model(name, 0) }
}

pub(crate) fn worker(name: &str) -> WorkerSpec {
    let worker = Arc::from(name);
    WorkerSpec {
        worker,
        gpus: 0,
        memory_mib: 0,
        slots: 1,
        concurrency: 1,
        models: BTreeSet::new(),
        speed_milli: 1_000,
        overlap: false,
        pool: None,
        batches: true,
    }
}

pub(crate) fn agent(name: &str, workers: Vec<WorkerSpec>, running: Vec<RunningAttempt>) -> Event {
    let (agent, region) = (AgentKey::from(name), RegionKey::from("local"));
    Event::AgentJoined(AgentSpec { agent, region, workers, running })
}

pub(crate) fn running(job: u128, fence: Fence, worker: &str) -> RunningAttempt {
    RunningAttempt {
        job: JobKey(job),
        fence,
        worker: Arc::from(worker),
        paused: false,
        held_ms: 0,
        batch: None,
    }
}

pub(crate) fn fence(sequence: u64) -> Fence {
    Fence { epoch: 1, sequence }
}

pub(crate) fn finished(job: u128, sequence: u64, outcome: AttemptOutcome) -> Event {
    Event::Finished {
        job: JobKey(job),
        fence: fence(sequence),
        outcome,
        load_ms: 0,
        compute_ms: 10,
        batched: 0,
    }
}

impl Script {
    pub(crate) fn new() -> Self {
        let mut script = Self { scheduler: Scheduler::new(1), now: TimeUs(1_000_000) };
        for (name, load_ms) in [("own/a:1", 500), ("own/b:1", 500), ("own/free:1", 0)] {
            script.apply(Event::ModelChanged(model(name, load_ms)));
        }
        script.apply(Event::ModelChanged(long_model("own/long:1")));
        script.apply(Event::ModelChanged(batch_model("own/many:1")));
        script
    }

    pub(crate) fn apply(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.scheduler.apply(self.now, event, &mut effects);
        self.scheduler.check().expect("invariants hold");
        effects
    }

    pub(crate) fn submit(&mut self, n: u128) -> Vec<Effect> {
        let spec = JobSpec { created_at: self.now, ..job(n) };
        self.apply(Event::Submitted(spec))
    }

    pub(crate) fn after_ms(&mut self, ms: i64) -> Vec<Effect> {
        self.now = self.now.plus_ms(ms);
        self.apply(Event::Tick)
    }
}

fn text(effects: &[Effect]) -> String {
    let line = |effect: &Effect| match effect {
        Effect::Assign(a) => {
            let with = a.batch.map(|batch| format!(" with {batch}")).unwrap_or_default();
            format!("assign {} {} {}{}{with}", a.job.0, a.fence, a.worker, if a.warm { " warm" } else { "" })
        }
        Effect::Prefetch { worker, model } => format!("prefetch {worker} {model}"),
        Effect::Evict { worker, model } => format!("evict {worker} {model}"),
        Effect::Keep { job, fence, .. } => format!("keep {} {fence}", job.0),
        Effect::Pause { job, fence, .. } => format!("pause {} {fence}", job.0),
        Effect::Resume { job, fence, .. } => format!("resume {} {fence}", job.0),
        Effect::StopAttempt { job, fence, why, .. } => format!("stop {} {fence} {why:?}", job.0),
        Effect::AttemptEnded { job, fence, end } => format!("ended {} {fence} {end:?}", job.0),
        Effect::LateReport { job, fence } => format!("late {} {fence}", job.0),
        Effect::Requeue { job, ready_at } => format!("requeue {} at {}", job.0, ready_at.0 / 1000),
        Effect::Succeeded { job, fence } => format!("succeeded {} {fence}", job.0),
        Effect::Failed { job, class } => format!("failed {} {class:?}", job.0),
        Effect::Canceled { job } => format!("canceled {}", job.0),
        Effect::Expired { job } => format!("expired {}", job.0),
        Effect::Retire { pool, agent } => format!("retire {agent} of {pool}"),
        Effect::Scale { pool, workers } => format!("scale {pool} to {workers}"),
        Effect::Spent { pool, tenant, day, micro } => format!("{tenant} spent {micro} with {pool} on {day}"),
        Effect::AgentForgotten { agent } => format!("forgotten {agent}"),
    };
    effects.iter().map(line).collect::<Vec<_>>().join("; ")
}

pub(crate) fn check(effects: &[Effect], expected: Expect) {
    expected.assert_eq(&text(effects));
}
