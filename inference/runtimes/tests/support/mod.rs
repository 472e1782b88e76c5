//! What the tests of real processes share.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backlot_inference_runtimes::{Hold, Manifest, Supervisor, Work};
use serde_json::Value;
use tempfile::TempDir;

/// A bench with a supervisor and folders of its own.
pub(crate) struct Bench {
    pub(crate) root: TempDir,
    pub(crate) supervisor: Arc<Supervisor>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let supervisor = Arc::new(Supervisor::new(root.path()).expect("a supervisor"));
        Self { root, supervisor }
    }

    /// Writes a worker's folder with these files and reads its description.
    pub(crate) fn worker(&self, files: &[(&str, &str)]) -> Manifest {
        let folder = self.root.path().join("worker");
        for (name, text) in files {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        Manifest::read(&folder).expect("a description")
    }

    pub(crate) fn work(&self, id: &str, input: Value) -> Work {
        let folder = self.root.path().join("jobs").join(id);
        std::fs::create_dir_all(&folder).expect("made");
        let (id, files, timeout) = (id.to_owned(), Vec::new(), Duration::from_secs(30));
        Work { id, input, files, folder, timeout, hold: Hold::default() }
    }
}

/// Whether a process runs; one that ended and was not waited for does not.
pub(crate) fn is_running(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

/// Whether a process that was killed is gone. The kernel ends it a moment after the signal was sent.
pub(crate) fn is_gone(pid: &str) -> bool {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(2);
    while is_running(pid) {
        if std::time::Instant::now() > until {
            return false;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    true
}
