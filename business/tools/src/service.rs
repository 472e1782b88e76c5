//! The rules: what is accepted, canceled and shown. What an order costs and whether it may run: `order.rs`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use backlot_business_api::RunId;
use backlot_foundation_db::Db;
use backlot_foundation_errors::{Problem, codes};
use backlot_foundation_rpc::Channel;
use backlot_foundation_runtime::Stop;
use backlot_foundation_time::{SharedClock, Timestamp};
use backlot_infrastructure_api::OrganisationId;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, broadcast};

use crate::busy::Busy;
use crate::catalogue::Catalogue;
use crate::error::Error;
use crate::extensions::{ExtensionView, Extensions};
use crate::facts::Job;
use crate::machine::Stage;
use crate::manifest::{Source, Tool};
use crate::moderation::prompts::PromptList;
use crate::order::{Actor, Order, digest, order_text};
use crate::publish::{publish, publish_one};
use crate::row::Model as Row;
use crate::store::{Change, Inserted, Key, NewLine, Store};
use crate::systems::Systems;
use crate::who_pays::{Overrides, WhoPays};

/// Longest a request waits for hold and submission before it answers with what there is.
const INLINE: Duration = Duration::from_secs(10);
/// Changes that a slow reader may be behind; then it reads the row.
const CHANGES_MAX: usize = 1_024;
/// Organisations that are remembered as tenants.
const TENANTS_MAX: usize = 100_000;

/// Settings of tools.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How often a waiting run is looked at although nothing was heard, in milliseconds.
    pub poll_ms: u64,
    /// After how long a run is looked at whose driver may have died, in milliseconds.
    pub lease_ms: u64,
    /// How often the reconciler looks for due runs, in milliseconds.
    pub sweep_ms: u64,
    /// Runs that are driven at once.
    pub drivers_max: usize,
    /// Open runs that one organisation may have.
    pub open_runs_max: u64,
    /// What is looked at before anything is delivered.
    pub moderation: crate::moderation::Config,
    /// Folders of Python that become tools.
    pub extensions: crate::extensions::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            poll_ms: 10_000,
            lease_ms: 5_000,
            sweep_ms: 1_000,
            drivers_max: 16,
            open_runs_max: 1_000,
            moderation: crate::moderation::Config::default(),
            extensions: crate::extensions::Config::default(),
        }
    }
}

impl Config {
    pub(crate) const fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms)
    }

    pub(crate) const fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    pub(crate) const fn sweep(&self) -> Duration {
        Duration::from_millis(self.sweep_ms)
    }
}

/// Tools. Cheap to clone.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    store: Store,
    systems: Systems,
    catalogue: RwLock<Catalogue>,
    extensions: Extensions,
    who_pays: WhoPays,
    prompts: PromptList,
    clock: SharedClock,
    config: Config,
    busy: Busy,
    tenants: Mutex<HashSet<OrganisationId>>,
    wakes: Mutex<HashSet<RunId>>,
    waked: Notify,
    changes: broadcast::Sender<RunId>,
    streams: Stop,
}

impl Service {
    /// Over business's migrated database. Records the shipped manifests and keeps to what was recorded first.
    pub async fn new(
        db: Db,
        infrastructure: Channel,
        inference: Channel,
        clock: SharedClock,
        config: Config,
    ) -> Result<Self, Error> {
        let store = Store::new(db);
        let catalogue = publish(&store, &Catalogue::shipped()?, clock.now()).await?;
        Ok(Self(Arc::new(Inner {
            store,
            systems: Systems::new(infrastructure, inference),
            catalogue: RwLock::new(catalogue),
            extensions: Extensions::default(),
            who_pays: WhoPays::shipped()?,
            prompts: PromptList::shipped()?,
            clock,
            config,
            busy: Busy::default(),
            tenants: Mutex::default(),
            wakes: Mutex::default(),
            waked: Notify::new(),
            changes: broadcast::Sender::new(CHANGES_MAX),
            streams: Stop::new(),
        })))
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn systems(&self) -> &Systems {
        &self.0.systems
    }

    pub(crate) fn busy(&self) -> &Busy {
        &self.0.busy
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn prompts(&self) -> &PromptList {
        &self.0.prompts
    }

    pub(crate) fn who_pays(&self) -> &WhoPays {
        &self.0.who_pays
    }

    /// Every published version of every tool, as it is now.
    #[must_use]
    pub fn catalogue(&self) -> Catalogue {
        self.0.catalogue.read().clone()
    }

    /// The tools that people find: those that ship, and the extensions whose folder is there.
    #[must_use]
    pub fn listed(&self) -> Vec<Arc<Tool>> {
        let is_there = |tool: &&Arc<Tool>| {
            tool.manifest.source != Source::Extension || self.extensions().get(&tool.manifest.name).is_some()
        };
        self.catalogue().listed().filter(is_there).cloned().collect()
    }

    /// The extensions whose folders are there, with what is wrong with them.
    #[must_use]
    pub fn extension_views(&self) -> Vec<ExtensionView> {
        self.extensions().all()
    }

    pub(crate) fn extensions(&self) -> &Extensions {
        &self.0.extensions
    }

    /// Records a version and offers it from now on.
    pub(crate) async fn publish_live(&self, tool: Tool) -> Result<(), Error> {
        let tool = Arc::new(publish_one(self.store(), &tool, self.now()).await?);
        let mut catalogue = self.0.catalogue.write();
        *catalogue = catalogue.with(tool);
        Ok(())
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    pub(crate) fn overrides(&self, row: &Row) -> Overrides {
        let catalogue = self.catalogue();
        let tool = catalogue.version(&row.tool, &row.tool_version);
        tool.map(|tool| tool.manifest.who_pays.clone()).unwrap_or_default()
    }

    /// Asks the reconciler to look at a run soon.
    pub(crate) fn nudge(&self, ids: impl IntoIterator<Item = RunId>) {
        self.0.wakes.lock().extend(ids);
        self.0.waked.notify_one();
    }

    pub(crate) fn take_wakes(&self) -> HashSet<RunId> {
        std::mem::take(&mut *self.0.wakes.lock())
    }

    pub(crate) async fn waked(&self) {
        self.0.waked.notified().await;
    }

    pub(crate) fn changed(&self, id: RunId) {
        // An error only says that nobody listens.
        let _ = self.0.changes.send(id);
    }

    pub(crate) fn changes(&self) -> broadcast::Receiver<RunId> {
        self.0.changes.subscribe()
    }

    /// Given when this process is to stop: event streams end then, and their clients come back elsewhere.
    pub(crate) fn streams(&self) -> &Stop {
        &self.0.streams
    }

    pub(crate) async fn make_tenant(&self, organisation: OrganisationId) -> Result<(), Problem> {
        if self.0.tenants.lock().contains(&organisation) {
            return Ok(());
        }
        self.systems().put_tenant(organisation).await?;
        let mut tenants = self.0.tenants.lock();
        if tenants.len() >= TENANTS_MAX {
            tenants.clear();
        }
        tenants.insert(organisation);
        Ok(())
    }

    /// The tool in this version, or in the newest.
    pub fn tool(&self, name: &str, version: Option<&str>) -> Result<Arc<Tool>, Error> {
        let catalogue = self.catalogue();
        let tool = match version {
            Some(version) => catalogue.version(name, version),
            None => catalogue.newest(name),
        };
        let named = || version.map_or_else(|| name.to_owned(), |version| format!("{name} {version}"));
        tool.cloned().ok_or_else(|| Error::ToolUnknown(named().chars().take(100).collect()))
    }

    /// Accepts a run: writes it, holds its price and submits it. Refused orders leave nothing held.
    pub async fn submit(&self, actor: &Actor, order: &Order, key: Option<&str>) -> Result<Row, Error> {
        let key = key.map(|key| Key { key_digest: digest(key), body_digest: digest(&order_text(order)) });
        if let Some(key) = &key
            && let Some(before) = self.store().replay(actor.organisation, key).await?
        {
            return self.answer_replay(actor, before).await;
        }
        let prepared = self.prepare(actor, order).await?;
        if let Some(max_micro) = order.max_price_micro
            && prepared.price_micro > max_micro
        {
            return Err(Error::PriceAboveMaximum { price_micro: prepared.price_micro, max_micro });
        }
        let open = self.store().open_runs(actor.organisation).await?;
        if open >= self.config().open_runs_max {
            return Err(Error::TooManyRuns(open));
        }
        if let Some(deadline) = order.deadline {
            self.in_time(actor, &prepared, deadline).await?;
        }
        let row = self.new_row(actor, order, &prepared);
        let line = NewLine {
            at: row.created_at,
            system: "business",
            what: "accepted",
            detail: format!("{} {}, {} micro-credits", row.tool, row.tool_version, row.price_micro),
        };
        let change = Change { lines: vec![line], ..Change::default() };
        match self.store().insert(&row, key.as_ref(), &change).await? {
            Inserted::New => (),
            before @ (Inserted::Replay(_) | Inserted::KeyReused(_)) => {
                return self.answer_replay(actor, before).await;
            }
        }
        // Where this takes too long, or the caller goes away, the reconciler carries on.
        if tokio::time::timeout(INLINE, self.drive(row.id)).await.is_err() {
            self.nudge([row.id]);
        }
        self.accepted(actor, row.id).await
    }

    async fn answer_replay(&self, actor: &Actor, before: Inserted) -> Result<Row, Error> {
        match before {
            Inserted::Replay(id) => self.accepted(actor, id).await,
            Inserted::KeyReused(id) => Err(Error::KeyReused(id)),
            Inserted::New => Err(Error::RunUnknown(String::new())),
        }
    }

    async fn accepted(&self, actor: &Actor, id: RunId) -> Result<Row, Error> {
        let row = self.run(actor, id).await?;
        match row.refusal() {
            Some(problem) if row.stage()? == Stage::Refused => {
                Err(Error::Refused(problem.with_extra("run_id", id.to_string())))
            }
            Some(_) | None => Ok(row),
        }
    }

    /// The organisation's run.
    pub async fn run(&self, actor: &Actor, id: RunId) -> Result<Row, Error> {
        let row = self.store().run_of(actor.organisation, id).await?;
        row.ok_or_else(|| Error::RunUnknown(id.to_string()))
    }

    /// The organisation's runs, newest first.
    pub async fn runs(&self, actor: &Actor, before: Option<RunId>, limit: u64) -> Result<Vec<Row>, Error> {
        Ok(self.store().runs_of(actor.organisation, before, limit).await?)
    }

    /// Asks a run to stop. One that has ended stays as it is.
    pub async fn cancel(&self, actor: &Actor, id: RunId) -> Result<Row, Error> {
        let row = self.run(actor, id).await?;
        self.may_cancel(actor, &row).await?;
        if self.request_cancel(id).await? && tokio::time::timeout(INLINE, self.drive(id)).await.is_err() {
            self.nudge([id]);
        }
        self.run(actor, id).await
    }

    /// Their own run, anybody; another's, who could have started it: a cancel costs what was used.
    async fn may_cancel(&self, actor: &Actor, row: &Row) -> Result<(), Error> {
        if row.actor_id == actor.id {
            return Ok(());
        }
        let project = row.project_id.map(|id| id.to_string()).unwrap_or_default();
        let permission =
            self.systems().check(actor.organisation, &actor.id, &project, "", &row.tool, 0).await?;
        if permission.allowed {
            return Ok(());
        }
        let detail =
            format!("This run is somebody else's, and you could not have started it. {}", permission.message);
        Err(Error::Refused(Problem::new(&codes::FORBIDDEN, detail)))
    }

    /// The run's job as it is now, where there is one that still moves. `None` too where inference does not answer.
    pub(crate) async fn live_job(&self, row: &Row) -> Option<Job> {
        if !row.accepted || row.outcome.is_some() {
            return None;
        }
        let job = self.systems().job(row.id).await;
        job.inspect_err(|problem| tracing::debug!(run = %row.id, %problem, "no progress is known"))
            .ok()
            .flatten()
    }
}
