//! The honest answer: where a job stands, when it may start, or that nothing here can run it.

use crate::{
    event::JobSpec,
    limits,
    lines::Rank,
    policy::swap,
    scheduler::Scheduler,
    starts::Forecast,
    state::{Place, State, Status},
    types::{JobKey, TimeUs},
};

/// What would happen to a job. Promises nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Jobs of the same model that should start before it: counted where few wait, else estimated from the order.
    pub position: u32,
    /// Milliseconds from now until it computes, as likely earlier as later.
    pub start_p50_ms: i64,
    /// Milliseconds from now until it computes, with 9 chances in 10.
    pub start_p90_ms: i64,
    /// Milliseconds of compute.
    pub run_ms: i64,
}

/// Why nothing that is connected can run a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Impossible {
    /// The model's version is not registered.
    UnknownModel,
    /// No worker is connected at all.
    NoWorker,
    /// No connected worker is in a region where the job may run.
    NoRegion,
    /// No connected worker there has the memory and GPUs, or serves the model.
    NoCapacity,
}

impl Scheduler {
    /// What would happen to this job if it were submitted now.
    pub fn estimate(&self, now: TimeUs, spec: &JobSpec) -> Result<Estimate, Impossible> {
        let state = &self.state;
        let tenant = state.tenant_names.find(&spec.tenant);
        let start = state.fair.peek(now, tenant);
        let rank = Rank { submission: u64::MAX, ..self.rank_of(now, spec, start) };
        let model = state.known_model(&spec.model).ok_or(Impossible::UnknownModel)?;
        let place = state.place_of(&Place::of(&spec.regions), tenant);
        let run_ms = state.run_ms(model, spec.features, spec.predicted_ms);
        let told = state.outlook(now, model, &place, rank, run_ms);
        told.or_else(|why| state.outside_or(now, model, &place, run_ms, (&spec.tenant, spec.tier), why))
    }

    /// What will happen to a job that waits; `None` where it does not.
    #[must_use]
    pub fn forecast_of(&self, now: TimeUs, job: JobKey) -> Option<Result<Estimate, Impossible>> {
        let row = self.state.job(job)?;
        match row.status {
            Status::Ready | Status::BackingOff(_) => {
                let place = self.state.place_of(self.state.places.key(row.own_place), Some(row.tenant));
                let told = self.state.outlook(now, row.model, &place, row.rank, row.run_ms);
                let tenant = self.state.tenant_names.key(row.tenant);
                let whose = (tenant, row.tier);
                let outside = |why| self.state.outside_or(now, row.model, &place, row.run_ms, whose, why);
                Some(told.or_else(outside))
            }
            Status::Leased(_) | Status::Between => None,
        }
    }

    /// The start of a job that is about to enter its line, and what is told of it.
    pub(crate) fn forecast(&self, now: TimeUs, slot: u32) -> Option<Forecast> {
        let state = &self.state;
        let row = state.jobs.get(slot)?;
        let place = state.place_of(state.places.key(row.own_place), Some(row.tenant));
        state.possible(row.model, &place).ok()?;
        let ahead = state.ahead(row.model, row.rank);
        let (ms, loads) = state.start_ms(now, row.model, &place, ahead);
        let (_, told_p90_ms) = state.predictor.starts.spread(ms, loads);
        let told_p90_ms = u32::try_from(told_p90_ms).unwrap_or(u32::MAX);
        Some(Forecast { ms: u32::try_from(ms).ok()?, told_p90_ms, loads })
    }
}

impl State {
    pub(crate) fn outlook(
        &self,
        now: TimeUs,
        model: u32,
        place: &Place,
        rank: Rank,
        run_ms: i64,
    ) -> Result<Estimate, Impossible> {
        let ahead = self.ahead(model, rank);
        if let Err(why) = self.possible(model, place) {
            // Nothing is there, but a pool could bring it: its machine boots, and loads.
            let profile = self.models[model as usize].profile.as_ref();
            let boots_ms = profile.and_then(|profile| self.pools.could_in_ms(place, profile));
            let start_p50_ms = boots_ms.ok_or(why)? + self.load_ms(model);
            let position = u32::try_from(ahead).unwrap_or(u32::MAX);
            return Ok(Estimate { position, start_p50_ms, start_p90_ms: 2 * start_p50_ms, run_ms });
        }
        let (ms, loads) = self.start_ms(now, model, place, ahead);
        let (start_p50_ms, start_p90_ms) = self.predictor.starts.spread(ms, loads);
        let position = u32::try_from(ahead).unwrap_or(u32::MAX);
        Ok(Estimate { position, start_p50_ms, start_p90_ms, run_ms })
    }

    fn possible(&self, model: u32, place: &Place) -> Result<(), Impossible> {
        let row = &self.models[model as usize];
        if row.profile.is_none() {
            return Err(Impossible::UnknownModel);
        }
        let mut why = Impossible::NoWorker;
        for class in self.fleet.classes.iter().filter(|class| !class.live.is_empty()) {
            if !place.allows(&class.key.region) {
                if why == Impossible::NoWorker {
                    why = Impossible::NoRegion;
                }
            } else if class.suits(row) {
                return Ok(());
            } else {
                why = Impossible::NoCapacity;
            }
        }
        Err(why)
    }

    /// Jobs of the model that stand before a rank.
    fn ahead(&self, model: u32, rank: Rank) -> u64 {
        let lines = self.models[model as usize].lines.iter().map(|line| &self.lines.line(*line).jobs);
        lines
            .map(|jobs| {
                let count = jobs.len() as u64;
                match (jobs.first_key_value(), jobs.last_key_value()) {
                    (_, None) | (None, _) => 0,
                    (_, Some((last, _))) if *last < rank => count,
                    (Some((first, _)), _) if *first >= rank => 0,
                    _ if count <= limits::FORECAST_JOBS => jobs.range(..rank).count() as u64,
                    (Some((first, _)), Some((last, _))) => {
                        let span = (last.key.saturating_sub(first.key)).max(1) as f64;
                        let part = rank.key.saturating_sub(first.key) as f64 / span;
                        (count as f64 * part.clamp(0.0, 1.0)) as u64
                    }
                }
            })
            .sum()
    }

    /// Milliseconds until a job with so many of its model ahead computes: on a worker that holds the model, or after a
    /// swap, whichever comes first; whether that is the swap.
    pub(crate) fn start_ms(&self, now: TimeUs, model: u32, place: &Place, ahead: u64) -> (i64, bool) {
        let warm_ms = self.host_in_ms(now, model, place, ahead);
        if !self.models[model as usize].loads() {
            return (warm_ms.unwrap_or_default().round() as i64, false);
        }
        let load_ms = self.load_ms(model) as f64;
        let fit = |class: &&crate::fleet::Class| {
            place.allows(&class.key.region) && class.suits(&self.models[model as usize])
        };
        let classes = || self.fleet.classes.iter().filter(fit);
        let spare = classes().any(|class| !class.spare.is_empty());
        let swap_ms = if spare {
            let question = swap::Question {
                warm_in_ms: warm_ms,
                age_ms: 0.0,
                load_ms,
                free: self.fleet.free,
                victim: 0.0,
            };
            swap::due_in_ms(&question).max(0.0) + load_ms
        } else {
            let share = self.lines.waiting as f64 / self.fleet.live.max(1) as f64;
            let loads_ms = load_ms * (1.0 + share);
            if let Some(warm_ms) = warm_ms.filter(|ms| *ms <= loads_ms) {
                return (warm_ms.round() as i64, false);
            }
            // A worker that holds the model already is not the one that would swap.
            let seen = classes().flat_map(|class| &class.live).take(limits::REPLICAS_SEEN);
            let others = seen.filter_map(|id| self.fleet.workers.get(*id));
            let others = others.filter(|worker| worker.resident(model).is_none());
            let room_ms = others
                .map(|worker| worker.room_in_ms(now, &self.predictor.loads))
                .min()
                .map_or(f64::MAX, |ms| ms as f64);
            room_ms + loads_ms
        };
        match warm_ms {
            Some(warm_ms) if warm_ms <= swap_ms => (warm_ms.round() as i64, false),
            _ if swap_ms < f64::MAX => (swap_ms.round() as i64, true),
            _ => (0, true),
        }
    }

    /// Milliseconds until a worker that holds the model takes the job behind `ahead` others; `None` where none does.
    pub(crate) fn warm_in_ms(&self, now: TimeUs, model: u32, place: u32, ahead: u64) -> Option<f64> {
        self.host_in_ms(now, model, self.places.key(place), ahead)
    }

    fn host_in_ms(&self, now: TimeUs, model: u32, place: &Place, ahead: u64) -> Option<f64> {
        let row = &self.models[model as usize];
        let run_ms = match row.waiting {
            0 => self.run_ms(model, crate::event::Features::default(), 0) as f64,
            waiting => row.backlog_ms as f64 / f64::from(waiting),
        };
        let run_ms = run_ms.max(1.0);
        let weightless = !row.loads();
        let fit = |class: &crate::fleet::Class| place.allows(&class.key.region) && class.suits(row);
        let classes = self.fleet.classes.iter().filter(|class| weightless && fit(class));
        let count = match weightless {
            true => classes.clone().map(|class| class.live.len()).sum(),
            false => row.replicas.len(),
        };
        let ahead = ahead as f64;
        if count > 0 && ahead > limits::FORECAST_JOBS as f64 && ahead > 8.0 * count as f64 {
            return Some(ahead * run_ms / count as f64);
        }
        let hosts = row.replicas.iter().filter(|_| !weightless).chain(classes.flat_map(|class| &class.live));
        let workers = hosts.take(limits::REPLICAS_SEEN).filter_map(|id| self.fleet.workers.get(*id));
        let mut rooms: Vec<f64> = workers
            .filter(|worker| fit(&self.fleet.classes[worker.class as usize]))
            .map(|worker| {
                worker.room_in_ms(now, &self.predictor.loads) as f64 + self.competing_ms(worker, model)
            })
            .collect();
        if rooms.is_empty() {
            return None;
        }
        // More replicas than were looked at are like those: each of these has fewer of the line ahead.
        let ahead = ahead * rooms.len() as f64 / count.max(rooms.len()) as f64;
        let single = ahead.min(limits::FORECAST_JOBS as f64).floor() as u64;
        let rest_ms = (ahead - single as f64).max(0.0) * run_ms / rooms.len() as f64;
        for _ in 0..single {
            let first = rooms.iter_mut().min_by(|a, b| a.total_cmp(b))?;
            *first += run_ms;
        }
        rooms.into_iter().min_by(f64::total_cmp).map(|first| first + rest_ms)
    }

    /// The part of a worker's time that its other models are expected to take first.
    fn competing_ms(&self, worker: &crate::fleet::Worker, model: u32) -> f64 {
        let others = worker.resident.iter().filter(|resident| resident.model != model);
        let work_ms = others.map(|resident| {
            let row = &self.models[resident.model as usize];
            row.due_ms as f64 / row.replicas.len().max(1) as f64
        });
        work_ms.sum::<f64>() * limits::COMPETING_SHARE
    }
}
