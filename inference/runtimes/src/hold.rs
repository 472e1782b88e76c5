//! The wish that a piece of work stands still between two of its steps.

use std::sync::Arc;

use tokio::sync::watch;

/// Says whether a piece of work should stand still.
#[derive(Debug, Clone)]
pub struct HoldControl(Arc<watch::Sender<bool>>);

/// Where a runtime reads it. The default is never held.
#[derive(Debug, Clone, Default)]
pub struct Hold(Option<watch::Receiver<bool>>);

impl HoldControl {
    /// A control that wants nothing yet, and what a runtime reads.
    #[must_use]
    pub fn new() -> (Self, Hold) {
        let (sender, receiver) = watch::channel(false);
        (Self(Arc::new(sender)), Hold(Some(receiver)))
    }

    /// The work should stand still after the step that it computes, or go on.
    pub fn set(&self, wanted: bool) {
        self.0.send_if_modified(|held| std::mem::replace(held, wanted) != wanted);
    }

    /// Whether it should stand still.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        *self.0.borrow()
    }
}

impl Hold {
    /// Whether the work should stand still now.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.0.as_ref().is_some_and(|wanted| *wanted.borrow())
    }

    /// Waits until the wish changes; for ever where nobody can change it. May be dropped and called again.
    pub async fn changed(&mut self) -> bool {
        if let Some(wanted) = &mut self.0
            && wanted.changed().await.is_ok()
        {
            return *wanted.borrow_and_update();
        }
        std::future::pending().await
    }
}
