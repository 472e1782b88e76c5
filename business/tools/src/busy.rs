//! One driver a run in this process.

use std::collections::HashMap;

use backlot_business_api::RunId;
use parking_lot::Mutex;

/// Runs that a driver of this process is at, and whether somebody asked for another round meanwhile.
#[derive(Default)]
pub(crate) struct Busy(Mutex<HashMap<RunId, bool>>);

/// Being at a run; ends when dropped.
pub(crate) struct At<'a> {
    busy: &'a Busy,
    id: RunId,
    left: bool,
}

impl Busy {
    /// `None` where somebody is at it; they will go another round.
    pub(crate) fn enter(&self, id: RunId) -> Option<At<'_>> {
        let mut runs = self.0.lock();
        if let Some(again) = runs.get_mut(&id) {
            *again = true;
            return None;
        }
        runs.insert(id, false);
        Some(At { busy: self, id, left: false })
    }
}

impl At<'_> {
    /// Whether another round was asked for. Where not, nobody is at it any more, in the same instant.
    pub(crate) fn again(&mut self) -> bool {
        let mut runs = self.busy.0.lock();
        match runs.get_mut(&self.id) {
            Some(again) if *again => {
                *again = false;
                true
            }
            Some(_) | None => {
                runs.remove(&self.id);
                self.left = true;
                false
            }
        }
    }
}

impl Drop for At<'_> {
    fn drop(&mut self) {
        // Who has left must not throw out a driver that entered since.
        if !self.left {
            self.busy.0.lock().remove(&self.id);
        }
    }
}
