//! Every limit and constant of the scheduler, by name and unit.

/// A lease lives this long without a heartbeat.
pub const LEASE_MS: i64 = 30_000;
/// Attempts of one job that may be lost or fail with a retryable error before the job fails.
pub const ATTEMPTS_MAX: u32 = 3;
/// Wait before the second attempt; it doubles with each further one.
pub const RETRY_BACKOFF_MS: i64 = 500;
/// The longest wait before another attempt.
pub const RETRY_BACKOFF_MS_MAX: i64 = 30_000;
/// The time-out of an attempt where the model names none.
pub const ATTEMPT_TIMEOUT_MS: i64 = 30 * 60 * 1000;
/// The agent enforces the time-out; the scheduler only steps in this long after it should have.
pub const TIMEOUT_GRACE_MS: i64 = 15_000;
/// An attempt that uploads has computed: it gets this long, because an agent tries again for ten minutes.
pub const UPLOAD_MS: i64 = 660_000;
/// How long an agent that is gone stays known.
pub const AGENT_FORGET_MS: i64 = 10 * 60 * 1000;
/// Queued jobs of one tenant where the tenant names no limit.
pub const QUEUED_MAX_PER_TENANT: u32 = 1_000;

/// Timer entries that may be out of date before they are swept, beside as many as count.
pub const TIMERS_SPARE: usize = 1_024;
/// Timers of the same 2^n microseconds (about a second) lie in one bucket until it is their turn.
pub const TIMER_BUCKET_BITS: u32 = 20;
/// A job ahead of its tenant's share may have models loaded while more than this share of the workers, in percent, is
/// free: what is left is for those whose turn it is.
pub const EARLY_SPARE_PERCENT: usize = 10;
/// Entries of early jobs that have left may be this many, beside as many as count, before they are swept.
pub const EARLY_SPARE: usize = 1_024;
/// Early jobs whose places lie in the same 2^n microseconds of fair work (about four seconds) become due at once.
pub const EARLY_BUCKET_BITS: u32 = 22;
/// Heads of lines that one event looks through for one that suits a free worker.
pub const HEADS_SCANNED: usize = 256;
/// Heads of lines that one event weighs a swap for, in a fleet of up to [`FLEET_SMALL`] workers; fewer in a larger one.
pub const HEADS_WEIGHED: usize = 32;
/// Heads that one event weighs in the largest fleet.
pub const HEADS_WEIGHED_MIN: usize = 2;
/// A fleet up to which each event weighs all it may.
pub const FLEET_SMALL: usize = 64;
/// Free workers that one decision compares.
pub const WORKERS_COMPARED: usize = 64;
/// Replicas that a forecast looks at; more count as their like.
pub const REPLICAS_SEEN: usize = 32;
/// Jobs of a line that a forecast deals out one by one; further ones count by their sum.
pub const FORECAST_JOBS: u64 = 64;
/// A line that waits is looked at again at least this often.
pub const RECHECK_MS: i64 = 5_000;

/// Half-life of a model's measured demand: long against a burst of one tenant, short against a day.
pub const DEMAND_HALF_LIFE_MS: f64 = 900_000.0;
/// A request counts as at least this much work in demand: a model of very short runs would seem worthless otherwise.
pub const DEMAND_WORK_MS_MIN: f64 = 5_000.0;
/// A request that is ahead of its tenant's share by more than this counts less as demand.
pub const DEMAND_EARLY_MS: f64 = 30_000.0;
/// A swap must save this many of its loads in waiting ...
pub const SWAP_LOADS: f64 = 1.0;
/// ... and this many more, divided by the free workers: the last free worker is kept for what is warm there ...
pub const SWAP_LOADS_SCARCE: f64 = 1.5;
/// Waiting that one erlang of the victim's demand per replica is worth.
pub const SWAP_PATIENCE_MS: f64 = 10_000.0;
/// The longest that a model which is resident nowhere waits for a better victim while a worker is free.
pub const SWAP_ABSENT_MS: f64 = 16_000.0;
/// A waiting job of the victim counts like this many erlangs.
pub const VICTIM_WAITING: f64 = 1.0;
/// Of the time until another worker could take a line, this part counts as its age where warm lines are compared:
/// who can wait for another worker lets those go first who cannot.
pub const REGRET_SHARE: f64 = 1.0;
/// The longest time to another worker that counts as regret.
pub const REGRET_MS: f64 = 40_000.0;
/// Other workers that are looked at for it.
pub const REGRET_REPLICAS: usize = 4;
/// Share of the work that waits for other models of a replica and counts as ahead of a job there.
pub const COMPETING_SHARE: f64 = 0.5;
/// A worker with warm work turns to another line only where that gains this many loads of waiting.
pub const PRESSURE_LOADS: f64 = 6.0;
/// Waits beyond this count alike as pressure.
pub const PRESSURE_WAIT_MS: f64 = 60_000.0;
/// Share of the workers, in percent, that may load under pressure at once; at least one may.
pub const PRESSURE_PERCENT: usize = 10;
/// Workers with room that there must be before one is prepared for what may come.
pub const PREPARE_FREE: usize = 2;
/// Share of the workers, in percent, that may load at once without a job; at least one may.
pub const PREPARE_PERCENT: usize = 10;
/// A load without a job whose end nobody reports is forgotten after this time: an attempt would be given up as late.
pub const PREPARE_MS_MAX: i64 = ATTEMPT_TIMEOUT_MS;
/// A worker whose next job is loading counts as this many erlangs worse for one that is warm there: the two would meet.
pub const BESIDE_LOAD: f64 = 1.0;
/// Merging adapters into a replica counts as this many erlangs worse than finding them there ...
pub const ADAPTERS_MERGE: f64 = 0.5;
/// ... and losing a set that was used just now as this many more.
pub const ADAPTERS_LOSE: f64 = 4.0;
/// Half-life of the chance that a set is wanted again.
pub const ADAPTERS_HALF_LIFE_MS: f64 = 3_600_000.0;

/// A job stands aside only for one that takes at most one part in so many of what it takes itself ...
pub const PAUSE_LONGER: i64 = 2;
/// ... and that would wait this many times what the long one loses. Less than 1, because a second is less to a job the
/// longer it takes.
pub const PAUSE_GAIN: f64 = 0.5;
/// An attempt may stand aside for this long: half of the shortest clip ...
pub const PAUSE_FIRST_MS: i64 = 30_000;
/// ... and for this share of what it has computed, in thousandths: it always has half of its worker in the end.
pub const PAUSE_PERMILLE: i64 = 1_000;
/// An attempt that was asked to pause and says nothing for this long is left alone: its steps are too long.
pub const PAUSE_ANSWER_MS: i64 = 30_000;
/// ... and is not asked again for this long: what it still says of the first wish has arrived by then.
pub const PAUSE_REST_MS: i64 = 60_000;
/// Attempts on one worker that may stand aside at once: the memory of each stays taken.
pub const PAUSED_PER_WORKER: usize = 1;
/// Workers that one decision compares for a pause.
pub const PAUSES_COMPARED: usize = 64;

/// Jobs in one call, whatever a model offers: each is an attempt of its own that somebody has to answer for.
pub const BATCH_MAX: u32 = 64;
/// A job joins a batch only where the call grows by less than this share of what the job takes alone: what is left would not
/// outweigh that a job of a batch comes back with the last of them.
pub const BATCH_MARGIN: f64 = 0.9;
/// A batch takes at most this many times what one takes: who computes first should not pay for all who ride.
pub const BATCH_STRETCH: f64 = 3.0;
/// What each further job adds, in thousandths, where nothing is said.
pub const BATCH_MORE: u32 = 500;
/// What a model says of its batches counts like this many measured ones: little, because few authors measure.
pub const BATCH_SAID: f64 = 3.0;
/// Jobs of a line that are looked through for those that go with its head.
pub const BATCH_SCANNED: usize = 64;
/// Heads of lines that are asked whether somebody is due before one rides who is ahead of its share.
pub const BATCH_HEADS: usize = 8;

/// Tenants whose fair start lies within this much are served in the order of arrival: as long as a job may take at all
/// ([`PROMISE_MS`]).
pub const FAIR_SLACK_MS: f64 = 60_000.0;
/// Beyond the slack a job moves back by this many times what is beyond, until it stands at its fair start: who asks for a
/// little too much keeps the slack, who asks for far too much loses it.
pub const FAIR_RAMP: f64 = 2.0;
/// How far the fluid may run ahead of the first job that waits.
pub const FAIR_LEAD_MS: f64 = 100_000.0;
/// Every tenant's share counts as at least this part of the fleet; more only who has used more for hours.
pub const STEADY_PART: f64 = 0.02;
/// Half-life of what a tenant has asked for: a shift.
pub const STEADY_HALF_LIFE_MS: f64 = 21_600_000.0;
/// What a tenant asks for counts as spread over at least this time: a burst of minutes earns little.
pub const STEADY_MS: f64 = 3_600_000.0;
/// The least time after which what all ask for together is believed.
pub const STEADY_SEEN_MS: f64 = 600_000.0;
/// A tenant's weight, and what all ask for, are looked at this often, milliseconds.
pub const STEADY_LOOK_MS: i64 = 60_000;
/// Part of all that is remembered that a tenant must have asked for to be remembered over restarts, and while it is away: at
/// most a hundred have, and who asked for less has earned little.
pub const STEADY_KEPT: f64 = 0.01;
/// How far an interactive job stands before a standard one: this many mean waits.
pub const INTERACTIVE_WAITS: f64 = 1.0;
/// How far a batch job stands behind a standard one: this many mean waits.
pub const BATCH_WAITS: f64 = 7.0;
/// The mean wait that tiers count at least, milliseconds.
pub const TIER_WAIT_MS_MIN: f64 = 5_000.0;
/// Weight of one wait in the mean wait.
pub const WAIT_NEW: f64 = 0.02;

/// The least weight of a new measurement in a learned mean; the first ones weigh as in a plain mean.
pub const PREDICT_NEW: f64 = 0.05;
/// Learned cells (model, features) that one generation holds; two generations are kept.
pub const PREDICT_CELLS: usize = 8_192;
/// Measurements after which a cell is believed.
pub const PREDICT_MIN: u32 = 1;
/// Run time where nothing at all is known.
pub const PREDICT_RUN_MS: f64 = 10_000.0;
/// Weight that a measured load takes from all earlier ones, among the ratios of measured and expected loads.
pub const LOADS_FADE: f64 = 0.001;
/// What was expected counts like this many measured loads.
pub const LOADS_DOUBT: f64 = 1.0;
/// What a model says of its load counts like this many measured ones: loads of one model vary more than those of two.
pub const LOAD_SAID: f64 = 10.0;
/// Load time of an adapter where nothing is known.
pub const ADAPTER_LOAD_MS: i64 = 4_000;
/// Step of the on-line quantiles of start estimates.
pub const CALIBRATE_STEP: f64 = 0.05;
/// The largest step: the first measurements of a regime move it far.
pub const CALIBRATE_STEP_MAX: f64 = 0.5;
/// The share of starts that the told p90 is meant to hold for.
pub const CALIBRATE_LEVEL: f64 = 0.9;
/// How far one promise, kept or broken, moves the level that is learned next.
pub const CALIBRATE_GAIN: f64 = 0.005;
/// The level is never less than this ...
pub const CALIBRATE_LEVEL_MIN: f64 = 0.6;
/// ... nor more than this.
pub const CALIBRATE_LEVEL_MAX: f64 = 0.99;
/// The p90 of a start against its forecast until the first are measured.
pub const CALIBRATE_P90: f64 = 1.8;
/// Jobs that may wait before only every [`CALIBRATE_EVERY`]th submission is measured.
pub const CALIBRATE_ALL: usize = 1_024;
/// See [`CALIBRATE_ALL`].
pub const CALIBRATE_EVERY: u64 = 16;

/// The promise that pools are sized for: a job is done this long after it was submitted ...
pub const PROMISE_MS: f64 = 60_000.0;
/// ... for this share of all jobs. More than half of the twentieth that may be late is left for what headroom cannot help:
/// the first boots, markets that take machines away, loads that take longer than was expected.
pub const PROMISE_SHARE: f64 = 0.98;
/// Pools are looked at this often: short against every boot.
pub const LOOK_MS: i64 = 5_000;
/// ... and so soon after something changed, so that what belongs to one change has been heard.
pub const LOOK_SOON_MS: i64 = 1_000;
/// A pool's size is said again after this long, because an order may be lost on its way.
pub const SCALE_AGAIN_MS: i64 = 60_000;
/// Pools that are known at once; with [`FIXED_CLASSES_MAX`] they fit into 64 bits.
pub const POOLS_MAX: usize = 48;
/// Kinds of workers that nobody scales and that count against the need.
pub const FIXED_CLASSES_MAX: usize = 16;
/// Agents that were told to go and are not forgotten yet.
pub const RETIRED_MAX: usize = 65_536;
/// Workers of one pool.
pub const POOL_WORKERS_MAX: u32 = 10_000;
/// Groups of jobs by where they may run and what they need; demand of further ones is not counted.
pub const GROUPS_MAX: usize = 1_024;
/// An order is given up this long after twice its boot.
pub const BOOT_GRACE_MS: i64 = 30_000;
/// A pool whose order did not come is left alone for at least this long.
pub const POOL_DRY_MS: i64 = 300_000;
/// What an operator says of a pool's boot counts like this many measured ones: a cloud varies, but not by multiples.
pub const BOOT_SAID: f64 = 3.0;
/// Boots that the mean remembers: the last dozen or two, so that a change of the image is followed within a day.
pub const BOOTS_COUNTED: f64 = 20.0;
/// Headroom before anything was learned, in roots of the demand: twice what independent arrivals need so that few wait,
/// because it is cheaper to learn that it is too much than that it is too little.
pub const HEADROOM_FIRST: f64 = 2.0;
/// The most headroom: beyond it more machines do not help.
pub const HEADROOM_MAX: f64 = 4.0;
/// How far one late job moves the headroom: a burst of twenty-five moves it by one.
pub const HEADROOM_STEP: f64 = 0.04;
/// Weight of one assignment in the mean of what loads add to compute.
pub const OVERHEAD_NEW: f64 = 0.01;
/// The most that loads may seem to add.
pub const OVERHEAD_MAX: f64 = 4.0;
/// Weight of a new day in the shape of a day.
pub const DAY_NEW: f64 = 0.5;
/// The most that the shape of the day raises a forecast.
pub const DAY_GROWTH_MAX: f64 = 4.0;
/// Machines that leave within this time were taken at one blow.
pub const BLOW_MS: i64 = 60_000;
/// Before anything was measured a spot pool is expected to lose machines once in so many hours: three times a day, as in
/// published traces of spot markets.
pub const HAZARD_PRIOR_H: f64 = 8.0;
/// Hours over which a new machine's boot is paid off where nobody takes it away: a demand lasts about as long.
pub const PLACE_HOLD_H: f64 = 1.0;
/// The part of the jobs that may be late which blows of spot markets may take; the rest is for queues.
pub const RISK_SHARE: f64 = 0.25;
/// Third parties are asked this often while jobs wait: short against the promise.
pub const OVERFLOW_LOOK_MS: i64 = 1_000;
/// Jobs of one line that go out at one look.
pub const OVERFLOW_AT_ONCE: usize = 16;
/// Where a third party is paid by time, an attempt may take this many times what it should, and is charged as much before it
/// begins: more would block the cap for what is hardly ever used, and what is cut off is tried again here.
pub const OVERFLOW_SPARE: f64 = 2.0;
/// Days of a third party's account that are open: today, and the one before it, because an attempt may run over midnight.
pub const OVERFLOW_DAYS: usize = 2;
/// Tenants that may spend with one third party on one day.
pub const OVERFLOW_TENANTS_MAX: usize = 100_000;
/// Regions that are told apart as homes of data; of further ones the data counts as everywhere alike.
pub const FAR_REGIONS_MAX: usize = 1_024;
/// Names (of tenants, models, places and lines) that may be known beside twice those in use and one for each job, before those
/// that nobody uses are forgotten.
pub const NAMES_SPARE: usize = 4_096;
/// Classes of workers that may be known beside twice those that have one, before the others are forgotten.
pub const CLASSES_SPARE: usize = 64;
/// What was learned of a pool that nobody announces is kept for this long: it may come back.
pub const POOL_KEPT_MS: i64 = 30 * 86_400_000;
/// Ways between regions whose length is learned.
pub const FAR_WAYS_MAX: usize = 4_096;
/// Weight of one measurement of a way.
pub const FAR_NEW: f64 = 0.1;
/// A way that nobody has gone yet, milliseconds: about the round trip between continents.
pub const FAR_MS: f64 = 100.0;
