//! The agent as others see it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backlot_foundation_rpc::Channel;
use backlot_foundation_runtime::{Stop, Tasks};
use backlot_inference_api::v1::{ModelSpec, WorkerSpec};
use backlot_inference_runtimes::{Environment, Supervisor};

use crate::models::{Maker, echo_model};
use crate::run::Run;
use crate::spool::Spool;
use crate::{Config, Error};

const ID_FILE: &str = "id";
const LOCK_FILE: &str = "lock";
/// A store that does not take a connection for this long does not answer.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// A transfer on which nothing moves for this long is dead.
const READ_MAX: Duration = Duration::from_secs(60);
const REDIRECTS_MAX: usize = 3;

/// An agent of one machine.
pub struct Agent {
    pub(crate) config: Config,
    pub(crate) id: String,
    /// New at each start.
    pub(crate) boot_id: String,
    pub(crate) channel: Channel,
    pub(crate) workers: Vec<WorkerSpec>,
    pub(crate) maker: Maker,
    pub(crate) spool: Spool,
    pub(crate) http: reqwest::Client,
    /// Private folders of attempts.
    pub(crate) attempts: PathBuf,
    models: Vec<ModelSpec>,
    /// Held as long as the agent lives: two agents on one folder would kill each other's models.
    _lock: FolderLock,
}

/// Nobody else's while it lives.
struct FolderLock(File);

impl Drop for FolderLock {
    /// Unlocks, and does not only close: a model process that is being started has a copy of every open file until it
    /// runs its program, and as long as any copy is open, closing ours keeps the lock.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl Agent {
    /// Takes `folder` for itself, kills what an earlier agent of this folder left running and removes its
    /// temporary files. Blocks for some milliseconds. `channel` leads to control; the join token is added here.
    pub fn new(config: Config, folder: &Path, channel: Channel) -> Result<Self, Error> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Folder { path, source }
        };
        fs::create_dir_all(folder).map_err(failed(folder))?;
        let folder = folder.canonicalize().map_err(failed(folder))?;
        let lock = lock(&folder)?;
        let supervisor = Arc::new(Supervisor::new(&folder).map_err(Error::Supervisor)?);
        let (attempts, homes) = (folder.join("attempts"), folder.join("models"));
        for temporary in [&attempts, &homes] {
            let _ = fs::remove_dir_all(temporary);
            fs::create_dir_all(temporary).map_err(failed(temporary))?;
        }
        let spool_folder = folder.join("spool");
        let spool = Spool::open(spool_folder.clone()).map_err(failed(&spool_folder))?;
        let id =
            if config.id.is_empty() { kept_id(&folder).map_err(failed(&folder))? } else { config.id.clone() };
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_MAX)
            .read_timeout(READ_MAX)
            .redirect(reqwest::redirect::Policy::limited(REDIRECTS_MAX))
            .build()
            .map_err(Error::Http)?;
        let models = config.models();
        let workers = workers(&config, &models)?;
        let absolute = |folder: &Path| folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let mut folders = vec![absolute(&config.workers_dir)];
        if config.watches_extensions() {
            fs::create_dir_all(&config.extensions_dir).map_err(failed(&config.extensions_dir))?;
            folders.push(absolute(&config.extensions_dir));
        }
        let environment = Environment { python: config.python.clone() };
        Ok(Self {
            id,
            boot_id: uuid::Uuid::new_v4().to_string(),
            channel: channel.with_bearer(&config.join_token),
            workers,
            maker: Maker { folders, environment, supervisor, homes },
            spool,
            http,
            attempts,
            models,
            _lock: lock,
            config,
        })
    }

    /// The models of this machine with the echo, for whoever registers them with control.
    #[must_use]
    pub fn models(&self) -> Vec<ModelSpec> {
        let mut models = self.models.clone();
        models.push(echo_model());
        models
    }

    /// Stable across restarts.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Works until `stop`; then lets its jobs finish for as long as the configuration says, hands the reports
    /// over and unloads its models.
    pub async fn run(&self, stop: Stop) {
        Run::new(self).until(&stop).await;
    }

    /// Works as one of `tasks`, whose grace at shutdown should be longer than the configured drain.
    pub fn spawn(self: Arc<Self>, tasks: &Tasks) {
        tasks.spawn_loop("agent", move |stop| {
            let agent = self.clone();
            async move { agent.run(stop).await }
        });
    }
}

fn lock(folder: &Path) -> Result<FolderLock, Error> {
    let path = folder.join(LOCK_FILE);
    let file = File::create(&path).map_err(|source| Error::Folder { path, source })?;
    file.try_lock().map_err(|_| Error::Busy(folder.to_owned()))?;
    Ok(FolderLock(file))
}

fn kept_id(folder: &Path) -> std::io::Result<String> {
    let path = folder.join(ID_FILE);
    match fs::read_to_string(&path) {
        Ok(id) if !id.trim().is_empty() => Ok(id.trim().to_owned()),
        Ok(_) | Err(_) => {
            let id = uuid::Uuid::new_v4().to_string();
            fs::write(&path, &id)?;
            Ok(id)
        }
    }
}

/// What control is told of each worker, for the models that are here.
pub(crate) fn workers(config: &Config, models: &[ModelSpec]) -> Result<Vec<WorkerSpec>, Error> {
    // By name: of an extension there are several versions.
    let names: BTreeSet<&String> = models.iter().map(|model| &model.name).collect();
    let discovered: Vec<String> = names.into_iter().cloned().collect();
    let mut workers: Vec<WorkerSpec> = Vec::with_capacity(config.workers.len());
    for (n, worker) in config.workers.iter().enumerate() {
        if config.workers[..n].iter().any(|other| other.id == worker.id) {
            return Err(Error::SameWorker(worker.id.clone()));
        }
        let spec = worker.spec(&discovered);
        // For control an empty list means any model; a worker without one has nothing to offer.
        if spec.models.is_empty() {
            tracing::warn!(worker = worker.id, "no model is there for this worker, and it is left out");
            continue;
        }
        workers.push(spec);
    }
    Ok(workers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_free_at_once_also_where_a_child_still_has_a_copy_of_its_lock() {
        let folder = tempfile::tempdir().unwrap();
        let held = lock(folder.path()).unwrap();
        assert!(matches!(lock(folder.path()), Err(Error::Busy(_))));
        // What a fork leaves in the child until it runs its program.
        let copy = held.0.try_clone().unwrap();
        drop(held);
        assert!(lock(folder.path()).is_ok());
        drop(copy);
    }
}
