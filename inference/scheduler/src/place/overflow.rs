//! Overflow: a third party that is paid by use, for jobs that would break the promise here, under a cap.
//!
//! Its workers are agents like any other that say whose they are; they never stand among the fleet's own. Every second, while
//! jobs wait, each line is asked for the first job whose told start breaks the promise ([`PROMISE_MS`](limits::PROMISE_MS)); it
//! goes out where the third party serves its model, has room, and the most that it can cost still fits under the caps of
//! this day. What it can cost is charged before it is assigned, and bounded: where the price is by time, the attempt is stopped
//! when its charge is used up. What was not used is given back when the agent reports; an attempt that was lost stays
//! charged, because nobody knows what it did.
//!
//! A third party says which tiers it takes: what is done whenever it is cheap has no promise that is worth its price.
//!
//! A job that is bound to regions never leaves, nor does one that is ahead of its tenant's share: nobody buys what others pay
//! for by asking for too much.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    effect::{Assignment, Effect},
    estimate::{Estimate, Impossible},
    event::{AttemptOutcome, Charge, PaidSpec},
    fleet::Loading,
    limits,
    scheduler::Scheduler,
    state::{Lease, Place, State, Status},
    timers::Timer,
    types::{Fence, PoolKey, TenantKey, Tier, TimeUs},
};

const DAY_US: i64 = 86_400_000_000;

/// Third parties, what they may cost and what they have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overflow {
    rows: BTreeMap<PoolKey, Account>,
    /// Their workers that are connected, by row.
    workers: BTreeMap<u32, PoolKey>,
    /// What running attempts were charged, and on whose account.
    charges: BTreeMap<Fence, (TenantKey, Charge)>,
    look_at: Option<TimeUs>,
}

/// A third party's account: of today, and of yesterday for what was charged then and still runs.
#[derive(Clone, Debug)]
struct Account {
    spec: PaidSpec,
    days: BTreeMap<i64, Day>,
}

#[derive(Clone, Debug, Default)]
struct Day {
    spent: BTreeMap<TenantKey, i64>,
    total: i64,
}

fn day_of(now: TimeUs) -> i64 {
    now.0.div_euclid(DAY_US)
}

impl Account {
    fn new(spec: PaidSpec) -> Self {
        Self { spec, days: BTreeMap::new() }
    }

    /// What the tenant has spent on a day after it spends so much more; `None` where that is above a cap.
    fn after(&self, day: i64, tenant: &TenantKey, micro: i64) -> Option<i64> {
        let closed = self.days.len() >= limits::OVERFLOW_DAYS
            && self.days.first_key_value().is_some_and(|(first, _)| day < *first);
        if closed {
            return None;
        }
        let none = Day::default();
        let day = self.days.get(&day).unwrap_or(&none);
        let own = day.spent.get(tenant).copied();
        let room = own.is_some() || day.spent.len() < limits::OVERFLOW_TENANTS_MAX;
        let own = own.unwrap_or(0).checked_add(micro)?;
        let all = day.total.checked_add(micro)?;
        let tenant_cap = self.spec.tenant_cap_micro_per_day.unwrap_or(i64::MAX);
        (room && all <= self.spec.cap_micro_per_day && own <= tenant_cap).then_some(own)
    }

    /// Sets what a tenant has spent on a day. Days that are longer over than an attempt may take are closed.
    fn put(&mut self, day: i64, tenant: &TenantKey, micro: i64) {
        let row = self.days.entry(day).or_default();
        let before = row.spent.insert(tenant.clone(), micro).unwrap_or(0);
        row.total = row.total.saturating_add(micro - before);
        while self.days.len() > limits::OVERFLOW_DAYS {
            self.days.pop_first();
        }
    }

    /// What a tenant has spent on a day that is not closed.
    fn spent(&self, day: i64, tenant: &TenantKey) -> Option<i64> {
        self.days.get(&day)?.spent.get(tenant).copied()
    }
}

impl PaidSpec {
    /// Milliseconds that a job may take there, where time costs: twice what it should, and the most that it can cost.
    fn bound(&self, run_ms: i64) -> (Option<i64>, i64) {
        if self.price_micro_per_second <= 0 {
            return (None, self.price_micro_per_job.max(0));
        }
        let seconds = ((run_ms.max(0) as f64 * limits::OVERFLOW_SPARE / 1_000.0).ceil() as i64).max(1);
        let micro = seconds.saturating_mul(self.price_micro_per_second);
        (Some(seconds.saturating_mul(1_000)), micro.saturating_add(self.price_micro_per_job.max(0)))
    }
}

impl Charge {
    /// What an attempt that computed for so long costs.
    fn used(&self, compute_ms: i64) -> i64 {
        let seconds = compute_ms.max(0).saturating_add(999) / 1_000;
        let micro = seconds.saturating_mul(self.price_micro_per_second.max(0));
        micro.saturating_add(self.price_micro_per_job.max(0)).min(self.micro)
    }
}

impl Overflow {
    fn is_off(&self) -> bool {
        self.workers.is_empty()
    }

    pub(crate) fn look_at(&self) -> Option<TimeUs> {
        self.look_at
    }

    pub(crate) fn is_paid(&self, pool: Option<&PoolKey>) -> bool {
        pool.is_some_and(|pool| self.rows.contains_key(pool))
    }

    pub(crate) fn joined(&mut self, worker: u32, pool: PoolKey) {
        self.workers.insert(worker, pool);
    }

    pub(crate) fn dropped(&mut self, worker: u32) {
        self.workers.remove(&worker);
    }

    /// Whether an attempt was cut off because what it was charged was used up.
    pub(crate) fn is_cut(&self, fence: Fence) -> bool {
        self.charges.get(&fence).is_some_and(|(_, charge)| charge.cut)
    }

    /// Whether an attempt runs outside: how long that takes says nothing of the fleet.
    pub(crate) fn is_outside(&self, fence: Fence) -> bool {
        self.charges.contains_key(&fence)
    }

    /// An attempt runs outside and was charged: now, or before the driver's restart.
    pub(crate) fn charged(&mut self, fence: Fence, tenant: TenantKey, charge: Charge) {
        self.charges.insert(fence, (tenant, charge));
    }

    pub(crate) fn ended(&mut self, fence: Fence) {
        self.charges.remove(&fence);
    }
}

impl State {
    /// Tiers whose jobs a third party takes of the model now, whatever it costs.
    fn tiers_outside(&self, model: u32, place: &Place) -> BTreeSet<Tier> {
        let workers = self.overflow.workers.iter().filter(|_| matches!(place, Place::Anywhere));
        let serving = workers.filter(|(id, _)| self.serves(**id, model));
        let accounts = serving.filter_map(|(_, pool)| self.overflow.rows.get(pool));
        accounts.flat_map(|account| account.spec.tiers.iter().copied()).collect()
    }

    /// A third party's worker says by name what it runs: its machine is nobody's business.
    fn serves(&self, worker: u32, model: u32) -> bool {
        let Some(worker) = self.fleet.workers.get(worker) else { return false };
        let agent = self.fleet.agent(&worker.key.agent).map(|(_, agent)| agent);
        let takes = agent.is_some_and(|agent| agent.connected && !agent.draining);
        let row = &self.models[model as usize];
        takes && row.profile.is_some() && worker.spec.models.contains(&row.name)
    }

    /// The cheapest worker outside that takes the model now, with what it can cost at most and how long it may take.
    fn outside(
        &self,
        now: TimeUs,
        model: u32,
        run_ms: i64,
        (tenant, tier): (&TenantKey, Tier),
    ) -> Option<(u32, i64, i64)> {
        let overflow = &self.overflow;
        let takes = overflow.workers.iter().filter_map(|(id, pool)| {
            let (account, worker) = (overflow.rows.get(pool)?, self.fleet.workers.get(*id)?);
            if worker.is_full() || !account.spec.tiers.contains(&tier) || !self.serves(*id, model) {
                return None;
            }
            let of_pool = overflow.workers.iter().filter(|(_, other)| *other == pool);
            let running: usize =
                of_pool.filter_map(|(id, _)| self.fleet.workers.get(*id)).map(|one| one.running.len()).sum();
            let (may_ms, micro) = account.spec.bound(run_ms);
            let fits = account.after(day_of(now), tenant, micro).is_some();
            let may_ms = may_ms.unwrap_or(i64::MAX).min(self.timeout_ms(model));
            (running < account.spec.slots as usize && fits).then_some((micro, *id, may_ms))
        });
        takes.min().map(|(micro, id, may_ms)| (id, micro, may_ms))
    }

    /// The answer where nothing here can run a job: a third party that takes it, or why nobody can.
    pub(crate) fn outside_or(
        &self,
        now: TimeUs,
        model: u32,
        place: &Place,
        run_ms: i64,
        whose: (&TenantKey, Tier),
        why: Impossible,
    ) -> Result<Estimate, Impossible> {
        let served = matches!(place, Place::Anywhere) && self.outside(now, model, run_ms, whose).is_some();
        let start_ms = limits::OVERFLOW_LOOK_MS;
        let told = Estimate { position: 0, start_p50_ms: start_ms, start_p90_ms: 2 * start_ms, run_ms };
        if served { Ok(told) } else { Err(why) }
    }

    /// Whether the job should go out: what is told of its start here breaks the promise.
    fn breaks_promise(&self, now: TimeUs, slot: u32) -> bool {
        let Some(job) = self.jobs.get(slot) else { return false };
        // Once, and only for the first attempt: what failed outside is tried again here.
        if job.early || job.attempts_ended > 0 || job.cancel_requested || !matches!(job.status, Status::Ready)
        {
            return false;
        }
        let place = self.places.key(self.lines.line(job.line).place);
        let told = self.outlook(now, job.model, place, job.rank, job.run_ms);
        let waited_ms = now.since_ms(job.created_at);
        // A job that takes longer than the promise breaks it anywhere: it is asked to begin within its half.
        let left_ms = limits::PROMISE_MS - (job.run_ms as f64).min(limits::PROMISE_MS / 2.0);
        told.map_or(true, |told| (waited_ms.saturating_add(told.start_p50_ms)) as f64 > left_ms)
    }

    /// Jobs that would break the promise here and that somebody outside serves, a few by line.
    fn breaking(&self, now: TimeUs) -> Vec<u32> {
        let heads = self.lines.heads.iter().map(|(_, line)| *line).take(limits::HEADS_SCANNED);
        let lines = heads.chain(self.lines.stalled().take(limits::HEADS_SCANNED));
        let slots = lines.filter_map(|line| {
            let row = self.lines.line(line);
            let tiers = self.tiers_outside(row.model, self.places.key(row.place));
            let jobs =
                row.jobs.values().take(if tiers.is_empty() { 0 } else { limits::FORECAST_JOBS as usize });
            let takes = |slot: &u32| self.jobs.get(*slot).is_some_and(|job| tiers.contains(&job.tier));
            jobs.copied().find(|slot| takes(slot) && self.breaks_promise(now, *slot))
        });
        slots.collect()
    }
}

impl Scheduler {
    pub(crate) fn paid_changed(&mut self, spec: PaidSpec) {
        let rows = &mut self.state.overflow.rows;
        if let Some(account) = rows.get_mut(&spec.pool) {
            account.spec = spec;
        } else if rows.len() < limits::POOLS_MAX {
            rows.insert(spec.pool.clone(), Account::new(spec));
        }
    }

    /// What was spent before the driver's restart.
    pub(crate) fn paid_spent(&mut self, pool: &PoolKey, tenant: &TenantKey, day: i64, micro: i64) {
        if let Some(account) = self.state.overflow.rows.get_mut(pool) {
            account.put(day, tenant, micro);
        }
    }

    /// Looks again soon while somebody outside could help.
    pub(crate) fn watch_overflow(&mut self, now: TimeUs) {
        let overflow = &mut self.state.overflow;
        if !overflow.is_off() && overflow.look_at.is_none() && self.state.lines.waiting > 0 {
            let at = now.plus_ms(limits::OVERFLOW_LOOK_MS);
            overflow.look_at = Some(at);
            self.state.timers.set(at, Timer::Overflow);
        }
    }

    pub(crate) fn look_outside(&mut self, now: TimeUs, effects: &mut Vec<Effect>) {
        self.state.overflow.look_at = None;
        // Where nothing starts at home nobody else counts them.
        self.state.count_due(now);
        // Each that goes shortens its line: what stands behind it is looked at again.
        for _ in 0..limits::OVERFLOW_AT_ONCE {
            let mut sent = false;
            for slot in self.state.breaking(now) {
                sent |= self.send_out(now, slot, effects);
            }
            if !sent {
                return;
            }
        }
    }

    /// Charges a job and leases it to a worker outside, where one takes it under the caps.
    fn send_out(&mut self, now: TimeUs, slot: u32, effects: &mut Vec<Effect>) -> bool {
        let state = &mut self.state;
        let Some(row) = state.jobs.get(slot) else { return false };
        let (job, model, run_ms, tier) = (row.key, row.model, row.run_ms, row.tier);
        let tenant = state.tenant_names.key(row.tenant).clone();
        let Some((id, micro, may_ms)) = state.outside(now, model, run_ms, (&tenant, tier)) else {
            return false;
        };
        let Some(pool) = state.overflow.workers.get(&id).cloned() else { return false };
        let Some(worker) = state.fleet.workers.get(id) else { return false };
        let (key, serial) = (worker.key.clone(), worker.serial);
        let day = day_of(now);
        let Some(account) = state.overflow.rows.get_mut(&pool) else { return false };
        let Some(spent) = account.after(day, &tenant, micro) else { return false };
        account.put(day, &tenant, spent);
        let PaidSpec { price_micro_per_job, price_micro_per_second, .. } = account.spec;
        effects.push(Effect::Spent { pool: pool.clone(), tenant: tenant.clone(), day, micro: spent });
        let cut = may_ms < self.state.timeout_ms(model);
        let charge = Charge { pool, day, micro, price_micro_per_job, price_micro_per_second, may_ms, cut };
        self.sequence += 1;
        let fence = Fence { epoch: self.epoch, sequence: self.sequence };
        self.state.overflow.charged(fence, tenant, charge.clone());
        let lease_ms = limits::LEASE_MS;
        let times_out_at = now.plus_ms(may_ms.saturating_add(limits::TIMEOUT_GRACE_MS));
        let lease = Lease::assigned(now, fence, key.clone(), Some((id, serial)), times_out_at);
        self.leave_queue(slot);
        self.begin_lease(now, slot, lease, Loading::default());
        effects.push(Effect::Assign(Assignment {
            job,
            fence,
            worker: key,
            lease_ms,
            timeout_ms: may_ms,
            warm: true,
            charge: Some(Box::new(charge)),
            batch: None,
        }));
        true
    }

    /// The agent says how an attempt ended: what it did not use is given back, all of it where it never began.
    pub(crate) fn settle_outside(
        &mut self,
        fence: Fence,
        began: bool,
        outcome: AttemptOutcome,
        compute_ms: i64,
        effects: &mut Vec<Effect>,
    ) {
        let Some((tenant, charge)) = self.state.overflow.charges.remove(&fence) else { return };
        let Some(account) = self.state.overflow.rows.get_mut(&charge.pool) else { return };
        let began = began || compute_ms > 0 || outcome == AttemptOutcome::Succeeded;
        let used = if began { charge.used(compute_ms) } else { 0 };
        let Some(before) = account.spent(charge.day, &tenant).filter(|_| used < charge.micro) else { return };
        let micro = (before - (charge.micro - used)).max(0);
        account.put(charge.day, &tenant, micro);
        let Charge { pool, day, .. } = charge;
        effects.push(Effect::Spent { pool, tenant, day, micro });
    }
}
