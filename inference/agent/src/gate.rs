//! Turns at a worker that loads one model beside what it computes: what has been loaded waits until there is a turn for it.

use std::sync::Arc;

use tokio::sync::watch;

/// The turns of one worker.
#[derive(Debug)]
pub(crate) struct Gate {
    most: usize,
    computing: watch::Sender<usize>,
}

/// The right to compute, up to its drop.
#[derive(Debug)]
pub(crate) struct Turn {
    gate: Arc<Gate>,
    is_held: bool,
}

impl Gate {
    /// So many compute at once.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), computing: watch::Sender::new(0) })
    }

    /// Waits for a turn. May be dropped meanwhile.
    pub(crate) async fn enter(self: &Arc<Self>) -> Turn {
        let mut watcher = self.computing.subscribe();
        let enters = |computing: &mut usize| {
            let room = *computing < self.most;
            *computing += usize::from(room);
            room
        };
        while !self.computing.send_if_modified(enters) {
            // An error says that the gate is gone, which it is not while we hold it.
            let _ = watcher.changed().await;
        }
        Turn { gate: self.clone(), is_held: false }
    }
}

impl Turn {
    /// What stands aside leaves its turn to another; what goes on has it again at once, because control has seen to the
    /// room.
    pub(crate) fn hold(&mut self, held: bool) {
        if std::mem::replace(&mut self.is_held, held) != held {
            self.gate.computing.send_modify(|computing| {
                *computing = if held { computing.saturating_sub(1) } else { *computing + 1 };
            });
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_held {
            self.gate.computing.send_modify(|computing| *computing = computing.saturating_sub(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[tokio::test]
    async fn one_computes_and_the_next_one_when_it_is_done_or_stands_aside() {
        let gate = Gate::new(1);
        let mut first = gate.enter().await;
        assert!(gate.enter().now_or_never().is_none());
        first.hold(true);
        let guest = gate.enter().now_or_never().expect("the first one stands aside");
        first.hold(false);
        drop(guest);
        assert!(gate.enter().now_or_never().is_none(), "the first one computes again");
        drop(first);
        let last = gate.enter().now_or_never().expect("nothing computes");
        drop(last);
        assert_eq!(*gate.computing.borrow(), 0);
    }
}
