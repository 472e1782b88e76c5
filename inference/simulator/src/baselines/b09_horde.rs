//! B9, AI-Horde's queue: priority plus 50 for each 10 s waited; the worker that is warm for the job first. Where all
//! have one priority, as in S1, that is first come, first served.

use backlot_inference_scheduler::{JobKey, Tier, TimeUs};

use super::{
    pull::Rule,
    view::{Queue, View},
};

const POINTS: i64 = 50;
const PER_MS: i64 = 10_000;
/// Priorities of tiers, in points: a batch job that has waited 60 s is level with a new standard one.
const TIER_POINTS: i64 = 300;

#[derive(Clone, Debug)]
pub(super) struct Horde;

impl Rule for Horde {
    const NAME: &'static str = "b9-horde";

    fn next(&mut self, now: TimeUs, view: &View, queue: &Queue) -> Option<(JobKey, usize)> {
        // Within a tier the oldest has the most points: only the oldest of each tier can be the next.
        let mut best: Option<(i64, JobKey)> = None;
        for tier in [Tier::Interactive, Tier::Standard, Tier::Batch] {
            let mut of_tier =
                queue.all.iter().filter(|key| view.jobs.get(key).is_some_and(|job| job.tier == tier));
            let Some(key) = of_tier.next() else { continue };
            let Some(job) = view.jobs.get(key) else { continue };
            let priority = match tier {
                Tier::Interactive => 2 * TIER_POINTS,
                Tier::Standard => TIER_POINTS,
                Tier::Batch => 0,
            };
            let points = priority + POINTS * (now.since_ms(job.since) / PER_MS);
            if best.is_none_or(|(most, _)| points > most) {
                best = Some((points, *key));
            }
        }
        let (_, key) = best?;
        Some((key, view.warm_first(&view.jobs.get(&key)?.model)?))
    }
}
