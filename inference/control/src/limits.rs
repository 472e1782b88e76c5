//! Every limit of control, by name and unit. The scheduler's are in its own crate.

/// Bytes of a job's input.
pub const INPUT_BYTES_MAX: usize = 256 * 1024;
/// Bytes of inline outputs of a job, together.
pub const INLINE_OUTPUT_BYTES_MAX: usize = 16 * 1024;
/// Bytes of the end of a log that are kept.
pub const LOG_TAIL_BYTES_MAX: usize = 16 * 1024;
/// Characters of a failure's message.
pub const MESSAGE_CHARS_MAX: usize = 2_000;
/// Characters of a note on progress.
pub const NOTE_CHARS_MAX: usize = 200;
/// Characters of names, ids, regions and keys.
pub const NAME_CHARS_MAX: usize = 255;
/// Bytes of a preview: a data URL of a small picture.
pub const PREVIEW_BYTES_MAX: usize = 40 * 1024;
/// Outputs of one job.
pub const OUTPUTS_MAX: usize = 64;
/// Regions that a job or a tenant may name.
pub const REGIONS_MAX: usize = 32;
/// Characters of an issuer's URL.
pub const ISSUER_URL_CHARS_MAX: usize = 2_048;
/// Bytes of an issuer's capability.
pub const CAPABILITY_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a model's input schema.
pub const SCHEMA_BYTES_MAX: usize = 64 * 1024;
/// Registered model versions.
pub const MODELS_MAX: usize = 10_000;
/// A job expires after waiting this long where its caller names nothing, milliseconds: a day.
pub const TTL_MS_DEFAULT: i64 = 24 * 60 * 60 * 1000;
/// The longest time to live, milliseconds: a week.
pub const TTL_MS_MAX: i64 = 7 * TTL_MS_DEFAULT;
/// The longest time-out of an attempt, milliseconds: a day.
pub const TIMEOUT_MS_MAX: i64 = TTL_MS_DEFAULT;
/// Jobs in one page of a list.
pub const LIST_MAX: i32 = 500;
/// Jobs in one page where the caller names no number.
pub const LIST_DEFAULT: i32 = 50;
/// How long an idempotency key is remembered where nothing else is configured, days: longer than any queue redelivers.
pub const KEYS_KEPT_DAYS: u32 = 90;
/// How long a job that ended is kept, with its attempts, days.
pub const JOBS_KEPT_DAYS: u32 = 60;
/// How long the input of a job that ended is kept, days.
pub const INPUTS_KEPT_DAYS: u32 = 30;
/// How often old rows are looked for, milliseconds: an hour.
pub const PRUNE_EVERY_MS: u64 = 60 * 60 * 1000;
/// Rows that one transaction forgets.
pub const PRUNE_ROWS_MAX: u32 = 500;

/// The largest price or cap of a third party, micro-dollars: a million dollars, so that sums stay in range.
pub const OVERFLOW_MICRO_MAX: i64 = 1_000_000_000_000;
/// Microseconds of a day.
pub const DAY_US: i64 = 86_400_000_000;
/// Bytes of a pool's name.
pub const POOL_NAME_BYTES_MAX: usize = 63;
/// Machines of one pool.
pub const POOL_MACHINES_MAX: usize = 2_000;
/// What an hour of a machine may cost, micro-dollars: ten thousand dollars, so that sums stay in range.
pub const PRICE_MICRO_PER_HOUR_MAX: i64 = 10_000_000_000;
/// Bytes that a provider's program may answer, and complain.
pub const PROVIDER_ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Machines that one list may name.
pub const LISTED_MAX: usize = 10_000;
/// Characters of the end of what a provider's program or a machine's agent wrote.
pub const MACHINE_MESSAGE_CHARS_MAX: usize = 500;
/// Bytes of the end of an agent's log that are looked at: secrets are hidden before the rest is cut.
pub const MACHINE_LOG_BYTES_MAX: usize = 8 * 1024;
/// Bytes of the shortest value that is taken for a secret; a shorter one would hide half of the words.
pub const SECRET_BYTES_MIN: usize = 8;
/// Calls of providers that run at once, lists not counted.
pub const PROVIDER_CALLS_MAX: usize = 8;
/// Pause after a first failed call, milliseconds; it doubles with each further one.
pub const PROVIDER_PAUSE_MS: u64 = 1_000;
/// The longest pause after failed calls, milliseconds.
pub const PROVIDER_PAUSE_MS_MAX: u64 = 60_000;
/// How often the carrier looks where nothing wakes it, milliseconds.
pub const CARRIER_LOOK_MS: u64 = 1_000;
/// Lists in a row that must miss a machine before it counts as gone: one may be from before it was made.
pub const MISSING_LISTS: u32 = 2;
/// A machine that was taken away and is listed this long afterwards is taken away again, milliseconds.
pub const GONE_GRACE_MS: i64 = 60_000;
/// How long machines that are gone stay in memory: what a day cost is told until it is over, milliseconds.
pub const GONE_KEPT_MS: i64 = 24 * 60 * 60 * 1000;
/// How long a local agent that is told to end may finish what it runs, milliseconds.
pub const LOCAL_DRAIN_MS: u64 = 15_000;
/// How long a killed process may take to vanish, milliseconds.
pub const LOCAL_KILL_MS: u64 = 5_000;

/// Commands that wait for the driver.
pub const COMMANDS_WAITING_MAX: usize = 1_024;
/// Commands that one commit carries.
pub const COMMANDS_PER_COMMIT_MAX: usize = 256;
/// Inputs that one query reads, each of at most [`INPUT_BYTES_MAX`].
pub(crate) const INPUTS_PER_READ_MAX: usize = 64;
/// Milliseconds for which a write that nobody waits for may be put off, to join another's commit.
pub const DEFERRED_WRITE_MS: i64 = 100;
/// Messages that wait for one agent; one that reads slower is cut off and comes back with a clear picture.
pub const AGENT_MESSAGES_WAITING_MAX: usize = 1_024;
/// Agents that are known at once.
pub const AGENTS_MAX: usize = 10_000;
/// Workers of one agent.
pub const WORKERS_MAX: usize = 256;
/// Attempts at once, and resident models, of one worker.
pub const WORKER_ROOM_MAX: u32 = 1_024;
/// The largest memory that a worker or a model may name, MiB: a petabyte, so that sums stay in range.
pub const MEMORY_MIB_MAX: i64 = 1 << 30;
/// The longest duration that an agent may report, milliseconds: 30 days, so that sums stay in range.
pub const REPORTED_MS_MAX: i64 = 30 * TTL_MS_DEFAULT;
/// Attempts that one agent may say it runs or has finished: more than it keeps reports of after a long cut.
pub const RUNNING_MAX: usize = 16_384;
/// How often an agent is asked to say that it lives, milliseconds.
pub const HEARTBEAT_MS: i64 = 5_000;
/// Inputs up to this size stay in memory while their job waits; larger ones are read again when it starts.
pub const INPUT_CACHED_BYTES_MAX: usize = 4 * 1024;
/// How often the driver looks after snapshots and old keys, and refreshes estimates that someone watches, milliseconds.
pub const UPKEEP_MS: i64 = 1_000;
/// How often what the scheduler has learned is written, milliseconds.
pub const SNAPSHOT_MS: i64 = 60_000;
/// How often an idle leader renews its epoch where another process could lead, milliseconds.
pub const LEADER_RENEW_MS: i64 = 3_000;
/// A leader whose epoch was not renewed for this long may be replaced by a driver that was deposed, milliseconds.
pub const LEADER_LOST_MS: i64 = 15_000;
/// The longest queue for which every new job's place is computed at once.
pub const FORECAST_QUEUE_MAX: usize = 2_000;
/// Watched jobs whose place is brought up to date in one upkeep; the others have their turn in the next.
pub const FORECASTS_PER_UPKEEP_MAX: usize = 100;
/// Jobs in one call of a model.
pub(crate) const BATCH_MAX: u32 = backlot_inference_scheduler::limits::BATCH_MAX;
/// Inputs in one message to an agent: with the rest of it they stay below what a message may have.
pub(crate) const BATCH_INPUT_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Parameters that must be equal in one call.
pub(crate) const BATCH_KEY_MAX: usize = 32;
