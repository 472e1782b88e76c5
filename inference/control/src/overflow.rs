//! Third parties that compute for money by use: what the operator says of them, and what was spent.

use std::collections::BTreeSet;

use backlot_inference_scheduler as scheduler;
use backlot_inference_scheduler::{PaidSpec, PoolKey};
use serde::{Deserialize, Serialize};

use crate::{limits, model::Tier};

/// A third party behind an agent, used where the fleet's own start would break the promise, and only under its cap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OverflowConfig {
    /// What each job costs, in millionths of a US dollar.
    pub price_micro_per_job: i64,
    /// What each begun second of compute costs beside that. Where it is more than 0, an attempt that takes twice what was
    /// expected is stopped and tried on the fleet's own machines.
    pub price_micro_per_second: i64,
    /// Attempts that may run there at once.
    pub slots: u32,
    /// What all jobs of a day (UTC) may cost together; 0: nothing goes there.
    pub cap_micro_per_day: i64,
    /// What one tenant's jobs of a day may cost; nothing: only the cap of all counts.
    pub tenant_cap_micro_per_day: Option<i64>,
    /// Tiers whose jobs may go there. Not the batch tier, where nothing is said: what is done whenever it is cheap is not bought
    /// dear.
    pub tiers: BTreeSet<Tier>,
}

impl Default for OverflowConfig {
    fn default() -> Self {
        Self {
            price_micro_per_job: 0,
            price_micro_per_second: 0,
            slots: 0,
            cap_micro_per_day: 0,
            tenant_cap_micro_per_day: None,
            tiers: BTreeSet::from([Tier::Interactive, Tier::Standard]),
        }
    }
}

impl OverflowConfig {
    /// The first thing that cannot be.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let money = |micro: i64| (0..=limits::OVERFLOW_MICRO_MAX).contains(&micro);
        let prices = money(self.price_micro_per_job) && money(self.price_micro_per_second);
        let caps = money(self.cap_micro_per_day) && self.tenant_cap_micro_per_day.is_none_or(money);
        if !prices || !caps {
            return Err("prices and caps must be 0 to 1000000000000");
        }
        if self.price_micro_per_job == 0 && self.price_micro_per_second == 0 {
            return Err(
                "price_micro_per_job or price_micro_per_second must be given: a cap on what is free bounds nothing",
            );
        }
        if !(1..=limits::WORKER_ROOM_MAX).contains(&self.slots) {
            return Err("slots must be 1 to 1024");
        }
        if self.tiers.is_empty() {
            return Err("tiers must name at least one of interactive, standard, batch");
        }
        Ok(())
    }

    /// What the scheduler must know.
    pub(crate) fn spec(&self, name: &str) -> PaidSpec {
        PaidSpec {
            pool: PoolKey::from(name),
            price_micro_per_job: self.price_micro_per_job,
            price_micro_per_second: self.price_micro_per_second,
            slots: self.slots,
            cap_micro_per_day: self.cap_micro_per_day,
            tenant_cap_micro_per_day: self.tenant_cap_micro_per_day,
            tiers: self.tiers.iter().map(|tier| (*tier).into()).collect(),
        }
    }
}

/// What an attempt was charged, as its row keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Charge {
    pool: String,
    day: i64,
    micro: i64,
    price_micro_per_job: i64,
    price_micro_per_second: i64,
    may_ms: i64,
    cut: bool,
    /// The start of the agent that it was meant for: while that goes on, what the agent does not know of it never was.
    pub(crate) boot_id: String,
}

impl Charge {
    pub(crate) fn new(charge: &scheduler::Charge, boot_id: String) -> Self {
        let scheduler::Charge { pool, day, micro, price_micro_per_job, price_micro_per_second, may_ms, cut } =
            charge;
        Self {
            pool: pool.to_string(),
            day: *day,
            micro: *micro,
            price_micro_per_job: *price_micro_per_job,
            price_micro_per_second: *price_micro_per_second,
            may_ms: *may_ms,
            cut: *cut,
            boot_id,
        }
    }

    /// What the scheduler must know of it.
    pub(crate) fn spec(&self) -> scheduler::Charge {
        scheduler::Charge {
            pool: PoolKey::from(self.pool.as_str()),
            day: self.day,
            micro: self.micro,
            price_micro_per_job: self.price_micro_per_job,
            price_micro_per_second: self.price_micro_per_second,
            may_ms: self.may_ms,
            cut: self.cut,
        }
    }
}
