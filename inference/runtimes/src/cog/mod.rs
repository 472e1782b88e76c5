//! A Cog predictor, kept warm between jobs.
//!
//! The predictor's HTTP server is a child process on a free local port. A prediction is one synchronous call,
//! so its result comes over the connection that asked for it; only the log comes by webhook. Files come
//! through the local [`mailbox`], streamed to disk.

mod answer;
mod mailbox;
mod server;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use tokio::sync::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

use crate::{Environment, Failure, Manifest, Output, Program, Reporter, Runtime, Supervisor, Work, outputs};
use server::{Outcome, Server};

/// A predictor's server and its life.
#[derive(Debug)]
pub struct CogRuntime {
    start: server::Start,
    server: Mutex<Option<Server>>,
    is_resident: AtomicBool,
}

impl CogRuntime {
    /// A runtime for a manifest of this kind; none for another kind. `folder` is the predictor's home and
    /// temporary folder: made at each load, removed with everything in it at each unload.
    #[must_use]
    pub fn new(
        manifest: Manifest,
        environment: Environment,
        supervisor: Arc<Supervisor>,
        folder: PathBuf,
    ) -> Option<Self> {
        let Program::Cog { predictor } = manifest.program.clone() else {
            return None;
        };
        let start = server::Start { manifest, predictor, environment, supervisor, folder };
        Some(Self { start, server: Mutex::new(None), is_resident: AtomicBool::new(false) })
    }

    /// The server, started where there is none, and started again where it is no longer of use.
    async fn ready<'a>(
        &self,
        slot: &'a mut Option<Server>,
        cancel: &CancellationToken,
    ) -> Result<&'a mut Server, Failure> {
        if let Some(server) = slot
            && !server.is_healthy().await
        {
            tracing::warn!(
                model = self.start.manifest.model,
                "a predictor was lost between two jobs and is started again"
            );
            self.remove(slot).await;
        }
        if slot.is_none() {
            *slot = Some(self.start.start(cancel).await?);
            self.is_resident.store(true, Ordering::Release);
        }
        slot.as_mut().ok_or_else(|| Failure::Lost("the predictor is gone".to_owned()))
    }

    /// The server's place, once nobody else computes with it: that may take as long as another's job.
    async fn turn(&self, cancel: &CancellationToken) -> Result<MutexGuard<'_, Option<Server>>, Failure> {
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Failure::Canceled),
            slot = self.server.lock() => Ok(slot),
        }
    }

    async fn remove(&self, slot: &mut Option<Server>) {
        if let Some(server) = slot.take() {
            server.stop().await;
        }
        self.is_resident.store(false, Ordering::Release);
    }
}

#[async_trait]
impl Runtime for CogRuntime {
    async fn load(&self, cancel: &CancellationToken) -> Result<(), Failure> {
        let mut slot = self.turn(cancel).await?;
        self.ready(&mut slot, cancel).await.map(|_| ())
    }

    async fn run(
        &self,
        work: Work,
        report: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Vec<Output>, Failure> {
        outputs::check_files(self.start.manifest.input_schema.as_ref(), &work)?;
        let output_dir = outputs::make_folder(&work)?;
        let mut slot = self.turn(cancel).await?;
        let server = self.ready(&mut slot, cancel).await?;
        let Outcome { result, is_usable } = server.predict(&work, &output_dir, report, cancel).await;
        if !is_usable {
            self.remove(&mut slot).await;
        }
        result.and_then(outputs::count)
    }

    async fn unload(&self) {
        let mut slot = self.server.lock().await;
        self.remove(&mut slot).await;
    }

    fn takes_room(&self) -> bool {
        true
    }

    fn is_resident(&self) -> bool {
        self.is_resident.load(Ordering::Acquire)
    }
}
