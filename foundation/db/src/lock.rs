//! The lock by which a SQLite file belongs to one process.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use fs4::fs_std::FileExt as _;

/// Longest wait for a process that is about to end: one that was killed holds its lock until the kernel has closed its
/// files, and so does a child that it was just starting.
const LOCK_WAIT: Duration = Duration::from_secs(3);
/// Pause between two tries.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// A lock of the operating system on a file; it ends with the process, whatever happens.
pub(crate) struct FileLock(File);

impl FileLock {
    /// Takes the lock; none where another holds it and does not let go in time.
    pub(crate) async fn take(path: &Path) -> std::io::Result<Option<Self>> {
        let file = File::create(path)?;
        let until = tokio::time::Instant::now() + LOCK_WAIT;
        while !file.try_lock_exclusive()? {
            if tokio::time::Instant::now() >= until {
                return Ok(None);
            }
            tokio::time::sleep(LOCK_PAUSE).await;
        }
        Ok(Some(Self(file)))
    }
}

impl Drop for FileLock {
    /// Unlocks, and does not only close: a child process that is being started has a copy of every open file until it
    /// runs its program, and as long as any copy is open, closing ours keeps the lock.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "a database's lock could not be given back");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lock_is_free_at_once_also_where_a_child_still_has_a_copy_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.lock");
        let lock = FileLock::take(&path).await.unwrap().unwrap();
        // What a fork leaves in the child until it runs its program.
        let copy = lock.0.try_clone().unwrap();
        drop(lock);
        assert!(FileLock::take(&path).await.unwrap().is_some());
        drop(copy);
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_is_about_to_end_is_waited_for_and_one_that_stays_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.lock");
        let held = FileLock::take(&path).await.unwrap().unwrap();
        assert!(FileLock::take(&path).await.unwrap().is_none());
        // The first try is refused before the other branch lets go.
        let (next, ()) = tokio::join!(FileLock::take(&path), async { drop(held) });
        assert!(next.unwrap().is_some());
    }
}
