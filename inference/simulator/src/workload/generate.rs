//! The synthetic workload: requests with the shapes that the public trace's statistics describe, and none of its rows.
//!
//! Parameters are summary statistics (shares, medians, slopes), rounded. What they reproduce and what they do not is
//! written in `docs/simulator.md`; a test holds them to it.

use std::sync::Arc;

use super::{Request, Task, Workload};
use crate::{
    loads::{Loads, Quantiles},
    rng::Rng,
};

/// Base models, and the share of the most popular one.
const MODELS: usize = 70;
const TOP_MODEL_SHARE: f64 = 0.30;
/// Popularity of the others falls with this power of the rank.
const MODEL_SLOPE: f64 = 1.15;
/// Tenants that might come (about 2,300 do), how activity falls with the rank, and how much the first exceeds that.
const TENANTS: usize = 5_000;
const TENANT_SLOPE: f64 = 0.7;
const TENANT_FIRST: f64 = 4.0;
/// A tenant keeps its model with this chance; with those that come back to it by accident that is 72 %.
const KEEP_MODEL: f64 = 0.68;
/// Requests with adapters, adapters in all, how their popularity falls, and who keeps theirs.
const ADAPTER_SHARE: f64 = 0.15;
const ADAPTERS: usize = 220;
const ADAPTER_SLOPE: f64 = 0.8;
const KEEP_ADAPTERS: f64 = 0.77;
/// A session goes on after each request with this chance; the pause between two is log-normal.
const SESSION_GOES_ON: f64 = 0.68;
const PAUSE_MEDIAN_S: f64 = 62.0;
const PAUSE_SIGMA: f64 = 0.75;
/// Two peaks a day, as (hour, width in hours, share of all sessions); the rest is even.
const PEAKS: [(f64, f64, f64); 2] = [(5.6, 0.8, 0.25), (10.7, 1.3, 0.60)];
/// Pictures a request, and the compute for so many, milliseconds at 30 steps.
const IMAGES: [(u16, f64, f64); 4] =
    [(1, 0.585, 11_600.0), (2, 0.075, 14_500.0), (4, 0.19, 17_500.0), (8, 0.15, 18_500.0)];
const STEPS: [(u16, f64); 6] = [(30, 0.915), (40, 0.05), (20, 0.012), (50, 0.012), (25, 0.006), (60, 0.005)];
/// Compute grows with this power of the steps.
const STEPS_POWER: f64 = 0.9;
/// Spread of compute by model and by request, log-normal, and the share that takes twice as long (large pictures).
const MODEL_SIGMA: f64 = 0.18;
const REQUEST_SIGMA: f64 = 0.15;
const LARGE_SHARE: f64 = 0.14;
/// Clips take this long, log-normal between bounds, milliseconds. No public trace has any: these are assumptions.
const VIDEO_MEDIAN_MS: f64 = 150_000.0;
const VIDEO_SIGMA: f64 = 0.6;
const VIDEO_MS: (f64, f64) = (60_000.0, 600_000.0);
const VIDEO_MODELS: usize = 3;

/// What to generate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Decides every draw.
    pub seed: u64,
    /// Requests.
    pub requests: usize,
    /// Days that they spread over.
    pub days: u32,
    /// Share of clips.
    pub video_share: f64,
}

/// Two weeks with as many requests as the public trace has.
pub const RECIPE: Recipe = Recipe { seed: 1, requests: 13_600, days: 14, video_share: 0.0 };

/// A draw by weights.
struct Wheel(Vec<f64>);

impl Wheel {
    fn new(weights: impl Iterator<Item = f64>) -> Self {
        let mut sum = 0.0;
        let sums = weights.map(|weight| {
            sum += weight;
            sum
        });
        Self(sums.collect())
    }

    fn spin(&self, rng: &mut Rng) -> usize {
        let point = rng.unit() * self.0.last().copied().unwrap_or(1.0);
        self.0.partition_point(|sum| *sum <= point).min(self.0.len().saturating_sub(1))
    }
}

fn zipf(count: usize, slope: f64) -> impl Iterator<Item = f64> {
    (1..=count).map(move |rank| (rank as f64).powf(-slope))
}

/// Wheels and what each tenant did last.
struct Generator {
    rng: Rng,
    models: Wheel,
    model_factors: Vec<f64>,
    tenants: Wheel,
    adapters: Wheel,
    images: Wheel,
    steps: Wheel,
    last_model: Vec<Option<u32>>,
    last_adapters: Vec<Vec<u32>>,
    days: u32,
    video_share: f64,
}

impl Generator {
    fn new(recipe: &Recipe) -> Self {
        let rest: f64 = zipf(MODELS, MODEL_SLOPE).skip(1).sum();
        let tail = zipf(MODELS, MODEL_SLOPE).skip(1).map(|weight| weight / rest * (1.0 - TOP_MODEL_SHARE));
        let mut rng = Rng::new(recipe.seed);
        let model_factors = (0..MODELS).map(|_| (rng.normal() * MODEL_SIGMA).exp()).collect();
        let tenants = zipf(TENANTS, TENANT_SLOPE)
            .enumerate()
            .map(|(rank, weight)| if rank == 0 { weight * TENANT_FIRST } else { weight });
        Self {
            models: Wheel::new(std::iter::once(TOP_MODEL_SHARE).chain(tail)),
            model_factors,
            tenants: Wheel::new(tenants),
            adapters: Wheel::new(zipf(ADAPTERS, ADAPTER_SLOPE)),
            images: Wheel::new(IMAGES.iter().map(|row| row.1)),
            steps: Wheel::new(STEPS.iter().map(|row| row.1)),
            last_model: vec![None; TENANTS],
            last_adapters: vec![Vec::new(); TENANTS],
            rng,
            days: recipe.days.max(1),
            video_share: recipe.video_share,
        }
    }

    /// When a session begins.
    fn session_s(&mut self) -> f64 {
        let day = self.rng.below(self.days as usize) as f64;
        let mut point = self.rng.unit();
        let mut hour = self.rng.unit() * 24.0;
        for (at, width, share) in PEAKS {
            if point < share {
                hour = (at + width * self.rng.normal()).rem_euclid(24.0);
                break;
            }
            point -= share;
        }
        (day * 24.0 + hour) * 3600.0
    }

    fn request(&mut self, tenant: usize, arrival_s: f64) -> Request {
        if self.rng.unit() < self.video_share {
            return self.clip(tenant, arrival_s);
        }
        let rng = &mut self.rng;
        let kept = self.last_model[tenant].filter(|_| rng.unit() < KEEP_MODEL);
        let model = kept.unwrap_or_else(|| self.models.spin(rng) as u32);
        self.last_model[tenant] = Some(model);
        let (images, _, image_ms) = IMAGES[self.images.spin(rng)];
        let (steps, _) = STEPS[self.steps.spin(rng)];
        let task = match rng.unit() {
            u if u < 0.914 => Task::TextToImage,
            u if u < 0.992 => Task::ImageToImage,
            _ => Task::Inpainting,
        };
        let large = if rng.unit() < LARGE_SHARE { 2.0 } else { 1.0 };
        let spread = (rng.normal() * REQUEST_SIGMA).exp() * self.model_factors[model as usize];
        let warm_ms = image_ms * (f64::from(steps) / 30.0).powf(STEPS_POWER) * spread * large;
        Request {
            arrival_us: (arrival_s * 1e6) as i64,
            tenant: tenant as u32,
            task,
            model,
            adapters: self.adapters(tenant),
            images,
            steps,
            warm_us: (warm_ms * 1e3) as i64,
            region: 0,
        }
    }

    fn adapters(&mut self, tenant: usize) -> Vec<u32> {
        let rng = &mut self.rng;
        if rng.unit() >= ADAPTER_SHARE {
            return Vec::new();
        }
        if self.last_adapters[tenant].is_empty() || rng.unit() >= KEEP_ADAPTERS {
            let count = match rng.unit() {
                u if u < 0.96 => 1,
                u if u < 0.985 => 2,
                _ => 3,
            };
            let mut chosen: Vec<u32> = (0..count).map(|_| self.adapters.spin(rng) as u32).collect();
            chosen.dedup();
            self.last_adapters[tenant] = chosen;
        }
        self.last_adapters[tenant].clone()
    }

    fn clip(&mut self, tenant: usize, arrival_s: f64) -> Request {
        let rng = &mut self.rng;
        let warm_ms = (VIDEO_MEDIAN_MS * (rng.normal() * VIDEO_SIGMA).exp()).clamp(VIDEO_MS.0, VIDEO_MS.1);
        Request {
            arrival_us: (arrival_s * 1e6) as i64,
            tenant: tenant as u32,
            task: Task::Video,
            model: (MODELS + rng.below(VIDEO_MODELS)) as u32,
            adapters: Vec::new(),
            images: (warm_ms / 2_000.0) as u16,
            steps: 30,
            warm_us: (warm_ms * 1e3) as i64,
            region: 0,
        }
    }
}

/// Makes a workload.
#[must_use]
pub fn generate(recipe: &Recipe) -> Workload {
    let mut generator = Generator::new(recipe);
    let (mut sessions, mut planned) = (Vec::new(), 0);
    while planned < recipe.requests {
        let mut length = 1;
        while generator.rng.unit() < SESSION_GOES_ON && planned + length < recipe.requests {
            length += 1;
        }
        let tenant = generator.tenants.spin(&mut generator.rng);
        sessions.push((generator.session_s(), tenant, length));
        planned += length;
    }
    // In the order of time, so that who comes back comes back to what it did last.
    sessions.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut requests = Vec::with_capacity(recipe.requests);
    for (begins_s, tenant, length) in sessions {
        let mut at_s = begins_s;
        for _ in 0..length {
            let request = generator.request(tenant, at_s);
            requests.push(request);
            at_s += PAUSE_MEDIAN_S * (generator.rng.normal() * PAUSE_SIGMA).exp();
        }
    }
    let names = |prefix: &str, count: usize| -> Vec<Arc<str>> {
        (0..count).map(|at| Arc::from(format!("{prefix}{at:04}"))).collect()
    };
    let mut workload = Workload {
        requests,
        tenants: names("T", TENANTS),
        models: names("M", MODELS + VIDEO_MODELS),
        adapters: names("A", ADAPTERS),
    };
    workload.sort();
    workload
}

/// Loads with the shape of the measured ones: a base comes from a local cache in about 3 s or from afar in about 37 s.
#[must_use]
pub fn synthetic_loads() -> Loads {
    let base = [
        (0.0, 1_300.0),
        (0.1, 2_600.0),
        (0.25, 3_150.0),
        (0.32, 5_000.0),
        (0.38, 15_000.0),
        (0.5, 22_700.0),
        (0.75, 36_900.0),
        (0.9, 42_000.0),
        (0.99, 52_000.0),
        (1.0, 80_000.0),
    ];
    let lora =
        [(0.0, 630.0), (0.1, 2_700.0), (0.25, 3_570.0), (0.5, 4_380.0), (0.9, 6_140.0), (1.0, 39_000.0)];
    let quantiles = |pairs: &[(f64, f64)]| Quantiles::new(pairs.to_vec()).unwrap_or_else(|| unreachable!());
    Loads { base: quantiles(&base), lora: quantiles(&lora) }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn near(what: &str, value: f64, low: f64, high: f64) {
        assert!((low..=high).contains(&value), "{what} is {value}, not within {low}..{high}");
    }

    #[test]
    fn the_generator_has_the_published_shapes() {
        let workload = generate(&RECIPE);
        let count = workload.requests.len() as f64;
        let top = workload.requests.iter().filter(|request| request.model == 0).count() as f64;
        near("share of the first model", top / count, 0.24, 0.36);
        let adapters = workload.requests.iter().filter(|request| !request.adapters.is_empty()).count() as f64;
        near("share with adapters", adapters / count, 0.13, 0.17);
        near("mean compute, s", workload.warm_us() as f64 / count / 1e6, 15.0, 19.5);
        let mut last = BTreeMap::new();
        let (mut same, mut pairs) = (0.0, 0.0);
        for request in &workload.requests {
            if let Some(model) = last.insert(request.tenant, request.model) {
                pairs += 1.0;
                same += f64::from(u8::from(model == request.model));
            }
        }
        near("return to the last model", same / pairs, 0.67, 0.77);
        let tenants: BTreeSet<u32> = workload.requests.iter().map(|request| request.tenant).collect();
        near("tenants seen", tenants.len() as f64, 2_000.0, 2_600.0);
        assert_eq!(generate(&RECIPE), workload, "the seed decides everything");
    }

    #[test]
    fn clips_come_only_where_asked_for() {
        let clips = |video_share| {
            let workload = generate(&Recipe { video_share, requests: 2_000, ..RECIPE });
            workload.requests.iter().filter(|request| request.task == Task::Video).count()
        };
        assert_eq!(clips(0.0), 0);
        assert!((100..=300).contains(&clips(0.1)));
    }
}
