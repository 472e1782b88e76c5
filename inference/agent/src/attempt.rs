//! One attempt, from its input files to its outputs in the customer's store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backlot_inference_api::v1::output_target::Target;
use backlot_inference_api::v1::{
    Assign, AttemptFinished, AttemptPhase, FailureClass, JobOutput, LoadFinished, Phase,
};
use backlot_inference_runtimes::{Failure, Hold, Output, Reporter, Runtime, Snapshot, Work};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::call::{Heard, Seat, Stage};
use crate::fetch::{self, FetchError};
use crate::gate::{Gate, Turn};
use crate::models::key;
use crate::run::Event;
use crate::upload::{self, UploadError};

/// A model without a time-out of its own gets this one.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(600);
/// Progress is sent at most this often.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);
/// What began to compute says so, however short it was: where each run is paid, 0 means that there was none.
const BEGUN_MIN: Duration = Duration::from_millis(1);
const MESSAGE_CHARS_MAX: usize = 2_000;

/// What an attempt needs.
pub(crate) struct Attempt {
    pub(crate) assign: Assign,
    pub(crate) runtime: Arc<dyn Runtime>,
    /// Where it computes in one call with others.
    pub(crate) seat: Option<Seat>,
    pub(crate) evict: Vec<Arc<dyn Runtime>>,
    /// Where its worker loads beside compute: the turns at it.
    pub(crate) gate: Option<Arc<Gate>>,
    /// Whether it speaks for its call: it is alone, or the first one.
    pub(crate) leads: bool,
    pub(crate) cancel: CancellationToken,
    pub(crate) hold: Hold,
    pub(crate) report: Reporter,
    pub(crate) reader: watch::Receiver<Snapshot>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) http: reqwest::Client,
    /// Where private folders are made.
    pub(crate) folder: PathBuf,
}

/// Why an attempt has no result.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error("the input is no JSON object")]
    Json(#[source] serde_json::Error),
    #[error("a private folder could not be made")]
    Folder(#[source] std::io::Error),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Run(#[from] Failure),
    #[error(transparent)]
    Upload(#[from] UploadError),
}

/// How an attempt ended, apart from what it made.
struct Ended {
    outcome: &'static str,
    class: FailureClass,
    is_retryable: bool,
}

/// How long the parts took.
#[derive(Debug, Default)]
struct Took {
    load: Duration,
    compute: Duration,
    /// It stood still between two steps, which is no compute.
    held: Duration,
    loaded: bool,
    /// How many computed in its call.
    batched: usize,
}

impl Attempt {
    /// Runs to its end, whatever that is; nothing of it runs any more afterwards.
    pub(crate) async fn run(mut self) -> AttemptFinished {
        let mut took = Took::default();
        let seat = self.seat.take();
        let result = self.steps(seat, &mut took).await;
        let log_tail = self.reader.borrow().log_tail().to_owned();
        let (ended, outputs, message) = match result {
            Ok(outputs) => (SUCCEEDED, outputs, String::new()),
            Err(error) => (ended(&error), Vec::new(), words(&error)),
        };
        AttemptFinished {
            job_id: self.assign.job_id,
            fence: self.assign.fence,
            worker_id: self.assign.worker_id,
            outcome: ended.outcome.to_owned(),
            failure: ended.class.into(),
            message,
            outputs,
            load_ms: millis(took.load),
            compute_ms: millis(took.compute),
            held_ms: millis(took.held),
            log_tail,
            loaded: took.loaded,
            retryable: ended.is_retryable,
            batched: i32::try_from(took.batched).unwrap_or(i32::MAX),
        }
    }

    async fn steps(&self, seat: Option<Seat>, took: &mut Took) -> Result<Vec<JobOutput>, AttemptError> {
        let mut input: Value = serde_json::from_str(&self.assign.input_json).map_err(AttemptError::Json)?;
        let folder = tempfile::Builder::new()
            .prefix("attempt-")
            .tempdir_in(&self.folder)
            .map_err(AttemptError::Folder)?;
        let mut files = Vec::new();
        if fetch::has_files(&input) {
            self.tell(Phase::Fetching, &Snapshot::default()).await;
            let into = folder.path().join("in");
            files = self.unless_canceled(fetch::fetch(&self.http, &mut input, &into)).await??;
        }
        if seat.is_none() {
            self.load(took).await?;
        }
        let work = Work {
            id: work_id(&self.assign),
            input,
            files,
            folder: folder.path().to_owned(),
            timeout: self.timeout(),
            hold: self.hold.clone(),
        };
        let outputs = match seat {
            Some(seat) => self.compute_together(seat, work, took).await?,
            None => self.compute(work, took).await?,
        };
        if matches!(self.target(), Some(Target::Issuer(_))) {
            let mut snapshot = self.reader.borrow().clone();
            snapshot.progress = 1.0;
            self.tell(Phase::Uploading, &snapshot).await;
        }
        let deliver = upload::deliver(&self.http, self.assign.output.as_ref(), &self.assign.fence, outputs);
        Ok(self.unless_canceled(deliver).await??)
    }

    async fn load(&self, took: &mut Took) -> Result<(), AttemptError> {
        if !self.runtime.takes_room() {
            return Ok(());
        }
        took.loaded = !self.runtime.is_resident();
        if took.loaded {
            self.tell(Phase::Loading, &Snapshot::default()).await;
        }
        let started = Instant::now();
        for runtime in &self.evict {
            runtime.unload().await;
        }
        let loaded = self.runtime.load(&self.cancel).await;
        if took.loaded {
            took.load = started.elapsed();
        }
        loaded?;
        if took.loaded {
            self.tell_loaded(took.load).await;
        }
        Ok(())
    }

    /// Where others may compute beside the load: what was loaded is the next.
    async fn tell_loaded(&self, load: Duration) {
        let Some(model) = self.assign.model.as_ref().filter(|_| self.gate.is_some() && self.leads) else {
            return;
        };
        let (worker_id, model) = (self.assign.worker_id.clone(), key(model));
        let message = LoadFinished { worker_id, model, load_ms: millis(load), loaded: true };
        // Nobody listens only where the agent ends, and with it this attempt.
        let _ = self.events.send(Event::Ready(message)).await;
    }

    /// Waits for what computes, where the worker loads beside that.
    async fn turn(&self) -> Result<Option<Turn>, Failure> {
        match &self.gate {
            Some(gate) => Ok(Some(self.unless_canceled(gate.enter()).await?)),
            None => Ok(None),
        }
    }

    async fn compute(&self, work: Work, took: &mut Took) -> Result<Vec<Output>, Failure> {
        let turn = self.turn().await?;
        self.tell(Phase::Running, &Snapshot::default()).await;
        let started = Instant::now();
        let outputs = self.follow(self.runtime.run(work, &self.report, &self.cancel), turn).await;
        took.held = self.reader.borrow().held();
        took.compute = started.elapsed().saturating_sub(took.held).max(BEGUN_MIN);
        outputs
    }

    /// Computes with others: they load once, and each answers for its part of the compute.
    async fn compute_together(
        &self,
        seat: Seat,
        work: Work,
        took: &mut Took,
    ) -> Result<Vec<Output>, Failure> {
        let running = async {
            let mut sitting = seat.sit(work, self.report.clone(), self.cancel.clone()).await?;
            loop {
                match sitting.next().await? {
                    Heard::Told(told) => return Ok(told),
                    Heard::Stage(Stage::Gathers) => (),
                    Heard::Stage(Stage::Loads) => self.tell(Phase::Loading, &Snapshot::default()).await,
                    Heard::Stage(Stage::Waits { load }) => self.tell_loaded(load).await,
                    Heard::Stage(Stage::Computes) => self.tell(Phase::Running, &Snapshot::default()).await,
                }
            }
        };
        let told = self.follow(running, None).await?;
        (took.load, took.loaded) = (told.load, told.loaded);
        (took.compute, took.batched) = (told.compute, told.batched);
        told.outputs
    }

    /// Says how far it is while it computes.
    async fn follow<T>(
        &self,
        running: impl Future<Output = Result<T, Failure>>,
        mut turn: Option<Turn>,
    ) -> Result<T, Failure> {
        let mut running = std::pin::pin!(running);
        let mut reader = self.reader.clone();
        let mut quiet_until = tokio::time::Instant::now();
        let mut was_held = false;
        loop {
            let news = async {
                // An error says that the reporter is gone, which it is not while we hold it.
                let _ = reader.changed().await;
                // Control waits for a pause; the rest may come a little later.
                while reader.borrow().is_held() == was_held {
                    tokio::select! {
                        () = tokio::time::sleep_until(quiet_until) => break,
                        _ = reader.changed() => (),
                    }
                }
            };
            tokio::select! {
                result = &mut running => return result,
                () = news => {
                    let snapshot = reader.borrow_and_update().clone();
                    was_held = snapshot.is_held();
                    turn.iter_mut().for_each(|turn| turn.hold(was_held));
                    let phase = if was_held { Phase::Paused } else { Phase::Running };
                    self.tell(phase, &snapshot).await;
                    quiet_until = tokio::time::Instant::now() + PROGRESS_INTERVAL;
                }
            }
        }
    }

    async fn tell(&self, phase: Phase, snapshot: &Snapshot) {
        let message = AttemptPhase {
            job_id: self.assign.job_id.clone(),
            fence: self.assign.fence.clone(),
            phase: phase.into(),
            progress: snapshot.progress,
            note: snapshot.note.clone(),
            log_tail: snapshot.log_tail().to_owned(),
            preview: snapshot.preview.clone(),
        };
        // Nobody listens only where the agent ends, and with it this attempt.
        let _ = self.events.send(Event::Phase(message)).await;
    }

    async fn unless_canceled<T>(&self, future: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Failure::Canceled),
            value = future => Ok(value),
        }
    }

    fn target(&self) -> Option<&Target> {
        self.assign.output.as_ref()?.target.as_ref()
    }

    fn timeout(&self) -> Duration {
        let of_model = self.assign.model.as_ref().map_or(0, |model| model.timeout_ms);
        [self.assign.timeout_ms, of_model]
            .into_iter()
            .find(|ms| *ms > 0)
            .and_then(|ms| u64::try_from(ms).ok())
            .map_or(TIMEOUT_DEFAULT, Duration::from_millis)
    }
}

const SUCCEEDED: Ended =
    Ended { outcome: "succeeded", class: FailureClass::Unspecified, is_retryable: false };

fn failed(class: FailureClass, is_retryable: bool) -> Ended {
    Ended { outcome: "failed", class, is_retryable }
}

/// The one place where an error becomes what control is told.
fn ended(error: &AttemptError) -> Ended {
    match error {
        AttemptError::Run(Failure::Canceled) => {
            Ended { outcome: "canceled", class: FailureClass::Unspecified, is_retryable: false }
        }
        AttemptError::Json(_)
        | AttemptError::Fetch(FetchError::Input(_) | FetchError::Refused { .. })
        | AttemptError::Run(Failure::InvalidInput(_)) => failed(FailureClass::InvalidInput, false),
        // Whose fault it was shows when each is tried alone.
        AttemptError::Run(Failure::Together { .. }) => failed(FailureClass::ModelError, true),
        AttemptError::Run(Failure::Model(_)) => failed(FailureClass::ModelError, false),
        AttemptError::Run(Failure::TimedOut { .. }) => failed(FailureClass::TimedOut, false),
        AttemptError::Upload(UploadError::Refused(_) | UploadError::TooLargeInline(_)) => {
            failed(FailureClass::OutputRefused, false)
        }
        AttemptError::Folder(_)
        | AttemptError::Fetch(FetchError::Unreachable { .. } | FetchError::Disk(_))
        | AttemptError::Run(Failure::Lost(_) | Failure::Start { .. })
        | AttemptError::Upload(UploadError::Unreachable(_) | UploadError::Disk(_)) => {
            failed(FailureClass::LostWorker, true)
        }
    }
}

/// An attempt that never began: this agent cannot take it.
pub(crate) fn refusal(assign: &Assign, why: &str) -> AttemptFinished {
    report_of_nothing(assign, failed(FailureClass::LostWorker, true), why)
}

fn report_of_nothing(assign: &Assign, ended: Ended, why: &str) -> AttemptFinished {
    AttemptFinished {
        job_id: assign.job_id.clone(),
        fence: assign.fence.clone(),
        worker_id: assign.worker_id.clone(),
        outcome: ended.outcome.to_owned(),
        failure: ended.class.into(),
        message: why.to_owned(),
        retryable: ended.is_retryable,
        ..AttemptFinished::default()
    }
}

/// The error with its causes, for people.
fn words(error: &AttemptError) -> String {
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words.push_str(": ");
            words.push_str(&cause_words);
        }
        source = cause.source();
    }
    words.chars().take(MESSAGE_CHARS_MAX).collect()
}

/// Names the work in the model's own messages, and in an address: so only plain characters.
fn work_id(assign: &Assign) -> String {
    let id = format!("{}-{}", assign.job_id, assign.fence);
    id.chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '-' }).collect()
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
