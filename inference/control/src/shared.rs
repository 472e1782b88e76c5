//! What callers read without asking the driver: registered models and live jobs, as of the last commit.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use backlot_inference_api::JobId;
use backlot_inference_scheduler::ModelKey;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::{
    error::Error,
    input::Schema,
    model::{Job, Model, model_key},
};

/// A registered model with its compiled schema.
pub(crate) struct ModelEntry {
    pub(crate) model: Model,
    pub(crate) schema: Schema,
}

/// Written by the driver after each commit.
#[derive(Default)]
pub(crate) struct Shared {
    models: RwLock<BTreeMap<ModelKey, Arc<ModelEntry>>>,
    live: RwLock<HashMap<JobId, watch::Sender<Arc<Job>>>>,
    /// Jobs that somebody watches, or did: looked through where all that live would be too many.
    watched: Mutex<BTreeSet<JobId>>,
    stopped: AtomicBool,
    /// Another process leads: what is known of models may be old.
    follows: AtomicBool,
}

impl Shared {
    pub(crate) fn model(&self, key: &ModelKey) -> Option<Arc<ModelEntry>> {
        self.models.read().get(key).cloned()
    }

    /// A namespace's model; where `version` is empty, the one that was registered last.
    pub(crate) fn find_model(&self, namespace: &str, name: &str, version: &str) -> Option<Arc<ModelEntry>> {
        if !version.is_empty() {
            let entry = self.model(&model_key(name, version));
            return entry.filter(|entry| entry.model.namespace == namespace);
        }
        let models = self.models.read();
        let of_name = models
            .values()
            .filter(|entry| entry.model.spec.name == name && entry.model.namespace == namespace);
        of_name.max_by_key(|entry| (entry.model.created_at, &entry.model.spec.version)).cloned()
    }

    pub(crate) fn models(&self, namespace: &str) -> Vec<Model> {
        let models = self.models.read();
        let own = models.values().filter(|entry| entry.model.namespace == namespace);
        own.map(|entry| entry.model.clone()).collect()
    }

    /// Whether the names of `owner` are another namespace's.
    pub(crate) fn is_anothers(&self, namespace: &str, owner: &str) -> bool {
        let models = self.models.read();
        models.values().any(|entry| entry.model.spec.owner() == owner && entry.model.namespace != namespace)
    }

    pub(crate) fn model_count(&self) -> usize {
        self.models.read().len()
    }

    pub(crate) fn put_model(&self, entry: Arc<ModelEntry>) {
        self.models.write().insert(entry.model.spec.key(), entry);
    }

    /// The job as of the last commit or progress, while it lives.
    pub(crate) fn job(&self, id: JobId) -> Option<Arc<Job>> {
        self.live.read().get(&id).map(|sender| sender.borrow().clone())
    }

    /// The job now and all that follows, while it lives.
    pub(crate) fn watch(&self, id: JobId) -> Option<watch::Receiver<Arc<Job>>> {
        let receiver = self.live.read().get(&id).map(watch::Sender::subscribe)?;
        self.watched.lock().insert(id);
        Some(receiver)
    }

    /// Jobs that somebody watches, in their order, those after `after` where it is given.
    pub(crate) fn watched_after(&self, after: Option<JobId>) -> Vec<JobId> {
        let mut watched = self.watched.lock();
        let live = self.live.read();
        watched.retain(|id| live.get(id).is_some_and(|sender| sender.receiver_count() > 0));
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        watched.range((after, Bound::Unbounded)).copied().collect()
    }

    /// Shows a job as it is now; one that has ended is shown a last time and leaves.
    pub(crate) fn publish(&self, job: &Job) {
        let shown = Arc::new(job.clone());
        if job.state.is_terminal() {
            let sender = self.live.write().remove(&job.id);
            if let Some(sender) = sender {
                sender.send_replace(shown);
            }
            return;
        }
        if let Some(sender) = self.live.read().get(&job.id) {
            sender.send_replace(shown);
            return;
        }
        self.live.write().insert(job.id, watch::Sender::new(shown));
    }

    /// Whether another process leads.
    pub(crate) fn set_follows(&self, follows: bool) {
        self.follows.store(follows, Ordering::SeqCst);
    }

    /// Why a model is not found: it is not registered, or somebody else would know.
    pub(crate) fn not_found(&self, name: &str, version: &str) -> Error {
        if self.follows.load(Ordering::SeqCst) {
            return Error::Unavailable;
        }
        let version = if version.is_empty() { "any version" } else { version };
        Error::ModelUnknown(format!("{name}:{version}"))
    }

    /// The process is stopping: watchers' streams end for good.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.clear_jobs();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Nothing is known any more: watchers' streams end, and they ask again.
    pub(crate) fn clear_jobs(&self) {
        self.live.write().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::blank;

    #[test]
    fn only_what_is_watched_now_is_looked_through() {
        let shared = Shared::default();
        let mut jobs: Vec<Job> = (0..4).map(|_| blank("n", "t", "owner/model", "1")).collect();
        jobs.sort_unstable_by_key(|job| job.id);
        let [first, second, third, fourth] = [0, 1, 2, 3].map(|n| jobs[n].id);
        jobs.iter().for_each(|job| shared.publish(job));
        assert!(shared.watched_after(None).is_empty(), "nobody watches");
        let watchers: Vec<_> = [third, first, fourth].map(|id| shared.watch(id).unwrap()).into();
        let again = shared.watch(first).unwrap();
        assert_eq!(shared.watched_after(None), [first, third, fourth]);
        assert_eq!(shared.watched_after(Some(second)), [third, fourth], "round and round");
        drop(watchers);
        assert_eq!(shared.watched_after(None), [first], "one watcher is left");
        jobs[0].state = crate::model::JobState::Succeeded;
        shared.publish(&jobs[0]);
        assert!(shared.watched_after(None).is_empty(), "it has ended");
        assert!(shared.watched.lock().is_empty() && shared.watch(first).is_none());
        drop(again);
    }
}
