//! Finished reports on disk, until control has them: a result that took minutes of a GPU must survive a
//! restart of the agent while it is cut off.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

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
}

impl Spool {
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self { folder })
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
                }
            }
        }
        Ok(reports)
    }

    /// Writes a report so that it survives a loss of power.
    pub(crate) fn write(&self, report: &AttemptFinished) -> io::Result<()> {
        if fs::read_dir(&self.folder)?.count() >= REPORTS_MAX {
            return Err(io::Error::other("too many reports wait for control"));
        }
        let path = self.path(&report.job_id, &report.fence);
        let new = path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(&report.encode_to_vec())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(&self.folder)?.sync_all()
    }

    /// Forgets a report; nothing where there is none.
    pub(crate) fn remove(&self, (job, fence): &AttemptKey) -> io::Result<()> {
        match fs::remove_file(self.path(job, fence)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
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
