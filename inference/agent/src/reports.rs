//! Finished reports that control does not have yet: in memory, on their way, and on disk.

use std::collections::BTreeMap;
use std::time::Duration;

use backlot_inference_api::v1::{AttemptFinished, RunningAttempt};
use prost::Message as _;
use tokio::time::Instant;

use crate::spool::{AttemptKey, Spool};

/// A report of more work than this is on disk before it is sent; a cheaper one is cheaper to repeat than to
/// write, and is written only where control does not acknowledge it soon.
const SPOOL_FIRST_MS: i64 = 100;
const SPOOL_LATEST: Duration = Duration::from_millis(50);
/// Before a report that could not be written is written again.
const RETRY: Duration = Duration::from_secs(2);
/// Reports that are on their way at once; after a long cut there may be thousands.
const IN_FLIGHT_MAX: usize = 128;
/// Reports in a greeting: messages have a size limit. The rest is named there, and follows the welcome.
const PORTION_BYTES_MAX: usize = 2 * 1024 * 1024;

/// All reports that control does not have yet.
pub(crate) struct Reports {
    spool: Spool,
    kept: BTreeMap<AttemptKey, Kept>,
}

struct Kept {
    report: AttemptFinished,
    is_on_disk: bool,
    /// On the link that is up now.
    is_sent: bool,
    /// When it is written, where control has not acknowledged it by then.
    write_at: Instant,
}

impl Reports {
    /// With those that an earlier run has left on disk.
    pub(crate) fn new(spool: Spool) -> Self {
        let spooled = spool.read().unwrap_or_else(|error| {
            tracing::error!(%error, "spooled reports cannot be read");
            BTreeMap::new()
        });
        let now = Instant::now();
        let kept = |report| Kept { report, is_on_disk: true, is_sent: false, write_at: now };
        Self { spool, kept: spooled.into_iter().map(|(key, report)| (key, kept(report))).collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &AttemptKey> {
        self.kept.keys()
    }

    pub(crate) fn get(&self, key: &AttemptKey) -> Option<AttemptFinished> {
        self.kept.get(key).map(|one| one.report.clone())
    }

    /// Keeps a report until it is forgotten. Where nobody can be told now, it is written now.
    pub(crate) fn keep(&mut self, report: AttemptFinished, can_be_told: bool) {
        let is_dear = report.compute_ms + report.load_ms >= SPOOL_FIRST_MS;
        let key = (report.job_id.clone(), report.fence.clone());
        let write_at = Instant::now() + SPOOL_LATEST;
        let mut one = Kept { report, is_on_disk: false, is_sent: false, write_at };
        if is_dear || !can_be_told {
            one.write(&self.spool);
        }
        self.kept.insert(key, one);
    }

    /// Control has it, or does not want it.
    pub(crate) fn forget(&mut self, key: &AttemptKey) {
        let is_on_disk = self.kept.remove(key).is_some_and(|one| one.is_on_disk);
        if is_on_disk && let Err(error) = self.spool.remove(key) {
            tracing::error!(%error, "a spooled report cannot be removed");
        }
    }

    /// The reports of a new link's greeting. What was on its way on an earlier link is no longer.
    pub(crate) fn first_portion(&mut self) -> Vec<AttemptFinished> {
        self.kept.values_mut().for_each(|one| one.is_sent = false);
        let mut bytes = 0;
        let mut portion = Vec::new();
        for one in self.kept.values_mut().take(IN_FLIGHT_MAX) {
            bytes += one.report.encoded_len();
            if bytes > PORTION_BYTES_MAX {
                break;
            }
            one.is_sent = true;
            portion.push(one.report.clone());
        }
        portion
    }

    /// Attempts whose reports are not on their way yet. Control keeps their leases while it waits: one that it
    /// does not know to be here is computed again elsewhere.
    pub(crate) fn unsent(&self) -> impl Iterator<Item = RunningAttempt> {
        self.kept.iter().filter(|(_, one)| !one.is_sent).map(|((job, fence), one)| RunningAttempt {
            job_id: job.clone(),
            fence: fence.clone(),
            worker_id: one.report.worker_id.clone(),
            ..RunningAttempt::default()
        })
    }

    /// Sends what is not on its way yet, as much as may be at once. `send` says whether it could.
    pub(crate) fn send(&mut self, mut send: impl FnMut(AttemptFinished) -> bool) {
        let in_flight = self.kept.values().filter(|one| one.is_sent).count();
        let room = IN_FLIGHT_MAX.saturating_sub(in_flight);
        for one in self.kept.values_mut().filter(|one| !one.is_sent).take(room) {
            one.is_sent = send(one.report.clone());
        }
    }

    /// When `write_overdue` has something to do.
    pub(crate) fn write_at(&self) -> Option<Instant> {
        self.kept.values().filter(|one| !one.is_on_disk).map(|one| one.write_at).min()
    }

    /// Writes what control has not acknowledged in time.
    pub(crate) fn write_overdue(&mut self, now: Instant) {
        for one in self.kept.values_mut().filter(|one| !one.is_on_disk && one.write_at <= now) {
            one.write(&self.spool);
        }
    }

    /// Writes all that is not on disk.
    pub(crate) fn write_all(&mut self) {
        for one in self.kept.values_mut().filter(|one| !one.is_on_disk) {
            one.write(&self.spool);
        }
    }
}

impl Kept {
    fn write(&mut self, spool: &Spool) {
        match spool.write(&self.report) {
            Ok(()) => self.is_on_disk = true,
            Err(error) => {
                tracing::error!(%error, "a finished report cannot be written; it is kept in memory");
                self.write_at = Instant::now() + RETRY;
            }
        }
    }
}
