//! The carrier: calls providers as the rows say, and tells the driver what came of it.
//!
//! It believes no message, only the rows: what they want is compared with what a provider lists, again and again. A machine
//! is made only after its pool was listed since the last thing that went wrong, so that an order whose answer was lost is
//! found and not repeated; and where a list lies, the order's key still makes both one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use backlot_foundation_runtime::Stop;
use backlot_foundation_time::{SharedClock, Timestamp};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};

use super::{
    Launch, PoolConfig, Provider, Secrets, environment,
    provider::{Listed, Order, ProviderError},
};
use crate::{driver::Command, limits};

/// What is to be done with a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errand {
    Create,
    Delete,
    /// A local machine that was there before this process: it is made sure of once, because its agent may know only the
    /// address and the token of the process that started it.
    Adopt,
}

/// Everything that is to be done, by machine; with its pool.
pub(crate) type Errands = Arc<BTreeMap<String, (String, Errand)>>;

/// A machine that a provider listed.
pub(crate) type Found = Listed;

/// What a provider said or did.
#[derive(Debug)]
pub(crate) enum News {
    /// The machine was made; with what there is to know of that where its agent does not join.
    Created(String, String),
    /// It was taken away.
    Deleted(String),
    /// A call for it failed.
    Failed(String, String),
    /// What there is of a pool, asked at that time; or why that cannot be said.
    Listed(String, Timestamp, Result<Vec<Found>, String>),
}

/// A call that is over.
enum Done {
    Machine(String, Errand, Result<String, ProviderError>),
    List(String, Timestamp, Result<Vec<Found>, ProviderError>),
}

/// A pool as the carrier sees it.
struct Pool {
    config: PoolConfig,
    provider: Arc<Provider>,
    list_at: Instant,
    listing: bool,
    /// Lists that were answered, and what the last one named.
    lists: u64,
    found: BTreeSet<String>,
    failures: u32,
}

/// A machine for which a call failed.
struct Pause {
    failures: u32,
    until: Instant,
    /// Lists that its pool must have had before it is made again.
    lists: u64,
}

/// The task that speaks with providers, of one driver.
pub(crate) struct Carrier {
    epoch: u64,
    clock: SharedClock,
    join_url: String,
    join_token: String,
    pools: BTreeMap<String, Pool>,
    errands: watch::Receiver<Errands>,
    driver: mpsc::Sender<Command>,
    calls: JoinSet<Done>,
    busy: BTreeSet<String>,
    pauses: BTreeMap<String, Pause>,
    /// Errands that are done, until the driver has heard of it and wants something else.
    done: BTreeMap<String, Errand>,
}

impl Carrier {
    pub(crate) fn new(
        epoch: u64,
        clock: &SharedClock,
        config: &crate::Config,
        launch: &Launch,
        errands: watch::Receiver<Errands>,
        driver: mpsc::Sender<Command>,
    ) -> Self {
        let variables = std::env::vars_os();
        let variables =
            variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let secrets = Secrets::of(&config.join_token, variables);
        let pool = |(name, config): (&String, &PoolConfig)| {
            let provider = Arc::new(Provider::new(name, config, launch, &secrets));
            let pool = Pool {
                config: config.clone(),
                provider,
                list_at: Instant::now(),
                listing: false,
                lists: 0,
                found: BTreeSet::new(),
                failures: 0,
            };
            (name.clone(), pool)
        };
        Self {
            epoch,
            clock: clock.clone(),
            join_url: config.join_url.clone(),
            join_token: config.join_token.clone(),
            pools: config.pools.iter().map(pool).collect(),
            errands,
            driver,
            calls: JoinSet::new(),
            busy: BTreeSet::new(),
            pauses: BTreeMap::new(),
            done: BTreeMap::new(),
        }
    }

    /// Works until the stop signal.
    pub(crate) async fn run(&mut self, stop: &Stop) {
        if self.pools.is_empty() {
            return stop.stopped().await;
        }
        while !stop.is_stopped() {
            let next = self.start_what_is_due();
            tokio::select! {
                biased;
                () = stop.stopped() => break,
                Some(done) = self.calls.join_next(), if !self.calls.is_empty() => {
                    let Some(news) = done.ok().map(|done| self.done(done)) else { continue };
                    let told = self.driver.send(Command::Machines(self.epoch, news));
                    if !matches!(stop.unless_stopped(told).await, Some(Ok(()))) {
                        break;
                    }
                }
                changed = self.errands.changed() => {
                    if changed.is_err() {
                        break;
                    }
                }
                () = tokio::time::sleep_until(next) => {}
            }
        }
        self.calls.shutdown().await;
    }

    /// The service stops, or another one leads: what cannot outlive that ends.
    pub(crate) async fn stop_machines(&self) {
        futures::future::join_all(self.pools.values().map(|pool| pool.provider.stop())).await;
    }

    /// Starts calls that are due; when to look again.
    fn start_what_is_due(&mut self) -> Instant {
        let now = Instant::now();
        let mut next = now + Duration::from_millis(limits::CARRIER_LOOK_MS);
        let errands = self.errands.borrow_and_update().clone();
        self.pauses.retain(|machine, _| errands.contains_key(machine));
        self.done.retain(|machine, done| errands.get(machine).is_some_and(|(_, errand)| errand == done));
        for (name, pool) in &mut self.pools {
            if !pool.listing && pool.list_at <= now {
                pool.listing = true;
                let (name, provider, at) = (name.clone(), pool.provider.clone(), self.clock.now());
                self.calls.spawn(async move { Done::List(name, at, provider.list().await) });
            } else if !pool.listing {
                next = next.min(pool.list_at);
            }
        }
        for (machine, (pool, errand)) in errands.iter() {
            let Some(pool_row) = self.pools.get(pool) else { continue };
            let room = self.busy.len() < limits::PROVIDER_CALLS_MAX;

            // The driver hears of it and will say so.
            let there = *errand == Errand::Create && pool_row.found.contains(machine);
            let done = self.done.contains_key(machine);
            if self.busy.contains(machine) || !room || there || done {
                continue;
            }
            let (until, lists) =
                self.pauses.get(machine).map_or((now, 1), |pause| (pause.until, pause.lists));
            if until > now || (*errand == Errand::Create && pool_row.lists < lists) {
                next = next.min(until.max(now + Duration::from_millis(1)).max(pool_row.list_at));
                continue;
            }
            self.busy.insert(machine.clone());
            let order = self.order(machine, pool, &pool_row.config, *errand);
            let (provider, errand) = (pool_row.provider.clone(), *errand);
            self.calls.spawn(async move {
                let called = match errand {
                    Errand::Create | Errand::Adopt => provider.create(&order).await,
                    Errand::Delete => provider.delete(&order).await.map(|()| String::new()),
                };
                Done::Machine(order.machine, errand, called)
            });
        }
        next
    }

    fn order(&self, machine: &str, pool: &str, config: &PoolConfig, errand: Errand) -> Order {
        let environment = match errand {
            Errand::Create | Errand::Adopt => {
                environment(pool, config, machine, &self.join_url, &self.join_token)
            }
            Errand::Delete => BTreeMap::new(),
        };
        Order {
            machine: machine.to_owned(),
            pool: pool.to_owned(),
            region: config.region.clone(),
            kind: config.kind.clone(),
            spot: config.spot,
            epoch: self.epoch,
            environment,
        }
    }

    fn done(&mut self, done: Done) -> News {
        match done {
            Done::Machine(machine, errand, called) => self.called(machine, errand, called),
            Done::List(name, at, listed) => {
                if let Some(pool) = self.pools.get_mut(&name) {
                    pool.listing = false;
                    pool.failures = if listed.is_ok() { 0 } else { pool.failures.saturating_add(1) };
                    if let Ok(found) = &listed {
                        pool.lists += 1;
                        let there = found.iter().filter(|one| !one.ended);
                        pool.found = there.map(|one| one.machine.clone()).collect();
                    }
                    let pause = pause_ms(pool.failures).max(pool.config.list_ms);
                    pool.list_at = Instant::now() + Duration::from_millis(pause);
                }
                News::Listed(name, at, listed.map_err(|error| error.to_string()))
            }
        }
    }

    fn called(&mut self, machine: String, errand: Errand, called: Result<String, ProviderError>) -> News {
        self.busy.remove(&machine);
        match (called, errand) {
            (Ok(words), Errand::Create | Errand::Adopt) => {
                self.pauses.remove(&machine);
                self.done.insert(machine.clone(), errand);
                News::Created(machine, words)
            }
            (Ok(_), Errand::Delete) => {
                self.pauses.remove(&machine);
                self.done.insert(machine.clone(), errand);
                News::Deleted(machine)
            }
            (Err(error), _) => {
                let errands = self.errands.borrow();
                let pool = errands.get(&machine).and_then(|(pool, _)| self.pools.get_mut(pool));
                let mut lists = 0;
                if let Some(pool) = pool {
                    // What the call did is not known: the next list says it.
                    pool.list_at = Instant::now();
                    lists = pool.lists + 1 + u64::from(pool.listing);
                }
                let failures = self.pauses.get(&machine).map_or(1, |pause| pause.failures.saturating_add(1));
                let until = Instant::now() + Duration::from_millis(pause_ms(failures));
                self.pauses.insert(machine.clone(), Pause { failures, until, lists });
                News::Failed(machine, error.to_string())
            }
        }
    }
}

/// The pause after so many failures in a row, milliseconds: it doubles.
pub(crate) fn pause_ms(failures: u32) -> u64 {
    match failures {
        0 => 0,
        n => (limits::PROVIDER_PAUSE_MS << (n - 1).min(16)).min(limits::PROVIDER_PAUSE_MS_MAX),
    }
}
