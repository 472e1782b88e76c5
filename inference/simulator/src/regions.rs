//! S2: three regions, spot and on demand, with the market of the public traces or a synthetic one.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use serde_json::{Value, json};

use crate::{
    baselines::{self, Mode},
    engine::{
        self,
        pools::PoolSetup,
        setup::{GpuSpec, Region, SLO, Setup},
    },
    flow::Flow,
    loads::Loads,
    measure,
    outcome::Run,
    policy::Policy,
    report::RegionCost,
    rng::Rng,
    workload::{ReadError, Workload, read::Table},
};

/// Regions, and the zone whose availability each has; the third is remapped, because no zone of it was traced.
const REGIONS: [(&str, &str); 3] =
    [("us-east-2", "us-east-2b"), ("us-west-2", "us-west-2a"), ("eu-west-1", "us-west-2c")];
/// A zone a region, each with up to so many nodes; or all traced zones, of which the market said only whether they had
/// any: then a zone has this many nodes, or none.
const DATASET: &str = "16-node";
const DATASET_ZONES: &str = "1-node";
const ZONE_NODES: u32 = 16;
/// The nine zones, by region; those of us-east-1, where no request comes from, are nearest to us-east-2, and are mapped to
/// eu-west-1, which was not traced.
const ZONES: [&[&str]; 3] = [
    &["us-east-2a", "us-east-2b"],
    &["us-west-2a", "us-west-2b", "us-west-2c"],
    &["us-east-1a", "us-east-1c", "us-east-1d", "us-east-1f"],
];
const GPU: &str = "A10G";
/// Machines on demand in a region.
const ON_DEMAND: u32 = 64;
/// Hours by which the thirds of the workload are shifted.
const SHIFT_US: i64 = 8 * 3_600_000_000;
const BOOTS_S: [i64; 3] = [60, 180, 300];
/// Requests a second that a worker of a baseline is meant to take: the cheapest that holds the promise counts.
const RATES: [f64; 9] = [0.005, 0.0075, 0.01, 0.0125, 0.015, 0.02, 0.025, 0.03, 0.04];
/// Bins of the floor, microseconds: five minutes.
const BIN_US: i64 = 300_000_000;
const MARKET_KEY: u64 = 0x3A4C;
/// The synthetic market: nodes a zone, and the mean time between changes.
const NODES: u32 = 16;
const CHANGE_US: f64 = 2_700e6;
const MARKET_US: f64 = 2.0 * 86_400e6;

/// When a zone's capacity changes, and to how many machines.
pub type Changes = Vec<(i64, u32)>;

/// Prices, availability and distances.
#[derive(Clone, Debug, PartialEq)]
pub struct Market {
    /// Dollars an hour, on demand and spot, by region.
    pub prices: Vec<(f64, f64)>,
    /// Changes of spot capacity, by region and zone.
    pub capacity: Vec<Vec<Changes>>,
    /// Round trips, microseconds.
    pub rtt_us: Vec<Vec<i64>>,
}

impl Market {
    /// Reads `gpu_prices.csv`, `spot_availability.csv` and `region_rtt_ms.csv` of a folder.
    /// `zones`: all nine traced zones with all or nothing each, in place of one a region.
    pub fn read(folder: &Path, zones: bool) -> Result<Self, ReadError> {
        Ok(Self {
            prices: prices(&folder.join("gpu_prices.csv"))?,
            capacity: capacity(&folder.join("spot_availability.csv"), zones)?,
            rtt_us: round_trips(&folder.join("region_rtt_ms.csv"))?,
        })
    }

    /// A market of the same shape: spot at two fifths of the price, capacity that comes and goes within the hour.
    #[must_use]
    pub fn synthetic(seed: u64) -> Self {
        let mut rng = Rng::keyed(seed, &[MARKET_KEY]);
        let mut zone = || {
            let (mut at_us, mut changes) = (0.0, Vec::new());
            while at_us < MARKET_US {
                let up = if rng.unit() < 0.25 { rng.below(NODES as usize / 2) as u32 } else { NODES };
                changes.push((at_us as i64, up));
                at_us += rng.exponential(CHANGE_US);
            }
            changes
        };
        Self {
            prices: vec![(1.0, 0.4), (1.0, 0.5), (1.1, 0.55)],
            capacity: (0..REGIONS.len()).map(|_| vec![zone()]).collect(),
            rtt_us: vec![vec![0, 50_000, 90_000], vec![50_000, 0, 130_000], vec![90_000, 130_000, 0]],
        }
    }

    /// A spot and an on-demand pool in every region.
    fn pools(&self, boot_us: i64, slots: u32) -> Vec<PoolSetup> {
        let pools =
            REGIONS.iter().enumerate().flat_map(|(at, (region, _))| {
                let gpu =
                    GpuSpec { region: at as u16, slots, concurrency: 1, overlap: false, speed_milli: 1000 };
                let (on_demand, spot) = self.prices[at];
                let pool = |name: String, spot: bool, price_usd_h: f64, capacity: Vec<(i64, u32)>| {
                    PoolSetup { name: Arc::from(name), gpu, spot, min: 0, boot_us, price_usd_h, capacity }
                };
                let zones = &self.capacity[at];
                let spots = zones.iter().enumerate().map(move |(nth, changes)| {
                    let zone = if zones.len() > 1 { format!("-{nth}") } else { String::new() };
                    pool(format!("{region}-spot{zone}"), true, spot, changes.clone())
                });
                let lasting = pool(format!("{region}-on-demand"), false, on_demand, vec![(0, ON_DEMAND)]);
                std::iter::once(lasting).chain(spots).collect::<Vec<_>>()
            });
        pools.collect()
    }
}

fn missing(path: &Path, what: &str) -> ReadError {
    ReadError::Content { path: path.to_owned(), problem: format!("nothing about {what}") }
}

fn prices(path: &Path) -> Result<Vec<(f64, f64)>, ReadError> {
    let mut table = Table::open(path, &["region", "gpu", "ondemand_per_gpu", "spot_per_gpu"])?;
    let mut found: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    while let Some(line) = table.next_line()? {
        let row = table.row(&line)?;
        if row.text("gpu") == GPU && !row.text("spot_per_gpu").is_empty() {
            let pair = (row.amount("ondemand_per_gpu", 1e4)?, row.amount("spot_per_gpu", 1e4)?);
            found.entry(row.name("region")?.to_owned()).or_default().push(pair);
        }
    }
    let of = |(region, _): &(&str, &str)| {
        let zones = found.get(*region).ok_or_else(|| missing(path, region))?;
        let mean = |pick: fn(&(f64, f64)) -> f64| zones.iter().map(pick).sum::<f64>() / zones.len() as f64;
        Ok((mean(|zone| zone.0), mean(|zone| zone.1)))
    };
    REGIONS.iter().map(of).collect()
}

fn capacity(path: &Path, zones: bool) -> Result<Vec<Vec<Changes>>, ReadError> {
    let (dataset, nodes) = if zones { (DATASET_ZONES, ZONE_NODES) } else { (DATASET, 1) };
    let mut table = Table::open(path, &["dataset", "zone", "t_s", "available"])?;
    let mut found: BTreeMap<String, Vec<(i64, u32)>> = BTreeMap::new();
    while let Some(line) = table.next_line()? {
        let row = table.row(&line)?;
        if row.text("dataset").contains(dataset) {
            let available: u32 = row.number("available")?;
            let change = ((row.amount("t_s", 1e9)? * 1e6) as i64, available.saturating_mul(nodes));
            found.entry(row.name("zone")?.to_owned()).or_default().push(change);
        }
    }
    let of = |zone: &str| {
        let mut changes = found.get(zone).cloned().ok_or_else(|| missing(path, zone))?;
        changes.sort_unstable();
        Ok(changes)
    };
    let by_region = REGIONS.iter().zip(ZONES).map(|((_, zone), all)| {
        let names: &[&str] = if zones { all } else { &[*zone] };
        names.iter().map(|zone| of(zone)).collect()
    });
    by_region.collect()
}

fn round_trips(path: &Path) -> Result<Vec<Vec<i64>>, ReadError> {
    let mut table = Table::open(path, &["from", "to", "rtt_ms_p50"])?;
    let mut found: BTreeMap<(String, String), i64> = BTreeMap::new();
    while let Some(line) = table.next_line()? {
        let row = table.row(&line)?;
        let rtt_us = (row.amount("rtt_ms_p50", 1e5)? * 1e3) as i64;
        found.insert((row.name("from")?.to_owned(), row.name("to")?.to_owned()), rtt_us);
    }
    let pair = |from: &str, to: &str| {
        let found = found.get(&(from.to_owned(), to.to_owned())).copied();
        found.ok_or_else(|| missing(path, &format!("{from} to {to}")))
    };
    REGIONS.iter().map(|(from, _)| REGIONS.iter().map(|(to, _)| pair(from, to)).collect()).collect()
}

/// Three thirds by tenant, each in its region, eight hours apart.
fn thirds(workload: &Workload, fold_s: u64, seed: u64) -> Workload {
    let mut requests = workload.requests.clone();
    for request in &mut requests {
        request.region = (request.tenant % REGIONS.len() as u32) as u16;
        request.arrival_us += SHIFT_US * i64::from(request.region);
    }
    workload.with_requests(requests).folded(Some(fold_s), seed)
}

/// What S2 needs.
#[derive(Clone, Copy, Debug)]
pub struct Regions<'a> {
    /// The workload, not folded.
    pub workload: &'a Workload,
    /// Loads.
    pub loads: &'a Loads,
    /// The market.
    pub market: &'a Market,
    /// Seconds of the fold.
    pub fold_s: u64,
    /// Resident bases a GPU.
    pub slots: u32,
    /// The seed.
    pub seed: u64,
}

impl Regions<'_> {
    /// One row a policy, boot time and, for baselines, rate a worker. What the first boot time cost is given back.
    pub fn run(&self, mut row: impl FnMut(Value)) -> Vec<RegionCost> {
        let workload = thirds(self.workload, self.fold_s, self.seed);
        let mut costs = Vec::new();
        let floor = self.floor_dollars(&workload);
        row(json!({
            "scenario": "s2", "policy": "floor", "dollars": floor, "seed": self.seed,
            "says": "linear: each five minutes' warm work on the cheapest machines that the market gives then; no boots, no loads",
        }));
        for boot_s in BOOTS_S {
            let program = self.program_dollars(&workload, boot_s);
            row(json!({
                "scenario": "s2", "policy": "program", "boot_s": boot_s, "dollars": program, "seed": self.seed,
                "says": "integer, exact: each five minutes' warm work done within them, whole machines, boots paid; perfect foresight, no loads",
            }));
            let mut cheapest: BTreeMap<&str, (f64, Run)> = BTreeMap::new();
            for (name, mode) in
                [("local-only", Mode::LocalOnly), ("sky-lb", Mode::SkyLb), ("spot-hedge", Mode::SpotHedge)]
            {
                for rate in RATES {
                    let policy = baselines::regional(mode, rate);
                    let ran = self.one(&workload, boot_s, policy);
                    self.tell(&workload, name, boot_s, Some(rate), ran, &mut cheapest, &mut row);
                }
            }
            if let Some(policy) = baselines::policy("backlot", self.seed) {
                let ran = self.one(&workload, boot_s, policy);
                self.tell(&workload, "backlot", boot_s, None, ran, &mut cheapest, &mut row);
            }
            let of = |name: &str| cheapest.get(name).map(|(dollars, _)| *dollars);
            if let (Some(ours), Some(hedge), Some(program)) = (of("backlot"), of("spot-hedge"), program) {
                row(json!({
                    "scenario": "s2", "boot_s": boot_s, "against_spot_hedge": ours / hedge,
                    "over_program": ours / program, "gap": (ours - program) / (hedge - program), "seed": self.seed,
                }));
            }
            if costs.is_empty() {
                costs.extend(cheapest.iter().flat_map(|(name, (_, run))| by_region(name, run)));
            }
        }
        costs
    }

    /// Bound 5, relaxed: perfect foresight, parts of machines, neither boot times nor loads.
    fn floor_dollars(&self, workload: &Workload) -> f64 {
        let mut work_us: BTreeMap<i64, i64> = BTreeMap::new();
        for request in &workload.requests {
            *work_us.entry(request.arrival_us / BIN_US).or_default() += request.warm_us;
        }
        let mut dollars = 0.0;
        for (bin, work_us) in work_us {
            let mut machines = work_us as f64 / BIN_US as f64;
            let mut offers: Vec<(f64, f64)> =
                self.market.prices.iter().map(|price| (price.0, f64::INFINITY)).collect();
            for (at, zones) in self.market.capacity.iter().enumerate() {
                let zones = zones.iter().map(|changes| f64::from(most_within(changes, bin)));
                offers.extend(zones.map(|most| (self.market.prices[at].1, most)));
            }
            offers.sort_by(|a, b| a.0.total_cmp(&b.0));
            for (price, most) in offers {
                let taken = machines.min(most);
                dollars += taken * price * BIN_US as f64 / 3.6e9;
                machines -= taken;
            }
        }
        dollars
    }

    /// Bound 5: whole machines, each ordered, booted and paid from its order on, with perfect foresight. Units of flow are
    /// machines that go through the bins, each off or in one pool; how many may be off is what the work of a bin leaves.
    fn program_dollars(&self, workload: &Workload, boot_s: i64) -> Option<f64> {
        let mut work_us: BTreeMap<i64, i64> = BTreeMap::new();
        for request in &workload.requests {
            *work_us.entry(request.arrival_us / BIN_US).or_default() += request.warm_us;
        }
        let bins = work_us.keys().next_back().map_or(0, |last| *last as usize + 1);
        let needed = |bin: usize| work_us.get(&(bin as i64)).map_or(0, |us| (us + BIN_US - 1) / BIN_US);
        let machines = (0..bins).map(needed).max().unwrap_or(0);
        let pools = self.market.pools(boot_s * 1_000_000, self.slots);
        let width = 1 + 2 * pools.len();
        let mut flow = Flow::new((bins + 1) * width);
        for bin in 0..bins {
            let (hub, next) = (bin * width, (bin + 1) * width);
            flow.arc(hub, next, machines - needed(bin), 0);
            for (at, pool) in pools.iter().enumerate() {
                let (into, out) = (hub + 1 + 2 * at, hub + 2 + 2 * at);
                let micro = |us: i64| (us as f64 / 3.6e9 * pool.price_usd_h * 1e6) as i64;
                let most = most_within(&pool.capacity, bin as i64);
                flow.arc(hub, into, machines, micro(pool.boot_us));
                flow.arc(into, out, i64::from(most), micro(BIN_US));
                flow.arc(out, next, machines, 0);
                if bin + 1 < bins {
                    flow.arc(out, next + 1 + 2 * at, machines, 0);
                }
            }
        }
        flow.cheapest(0, bins * width, machines).map(|micro| micro as f64 / 1e6)
    }

    fn one(&self, workload: &Workload, boot_s: i64, mut policy: Box<dyn Policy>) -> Result<Run, String> {
        let mut setup = Setup::uniform(self.seed, 0, self.slots, false);
        setup.regions = REGIONS.iter().map(|(name, _)| Region { name: Arc::from(*name) }).collect();
        setup.rtt_us.clone_from(&self.market.rtt_us);
        setup.pools = self.market.pools(boot_s * 1_000_000, self.slots);
        engine::run(&setup, workload, self.loads, policy.as_mut()).map_err(|violation| violation.to_string())
    }

    #[expect(clippy::too_many_arguments, reason = "one row of a table, and where its sums go")]
    fn tell<'n>(
        &self,
        workload: &Workload,
        name: &'n str,
        boot_s: i64,
        rate: Option<f64>,
        ran: Result<Run, String>,
        cheapest: &mut BTreeMap<&'n str, (f64, Run)>,
        row: &mut impl FnMut(Value),
    ) {
        let run = match ran {
            Ok(run) => run,
            Err(error) => {
                row(
                    json!({"scenario": "s2", "policy": name, "boot_s": boot_s, "error": error, "seed": self.seed}),
                );
                return;
            }
        };
        let figures = measure::figures(&run, workload, SLO);
        let dollars: f64 = run.bills.iter().map(|bill| bill.dollars).sum();
        let spot: f64 = run.bills.iter().filter(|bill| bill.spot).map(|bill| bill.dollars).sum();
        let billed_h: f64 = run.bills.iter().map(|bill| bill.billed_us as f64 / 3.6e9).sum();
        row(json!({
            "scenario": "s2", "policy": name, "boot_s": boot_s, "requests_a_second_a_worker": rate,
            "dollars": dollars, "dollars_per_1000": dollars / workload.requests.len().max(1) as f64 * 1000.0,
            "spot_dollars": spot, "billed_gpu_hours": billed_h, "preempted": run.tally.preempted,
            "holds": figures.holds, "slo60": figures.slo60, "wait_p99_s": figures.wait_p99_s, "seed": self.seed,
        }));
        if figures.slo60 >= SLO.share && cheapest.get(name).is_none_or(|(least, _)| dollars < *least) {
            cheapest.insert(name, (dollars, run));
        }
    }
}

/// The most that a market gives within a bin.
fn most_within(changes: &[(i64, u32)], bin: i64) -> u32 {
    let before = changes.partition_point(|change| change.0 < bin * BIN_US).saturating_sub(1);
    let within = changes[before..].iter().take_while(|change| change.0 < (bin + 1) * BIN_US);
    within.map(|change| change.1).max().unwrap_or(0)
}

fn by_region(name: &str, run: &Run) -> Vec<RegionCost> {
    let regions = REGIONS.iter().enumerate().map(|(at, (region, _))| {
        let sum = |spot: bool| {
            let bills = run.bills.iter().filter(|bill| usize::from(bill.region) == at && bill.spot == spot);
            bills.map(|bill| bill.dollars).sum()
        };
        RegionCost {
            policy: name.to_owned(),
            region: (*region).to_owned(),
            on_demand: sum(false),
            spot: sum(true),
        }
    });
    regions.collect()
}
