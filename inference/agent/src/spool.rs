//! Finished reports on disk, until control has them: a result that took minutes of a GPU must survive a
//! restart of the agent while it is cut off.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use backlot_inference_api::v1::AttemptFinished;
use prost::Message as _;

/// Most reports on disk; above it a new one is kept in memory only.
const REPORTS_MAX: usize = 10_000;
const EXTENSION: &str = "report";

/// Names an attempt: job and fence.
pub(crate) type AttemptKey = (String, String);

/// The folder of reports.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    folder: PathBuf,
    /// Reports on disk: the folder is counted once, because after a long cut there are thousands.
    count: Arc<AtomicUsize>,
    max: usize,
}

impl Spool {
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let is_report = |path: &Path| path.extension().is_some_and(|extension| extension == EXTENSION);
        let entries = fs::read_dir(&folder)?.filter_map(Result::ok);
        let count = Arc::new(AtomicUsize::new(entries.filter(|entry| is_report(&entry.path())).count()));
        Ok(Self { folder, count, max: REPORTS_MAX })
    }

    /// All reports. One that cannot be read is set aside: it must not keep the agent from starting.
    pub(crate) fn read(&self) -> io::Result<BTreeMap<AttemptKey, AttemptFinished>> {
        let mut reports = BTreeMap::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != EXTENSION) {
                continue;
            }
            match AttemptFinished::decode(fs::read(&path)?.as_slice()) {
                Ok(report) if !report.job_id.is_empty() => {
                    reports.insert((report.job_id.clone(), report.fence.clone()), report);
                }
                Ok(_) | Err(_) => {
                    tracing::error!(path = %path.display(), "a spooled report cannot be read and is set aside");
                    fs::rename(&path, path.with_extension("unreadable"))?;
                    self.count.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
        Ok(reports)
    }

    /// Writes a report so that it survives a loss of power.
    pub(crate) fn write(&self, report: &AttemptFinished) -> io::Result<()> {
        let path = self.path(&report.job_id, &report.fence);
        let is_new = !path.exists();
        if is_new && self.count.load(Ordering::Relaxed) >= self.max {
            return Err(io::Error::other("too many reports wait for control"));
        }
        let new = path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(&report.encode_to_vec())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        self.count.fetch_add(usize::from(is_new), Ordering::Relaxed);
        File::open(&self.folder)?.sync_all()
    }

    /// Forgets a report; nothing where there is none.
    pub(crate) fn remove(&self, (job, fence): &AttemptKey) -> io::Result<()> {
        match fs::remove_file(self.path(job, fence)) {
            Ok(()) => {
                self.count.fetch_sub(1, Ordering::Relaxed);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn path(&self, job: &str, fence: &str) -> PathBuf {
        // Both are checked when they arrive; whatever came all the same stays inside the folder.
        let name: String = format!("{job}_{fence}")
            .chars()
            .map(|char| if char.is_ascii_alphanumeric() { char } else { '-' })
            .collect();
        Path::new(&self.folder).join(name).with_extension(EXTENSION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_spool_takes_no_more_until_one_is_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        let report = |job: &str| AttemptFinished {
            job_id: job.to_owned(),
            fence: "1-2".to_owned(),
            ..AttemptFinished::default()
        };
        let key = |job: &str| (job.to_owned(), "1-2".to_owned());
        std::fs::write(folder.path().join("bad.report"), b"\xff\xff").expect("written");
        std::fs::write(folder.path().join("half.new"), b"").expect("written");
        Spool::open(folder.path().to_owned()).expect("opened").write(&report("a")).expect("written");
        let spool = Spool { max: 2, ..Spool::open(folder.path().to_owned()).expect("opened") };
        assert!(spool.write(&report("b")).is_err(), "what cannot be read counts until it is set aside");
        assert_eq!(spool.read().expect("read").len(), 1);
        spool.write(&report("b")).expect("there is room");
        spool.write(&report("b")).expect("the same again");
        assert!(spool.write(&report("c")).is_err());
        spool.remove(&key("c")).expect("nothing to remove");
        assert!(spool.write(&report("c")).is_err());
        spool.remove(&key("a")).expect("removed");
        spool.write(&report("c")).expect("there is room again");
    }

    #[test]
    fn reports_survive_and_are_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(folder.path().join("spool")).expect("opened");
        let report =
            AttemptFinished { job_id: "job-1".into(), fence: "1-2".into(), ..AttemptFinished::default() };
        spool.write(&report).expect("written");
        spool.write(&report).expect("written again");
        std::fs::write(folder.path().join("spool/bad.report"), b"\xff\xff").expect("written");
        let key = ("job-1".to_owned(), "1-2".to_owned());
        let read = spool.read().expect("read");
        assert_eq!(read, BTreeMap::from([(key.clone(), report)]));
        spool.remove(&key).expect("removed");
        spool.remove(&key).expect("removed again");
        assert!(spool.read().expect("read").is_empty());
        assert!(folder.path().join("spool/bad.unreadable").exists());
    }
}
