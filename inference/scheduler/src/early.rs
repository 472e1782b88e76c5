//! Jobs that wait ahead of their tenant's share. They run where a worker would idle otherwise, but they are no reason to
//! load a model, to keep one, or to think that a line is long: who asks for too much takes nobody's room.

use std::collections::BTreeMap;

use crate::{limits, policy::swap, state::State, types::TimeUs};

/// Jobs that are early, by the place in the order at which they are due.
#[derive(Clone, Debug, Default)]
pub(crate) struct Early {
    /// Slot and submission: a job that has left its line is recognised when its turn comes.
    buckets: BTreeMap<i64, Vec<(u32, u64)>>,
    /// What lies in earlier buckets is due. Never goes back.
    due_to: i64,
    len: usize,
}

fn bucket_of(key: i64) -> i64 {
    key >> limits::EARLY_BUCKET_BITS
}

impl Early {
    pub(crate) fn is_early(&self, key: i64) -> bool {
        bucket_of(key) >= self.due_to
    }

    pub(crate) fn insert(&mut self, key: i64, slot: u32, submission: u64) {
        self.buckets.entry(bucket_of(key)).or_default().push((slot, submission));
        self.len += 1;
    }

    /// The order has come to `key`: some that have become due.
    pub(crate) fn advance(&mut self, key: i64) -> Option<Vec<(u32, u64)>> {
        self.due_to = self.due_to.max(bucket_of(key));
        let entry = self.buckets.first_entry().filter(|entry| *entry.key() < self.due_to)?;
        let due = entry.remove();
        self.len -= due.len();
        Some(due)
    }

    /// Whether entries of jobs that have left may take most of the memory.
    pub(crate) fn is_loose(&self, waiting: usize) -> bool {
        self.len > 2 * waiting + limits::EARLY_SPARE
    }

    pub(crate) fn keep(&mut self, counts: impl Fn(u32, u64) -> bool) {
        for jobs in self.buckets.values_mut() {
            jobs.retain(|(slot, submission)| counts(*slot, *submission));
            jobs.shrink_to_fit();
        }
        self.buckets.retain(|_, jobs| !jobs.is_empty());
        self.len = self.buckets.values().map(Vec::len).sum();
    }
}

impl State {
    /// Moves the head of a line back where its tenant has caused loads since it was submitted: the order is kept when a
    /// place is wanted, not with each load. Whether it moved.
    pub(crate) fn settle_head(&mut self, line: u32) -> bool {
        let Some((_, slot)) = self.lines.head(line) else { return false };
        if self.let_urgent_pass(line, slot) {
            return true;
        }
        let Some(row) = self.jobs.get(slot) else { return false };
        let debt_us = self.fair.debt_us(row.tenant);
        let more_us = debt_us - row.debt_us;
        if more_us <= 0 {
            return false;
        }
        self.leave_line(slot);
        if let Some(row) = self.jobs.get_mut(slot) {
            row.rank.key += more_us;
            row.debt_us = debt_us;
        }
        self.enter_line(slot);
        true
    }

    /// Where a worker's warm work is ahead of its tenant's share, the worker is as good as free for what is due: the
    /// line that earns a swap there, and what must leave for it. So whoever asks for too much takes nobody's room.
    pub(crate) fn due_first(&self, now: TimeUs, id: u32, warm: u32) -> Option<(u32, Vec<u32>)> {
        let is_due = |line: u32| self.head_late_ms(now, line) > -limits::DEMAND_EARLY_MS;
        if is_due(warm) {
            return None;
        }
        let worker = self.fleet.workers.get(id).filter(|worker| worker.takes_load())?;
        let class = &self.fleet.classes[worker.class as usize];
        let heads = self.lines.heads.iter().take(limits::HEADS_SCANNED).map(|(_, line)| *line);
        let lines = heads.take_while(|line| is_due(*line)).filter(|line| {
            let row = self.lines.line(*line);
            worker.resident(row.model).is_none() && self.fits(row.model, row.place, class)
        });
        for line in lines.take(self.heads_weighed()) {
            let row = self.lines.line(line);
            let (_, slot) = self.lines.head(line)?;
            let job = self.jobs.get(slot)?;
            let (victim, evict) = self.room_for(now, worker, row.model)?;
            let age_ms = now.since_ms(job.created_at) as f64;
            let ahead = u64::from(self.models[row.model as usize].due.saturating_sub(1));
            let question = self.question(now, row.model, row.place, ahead, age_ms, victim);
            if swap::due_in_ms(&question) <= 0.0 {
                return Some((line, evict));
            }
        }
        None
    }
}
