//! Jobs that compute in one call. Where a model's runtime takes several jobs at once (dynamic batching), the head of a line
//! takes others of its line with it: same model, adapters, features and batch key. Nothing waits for a batch to form: what
//! waits when a worker gets room is what may go together.
//!
//! A batch must earn its cost. Another job joins while the whole call grows by less than that job would take alone, while
//! the waits that it saves, its own and of those behind it, exceed what it adds to those that are in it already, and
//! while nobody who is due and stands before it waits longer than if each went alone. Each job keeps its own lease,
//! fence, charge and end; a batch takes the room of one attempt. A job whose attempt ended without a result goes alone
//! from then on: one bad input cannot fail others twice.

use crate::{
    effect::{Assignment, Effect},
    event::Batching,
    fleet::{Loading, Worker},
    limits,
    lines::Rank,
    scheduler::Scheduler,
    state::{Job, Lease, State},
    types::{Fence, TimeUs, WorkerKey},
};

/// What a job's attempt shares with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// The fence of the first one.
    pub(crate) leader: Fence,
    /// What the whole call should take on its worker.
    pub(crate) run_ms: i64,
    /// Memory that this one takes beside the model's.
    pub(crate) more_mib: i64,
}

/// Those that go with the head of a line, and what all take at the reference's speed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Riders {
    pub(crate) slots: Vec<u32>,
    pub(crate) run_ms: i64,
    pub(crate) more_mib: i64,
}

/// Somebody who stands before those that might ride.
#[derive(Clone, Copy, Debug)]
struct Overtaken {
    tenant: u32,
    /// What those of the batch that stand before it would take one after another: the batch may take no longer.
    before_ms: i64,
}

/// A batch as it grows.
struct Growing {
    model: u32,
    said: Batching,
    /// What one takes alone.
    one_ms: i64,
    /// What all take together, and one after another.
    run_ms: i64,
    before_ms: i64,
    /// Of these what is not ahead of its tenant's share.
    due_ms: i64,
    overtaken: Vec<Overtaken>,
    /// Jobs of the line that are not in it, and what else serves them.
    behind: u32,
    hosts: usize,
    /// Until another worker could take one of them.
    elsewhere_ms: f64,
}

impl Growing {
    /// What the batch takes with one more, if that is worth it.
    fn with_one_more(&self, state: &State, size: usize) -> Option<i64> {
        let run_ms = state.together_ms(self.model, self.said, self.one_ms, size + 1);
        let more_ms = (run_ms - self.run_ms) as f64;
        let one_ms = self.one_ms as f64;
        if more_ms > one_ms * limits::BATCH_MARGIN || run_ms as f64 > one_ms * limits::BATCH_STRETCH {
            return None;
        }
        let alone_ms = self.elsewhere_ms.min(self.run_ms as f64) + one_ms;
        let behind = f64::from(self.behind.saturating_sub(1)) / self.hosts.max(1) as f64;
        let gained_ms = alone_ms - run_ms as f64 + behind * (one_ms - more_ms).max(0.0);
        (gained_ms > more_ms * size as f64).then_some(run_ms)
    }

    /// Whether nobody waits longer because of it.
    fn is_fair(&self, tenant: u32, run_ms: i64) -> bool {
        self.overtaken.iter().all(|other| other.tenant == tenant || run_ms <= other.before_ms)
    }
}

impl Scheduler {
    /// Leases those that ride to the worker of the first one.
    pub(crate) fn start_riders(
        &mut self,
        now: TimeUs,
        (id, key, serial): (u32, &WorkerKey, u64),
        riders: &[u32],
        loading: Loading,
        given: &Assignment,
        effects: &mut Vec<Effect>,
    ) {
        let times_out_at = now.plus_ms(given.timeout_ms + limits::TIMEOUT_GRACE_MS);
        for slot in riders {
            let Some(row) = self.state.jobs.get(*slot) else { continue };
            let (job, run_ms, again) = (row.key, row.run_ms, row.attempts_ended > 0);
            let (created_at, rank) = (row.created_at, row.rank);
            self.state.note_assigned(now, (created_at, rank.key), (run_ms, 0, again));
            self.sequence += 1;
            let fence = Fence { epoch: self.epoch, sequence: self.sequence };
            let lease = Lease::assigned(now, fence, key.clone(), Some((id, serial)), times_out_at);
            self.leave_queue(*slot);
            self.begin_lease(now, *slot, lease, Loading { pressed: false, ..loading });
            effects.push(Effect::Assign(Assignment { job, fence, ..given.clone() }));
        }
    }
}

impl State {
    /// What the model's runtime offers, where it takes several jobs at once.
    pub(crate) fn batching(&self, model: u32) -> Option<Batching> {
        let profile = self.models[model as usize].profile.as_ref();
        profile.and_then(|profile| profile.offers.batch).filter(|offer| offer.max > 1)
    }

    /// What so many jobs take together of which one takes `one_ms` alone.
    fn together_ms(&self, model: u32, said: Batching, one_ms: i64, size: usize) -> i64 {
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let growth = self.predictor.growth(model, size, said.more_permille);
        (one_ms as f64 * growth).round() as i64
    }

    /// Those that go with the head of a line on a worker; none where it goes alone.
    pub(crate) fn riders(&self, now: TimeUs, line: u32, id: u32) -> Option<Riders> {
        let row = self.lines.line(line);
        let said = self.batching(row.model).filter(|_| row.jobs.len() > 1)?;
        let worker = self.fleet.workers.get(id).filter(|worker| worker.spec.batches)?;
        let (first, head) =
            self.lines.head(line).and_then(|(rank, slot)| Some((rank, self.jobs.get(slot)?)))?;
        // What stands aside has given its room to one.
        if head.attempts_ended > 0 || worker.running.iter().any(|running| running.held.is_some()) {
            return None;
        }
        let most = self.batch_max(worker, row.model, said);
        let mut growing = self.growing(now, (id, worker), row.model, head, said);
        let mut others = self.others_before(now, (id, worker), line, growing.one_ms);
        while let Some((_, tenant)) = others.pop_if(|(other, _)| *other < first) {
            growing.overtaken.push(Overtaken { tenant, before_ms: 0 });
        }
        let (mut slots, mut knows_cold) = (Vec::new(), false);
        for (rank, slot) in row.jobs.range(first..).skip(1).take(limits::BATCH_SCANNED) {
            if slots.len() + 1 >= most {
                break;
            }
            let Some(job) = self.jobs.get(*slot) else { continue };
            while let Some((_, tenant)) = others.pop_if(|(other, _)| *other < *rank) {
                growing.overtaken.push(Overtaken { tenant, before_ms: growing.before_ms });
            }
            if !head.goes_with(job) {
                if !job.early {
                    growing.overtaken.push(Overtaken { tenant: job.tenant, before_ms: growing.before_ms });
                }
                continue;
            }
            // Who is ahead of its share holds nobody up who is due, wherever that one waits.
            if job.early && !std::mem::replace(&mut knows_cold, true) {
                let tenants = self.due_tenants(worker, line);
                let before_ms = growing.due_ms;
                growing.overtaken.extend(tenants.map(|tenant| Overtaken { tenant, before_ms }));
            }
            let Some(run_ms) = growing.with_one_more(self, slots.len() + 1) else { break };
            let in_time = |job: &Job| self.rides_in_time(now, worker, job, run_ms);
            let members = slots.iter().filter_map(|slot| self.jobs.get(*slot));
            let in_time = in_time(job) && in_time(head) && members.into_iter().all(in_time);
            if !in_time || !growing.is_fair(job.tenant, run_ms) {
                break;
            }
            slots.push(*slot);
            growing.run_ms = run_ms;
            growing.before_ms += growing.one_ms;
            growing.due_ms += if job.early { 0 } else { growing.one_ms };
            growing.behind = growing.behind.saturating_sub(1);
        }
        let run_ms = growing.run_ms;
        (!slots.is_empty()).then_some(Riders { slots, run_ms, more_mib: said.memory_mib.max(0) })
    }

    fn growing(
        &self,
        now: TimeUs,
        (id, worker): (u32, &Worker),
        model: u32,
        head: &Job,
        said: Batching,
    ) -> Growing {
        let one_ms = head.run_ms.max(1);
        let place = self.lines.line(head.line).place;
        let hosts = match self.models[model as usize].loads() {
            true => self.models[model as usize].replicas.len(),
            false => self.fleet.live,
        };
        // Times are compared at the reference's speed.
        let elsewhere_ms = self.next_room_ms(now, model, place, id);
        let elsewhere_ms = elsewhere_ms * f64::from(worker.spec.speed_milli) / 1_000.0;
        Growing {
            model,
            said,
            one_ms,
            run_ms: one_ms,
            before_ms: one_ms,
            due_ms: if head.early { 0 } else { one_ms },
            overtaken: Vec::new(),
            behind: self.models[model as usize].waiting.saturating_sub(1),
            hosts,
            elsewhere_ms,
        }
    }

    /// Jobs in one call on a worker: the model's word, and what its memory holds.
    fn batch_max(&self, worker: &Worker, model: u32, said: Batching) -> usize {
        let most = said.max.min(limits::BATCH_MAX) as usize;
        if worker.spec.memory_mib <= 0 || said.memory_mib <= 0 {
            return most;
        }
        let size = |model: u32| self.models[model as usize].profile.as_ref().map_or(0, |p| p.memory_mib);
        let others = worker.resident.iter().filter(|resident| resident.model != model);
        let taken: i64 = others.map(|resident| size(resident.model)).sum::<i64>() + size(model);
        let free = worker.spec.memory_mib - taken - worker.more_mib();
        most.min(1 + usize::try_from(free / said.memory_mib).unwrap_or(0))
    }

    /// Tenants of the other lines that are warm on a worker and that no other worker takes in time, with the place of their
    /// first job, the last one first.
    fn others_before(
        &self,
        now: TimeUs,
        (id, worker): (u32, &Worker),
        line: u32,
        one_ms: i64,
    ) -> Vec<(Rank, u32)> {
        let residents = worker.resident.iter().map(|resident| resident.model);
        let lines = residents.chain(self.weightless.iter().copied()).flat_map(|model| {
            let row = &self.models[model as usize];
            if row.waiting == 0 { &[] } else { row.lines.as_slice() }
        });
        let class = &self.fleet.classes[worker.class as usize];
        let heads = lines.filter(|other| **other != line).filter_map(|other| {
            let row = self.lines.line(*other);
            let (rank, slot) = self.lines.head(*other)?;
            let job = self.jobs.get(slot).filter(|job| !job.early)?;
            let waits = self.fits(row.model, row.place, class)
                && self.next_room_ms(now, row.model, row.place, id) > worker.here_ms(one_ms) as f64;
            waits.then_some((rank, job.tenant))
        });
        let mut heads: Vec<(Rank, u32)> = heads.collect();
        heads.sort_unstable_by(|a, b| b.cmp(a));
        heads
    }

    /// Tenants of the first jobs that wait anywhere, are due and fit a worker.
    fn due_tenants(&self, worker: &Worker, own: u32) -> impl Iterator<Item = u32> {
        let class = &self.fleet.classes[worker.class as usize];
        let heads = self.lines.heads.iter().take(limits::BATCH_HEADS).map(|(_, line)| *line);
        heads.filter(move |line| *line != own).filter_map(|line| {
            let row = self.lines.line(line);
            let (_, slot) = self.lines.head(line)?;
            let job = self.jobs.get(slot).filter(|job| !job.early)?;
            self.fits(row.model, row.place, class).then_some(job.tenant)
        })
    }

    /// Milliseconds until a worker other than this one could take a job of the model.
    fn next_room_ms(&self, now: TimeUs, model: u32, place: u32, but: u32) -> f64 {
        let row = &self.models[model as usize];
        if row.loads() {
            return self.elsewhere_ms(now, model, but);
        }
        let classes = self.fleet.classes.iter().filter(|class| self.fits(model, place, class));
        let others = classes.flat_map(|class| &class.live).filter(|id| **id != but);
        let rooms = others.take(limits::REGRET_REPLICAS).filter_map(|id| self.fleet.workers.get(*id));
        let rooms = rooms.map(|worker| worker.room_in_ms(now, &self.predictor.loads) as f64);
        rooms.fold(limits::REGRET_MS, f64::min)
    }
}

impl Job {
    /// Whether another one of its line can compute in the same call.
    fn goes_with(&self, other: &Self) -> bool {
        let same = self.batch_key == other.batch_key && self.features == other.features;
        same && other.attempts_ended == 0 && self.adapters == other.adapters
    }
}
