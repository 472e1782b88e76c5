//! What decides: our scheduler and everything that it is compared with, behind one interface.

use backlot_inference_scheduler::{Effect, Estimate, Event, JobSpec, Scheduler, TimeUs};

/// A policy under test. It sees what the durable driver's scheduler would see, and nothing else: no compute time
/// before completion, no arrival before its time.
pub trait Policy {
    /// Its name on the command line and in results.
    fn name(&self) -> &'static str;
    /// Takes one event and appends what it decides.
    fn apply(&mut self, now: TimeUs, event: Event, effects: &mut Vec<Effect>);
    /// When it wants [`Event::Tick`], if nothing else happens before.
    fn next_wakeup(&self) -> Option<TimeUs>;
    /// What it would tell who is about to submit this job; `None` where it says nothing.
    fn estimate(&self, _now: TimeUs, _spec: &JobSpec) -> Option<Estimate> {
        None
    }
    /// Whether it would say that this job would most likely end after its deadline.
    fn too_late(&self, _now: TimeUs, _spec: &JobSpec) -> bool {
        false
    }
    /// Its own invariants, where it has any; what is wrong as text.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// The scheduler that the durable driver runs.
#[derive(Clone, Debug)]
pub struct Backlot(Scheduler);

impl Backlot {
    /// A scheduler that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Scheduler::new(1))
    }
}

impl Default for Backlot {
    fn default() -> Self {
        Self::new()
    }
}

impl Policy for Backlot {
    fn name(&self) -> &'static str {
        "backlot"
    }

    fn apply(&mut self, now: TimeUs, event: Event, effects: &mut Vec<Effect>) {
        self.0.apply(now, event, effects);
    }

    fn next_wakeup(&self) -> Option<TimeUs> {
        self.0.next_wakeup()
    }

    fn estimate(&self, now: TimeUs, spec: &JobSpec) -> Option<Estimate> {
        self.0.estimate(now, spec).ok()
    }

    fn too_late(&self, now: TimeUs, spec: &JobSpec) -> bool {
        self.0.too_late(now, spec).is_some()
    }

    fn check(&self) -> Result<(), String> {
        self.0.check().map_err(|violation| format!("{violation:?}"))
    }
}
