//! Pools: machines that are ordered, boot, cost money, and on the spot market are taken away.

use std::sync::Arc;

use backlot_inference_scheduler::{AgentKey, Event, PoolKey, PoolSpec};

use super::{Engine, clock::Happening, faults::Fault, setup::GpuSpec};

/// One kind of machine in one region.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolSetup {
    /// Its name.
    pub name: Arc<str>,
    /// What its machines are.
    pub gpu: GpuSpec,
    /// Whether they may be taken away.
    pub spot: bool,
    /// Machines that it should always have.
    pub min: u32,
    /// From the order to the agent's first message.
    pub boot_us: i64,
    /// Dollars an hour; counted from the order.
    pub price_usd_h: f64,
    /// How many the market gives, from when on; the first entry is for time zero.
    pub capacity: Vec<(i64, u32)>,
}

/// What a pool cost.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolBill {
    /// Its name.
    pub name: Arc<str>,
    /// Its region.
    pub region: u16,
    /// Whether it is spot.
    pub spot: bool,
    /// Machine time from order to end.
    pub billed_us: i64,
    /// Dollars.
    pub dollars: f64,
}

/// A pool as it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Pool {
    capacity: u32,
    /// Machines that are there and are to stay.
    members: Vec<usize>,
    /// Orders: when, and their number.
    booting: Vec<(i64, u64)>,
    billed_us: i64,
}

impl Engine<'_> {
    pub(super) fn open_pools(&mut self) {
        let setup = self.setup;
        for (at, pool) in setup.pools.iter().enumerate() {
            self.pools.push(Pool::default());
            for (nth, (at_us, available)) in pool.capacity.iter().enumerate() {
                if nth == 0 {
                    self.capacity(at, *available);
                } else {
                    self.clock.at(*at_us, Happening::Capacity { pool: at, available: *available });
                }
            }
        }
    }

    /// The market gives another number of machines: the newest of those that are too many are taken away.
    pub(super) fn capacity(&mut self, at: usize, available: u32) {
        self.pools[at].capacity = available;
        while self.pools[at].members.len() + self.pools[at].booting.len() > available as usize {
            if self.pools[at].booting.pop().is_some() {
                continue;
            }
            let Some(gpu) = self.pools[at].members.pop() else { break };
            self.bill(at, gpu);
            self.fault(gpu, Fault::Preempt);
        }
        let setup = &self.setup.pools[at];
        let spec = PoolSpec {
            pool: PoolKey::from(&*setup.name),
            region: self.region_key(setup.gpu.region),
            workers: (self.pools[at].members.len() + self.pools[at].booting.len()) as u32,
            min: setup.min.min(available),
            spares: 0,
            max: available,
            boot_ms: setup.boot_us / 1000,
            price_micro_per_hour: (setup.price_usd_h * 1e6) as i64,
            spot: setup.spot,
            concurrency: setup.gpu.concurrency,
            speed_milli: setup.gpu.speed_milli,
            kind: None,
        };
        self.inbox.push_back(Event::PoolChanged(spec));
    }

    /// The policy wants so many. Orders that have not booted go first, then what is idle, then what ends its work.
    pub(super) fn scale(&mut self, key: &PoolKey, workers: u32) -> Result<(), String> {
        let at = self.setup.pools.iter().position(|pool| *pool.name == *key.as_str());
        let at = at.ok_or_else(|| format!("pool {key} does not exist"))?;
        let want = workers.min(self.pools[at].capacity) as usize;
        while self.pools[at].members.len() + self.pools[at].booting.len() < want {
            let serial = self.clock.serial();
            self.pools[at].booting.push((self.now_us, serial));
            let boots_us = self.now_us + self.setup.pools[at].boot_us;
            self.clock.at(boots_us, Happening::Booted { pool: at, serial });
        }
        while self.pools[at].members.len() + self.pools[at].booting.len() > want {
            if let Some((ordered_us, _)) = self.pools[at].booting.pop() {
                self.pools[at].billed_us += self.now_us - ordered_us;
                continue;
            }
            let gpus = &self.gpus;
            let idle = self.pools[at].members.iter().rposition(|gpu| gpus[*gpu].attempts.is_empty());
            let nth = idle.unwrap_or(self.pools[at].members.len() - 1);
            let gpu = self.pools[at].members.remove(nth);
            self.gpus[gpu].leaving = true;
            self.fault(gpu, Fault::Drain);
            self.leave_when_done(gpu);
        }
        Ok(())
    }

    /// The policy lets one machine go, by name.
    pub(super) fn retire(&mut self, key: &PoolKey, agent: &AgentKey) -> Result<(), String> {
        let gpu = self.gpu_of.get(agent).copied().ok_or_else(|| format!("{agent} does not exist"))?;
        // The market may have taken it a moment ago.
        let Some(at) = self.pools.iter().position(|pool| pool.members.contains(&gpu)) else { return Ok(()) };
        if *self.setup.pools[at].name != *key.as_str() {
            return Err(format!("{agent} retires from {key}, where it is not"));
        }
        self.pools[at].members.retain(|one| *one != gpu);
        self.gpus[gpu].leaving = true;
        if self.gpus[gpu].alive {
            self.fault(gpu, Fault::Drain);
            self.leave_when_done(gpu);
        } else {
            self.bill(at, gpu);
        }
        Ok(())
    }

    /// A machine that is to go goes when its work is done.
    pub(super) fn leave_when_done(&mut self, gpu: usize) {
        let one = &self.gpus[gpu];
        if !(one.leaving && one.alive && one.attempts.is_empty()) {
            return;
        }
        if let Some((pool, _)) = one.pool {
            self.bill(pool, gpu);
        }
        self.dies(gpu);
    }

    /// A machine of a pool goes without having been asked to.
    pub(super) fn quits(&mut self, gpu: usize) {
        let Some(at) = self.pools.iter().position(|pool| pool.members.contains(&gpu)) else { return };
        self.pools[at].members.retain(|one| *one != gpu);
        self.gpus[gpu].leaving = true;
    }

    pub(super) fn booted(&mut self, at: usize, serial: u64) {
        let Some(nth) = self.pools[at].booting.iter().position(|(_, one)| *one == serial) else { return };
        let (ordered_us, _) = self.pools[at].booting.remove(nth);
        let gpu = self.add_gpu(self.setup.pools[at].gpu);
        self.gpus[gpu].pool = Some((at, ordered_us));
        self.pools[at].members.push(gpu);
        self.join(gpu);
    }

    pub(super) fn bill(&mut self, at: usize, gpu: usize) {
        if let Some((_, ordered_us)) = self.gpus[gpu].pool.take() {
            self.pools[at].billed_us += self.now_us - ordered_us;
        }
    }

    /// What every pool cost until now.
    pub(super) fn bills(&mut self) -> Vec<PoolBill> {
        let now_us = self.now_us;
        for gpu in 0..self.gpus.len() {
            if let Some((pool, _)) = self.gpus[gpu].pool {
                self.bill(pool, gpu);
            }
        }
        let pools = self.setup.pools.iter().zip(&self.pools);
        pools
            .map(|(setup, pool)| {
                let booting: i64 = pool.booting.iter().map(|(ordered_us, _)| now_us - ordered_us).sum();
                let billed_us = pool.billed_us + booting;
                PoolBill {
                    name: setup.name.clone(),
                    region: setup.gpu.region,
                    spot: setup.spot,
                    billed_us,
                    dollars: billed_us as f64 / 3.6e9 * setup.price_usd_h,
                }
            })
            .collect()
    }
}
