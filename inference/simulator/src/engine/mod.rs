//! The machine: a discrete-event simulation of agents, GPUs, loads and compute.
//!
//! The policy decides, the engine checks each decision against what really is, and carries it out. It never trusts a
//! policy: what cannot be is a [`Violation`], whoever made it.

mod agent;
mod batch;
mod carry;
mod clock;
mod deadline;
pub mod faults;
mod gpu;
pub mod outside;
mod pause;
pub mod pools;
pub mod setup;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use backlot_inference_scheduler::{
    AgentKey, Effect, Event, Features, Fence, JobKey, JobSpec, ModelKey, ModelProfile, RegionKey, TenantKey,
    TenantSpec, Tier, TimeUs,
};
use thiserror::Error;

use self::{
    clock::{Clock, Happening},
    gpu::{Gpu, Told},
    setup::{Decision, Setup},
};
use crate::{
    loads::Loads,
    outcome::{JobOutcome, Run, Tally, ToldStart},
    policy::Policy,
    workload::Workload,
};

/// Ticks that a policy may ask for without time passing.
const TICKS_AT_ONCE_MAX: u32 = 10_000;
/// A run that is not over this long after the last arrival will never be: forty days.
const AFTER_LAST_ARRIVAL_US_MAX: i64 = 40 * 86_400 * 1_000_000;
/// Jobs of one tenant that may wait: no limit in a simulation.
const QUEUED_MAX: u32 = u32::MAX;

/// A decision that cannot be, or a job that was lost: a fault of the policy, never of its input.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("at {at_us} µs, seed {seed}, policy {policy}: {what}")]
pub struct Violation {
    /// When.
    pub at_us: i64,
    /// The run's seed.
    pub seed: u64,
    /// The policy's name.
    pub policy: String,
    /// What.
    pub what: String,
}

/// A job as it really is.
#[derive(Clone, Debug, Default)]
struct Job {
    arrived: bool,
    /// Under which fence, and on which GPU.
    lease: Option<(Fence, usize)>,
    /// The last fence whose attempt ended with the result that counts.
    won: Option<Fence>,
    ended: bool,
    canceled: bool,
    attempts: u32,
    told: Option<ToldStart>,
    /// Attempts that really computed to their end.
    computed: Vec<(Fence, Computed)>,
}

/// What an attempt took.
#[derive(Clone, Copy, Debug)]
struct Computed {
    began_us: i64,
    computed_us: i64,
    base_us: i64,
    adapter_us: i64,
    adapter_loads: u32,
    gpu: usize,
    held_us: i64,
    batched: u32,
}

struct Engine<'a> {
    setup: &'a Setup,
    workload: &'a Workload,
    loads: &'a Loads,
    policy: &'a mut dyn Policy,
    now_us: i64,
    clock: Clock,
    gpus: Vec<Gpu>,
    gpu_of: HashMap<AgentKey, usize>,
    jobs: Vec<Job>,
    /// Jobs that have not ended, those that have not arrived counted.
    open: usize,
    fences: HashSet<Fence>,
    inbox: VecDeque<Event>,
    effects: Vec<Effect>,
    model_keys: Vec<ModelKey>,
    model_of: HashMap<ModelKey, u32>,
    models_known: Vec<bool>,
    tenants_known: Vec<bool>,
    adapter_names: Vec<Arc<str>>,
    tally: Tally,
    outcomes: Vec<Option<JobOutcome>>,
    decisions: Vec<Decision>,
    log: Option<Vec<(TimeUs, Event)>>,
    speculative: u64,
    late_waits: usize,
    late_flows: usize,
    digest: u64,
    pools: Vec<pools::Pool>,
    outside: outside::Outside,
}

/// Runs a workload under a policy; the events that it was given until its end or its first impossible decision.
pub fn run_logged(
    setup: &Setup,
    workload: &Workload,
    loads: &Loads,
    policy: &mut dyn Policy,
) -> (Vec<(TimeUs, Event)>, Result<(), Violation>) {
    let mut engine = Engine::new(setup, workload, loads, policy);
    engine.log = Some(Vec::new());
    let result = engine.go();
    (engine.log.unwrap_or_default(), result)
}

/// Runs a workload under a policy to its end.
pub fn run(
    setup: &Setup,
    workload: &Workload,
    loads: &Loads,
    policy: &mut dyn Policy,
) -> Result<Run, Violation> {
    Engine::new(setup, workload, loads, policy).run()
}

impl<'a> Engine<'a> {
    fn new(setup: &'a Setup, workload: &'a Workload, loads: &'a Loads, policy: &'a mut dyn Policy) -> Self {
        let model_keys: Vec<ModelKey> =
            workload.models.iter().map(|name| ModelKey::from(format!("sim/{name}:1").as_str())).collect();
        let model_of = model_keys.iter().cloned().zip(0..).collect();
        let count = workload.requests.len();
        let mut engine = Self {
            setup,
            workload,
            loads,
            policy,
            now_us: 0,
            clock: Clock::default(),
            gpus: Vec::new(),
            gpu_of: HashMap::new(),
            jobs: vec![Job::default(); count],
            open: count,
            fences: HashSet::new(),
            inbox: VecDeque::new(),
            effects: Vec::new(),
            models_known: vec![false; model_keys.len()],
            tenants_known: vec![false; workload.tenants.len()],
            adapter_names: workload.adapters.clone(),
            model_keys,
            model_of,
            tally: Tally::default(),
            outcomes: vec![None; count],
            decisions: Vec::new(),
            log: None,
            speculative: 0,
            late_waits: 0,
            late_flows: 0,
            digest: 0,
            pools: Vec::new(),
            outside: outside::Outside::default(),
        };
        for spec in &setup.fleet {
            engine.add_gpu(*spec);
        }
        if let Some(first) = workload.requests.first() {
            engine.clock.at(first.arrival_us, Happening::Arrival(0));
        }
        for planned in &setup.faults.plan {
            engine.clock.at(planned.at_us, Happening::Fault(planned.gpu, planned.fault));
        }
        engine
    }

    fn run(mut self) -> Result<Run, Violation> {
        self.go()?;
        Ok(self.finish())
    }

    fn go(&mut self) -> Result<(), Violation> {
        for gpu in 0..self.gpus.len() {
            self.join(gpu);
        }
        self.open_pools();
        self.open_outside();
        self.deliver()?;
        let last_us = self.workload.end_us().saturating_add(AFTER_LAST_ARRIVAL_US_MAX);
        let mut ticks_at_once = 0;
        while self.open > 0 && !self.lost_slo() {
            let wakeup_us = self.policy.next_wakeup().map(|at| at.0.max(self.now_us));
            let next_us = self.clock.next_us();
            if wakeup_us.is_none() && next_us.is_none() {
                return Err(self.violation(format!("{} jobs have no end and nothing will happen", self.open)));
            }
            if wakeup_us.is_some_and(|at| next_us.is_none_or(|next| at < next)) {
                let at = wakeup_us.unwrap_or(self.now_us);
                ticks_at_once = if at == self.now_us { ticks_at_once + 1 } else { 0 };
                self.now_us = at;
                self.inbox.push_back(Event::Tick);
            } else if let Some((at, happening)) = self.clock.pop() {
                ticks_at_once = 0;
                self.now_us = at;
                self.happens(happening);
            }
            if ticks_at_once > TICKS_AT_ONCE_MAX {
                return Err(self.violation("ticks do not end".to_owned()));
            }
            if self.now_us > last_us {
                return Err(self.violation(format!("{} jobs have no end", self.open)));
            }
            self.deliver()?;
        }
        Ok(())
    }

    /// Whether the promise that the run is about cannot be held any more.
    fn lost_slo(&self) -> bool {
        let Some(slo) = self.setup.stop_at else { return false };
        let count = self.jobs.len();
        self.late_waits > count - rank(count, 0.99)
            || (self.late_flows as f64) > (1.0 - slo.share) * count as f64 + 1e-9
    }

    fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::Arrival(job) => self.arrives(job),
            Happening::LoadEnds { gpu, serial } => self.load_ends(gpu, serial),
            Happening::ComputeEnds { gpu, serial } => self.compute_ends(gpu, serial),
            Happening::Ready { gpu } => self.pump(gpu),
            Happening::Heartbeat { gpu } => self.heartbeat(gpu),
            Happening::StepEnds { gpu, serial } => self.step_ends(gpu, serial),
            Happening::Stopped { gpu, fence } => self.stopped(gpu, fence),
            Happening::Report(event) => self.inbox.push_back(*event),
            Happening::Fault(gpu, fault) => self.fault(gpu, fault),
            Happening::Back { gpu } => self.back(gpu),
            Happening::Capacity { pool, available } => self.capacity(pool, available),
            Happening::Booted { pool, serial } => self.booted(pool, serial),
            Happening::OutsideBegins(fence) => self.outside_begins(fence),
            Happening::OutsideEnds { fence, done } => self.outside_ends(fence, done),
            Happening::OutsideBeats => self.outside_beats(),
            Happening::Cancel(job) => {
                self.inbox.push_back(Event::CancelRequested { job: JobKey(job as u128) });
            }
        }
    }

    /// Gives the policy what has happened, one by one, and carries out what it decides.
    fn deliver(&mut self) -> Result<(), Violation> {
        while let Some(event) = self.inbox.pop_front() {
            if let Some(log) = &mut self.log {
                log.push((TimeUs(self.now_us), event.clone()));
            }
            self.tally.events += 1;
            self.tells(&event);
            self.is_told(&event);
            if self.is_refused(&event).map_err(|what| self.violation(what))? {
                continue;
            }
            let mut effects = std::mem::take(&mut self.effects);
            self.policy.apply(TimeUs(self.now_us), event, &mut effects);
            for effect in effects.drain(..) {
                if self.setup.check {
                    self.digest = digest(self.digest, &format!("{} {effect:?}", self.now_us));
                }
                self.carry_out(effect)?;
            }
            self.effects = effects;
            if self.setup.check {
                self.policy.check().map_err(|what| self.violation(what))?;
            }
        }
        Ok(())
    }

    /// From this event on the policy knows whether an agent is there.
    fn tells(&mut self, event: &Event) {
        let (agent, told) = match event {
            Event::AgentJoined(spec) => (&spec.agent, Told::Joined),
            Event::AgentLost { agent } => (agent, Told::Gone),
            Event::AgentDraining { agent } => (agent, Told::Draining),
            _ => return,
        };
        if let Some(at) = self.gpu_of.get(agent) {
            let gpu = &mut self.gpus[*at];
            gpu.told = told;
            // From a cut on the policy may be wrong about what is resident: the agent makes room itself.
            gpu.unsure |= !gpu.resident.is_empty();
        }
    }

    /// Who submits a job is told when it will start.
    fn is_told(&mut self, event: &Event) {
        let Event::Submitted(spec) = event else { return };
        let told = self.policy.estimate(TimeUs(self.now_us), spec);
        let job = usize::try_from(spec.job.0).ok().and_then(|job| self.jobs.get_mut(job));
        if let (Some(told), Some(job)) = (told, job) {
            job.told = Some(ToldStart { p50_ms: told.start_p50_ms, p90_ms: told.start_p90_ms });
        }
    }

    fn arrives(&mut self, job: usize) {
        let request = &self.workload.requests[job];
        if let Some(next) = self.workload.requests.get(job + 1) {
            self.clock.at(next.arrival_us, Happening::Arrival(job + 1));
        }
        let (model, tenant) = (request.model as usize, request.tenant as usize);
        if !std::mem::replace(&mut self.models_known[model], true) {
            self.inbox.push_back(Event::ModelChanged(ModelProfile {
                model: self.model_keys[model].clone(),
                load_ms: self.setup.guess.load_ms,
                run_ms: self.setup.guess.run_ms,
                memory_mib: 0,
                gpus: 1,
                timeout_ms: 0,
                offers: self.offers(request.model),
            }));
        }
        let key = TenantKey::from(&*self.workload.tenants[tenant]);
        if !std::mem::replace(&mut self.tenants_known[tenant], true) {
            self.inbox.push_back(Event::TenantChanged(TenantSpec {
                tenant: key.clone(),
                weight_milli: 1000,
                queued_max: QUEUED_MAX,
                regions: std::collections::BTreeSet::new(),
            }));
        }
        self.jobs[job].arrived = true;
        self.plan_cancel(job);
        let request = &self.workload.requests[job];
        let adapters: Vec<Arc<str>> =
            request.adapters.iter().map(|at| self.adapter_names[*at as usize].clone()).collect();
        self.inbox.push_back(Event::Submitted(JobSpec {
            job: JobKey(job as u128),
            tenant: key,
            model: self.model_keys[model].clone(),
            tier: Tier::Standard,
            created_at: TimeUs(self.now_us),
            ttl_ms: self.setup.ttl_ms,
            predicted_ms: 0,
            regions: std::collections::BTreeSet::new(),
            features: Features {
                task: request.task.number(),
                steps: request.steps,
                count: request.images,
                size: 0,
            },
            adapters: adapters.into(),
            data_region: (self.setup.regions.len() > 1).then(|| self.region_key(request.region)),
            deadline: self.told_deadline(job),
            batch_key: 0,
        }));
    }

    fn region_key(&self, region: u16) -> RegionKey {
        RegionKey::from(&*self.setup.regions[usize::from(region)].name)
    }

    fn violation(&self, what: String) -> Violation {
        Violation { at_us: self.now_us, seed: self.setup.seed, policy: self.policy.name().to_owned(), what }
    }

    fn finish(mut self) -> Run {
        let now_us = self.now_us;
        let bills = self.bills();
        let outside = self.outside_bill();
        for gpu in &mut self.gpus {
            gpu.busy_us += gpu.busy_since_us.take().map_or(0, |since| now_us - since);
            gpu.up_us += gpu.up_since_us.take().map_or(0, |since| now_us - since);
        }
        Run {
            policy: self.policy.name().to_owned(),
            seed: self.setup.seed,
            gpus: self.setup.fleet.len() as u32,
            stopped_early: self.open > 0,
            outcomes: self.outcomes,
            tally: self.tally,
            busy_us: self.gpus.iter().map(|gpu| gpu.busy_us).sum(),
            up_us: self.gpus.iter().map(|gpu| gpu.up_us).sum(),
            end_us: now_us,
            decisions: self.decisions,
            digest: self.digest,
            bills,
            outside,
        }
    }
}

/// Adds a text to a digest (FNV-1a).
fn digest(before: u64, text: &str) -> u64 {
    text.bytes().fold(before ^ 0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

/// The place, counted from 1, of the value below which a share of all `count` lies (nearest rank).
pub(crate) fn rank(count: usize, share: f64) -> usize {
    ((count as f64 * share).ceil() as usize).clamp(1, count.max(1))
}
