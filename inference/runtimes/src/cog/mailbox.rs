//! Where a predictor's server sends files and logs: a listener on this machine's own address, with a secret
//! path, so that no other process of the machine can write into it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{post, put};
use futures::StreamExt as _;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::{OUTPUTS_MAX, outputs};

/// Largest file that a model may give back.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// Cog sends the whole log again each time.
const LOG_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Logs that may wait; each has all of the ones before.
const LOGS_WAITING_MAX: usize = 4;

/// A listener of one server.
#[derive(Debug)]
pub(super) struct Mailbox {
    base: String,
    state: Arc<Slot>,
    _listening: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Slot {
    secret: String,
    base: String,
    current: Mutex<Option<Current>>,
}

/// The prediction for which mail comes.
#[derive(Debug)]
struct Current {
    id: String,
    folder: PathBuf,
    taken: usize,
    delivered: Vec<Delivered>,
    logs: mpsc::Sender<String>,
}

/// A file that came.
#[derive(Debug, Clone)]
pub(super) struct Delivered {
    /// What stands for it in the prediction's output.
    pub(super) location: String,
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) content_type: String,
}

impl Mailbox {
    pub(super) async fn open() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let secret = Uuid::new_v4().simple().to_string();
        let base = format!("http://{}/{secret}", listener.local_addr()?);
        let state = Arc::new(Slot { secret, base: base.clone(), current: Mutex::new(None) });
        let router = Router::new()
            .route("/{secret}/logs/{id}", post(take_logs).layer(DefaultBodyLimit::max(LOG_BYTES_MAX)))
            .route("/{secret}/files/{name}", put(take_file).layer(DefaultBodyLimit::disable()))
            .with_state(state.clone());
        let listening = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the mailbox of a predictor ended");
            }
        });
        Ok(Self { base, state, _listening: AbortOnDropHandle::new(listening) })
    }

    /// Begins with the name of a file.
    pub(super) fn files_url(&self) -> String {
        format!("{}/files/", self.base)
    }

    pub(super) fn logs_url(&self, id: &str) -> String {
        format!("{}/logs/{id}", self.base)
    }

    /// From now on mail is for this prediction. Returns its logs, each time all of it.
    pub(super) fn expect(&self, id: &str, folder: &Path) -> mpsc::Receiver<String> {
        let (logs, receiver) = mpsc::channel(LOGS_WAITING_MAX);
        let current =
            Current { id: id.to_owned(), folder: folder.to_owned(), taken: 0, delivered: Vec::new(), logs };
        *self.state.current.lock() = Some(current);
        receiver
    }

    /// Takes no more mail; returns the files that came.
    pub(super) fn close(&self) -> Vec<Delivered> {
        self.state.current.lock().take().map(|current| current.delivered).unwrap_or_default()
    }
}

async fn take_logs(
    State(mailbox): State<Arc<Slot>>,
    UrlPath((secret, id)): UrlPath<(String, String)>,
    body: String,
) -> StatusCode {
    if secret != mailbox.secret {
        return StatusCode::NOT_FOUND;
    }
    #[derive(serde::Deserialize)]
    struct Event {
        #[serde(default)]
        logs: String,
    }
    let Ok(event) = serde_json::from_str::<Event>(&body) else {
        return StatusCode::BAD_REQUEST;
    };
    if let Some(current) = mailbox.current.lock().as_ref().filter(|current| current.id == id) {
        // A full channel loses nothing: the next event has this log too.
        let _ = current.logs.try_send(event.logs);
    }
    StatusCode::OK
}

async fn take_file(
    State(mailbox): State<Arc<Slot>>,
    UrlPath((secret, name)): UrlPath<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let id = headers.get("x-prediction-id").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if secret != mailbox.secret {
        return StatusCode::NOT_FOUND.into_response();
    }
    let name = outputs::safe_name(&name);
    let Some((n, path)) = mailbox.reserve(id, &name) else {
        return StatusCode::GONE.into_response();
    };
    if let Err(error) = write(&path, body).await {
        tracing::warn!(%error, "a model's file could not be taken");
        return StatusCode::INSUFFICIENT_STORAGE.into_response();
    }
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let location = format!("{}/files/{n}/{name}", mailbox.base).replace(' ', "%20");
    let delivered =
        Delivered { location: location.clone(), path, name, content_type: content_type.to_owned() };
    mailbox.deliver(id, delivered);
    (StatusCode::OK, [(header::LOCATION, location)]).into_response()
}

impl Slot {
    /// A number and a path of its own for a file of the current prediction.
    fn reserve(&self, id: &str, name: &str) -> Option<(usize, PathBuf)> {
        let mut current = self.current.lock();
        let current = current.as_mut().filter(|current| current.id == id && current.taken < OUTPUTS_MAX)?;
        let n = current.taken;
        current.taken += 1;
        Some((n, current.folder.join(format!("{n}-{name}"))))
    }

    fn deliver(&self, id: &str, delivered: Delivered) {
        if let Some(current) = self.current.lock().as_mut().filter(|current| current.id == id) {
            current.delivered.push(delivered);
        }
    }
}

async fn write(path: &Path, body: Body) -> io::Result<()> {
    let mut file = tokio::fs::File::create(path).await?;
    let mut written = 0_u64;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(io::Error::other)?;
        written += chunk.len() as u64;
        if written > FILE_BYTES_MAX {
            return Err(io::Error::other("larger than a model's file may be"));
        }
        file.write_all(&chunk).await?;
    }
    file.flush().await
}
