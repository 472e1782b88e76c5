//! Every limit of the scheduler, by name and unit.

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
/// How long an agent that is gone stays part of the fleet that estimates count on.
pub const AGENT_FORGET_MS: i64 = 10 * 60 * 1000;
/// Queued jobs of one tenant where the tenant names no limit.
pub const QUEUED_MAX_PER_TENANT: u32 = 1_000;
/// Head start of an interactive job over a standard one that arrives at the same time.
pub const STANDARD_AGE_MS: i64 = 30_000;
/// Head start of an interactive job over a batch job that arrives at the same time.
pub const BATCH_AGE_MS: i64 = 600_000;
/// Jobs ahead whose own prediction an estimate uses; further ones count as their mean.
pub const ESTIMATE_JOBS_MAX: usize = 1_000;
/// Jobs ahead that an estimate counts; a place beyond them is said to be this one.
pub const ESTIMATE_POSITION_MAX: usize = 10_000;
/// The p90 of a start estimate as a percentage of its p50, until errors of prediction are measured.
pub const ESTIMATE_P90_PERCENT: i64 = 180;
/// Weight of a new measurement in the moving mean of run and load times, in percent.
pub const PREDICT_NEW_PERCENT: i64 = 20;
