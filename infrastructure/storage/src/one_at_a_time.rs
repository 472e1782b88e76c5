//! Work under one name is done by one caller at a time.
//!
//! Only to save work, never for correctness: other processes know nothing of it. Rows decide.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// Names above which those that nobody holds are forgotten.
const NAMES_KEPT: usize = 1_024;

#[derive(Default)]
pub(crate) struct OneAtATime {
    names: Mutex<HashMap<String, Weak<AsyncMutex<()>>>>,
}

impl OneAtATime {
    /// Waits until nobody else works under this name. The turn ends when the guard is dropped.
    pub(crate) async fn turn(&self, name: &str) -> OwnedMutexGuard<()> {
        let lock = self.lock_of(name);
        lock.lock_owned().await
    }

    fn lock_of(&self, name: &str) -> Arc<AsyncMutex<()>> {
        let mut names = self.names.lock();
        if names.len() >= NAMES_KEPT {
            names.retain(|_, lock| lock.strong_count() > 0);
        }
        if let Some(lock) = names.get(name).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::new(AsyncMutex::new(()));
        names.insert(name.to_owned(), Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_second_waits_for_the_first_and_others_do_not() {
        let work = OneAtATime::default();
        let first = work.turn("a").await;
        let _other = work.turn("b").await;
        let second = work.turn("a");
        let mut second = std::pin::pin!(second);
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        second.await;
    }
}
