//! Policies that choose a worker at arrival: each worker has a queue of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use backlot_inference_scheduler::{Effect, Event, JobKey, TimeUs};

use super::view::{Change, Job, View};
use crate::policy::Policy;

/// Try again after this time where no worker is there.
const NOBODY_MS: i64 = 1_000;

/// Where a job goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// To this worker's queue.
    To(usize),
    /// Nowhere yet: ask again then.
    Later(TimeUs),
}

/// Which worker's queue a job joins.
pub(crate) trait Router {
    /// Its name.
    const NAME: &'static str;
    /// Where the job goes. `tries` counts earlier answers of [`Route::Later`].
    fn route(&mut self, now: TimeUs, key: JobKey, job: &Job, tries: u32, lines: &Lines) -> Route;
}

/// Workers and what waits at each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    pub(crate) view: View,
    pub(crate) waiting: Vec<VecDeque<JobKey>>,
}

impl Lines {
    /// Jobs at a worker, waiting and running.
    pub(crate) fn in_flight(&self, at: usize) -> usize {
        self.waiting[at].len() + self.view.workers[at].running.len()
    }

    /// Workers that are there.
    pub(crate) fn open(&self) -> impl Iterator<Item = usize> {
        self.view.workers.iter().enumerate().filter(|(_, worker)| worker.open).map(|(at, _)| at)
    }
}

/// A router with its workers' queues.
#[derive(Clone, Debug)]
pub(crate) struct Push<R> {
    lines: Lines,
    router: R,
    /// Jobs that found no worker, by when they ask again.
    later: BTreeSet<(TimeUs, JobKey)>,
    tries: BTreeMap<JobKey, u32>,
    at: HashMap<JobKey, usize>,
    changes: Vec<Change>,
}

impl<R: Router> Push<R> {
    pub(crate) fn new(router: R) -> Self {
        Self {
            lines: Lines::default(),
            router,
            later: BTreeSet::new(),
            tries: BTreeMap::new(),
            at: HashMap::new(),
            changes: Vec::new(),
        }
    }

    fn route(&mut self, now: TimeUs, key: JobKey, effects: &mut Vec<Effect>) {
        let Some(job) = self.lines.view.jobs.get(&key) else { return };
        let tries = self.tries.entry(key).or_default();
        let route = if self.lines.open().next().is_none() {
            Route::Later(now.plus_ms(NOBODY_MS))
        } else {
            self.router.route(now, key, job, *tries, &self.lines)
        };
        match route {
            Route::To(at) => {
                self.tries.remove(&key);
                self.lines.waiting[at].push_back(key);
                self.at.insert(key, at);
                self.serve(now, at, effects);
            }
            Route::Later(when) => {
                *tries += 1;
                self.later.insert((when, key));
            }
        }
    }

    fn serve(&mut self, now: TimeUs, at: usize, effects: &mut Vec<Effect>) {
        while self.lines.view.workers[at].is_free() {
            let Some(key) = self.lines.waiting[at].front().copied() else { return };
            if !self.lines.view.fits(key, at) {
                return;
            }
            self.lines.waiting[at].pop_front();
            self.lines.view.start(now, key, at, effects);
        }
    }
}

impl<R: Router> Policy for Push<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn apply(&mut self, now: TimeUs, event: Event, effects: &mut Vec<Effect>) {
        let mut changes = std::mem::take(&mut self.changes);
        self.lines.view.note(now, event, &mut changes, effects);
        self.lines.waiting.resize(self.lines.view.workers.len(), VecDeque::new());
        let mut homeless = Vec::new();
        for change in changes.drain(..) {
            match change {
                Change::Waits(key) => homeless.push(key),
                Change::Ended { job, .. } => {
                    if let Some(at) = self.at.remove(&job) {
                        self.serve(now, at, effects);
                    }
                }
                Change::Came(at) => self.serve(now, at, effects),
                Change::Went(at) => homeless.extend(std::mem::take(&mut self.lines.waiting[at])),
                Change::Left(key) => {
                    if let Some(at) = self.at.remove(&key) {
                        self.lines.waiting[at].retain(|one| *one != key);
                    }
                }
            }
        }
        self.changes = changes;
        while let Some((when, key)) = self.later.first().copied()
            && when <= now
        {
            self.later.pop_first();
            homeless.push(key);
        }
        for key in homeless {
            self.route(now, key, effects);
        }
    }

    fn next_wakeup(&self) -> Option<TimeUs> {
        self.later.first().map(|(when, _)| *when)
    }
}
