//! A third party on the command line.

use clap::Args;

use crate::engine::outside::OutsideSetup;

/// Micro-dollars that a price or a cap may be: a million dollars.
const DOLLARS_MAX: f64 = 1e6;
const LATENCY_S_MAX: f64 = 3_600.0;

/// A third party that is paid by use, for what would break the promise on the fleet. Synthetic: no public trace has one.
#[derive(Clone, Debug, Args)]
pub struct OverflowArgs {
    /// What it costs, in dollars: a job, and a second of compute. Only our own policy knows what to do with it.
    #[arg(long = "overflow", value_name = "JOB,SECOND", value_delimiter = ',', num_args = 2)]
    overflow_price: Option<Vec<f64>>,
    /// Attempts there at once.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1024))]
    overflow_slots: u32,
    /// Dollars a day (UTC), of all tenants.
    #[arg(long, value_name = "DOLLARS", default_value_t = DOLLARS_MAX)]
    overflow_cap: f64,
    /// Dollars a day of one tenant. Without it only the cap of all counts.
    #[arg(long, value_name = "DOLLARS")]
    overflow_tenant_cap: Option<f64>,
    /// Seconds until it begins to compute, in the mean (exponentially distributed).
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    overflow_latency: f64,
    /// Share of its attempts that fail and are billed; they are tried again on the fleet.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    overflow_faults: f64,
}

impl OverflowArgs {
    /// What is wrong with it.
    pub(super) fn check(&self, policy: &str, all: bool) -> Result<(), String> {
        let money = |dollars: f64| (0.0..=DOLLARS_MAX).contains(&dollars);
        let prices = self.overflow_price.iter().flatten().copied();
        if !prices.chain([self.overflow_cap]).chain(self.overflow_tenant_cap).all(money) {
            return Err("prices and caps of --overflow must lie between 0 and 1000000 dollars".to_owned());
        }
        if !(0.0..=LATENCY_S_MAX).contains(&self.overflow_latency)
            || !(0.0..=1.0).contains(&self.overflow_faults)
        {
            return Err("--overflow-latency must be 0 to 3600, --overflow-faults 0 to 1".to_owned());
        }
        if self.overflow_price.is_some() && (all || policy != "backlot") {
            return Err("--overflow is for the policy backlot: no other knows third parties".to_owned());
        }
        Ok(())
    }

    /// The third party that is asked for.
    pub(super) fn setup(&self) -> Option<OutsideSetup> {
        let [job, second] = self.overflow_price.as_deref()? else { return None };
        Some(self.at(*job, *second))
    }

    /// The same at another price.
    pub(super) fn at(&self, job: f64, second: f64) -> OutsideSetup {
        let micro = |dollars: f64| (dollars * 1e6).round() as i64;
        OutsideSetup {
            price_micro_per_job: micro(job),
            price_micro_per_second: micro(second),
            slots: self.overflow_slots,
            cap_micro_per_day: micro(self.overflow_cap),
            tenant_cap_micro_per_day: self.overflow_tenant_cap.map(micro),
            latency_us: micro(self.overflow_latency),
            fail_permille: (self.overflow_faults * 1000.0) as u32,
            speed_milli: 1000,
        }
    }
}
