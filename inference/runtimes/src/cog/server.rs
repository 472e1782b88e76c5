//! The server process of a predictor: its start, one prediction, its end.

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::StatusCode;
use serde_json::json;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::answer::{self, Prediction, State};
use super::mailbox::Mailbox;
use crate::lines::{Line, Lines};
use crate::process::{Process, ProcessSpec, ended};
use crate::{CANCEL_GRACE, Environment, Failure, Manifest, Output, Reporter, Supervisor, Work, message};

/// Longest load of a model: weights may be tens of gigabytes.
const LOAD_MAX: Duration = Duration::from_secs(900);
/// Between two looks at a server that starts.
const LOAD_POLL: Duration = Duration::from_millis(50);
/// A health check waits this long: a native call of the model blocks it for seconds.
const HEALTH_MAX: Duration = Duration::from_secs(20);
/// How long a server may be busy after its prediction has ended.
const SETTLE_MAX: Duration = Duration::from_secs(2);
/// How long the request to cancel may take before the process is killed instead.
const CANCEL_CALL_MAX: Duration = Duration::from_secs(1);
/// Another process may take the port between our look and the server's.
const PORT_TRIES_MAX: u32 = 5;
/// Largest answer: files come another way, unless the predictor itself makes data URLs.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Lines of the server's own output that are kept to explain why it did not start.
const SERVER_LINES_MAX: usize = 40;

/// What is needed to start a predictor's server.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) manifest: Manifest,
    pub(super) predictor: String,
    pub(super) environment: Environment,
    pub(super) supervisor: Arc<Supervisor>,
    pub(super) folder: PathBuf,
}

/// A server that answers.
#[derive(Debug)]
pub(super) struct Server {
    process: Process,
    base: String,
    client: reqwest::Client,
    mailbox: Mailbox,
    folder: PathBuf,
    output: Arc<Mutex<Vec<String>>>,
    _reading: AbortOnDropHandle<()>,
}

/// How a prediction ended, and whether the server can take another.
pub(super) struct Outcome {
    pub(super) result: Result<Vec<Output>, Failure>,
    pub(super) is_usable: bool,
}

type Answer = Result<(StatusCode, Vec<u8>), reqwest::Error>;

impl Start {
    /// Starts the server and waits until its model is loaded.
    pub(super) async fn start(&self, cancel: &CancellationToken) -> Result<Server, Failure> {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut server = self.spawn().await?;
            let loaded = tokio::select! {
                biased;
                () = cancel.cancelled() => Err(Failure::Canceled),
                loaded = timeout(LOAD_MAX, server.loaded()) => {
                    loaded.unwrap_or(Err(Failure::TimedOut { limit: LOAD_MAX }))
                }
            };
            let Err(failure) = loaded else {
                return Ok(server);
            };
            let is_port_taken = server
                .output
                .lock()
                .iter()
                .any(|line| line.to_lowercase().contains("address already in use"));
            server.stop().await;
            if !is_port_taken || tries == PORT_TRIES_MAX {
                return Err(failure);
            }
        }
    }

    async fn spawn(&self) -> Result<Server, Failure> {
        let failed = |what: &str| {
            let what = what.to_owned();
            move |source| Failure::Start { what, source }
        };
        // What an earlier server left in its folder is of no use.
        let _ = tokio::fs::remove_dir_all(&self.folder).await;
        tokio::fs::create_dir_all(&self.folder).await.map_err(failed("its folder could not be made"))?;
        let mailbox = Mailbox::open().await.map_err(failed("its mailbox could not be opened"))?;
        let port = free_port().map_err(failed("no port is free"))?;
        let mut variables = self.environment.variables(&self.folder);
        variables.insert("COG_PREDICT_TYPE_STUB".into(), self.predictor.clone().into());
        variables.insert("COG_LOG_LEVEL".into(), "warning".into());
        variables.insert("PORT".into(), port.to_string().into());
        let files_url = mailbox.files_url();
        let arguments = ["-m", "cog.server.http", "--host", "127.0.0.1", "--upload-url", &files_url];
        let spec = ProcessSpec {
            program: self.environment.python.clone(),
            arguments: arguments.iter().map(OsString::from).collect(),
            folder: self.manifest.folder.clone(),
            variables,
        };
        let mut process = self.supervisor.start(&spec).await.map_err(failed("its Python does not start"))?;
        let output = Arc::new(Mutex::new(Vec::new()));
        let reading = tokio::spawn(read_output(process.take_streams(), output.clone()));
        let client = reqwest::Client::builder().no_proxy().build();
        let client = client.map_err(|error| Failure::Start {
            what: "no HTTP client could be made".to_owned(),
            source: std::io::Error::other(error),
        })?;
        Ok(Server {
            process,
            base: format!("http://127.0.0.1:{port}"),
            client,
            mailbox,
            folder: self.folder.clone(),
            output,
            _reading: AbortOnDropHandle::new(reading),
        })
    }
}

impl Server {
    async fn loaded(&mut self) -> Result<(), Failure> {
        loop {
            if self.process.has_ended() {
                let (how, is_killed) = ended(self.process.wait().await);
                let words = format!("{how} while it loaded the model: {}", self.last_words());
                return Err(if is_killed {
                    Failure::Lost(message(&words))
                } else {
                    Failure::Model(message(&words))
                });
            }
            match self.state().await {
                Some(State::Ready | State::Busy) if !self.process.has_ended() => return Ok(()),
                Some(State::SetupFailed(logs)) => {
                    let last: Vec<&str> = logs.lines().rev().take(5).collect();
                    let last: Vec<&str> = last.into_iter().rev().collect();
                    return Err(Failure::Model(message(&format!(
                        "the model did not load: {}",
                        last.join("\n")
                    ))));
                }
                Some(State::Broken(state)) => {
                    return Err(Failure::Lost(format!("the model did not load: {state}")));
                }
                Some(State::Ready | State::Busy | State::Starting) | None => {
                    tokio::time::sleep(LOAD_POLL).await
                }
            }
        }
    }

    /// None where nobody answers.
    async fn state(&self) -> Option<State> {
        let request = self.client.get(format!("{}/health-check", self.base)).timeout(HEALTH_MAX);
        let body = request.send().await.ok()?.bytes().await.ok()?;
        Some(answer::health(&body))
    }

    /// Whether it can take a prediction.
    pub(super) async fn is_healthy(&mut self) -> bool {
        let until = Instant::now() + SETTLE_MAX;
        while !self.process.has_ended() {
            match self.state().await {
                Some(State::Ready) => return true,
                Some(State::Busy) if Instant::now() < until => tokio::time::sleep(LOAD_POLL).await,
                Some(State::Busy | State::Starting | State::SetupFailed(_) | State::Broken(_)) | None => {
                    return false;
                }
            }
        }
        false
    }

    /// Runs one prediction.
    pub(super) async fn predict(
        &mut self,
        work: &Work,
        output_dir: &Path,
        report: &Reporter,
        cancel: &CancellationToken,
    ) -> Outcome {
        let mut logs = self.mailbox.expect(&work.id, output_dir);
        let body = json!({
            "id": work.id,
            "input": work.input,
            "webhook": self.mailbox.logs_url(&work.id),
            "webhook_events_filter": ["logs"],
        });
        let call = self.client.put(format!("{}/predictions/{}", self.base, work.id)).json(&body);
        let mut call = Box::pin(answer(call));
        let mut log = Log { report, read: 0 };
        let deadline = Instant::now() + work.timeout;
        let stopped = loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => break Failure::Canceled,
                () = tokio::time::sleep_until(deadline) => break Failure::TimedOut { limit: work.timeout },
                Some(text) = logs.recv() => log.read(&text),
                answer = &mut call => {
                    while let Ok(text) = logs.try_recv() {
                        log.read(&text);
                    }
                    return self.concluded(answer, output_dir, &mut log).await;
                }
                status = self.process.wait() => {
                    return Outcome { result: Err(Failure::Lost(ended(status).0)), is_usable: false };
                }
            }
        };
        let is_usable = self.cancel(&work.id, call).await;
        self.mailbox.close();
        Outcome { result: Err(stopped), is_usable }
    }

    /// Asks the server to stop the prediction. False where it did not confirm in time: it must be killed.
    async fn cancel(&mut self, id: &str, call: Pin<Box<impl Future<Output = Answer>>>) -> bool {
        let ask = self
            .client
            .post(format!("{}/predictions/{id}/cancel", self.base))
            .timeout(CANCEL_CALL_MAX)
            .send();
        let confirmed = timeout(CANCEL_GRACE, async {
            // Both at once: the call to cancel is refused where the prediction has just ended by itself.
            let (_, answer) = tokio::join!(ask, call);
            matches!(answer, Ok((StatusCode::OK, _)))
        });
        confirmed.await.unwrap_or(false) && self.is_healthy().await
    }

    async fn concluded(&mut self, answer: Answer, output_dir: &Path, log: &mut Log<'_>) -> Outcome {
        let delivered = self.mailbox.close();
        let (status, body) = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let lost = Failure::Lost(format!("the predictor's server stopped answering: {error}"));
                return Outcome { result: Err(lost), is_usable: false };
            }
        };
        if status == StatusCode::UNPROCESSABLE_ENTITY {
            return Outcome { result: Err(answer::rejection(&body)), is_usable: true };
        }
        let prediction = match serde_json::from_slice::<Prediction>(&body) {
            Ok(prediction) if status.is_success() => prediction,
            Ok(_) | Err(_) => {
                let lost = Failure::Lost(format!("the predictor's server answered {status}"));
                return Outcome { result: Err(lost), is_usable: false };
            }
        };
        // Only a success carries its log; of a failure the webhook has brought what there is.
        log.read(&prediction.logs);
        if prediction.status == "succeeded" {
            let result = answer::outputs(prediction.output, &delivered, output_dir);
            return Outcome { result, is_usable: true };
        }
        // The answer is the same whether the predictor raised an error or was killed; its health tells.
        let error =
            prediction.error.unwrap_or_else(|| format!("the predictor answered \"{}\"", prediction.status));
        if self.is_healthy().await {
            Outcome { result: Err(answer::failure(&error)), is_usable: true }
        } else {
            Outcome { result: Err(Failure::Lost(message(&error))), is_usable: false }
        }
    }

    /// Ends the process, and removes its folder.
    pub(super) async fn stop(mut self) {
        self.process.stop(CANCEL_GRACE).await;
        let _ = tokio::fs::remove_dir_all(&self.folder).await;
    }

    fn last_words(&self) -> String {
        let output = self.output.lock();
        output.iter().rev().take(5).rev().cloned().collect::<Vec<_>>().join("\n")
    }
}

/// Reads a log that is sent whole each time.
struct Log<'a> {
    report: &'a Reporter,
    read: usize,
}

impl Log<'_> {
    fn read(&mut self, log: &str) {
        // Only whole lines: the rest of the last one comes next time.
        let new = log.get(self.read..).unwrap_or_default();
        let Some(end) = new.rfind('\n') else {
            return;
        };
        for line in new[..end].lines() {
            match answer::progress(line) {
                Some((fraction, note)) => self.report.progress(fraction, note),
                None => self.report.log(line),
            }
        }
        self.read += end + 1;
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let mut response = request.send().await?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            // Cut: it does not parse, and counts as no answer.
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, body))
}

type Streams = (
    Option<tokio::process::ChildStdin>,
    Option<tokio::process::ChildStdout>,
    Option<tokio::process::ChildStderr>,
);

/// Reads both streams to their end, else the server would block on a full pipe.
async fn read_output((_, stdout, stderr): Streams, output: Arc<Mutex<Vec<String>>>) {
    let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
        return;
    };
    let (mut stdout, mut stderr) = (Lines::new(stdout), Lines::new(stderr));
    let (mut is_stdout_open, mut is_stderr_open) = (true, true);
    while is_stdout_open || is_stderr_open {
        let line = tokio::select! {
            line = stdout.next(), if is_stdout_open => {
                is_stdout_open = line.is_some();
                line
            }
            line = stderr.next(), if is_stderr_open => {
                is_stderr_open = line.is_some();
                line
            }
        };
        let Some(Line::Whole(text) | Line::Cut(text)) = line else {
            continue;
        };
        let mut output = output.lock();
        if output.len() == SERVER_LINES_MAX {
            output.remove(0);
        }
        output.push(message(&text));
    }
}

fn free_port() -> std::io::Result<u16> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr().map(|address| address.port())
}
