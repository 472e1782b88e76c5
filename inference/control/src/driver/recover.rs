//! The start of a driver: it takes the lead and rebuilds the scheduler from the rows.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use backlot_foundation_db::Db;
use backlot_foundation_runtime::Stop;
use backlot_foundation_time::{SharedClock, Timestamp};
use backlot_inference_scheduler::{
    AgentKey, Event, Features, JobSpec, RegionKey, Restored, RestoredState, Scheduler, TenantSpec, WorkerKey,
};

use super::{Driver, Failed, Live, batch::Batch, machines::Machines, plus_ms, time_us};
use crate::{
    input::Schema,
    limits,
    model::{Job, JobState, Tenant, model_key, tenant_key},
    relay::Relay,
    service::Inner,
    shared::ModelEntry,
    store,
};

/// How often a driver that was deposed looks whether its successor still lives.
const STANDBY_PAUSE: Duration = Duration::from_secs(2);

/// Waits until nobody else leads. `false` where the stop signal came first. On SQLite whoever else leads is in this very
/// process, and nothing is silent there: a driver that was deposed stays so.
pub(crate) async fn stand_by(db: &Db, clock: &SharedClock, relay: &Relay, stop: &Stop) -> bool {
    let may_lead_again = db.backend() != sea_orm::DatabaseBackend::Sqlite;
    loop {
        match store::leader(db, clock.now()).await {
            Ok(leader) if may_lead_again && leader.silent_ms > limits::LEADER_LOST_MS => {
                relay.stop();
                return true;
            }
            Ok(leader) => relay.follow(&leader.address),
            Err(error) => tracing::warn!(%error, "the leader's row cannot be read"),
        }
        if !stop.sleep(STANDBY_PAUSE).await {
            return false;
        }
    }
}

impl Driver {
    /// Takes the lead with a new epoch and reads everything that lives.
    pub(crate) async fn recover(inner: &Inner) -> Result<Self, Failed> {
        let Inner { db, clock, shared, config, .. } = inner;
        let now = clock.now();
        let tx = db.begin_write().await?;
        let epoch = store::take_lead(&tx, &config.advertise, now).await?;
        tx.commit().await?;

        let snapshot = store::snapshot(db).await?;
        let mut scheduler = Scheduler::new(epoch).with_snapshot(&snapshot);
        let mut effects = Vec::new();
        for model in store::models(db).await? {
            let schema = Schema::compile(&model.spec.input_schema).or_else(|error| {
                // What is queued goes on; nobody can submit to it before it has a new version.
                tracing::error!(model = %model.spec.key(), %error, "a model's schema cannot be read any more");
                Schema::compile(&serde_json::Value::Bool(false))
            })?;
            scheduler.apply(time_us(now), Event::ModelChanged(model.spec.profile()), &mut effects);
            shared.put_model(Arc::new(ModelEntry { model, schema }));
        }
        let mut tenants = BTreeMap::new();
        for tenant in store::tenants(db).await? {
            scheduler.apply(time_us(now), Event::TenantChanged(tenant_spec(&tenant)), &mut effects);
            tenants.insert((tenant.namespace.clone(), tenant.tenant.clone()), tenant);
        }
        let day_ago = now.minus(Duration::from_millis(limits::GONE_KEPT_MS.unsigned_abs()));
        let machines = Machines::new(config.pools.clone(), store::machines(db, day_ago).await?, now);
        let mut driver = Self {
            db: db.clone(),
            clock: clock.clone(),
            shared: shared.clone(),
            epoch,
            scheduler,
            jobs: BTreeMap::new(),
            agents: BTreeMap::new(),
            tenants,
            machines,
            effects: Vec::new(),
            cut_off: Vec::new(),
            refreshed: None,
            upkeep_at: now,
            snapshot_at: plus_ms(now, limits::SNAPSHOT_MS),
            committed_at: now,
        };
        driver.announce_pools(now, &mut Batch::new(now));
        // An attempt that runs since yesterday is settled there.
        let spent = store::spent(db, now.micros().div_euclid(limits::DAY_US) - 1).await?;
        driver.announce_overflow(now, config.overflow.clone(), spent, &mut Batch::new(now));
        driver.restore_jobs(now, store::live_jobs(db).await?);
        tracing::info!(epoch, jobs = driver.jobs.len(), "the queue leads");
        Ok(driver)
    }

    fn restore_jobs(&mut self, now: Timestamp, jobs: Vec<Job>) {
        self.shared.clear_jobs();
        for job in &jobs {
            self.jobs.insert(job.key(), Live { job: job.clone(), input: None });
            self.shared.publish(job);
        }
        // What was due while nobody led (a time to live) is decided now, and carried out in the first turn.
        let mut effects = Vec::new();
        for job in &jobs {
            self.scheduler.apply(time_us(now), restored(job).into(), &mut effects);
        }
        self.effects = effects;
    }
}

/// What the scheduler must know of a job.
pub(crate) fn job_spec(job: &Job) -> JobSpec {
    JobSpec {
        job: job.key(),
        tenant: tenant_key(&job.namespace, &job.tenant),
        model: model_key(&job.model, &job.model_version),
        tier: job.tier.into(),
        created_at: time_us(job.created_at),
        ttl_ms: job.ttl_ms,
        predicted_ms: job.predicted_ms,
        regions: job.regions.iter().map(|region| RegionKey::from(region.as_str())).collect(),
        features: Features::default(),
        adapters: Arc::from([]),
        data_region: None,
        deadline: job.deadline.map(time_us),
        batch_key: job.batch_key,
    }
}

pub(crate) fn tenant_spec(tenant: &Tenant) -> TenantSpec {
    TenantSpec {
        tenant: tenant_key(&tenant.namespace, &tenant.tenant),
        weight_milli: tenant.weight_milli,
        queued_max: tenant.queued_max,
        regions: tenant.regions.iter().map(|region| RegionKey::from(region.as_str())).collect(),
    }
}

fn restored(job: &Job) -> Restored {
    let lease = job.fence.and_then(|fence| job.attempts.iter().find(|attempt| attempt.fence == fence));
    let state = match lease {
        Some(attempt) if job.state == JobState::Running => RestoredState::Leased {
            fence: attempt.fence,
            worker: WorkerKey::new(&AgentKey::from(attempt.agent.as_str()), &attempt.worker),
            assigned_at: time_us(attempt.assigned_at),
            charge: attempt.charge.as_ref().map(|charge| Box::new(charge.spec())),
        },
        Some(_) | None => RestoredState::Queued { queued_at: time_us(job.queued_at) },
    };
    Restored {
        spec: job_spec(job),
        attempts_ended: job.attempts_ended(),
        cancel_requested: job.cancel_requested_at.is_some(),
        state,
    }
}
