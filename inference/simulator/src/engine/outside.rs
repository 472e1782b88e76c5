//! A third party that computes for money by use: an agent with one worker, whose machines are nobody's business. It has every
//! model warm, answers after a while, fails now and then, and sends a bill.

use std::{collections::BTreeMap, sync::Arc};

use backlot_inference_scheduler::{
    AgentKey, AgentSpec, Assignment, AttemptOutcome, Event, FailureClass, Fence, JobKey, PaidSpec, PoolKey,
    RegionKey, RunningAttempt, TenantKey, Tier, WorkerSpec,
};

use super::{Computed, Engine, clock::Happening};
use crate::rng::Rng;

const NAME: &str = "outside";
const WORKER: &str = "api";
const HEARTBEAT_US: i64 = 10_000_000;
const LATENCY_KEY: u64 = 0x0F17;
const FAIL_KEY: u64 = 0x0F1A;
/// Stands for the GPU of what a third party computed.
const NO_GPU: usize = u32::MAX as usize;

/// A third party: synthetic, because no public trace has one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutsideSetup {
    /// Micro-dollars a job.
    pub price_micro_per_job: i64,
    /// Micro-dollars a begun second of compute.
    pub price_micro_per_second: i64,
    /// Attempts there at once.
    pub slots: u32,
    /// Micro-dollars a day, of all and of one tenant.
    pub cap_micro_per_day: i64,
    /// The same of one tenant; `None`: only the cap of all.
    pub tenant_cap_micro_per_day: Option<i64>,
    /// Until it begins to compute: an exponential distribution with this mean, microseconds.
    pub latency_us: i64,
    /// Attempts that fail with a retryable error, in thousandths; they are billed.
    pub fail_permille: u32,
    /// Its speed in thousandths of the reference.
    pub speed_milli: u32,
}

/// What a third party was used for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OutsideBill {
    /// Attempts that it was given.
    pub attempts: u64,
    /// Attempts that failed there.
    pub failed: u64,
    /// What it asks for, micro-dollars.
    pub billed_micro: i64,
    /// What the policy has on its account, micro-dollars: never less.
    pub charged_micro: i64,
}

#[derive(Clone, Copy, Debug)]
struct Out {
    job: usize,
    may_us: i64,
    began_us: Option<i64>,
}

/// The third party as it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Outside {
    running: BTreeMap<Fence, Out>,
    account: BTreeMap<(i64, TenantKey), i64>,
    beating: bool,
    bill: OutsideBill,
}

pub(super) fn is_outside(agent: &AgentKey) -> bool {
    agent.as_str() == NAME
}

impl Engine<'_> {
    pub(super) fn open_outside(&mut self) {
        let Some(setup) = self.setup.outside else { return };
        self.inbox.push_back(Event::PaidChanged(PaidSpec {
            pool: PoolKey::from(NAME),
            price_micro_per_job: setup.price_micro_per_job,
            price_micro_per_second: setup.price_micro_per_second,
            slots: setup.slots,
            cap_micro_per_day: setup.cap_micro_per_day,
            tenant_cap_micro_per_day: setup.tenant_cap_micro_per_day,
            tiers: [Tier::Interactive, Tier::Standard].into(),
        }));
        let models = self.workload.models.iter().map(|name| Arc::from(format!("sim/{name}"))).collect();
        let worker = WorkerSpec {
            worker: Arc::from(WORKER),
            gpus: 1,
            memory_mib: 0,
            slots: 1,
            concurrency: setup.slots,
            models,
            speed_milli: setup.speed_milli,
            overlap: false,
            pool: Some(PoolKey::from(NAME)),
            batches: false,
        };
        let (agent, region) = (AgentKey::from(NAME), RegionKey::from(NAME));
        self.inbox.push_back(Event::AgentJoined(AgentSpec {
            agent,
            region,
            workers: vec![worker],
            running: Vec::new(),
        }));
    }

    /// A job is leased to the third party.
    pub(super) fn send_outside(&mut self, job: usize, given: &Assignment) -> Result<(), String> {
        let setup = self.setup.outside.ok_or_else(|| format!("{} does not exist", given.worker))?;
        if self.outside.running.len() >= setup.slots as usize {
            return Err(format!("{} is full", given.worker));
        }
        if given.charge.is_none() {
            return Err(format!("job {job} goes out and is not charged"));
        }
        self.jobs[job].lease = Some((given.fence, NO_GPU));
        self.jobs[job].attempts += 1;
        self.tally.attempts += 1;
        self.outside.bill.attempts += 1;
        let out = Out { job, may_us: given.timeout_ms.saturating_mul(1000), began_us: None };
        self.outside.running.insert(given.fence, out);
        let mut rng = Rng::keyed(self.setup.seed, &[LATENCY_KEY, job as u64, given.fence.sequence]);
        let after_us = rng.exponential(setup.latency_us as f64) as i64;
        self.clock.at(self.now_us + after_us, Happening::OutsideBegins(given.fence));
        if !std::mem::replace(&mut self.outside.beating, true) {
            self.clock.at(self.now_us + HEARTBEAT_US, Happening::OutsideBeats);
        }
        Ok(())
    }

    pub(super) fn outside_begins(&mut self, fence: Fence) {
        let now_us = self.now_us;
        let Some(setup) = self.setup.outside else { return };
        let Some(out) = self.outside.running.get_mut(&fence) else { return };
        out.began_us = Some(now_us);
        let (job, may_us) = (out.job, out.may_us);
        let lasts_us = self.workload.requests[job].warm_us * 1000 / i64::from(setup.speed_milli.max(1));
        self.begins(job);
        self.inbox.push_back(Event::AttemptStarted { job: JobKey(job as u128), fence });
        // The agent stops what takes longer than it was charged for.
        self.clock
            .at(now_us + lasts_us.min(may_us), Happening::OutsideEnds { fence, done: lasts_us <= may_us });
    }

    pub(super) fn outside_ends(&mut self, fence: Fence, done: bool) {
        let Some(setup) = self.setup.outside else { return };
        let Some(out) = self.outside.running.get(&fence) else { return };
        let (job, began_us) = (out.job, out.began_us.unwrap_or(self.now_us));
        let key = [FAIL_KEY, job as u64, fence.sequence];
        let fails = Rng::keyed(self.setup.seed, &key).below(1000) < setup.fail_permille as usize;
        let outcome = match (done, setup.fail_permille > 0 && fails) {
            (true, false) => {
                let computed = Computed {
                    began_us,
                    computed_us: began_us,
                    base_us: 0,
                    adapter_us: 0,
                    adapter_loads: 0,
                    gpu: NO_GPU,
                    held_us: 0,
                    batched: 1,
                };
                self.jobs[job].computed.push((fence, computed));
                AttemptOutcome::Succeeded
            }
            (true, true) => AttemptOutcome::Failed { class: FailureClass::ModelError, retryable: true },
            (false, _) => AttemptOutcome::Failed { class: FailureClass::TimedOut, retryable: false },
        };
        self.outside.bill.failed += u64::from(outcome != AttemptOutcome::Succeeded);
        self.outside_reports(fence, outcome);
    }

    /// The policy wants an attempt to end, wherever it is.
    pub(super) fn stop_outside(&mut self, fence: Fence) {
        self.outside_reports(fence, AttemptOutcome::Canceled);
    }

    /// An attempt is over and is billed: each one that began, by begun second.
    fn outside_reports(&mut self, fence: Fence, outcome: AttemptOutcome) {
        let Some(setup) = self.setup.outside else { return };
        let Some(out) = self.outside.running.remove(&fence) else { return };
        let computed_us = out.began_us.map_or(0, |began_us| self.now_us - began_us);
        if out.began_us.is_some() {
            let seconds = (computed_us + 999_999) / 1_000_000;
            self.outside.bill.billed_micro +=
                setup.price_micro_per_job + seconds * setup.price_micro_per_second;
        }
        // What began says so; a begun millisecond counts, or a begun second would be billed and not charged.
        let compute_ms = if out.began_us.is_some() { ((computed_us + 999) / 1000).max(1) } else { 0 };
        let job = JobKey(out.job as u128);
        self.inbox.push_back(Event::Finished { job, fence, outcome, load_ms: 0, compute_ms, batched: 1 });
    }

    pub(super) fn outside_beats(&mut self) {
        self.outside.beating = false;
        if self.outside.running.is_empty() {
            return;
        }
        let running = self.outside.running.iter().map(|(fence, out)| RunningAttempt {
            job: JobKey(out.job as u128),
            fence: *fence,
            worker: Arc::from(WORKER),
            paused: false,
            held_ms: 0,
            batch: None,
        });
        let running = running.collect();
        self.inbox.push_back(Event::Heartbeat { agent: AgentKey::from(NAME), running });
        self.outside.beating = true;
        self.clock.at(self.now_us + HEARTBEAT_US, Happening::OutsideBeats);
    }

    /// The policy's account of a tenant and a day. It never passes a cap.
    pub(super) fn spent(&mut self, tenant: TenantKey, day: i64, micro: i64) -> Result<(), String> {
        let setup = self.setup.outside.ok_or("nobody is paid")?;
        let before = self.outside.account.insert((day, tenant.clone()), micro).unwrap_or(0);
        self.outside.bill.charged_micro += micro - before;
        let of_day = self.outside.account.iter().filter(|((other, _), _)| *other == day);
        let all: i64 = of_day.map(|(_, micro)| *micro).sum();
        let own_cap = setup.tenant_cap_micro_per_day.unwrap_or(i64::MAX);
        if all > setup.cap_micro_per_day || micro > own_cap {
            return Err(format!("{tenant} has spent {micro} of {all} on day {day}: above a cap"));
        }
        Ok(())
    }

    /// What was used, where there is a third party. Its bill is never above what was charged.
    pub(super) fn outside_bill(&self) -> Option<OutsideBill> {
        self.setup.outside.map(|_| self.outside.bill.clone())
    }
}
