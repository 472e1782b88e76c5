//! Policies with one queue: a free worker takes the next job by some rule.

use backlot_inference_scheduler::{Effect, Event, JobKey, TenantKey, TimeUs};

use super::view::{Change, Queue, View};
use crate::policy::Policy;

/// Which job goes to which worker next.
pub(crate) trait Rule {
    /// Its name.
    const NAME: &'static str;
    /// The next placement on a free worker, if there should be one now.
    fn next(&mut self, now: TimeUs, view: &View, queue: &Queue) -> Option<(JobKey, usize)>;
    /// A job was started.
    fn started(&mut self, _now: TimeUs, _tenant: &TenantKey) {}
    /// A tenant with nothing waiting or running has a job again.
    fn waits(&mut self, _view: &View, _queue: &Queue, _tenant: &TenantKey) {}
    /// A tenant was served.
    fn served(&mut self, _tenant: &TenantKey, _gpu_ms: i64) {}
}

/// A central queue under a rule.
#[derive(Clone, Debug)]
pub(crate) struct Pull<R> {
    view: View,
    queue: Queue,
    rule: R,
    changes: Vec<Change>,
}

impl<R: Rule> Pull<R> {
    pub(crate) fn new(rule: R) -> Self {
        Self { view: View::default(), queue: Queue::default(), rule, changes: Vec::new() }
    }
}

impl<R: Rule> Policy for Pull<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn apply(&mut self, now: TimeUs, event: Event, effects: &mut Vec<Effect>) {
        let mut changes = std::mem::take(&mut self.changes);
        // What waits and is canceled leaves the queue before the books forget it.
        if let Event::CancelRequested { job } = &event
            && let Some(row) = self.view.jobs.get(job)
        {
            self.queue.remove(*job, row);
        }
        self.view.note(now, event, &mut changes, effects);
        let replan = !changes.is_empty();
        for change in changes.drain(..) {
            match change {
                Change::Waits(key) => {
                    let Some(job) = self.view.jobs.get(&key) else { continue };
                    self.rule.waits(&self.view, &self.queue, &job.tenant);
                    self.queue.push(key, job);
                }
                Change::Ended { tenant, gpu_ms, .. } => self.rule.served(&tenant, gpu_ms),
                Change::Came(_) | Change::Went(_) | Change::Left(_) => {}
            }
        }
        self.changes = changes;
        if !replan {
            return;
        }
        while !self.queue.all.is_empty() && self.view.free().next().is_some() {
            let Some((key, at)) = self.rule.next(now, &self.view, &self.queue) else { return };
            let Some(job) = self.view.jobs.get(&key).filter(|_| self.view.fits(key, at)) else { return };
            self.queue.remove(key, job);
            self.rule.started(now, &job.tenant);
            self.view.start(now, key, at, effects);
        }
    }

    fn next_wakeup(&self) -> Option<TimeUs> {
        None
    }
}
