//! What providers say of their machines: done, failed, and what there is. Rows and lists are compared here.

use std::collections::BTreeMap;

use backlot_foundation_time::Timestamp;
use backlot_inference_scheduler::{AgentKey, Event};

use super::{Driver, batch::Batch, plus_ms};
use crate::{
    limits,
    machine::{Machine, MachineState as State, reason},
    pools::{Found, News, PoolConfig, ProviderKind},
};

impl Driver {
    /// A provider said or did something.
    pub(super) fn provider_said(&mut self, now: Timestamp, epoch: u64, news: News, batch: &mut Batch) {
        if epoch != self.epoch {
            return;
        }
        match news {
            News::Created(id, words) => {
                self.machines.adopting.remove(&id);
                let Some(machine) = self.machines.rows.get_mut(&id) else { return };
                if machine.joined_at.is_none() {
                    machine.message = words;
                }
                self.machines.troubles.remove(&machine.pool);
                self.exists(now, &id, batch);
                // Not at once: other machines that this turn orders have no rows yet.
                batch.machine(&id);
            }
            News::Deleted(id) => {
                if self.machines.leftovers.remove(&id).is_some() {
                    batch.errand();
                }
                self.gone(now, &id, "", batch);
            }
            News::Failed(id, message) => {
                let Some(machine) = self.machines.rows.get_mut(&id) else { return };
                tracing::warn!(
                    machine = id,
                    pool = machine.pool,
                    message,
                    "a provider failed; it is asked again"
                );
                metrics::counter!("backlot_inference_provider_failures", "pool" => machine.pool.clone())
                    .increment(1);
                self.machines.troubles.insert(machine.pool.clone(), message.clone());
                machine.message = message;
                batch.machines.insert(id);
            }
            News::Listed(pool, _, Err(message)) => {
                tracing::warn!(pool, message, "a provider cannot say what there is; it is asked again");
                metrics::counter!("backlot_inference_provider_failures", "pool" => pool.clone()).increment(1);
                self.machines.troubles.insert(pool, message);
            }
            News::Listed(pool, asked_at, Ok(found)) => self.listed(now, &pool, asked_at, found, batch),
        }
    }

    /// The provider has the machine.
    fn exists(&mut self, now: Timestamp, id: &str, batch: &mut Batch) {
        let Some(machine) = self.machines.rows.get_mut(id) else { return };
        if machine.created_at.is_none() {
            machine.created_at = Some(now);
            batch.machine(id);
        }
        if machine.state == State::Ordered {
            machine.state = State::Booting;
            batch.machine(id);
        }
    }

    fn gone(&mut self, now: Timestamp, id: &str, reason: &str, batch: &mut Batch) {
        let Some(machine) = self.machines.rows.get_mut(id) else { return };
        if machine.state == State::Gone {
            return;
        }
        let agent = machine.agent.clone();
        machine.leave(now, State::Gone, reason);
        machine.gone_at = Some(now);
        tracing::info!(machine = id, pool = machine.pool, reason = machine.reason, "a machine is gone");
        self.machines.missing.remove(id);
        self.machines.adopting.remove(id);
        batch.machine(id);
        if !agent.is_empty() {
            // Its place is free at once, not when its agent is forgotten.
            self.apply(now, Event::AgentDraining { agent: AgentKey::from(agent.as_str()) }, None, batch);
        }
    }

    /// Rows and list are compared.
    fn listed(
        &mut self,
        now: Timestamp,
        pool: &str,
        asked_at: Timestamp,
        found: Vec<Found>,
        batch: &mut Batch,
    ) {
        let Some(config) = self.machines.pools.get(pool).cloned() else { return };
        self.heard_words(&found, batch);
        self.find_leftovers(pool, &found, batch);
        let named = |one: &Found| {
            let fits = !one.machine.is_empty() && one.machine.len() <= limits::NAME_CHARS_MAX;
            // A list is a stranger's word: not every name is one that a row can hold.
            !one.ended && fits && !one.machine.contains(char::is_control)
        };
        let found: BTreeMap<String, bool> = found
            .into_iter()
            .filter(named)
            .take(limits::LISTED_MAX)
            .map(|one| (one.machine, one.notice))
            .collect();
        let mut unknown = 0;
        for (id, notice) in &found {
            self.machines.missing.remove(id);
            match self.machines.rows.get(id).map(|row| (row.state, row.agent.clone(), row.gone_at)) {
                None => unknown += usize::from(self.unknown(now, pool, &config, id, batch)),
                Some((State::Gone, _, Some(gone_at)))
                    if plus_ms(gone_at, limits::GONE_GRACE_MS) < asked_at =>
                {
                    tracing::warn!(
                        machine = id,
                        pool,
                        "a machine that was taken away is there; it goes again"
                    );
                    if let Some(machine) = self.machines.rows.get_mut(id) {
                        (machine.state, machine.gone_at) = (State::Deleting, None);
                        batch.machine(id);
                    }
                }
                Some((State::Ordered, _, _)) => self.exists(now, id, batch),
                Some((state, agent, _)) if *notice && state.counts() => {
                    self.send_off(now, id, State::Draining, reason::TAKEN_AWAY, batch);
                    if !agent.is_empty() {
                        let agent = AgentKey::from(agent.as_str());
                        self.apply(now, Event::AgentDraining { agent }, None, batch);
                    }
                }
                Some(_) => {}
            }
        }
        self.machines.unknown.insert(pool.to_owned(), unknown);
        let lag_ms = if config.provider == ProviderKind::Local { 0 } else { 2 * config.list_ms };
        let lag_ms = i64::try_from(lag_ms).unwrap_or(i64::MAX);
        let rows = self.machines.rows.values().filter(|row| row.pool == pool && !found.contains_key(&row.id));
        let missed: Vec<String> = rows
            .filter(|row| matches!(row.state, State::Booting | State::Joined | State::Draining))
            .filter(|row| row.created_at.is_some_and(|at| plus_ms(at, lag_ms) < asked_at))
            .filter(|row| !self.machines.adopting.contains(&row.id))
            // A list that misses what talks to us is wrong.
            .filter(|row| !self.is_connected(&row.agent))
            .map(|row| row.id.clone())
            .collect();
        for id in missed {
            let count = self.machines.missing.entry(id.clone()).or_default();
            *count += 1;
            if *count >= limits::MISSING_LISTS {
                self.gone(now, &id, reason::NOT_THERE, batch);
            }
        }
    }

    /// The folder of a local machine that is gone, and whose agent has ended, is removed.
    fn find_leftovers(&mut self, pool: &str, found: &[Found], batch: &mut Batch) {
        for one in found.iter().filter(|one| one.ended).take(limits::LISTED_MAX) {
            let row = self.machines.rows.get(&one.machine);
            let is_over = row.is_none_or(|row| row.state == State::Gone);
            let known = self.machines.leftovers.contains_key(&one.machine);
            if is_over && !known {
                self.machines.leftovers.insert(one.machine.clone(), pool.to_owned());
                batch.errand();
            }
        }
    }

    /// What the agents of machines wrote that have not joined is kept with their rows.
    fn heard_words(&mut self, found: &[Found], batch: &mut Batch) {
        for one in found.iter().filter(|one| !one.words.is_empty()) {
            let row = self.machines.rows.get_mut(&one.machine);
            let waited_for = |row: &&mut Machine| matches!(row.state, State::Ordered | State::Booting);
            if let Some(row) = row.filter(waited_for).filter(|row| row.message != one.words) {
                row.message.clone_from(&one.words);
                batch.machines.insert(one.machine.clone());
            }
        }
    }

    /// A machine without a row. Whether it stays unknown: where the configuration says so, it gets one, and goes.
    fn unknown(
        &mut self,
        now: Timestamp,
        pool: &str,
        config: &PoolConfig,
        id: &str,
        batch: &mut Batch,
    ) -> bool {
        tracing::warn!(machine = id, pool, "a provider lists a machine that nobody here ordered");
        if !config.delete_unknown && config.provider != ProviderKind::Local {
            return true;
        }
        let machine = Machine {
            id: id.to_owned(),
            pool: pool.to_owned(),
            agent: String::new(),
            state: State::Deleting,
            reason: reason::UNKNOWN.to_owned(),
            message: String::new(),
            epoch: self.epoch,
            workers: config.workers,
            price_micro_per_hour: config.price_micro_per_hour,
            ordered_at: now,
            created_at: Some(now),
            joined_at: None,
            leaving_at: Some(now),
            gone_at: None,
        };
        self.machines.rows.insert(id.to_owned(), machine);
        batch.machine(id);
        false
    }

    fn is_connected(&self, agent: &str) -> bool {
        self.agents.get(&AgentKey::from(agent)).is_some_and(|entry| entry.stream.is_some())
    }
}
