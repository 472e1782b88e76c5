//! Gathers what the rule in `policy/` must know, and carries out what it says. The work of one event is bounded: a few
//! heads of lines against a few workers, whatever waits and however large the fleet is.

use smallvec::SmallVec;

use crate::{
    effect::Effect,
    fleet::Worker,
    limits,
    lines::Rank,
    policy::{adapters, pressure, swap},
    scheduler::Scheduler,
    state::{Job, State},
    timers::Timer,
    types::TimeUs,
};

/// What an event may have made possible.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Todo {
    /// A line got a job, or its refused swap is due.
    Line(u32),
    /// A worker got room, or holds something else.
    Worker(u32),
}

/// What the head of a line gets.
#[derive(Clone, Debug, PartialEq)]
enum Choice {
    /// A worker, after these models have left it.
    Take(u32, Vec<u32>),
    /// Nothing before so many milliseconds, unless something changes.
    Wait(f64),
    /// Nothing that is connected can run it.
    Never,
}

impl Scheduler {
    /// Starts what can start.
    pub(crate) fn dispatch(&mut self, now: TimeUs, effects: &mut Vec<Effect>) {
        if self.todo.is_empty() {
            return;
        }
        let capacity = self.state.fleet.capacity_milli as f64 / 1_000.0;
        self.state.fair.set_capacity(now, capacity);
        self.state.count_due(now);
        let mut todo = std::mem::take(&mut self.todo);
        let mut freed = false;
        for one in &todo {
            match one {
                Todo::Line(line) => self.serve_line(now, *line, effects),
                Todo::Worker(worker) => freed |= self.serve_worker(now, *worker, effects),
            }
        }
        if freed {
            self.serve_heads(now, effects);
        }
        todo.clear();
        self.todo = todo;
    }

    /// Gives the worker what is warm there, or what presses harder. Whether it has room left.
    fn serve_worker(&mut self, now: TimeUs, id: u32, effects: &mut Vec<Effect>) -> bool {
        if self.serve_held(now, id, effects) && self.state.fleet.workers.get(id).is_none_or(Worker::is_full) {
            return false;
        }
        while let Some(line) = self.state.warm_line(now, id) {
            // The head may have stood too early; it never stands too late, so the first one that stays is the first.
            if self.state.settle_head(line) {
                continue;
            }
            let due = self.state.due_first(now, id, line);
            if let Some((line, evict)) = due {
                if self.state.settle_head(line) {
                    continue;
                }
                if !self.start(now, line, id, &evict, false, effects) {
                    return false;
                }
                continue;
            }
            let pressing = self.state.pressing(now, id, line);
            let (line, evict, pressed) = match pressing {
                Some((line, _)) if self.state.settle_head(line) => continue,
                Some((line, evict)) => (line, evict, true),
                None => (line, Vec::new(), false),
            };
            if !self.start(now, line, id, &evict, pressed, effects) {
                return false;
            }
        }
        if self.state.fleet.workers.get(id).is_some_and(|worker| worker.spec.overlap) {
            // It may have had room while it loaded: what it loaded is free there now, or will not come.
            self.state.fleet.hide(id, &mut self.state.models);
        }
        self.state.fleet.show(now, id, &mut self.state.models);
        self.state.fleet.workers.get(id).is_some_and(|worker| worker.spare.is_some())
    }

    /// Offers spare workers to the lines whose heads stand first.
    fn serve_heads(&mut self, now: TimeUs, effects: &mut Vec<Effect>) {
        let weighed = self.state.heads_weighed();
        let fleet = &self.state.fleet;
        let spare = |line: &u32| {
            let line = self.state.lines.line(*line);
            fleet
                .classes
                .iter()
                .any(|class| !class.spare.is_empty() && self.state.fits(line.model, line.place, class))
        };
        let heads = self.state.lines.heads.iter().take(limits::HEADS_SCANNED).map(|(_, line)| *line);
        let lines: Vec<u32> = heads.filter(spare).take(weighed).collect();
        for line in lines {
            self.serve_line(now, line, effects);
        }
    }

    /// Starts as much of a line as can start.
    fn serve_line(&mut self, now: TimeUs, line: u32, effects: &mut Vec<Effect>) {
        loop {
            while self.state.settle_head(line) {}
            let Some((_, slot)) = self.state.lines.head(line) else { return };
            match self.state.choose(now, line, slot) {
                Choice::Take(worker, evict) => {
                    if !self.start(now, line, worker, &evict, false, effects) {
                        return;
                    }
                }
                Choice::Wait(ms) => {
                    let Some(ms) = self.start_ahead(now, line, ms, effects) else { continue };
                    self.ask_for(now, line, effects);
                    let ms = (ms.ceil() as i64).clamp(1, limits::RECHECK_MS);
                    return self.state.look_again(now.plus_ms(ms), line);
                }
                Choice::Never => return self.state.lines.stall(line),
            }
        }
    }
}

impl State {
    fn look_again(&mut self, at: TimeUs, line: u32) {
        let row = &mut self.lines.rows[line as usize];
        if row.timer_at.is_none_or(|before| at < before) {
            row.timer_at = Some(at);
            self.timers.set(at, Timer::Line(line));
        }
    }

    /// Heads of lines that one event may weigh: all in a small fleet, where each decision counts; fewer in a large one,
    /// where events are many and the next one weighs the others.
    pub(crate) fn heads_weighed(&self) -> usize {
        let most = limits::HEADS_WEIGHED * limits::FLEET_SMALL / self.fleet.live.max(limits::FLEET_SMALL);
        most.max(limits::HEADS_WEIGHED_MIN)
    }

    /// Whether workers of a class may and can run what stands in a line.
    pub(crate) fn fits(&self, model: u32, place: u32, class: &crate::fleet::Class) -> bool {
        self.places.key(place).allows(&class.key.region) && class.suits(&self.models[model as usize])
    }

    /// Of the lines that are warm on a worker with room, the one whose head stands first.
    pub(crate) fn warm_line(&self, now: TimeUs, id: u32) -> Option<u32> {
        let worker = self.fleet.workers.get(id).filter(|worker| worker.live && !worker.is_full())?;
        let class = &self.fleet.classes[worker.class as usize];
        let residents = worker.resident.iter().map(|resident| resident.model);
        let residents = residents.filter(|model| !worker.brings(*model));
        let lines = residents.chain(self.weightless.iter().copied()).flat_map(|model| {
            let row = &self.models[model as usize];
            let waiting = if row.waiting == 0 { &[] } else { row.lines.as_slice() };
            waiting.iter().map(move |line| (model, *line))
        });
        let rate = self.fair.rate() * 1_000.0;
        let heads = lines.filter_map(|(model, line)| {
            let (rank, slot) = self.lines.head(line)?;
            let fits = self.fits(model, self.lines.line(line).place, class);
            (fits && Self::beside(worker, model, self.jobs.get(slot)?)).then_some((rank, model, line))
        });
        let mut heads: SmallVec<[(Rank, u32, u32); 4]> = heads.collect();
        // Regret moves a head by so much at most: most often only one can be the first.
        let regret = |ms: f64| (limits::REGRET_SHARE * ms * rate) as i64;
        let last = heads.iter().map(|(rank, ..)| rank.key).min()?.saturating_add(regret(limits::REGRET_MS));
        heads.retain(|(rank, ..)| rank.key <= last);
        if let [(_, _, line)] = heads[..] {
            return Some(line);
        }
        let key = |rank: Rank, model: u32| rank.key - regret(self.elsewhere_ms(now, model, id));
        heads
            .into_iter()
            .map(|(rank, model, line)| ((key(rank, model), rank), line))
            .min()
            .map(|(_, line)| line)
    }

    /// Whether a job may compute beside what its worker loads: one that has adapters to load itself would wait for that.
    fn beside(worker: &Worker, model: u32, job: &Job) -> bool {
        let held = || worker.resident(model).map(|held| &held.adapters);
        worker.takes_load() || job.adapters.iter().all(|name| held().is_some_and(|held| held.contains(name)))
    }

    /// Milliseconds until another worker that holds the model has room.
    pub(crate) fn elsewhere_ms(&self, now: TimeUs, model: u32, but: u32) -> f64 {
        let row = &self.models[model as usize];
        if !row.loads() {
            return 0.0;
        }
        if row.free.len() > 1 {
            return 0.0;
        }
        let others = row.replicas.iter().filter(|id| **id != but).take(limits::REGRET_REPLICAS);
        let rooms = others.filter_map(|id| self.fleet.workers.get(*id));
        let rooms = rooms.map(|worker| worker.room_in_ms(now, &self.predictor.loads) as f64);
        rooms.fold(limits::REGRET_MS, f64::min)
    }

    /// How long ago a place in the order should have come up by its tenant's share, in milliseconds; negative: it is
    /// ahead of its time.
    pub(crate) fn late_ms(&self, now: TimeUs, key: i64) -> f64 {
        self.fair.peek(now, None).saturating_sub(key) as f64 / self.fair.rate() / 1_000.0
    }

    pub(crate) fn head_late_ms(&self, now: TimeUs, line: u32) -> f64 {
        self.lines.head(line).map_or(f64::MIN, |(rank, _)| self.late_ms(now, rank.key))
    }

    /// What a replica of the model is worth. Jobs that are ahead of their time do not count as waiting.
    fn value(&self, now: TimeUs, model: u32) -> f64 {
        self.models[model as usize].value(now)
    }

    /// The line that a worker with warm work should turn to all the same, and what must leave for it.
    fn pressing(&self, now: TimeUs, id: u32, warm: u32) -> Option<(u32, Vec<u32>)> {
        if self.fleet.pressed >= pressure::allowance(self.fleet.live) {
            return None;
        }
        let worker = self.fleet.workers.get(id).filter(|worker| worker.takes_load())?;
        let class = &self.fleet.classes[worker.class as usize];
        // However long the line of somebody who asks for too much, it is no more than early: else any line would press.
        let own_ms = self.head_late_ms(now, warm).max(-limits::DEMAND_EARLY_MS);
        let mut best: Option<(f64, u32)> = None;
        let heads = self.lines.heads.iter().take(limits::HEADS_SCANNED).map(|(_, line)| *line);
        let others = heads.filter(|line| {
            let row = self.lines.line(*line);
            let model = &self.models[row.model as usize];
            model.loads()
                && model.free.is_empty()
                && worker.resident(row.model).is_none()
                && self.fits(row.model, row.place, class)
        });
        for line in others.take(self.heads_weighed()) {
            let late_ms = self.head_late_ms(now, line);
            if late_ms + limits::PRESSURE_WAIT_MS <= own_ms {
                break;
            }
            let row = self.lines.line(line);
            let load_ms = worker.here_ms(self.load_ms(row.model)) as f64;
            if !pressure::turns(pressure::need_ms(late_ms, f64::MAX), own_ms, load_ms) {
                continue;
            }
            let wait_ms = self.warm_in_ms(now, row.model, row.place, 0).unwrap_or(f64::MAX);
            let need_ms = pressure::need_ms(late_ms, wait_ms);
            if pressure::turns(need_ms, own_ms, load_ms) && best.is_none_or(|(most, _)| need_ms > most) {
                best = Some((need_ms, line));
            }
        }
        let (_, line) = best?;
        let (_, evict) = self.room_for(now, worker, self.lines.line(line).model)?;
        Some((line, evict))
    }

    fn choose(&self, now: TimeUs, line: u32, slot: u32) -> Choice {
        let row = self.lines.line(line);
        let (model, place) = (row.model, row.place);
        let Some(job) = self.jobs.get(slot) else { return Choice::Never };
        if self.fleet.free == 0 {
            let possible =
                self.fleet.classes.iter().any(|c| !c.live.is_empty() && self.fits(model, place, c));
            return if possible { Choice::Wait(limits::RECHECK_MS as f64) } else { Choice::Never };
        }
        if let Some(worker) = self.warm_worker(now, model, place, job) {
            return Choice::Take(worker, Vec::new());
        }
        let mut possible = false;
        let mut best: Option<(f64, u32)> = None;
        for (number, class) in self.fleet.classes.iter().enumerate() {
            if class.live.is_empty() || !self.fits(model, place, class) {
                continue;
            }
            possible = true;
            let far = self.far_cost(job, number as u32);
            for (score, id) in class.spare.iter().take(limits::WORKERS_COMPARED) {
                // Room for one more model costs nothing: nobody is cheaper.
                let Some(worker) = self.fleet.workers.get(*id).filter(|worker| worker.takes_load()) else {
                    continue;
                };
                let cost = self.room_for(now, worker, model).map(|(value, _)| value + far);
                if let Some(cost) = cost.filter(|cost| best.is_none_or(|(least, _)| *cost < least)) {
                    best = Some((cost, *id));
                    if cost <= 0.0 && *score == 0 {
                        break;
                    }
                }
            }
        }
        let Some((victim, id)) = best else {
            return if possible { Choice::Wait(limits::RECHECK_MS as f64) } else { Choice::Never };
        };
        let row = &self.models[model as usize];
        // Waiting for one's share is no reason to push anybody out, unless workers idle that nobody else asks for.
        let spare = self.fleet.free * 100 > self.fleet.live * limits::EARLY_SPARE_PERCENT;
        let (ahead, age_ms) = match job.early {
            true if !spare => (row.due, 0.0),
            true => (row.waiting, now.since_ms(job.created_at) as f64),
            false => (row.due, now.since_ms(job.created_at) as f64),
        };
        let ahead = u64::from(ahead.saturating_sub(1));
        let due_ms = swap::due_in_ms(&self.question(now, model, place, ahead, age_ms, victim));
        if due_ms > 0.0 {
            return Choice::Wait(due_ms);
        }
        let worker = self.fleet.workers.get(id);
        match worker.and_then(|worker| self.room_for(now, worker, model)) {
            Some((_, evict)) => Choice::Take(id, evict),
            None => Choice::Wait(limits::RECHECK_MS as f64),
        }
    }

    /// What `policy/swap.rs` asks.
    pub(crate) fn question(
        &self,
        now: TimeUs,
        model: u32,
        place: u32,
        ahead: u64,
        age_ms: f64,
        victim: f64,
    ) -> swap::Question {
        swap::Question {
            warm_in_ms: self.warm_in_ms(now, model, place, ahead),
            age_ms,
            load_ms: self.load_ms(model) as f64,
            // What runs ahead of its share holds no worker back from what is due.
            free: self.fleet.free + self.fleet.early,
            victim,
        }
    }

    /// A worker with room where the job needs no load: one with the same adapters where it needs any, else the one
    /// whose other models are wanted least.
    fn warm_worker(&self, now: TimeUs, model: u32, place: u32, job: &Job) -> Option<u32> {
        let row = &self.models[model as usize];
        let loads = row.loads();
        let mut best: Option<(f64, u32)> = None;
        for (number, class) in self.fleet.classes.iter().enumerate() {
            if class.spare.is_empty() || !self.fits(model, place, class) {
                continue;
            }
            let number = number as u32;
            let far = self.far_cost(job, number);
            let weightless = class.spare.iter().map(|(_, id)| *id).take(if loads { 0 } else { 1 });
            let holders = row.free.range((number, 0)..=(number, u32::MAX)).map(|(_, id)| *id);
            for id in weightless.chain(holders).take(limits::WORKERS_COMPARED) {
                let Some(worker) = self.fleet.workers.get(id) else { continue };
                if !Self::beside(worker, model, job) {
                    continue;
                }
                let late = if worker.takes_load() { 0.0 } else { limits::BESIDE_LOAD };
                let others = worker.resident.iter().filter(|resident| resident.model != model);
                let wanted: f64 = others
                    .map(|resident| {
                        let other = &self.models[resident.model as usize];
                        other.demand.erlangs(now) / other.replicas.len().max(1) as f64
                    })
                    .sum();
                let change = worker.resident(model).map_or(0.0, |held| adapters::cost(now, held, job));
                let cost = wanted + far + change + late;
                if best.is_none_or(|(least, _)| cost < least) {
                    best = Some((cost, id));
                }
            }
        }
        best.map(|(_, id)| id)
    }

    /// What has to go so that the model fits, worth least first, and what it is worth; `None` where what runs is in the
    /// way.
    pub(crate) fn room_for(&self, now: TimeUs, worker: &Worker, model: u32) -> Option<(f64, Vec<u32>)> {
        let size = |model: u32| self.models[model as usize].profile.as_ref().map_or(0, |p| p.memory_mib);
        let mut count = worker.resident.len();
        let mut memory_mib: i64 = worker.resident.iter().map(|resident| size(resident.model)).sum();
        memory_mib += worker.more_mib();
        let (mut cost, mut evicted) = (0.0, Vec::new());
        loop {
            let slot = count < worker.spec.slots as usize;
            let fits = worker.spec.memory_mib == 0 || memory_mib + size(model) <= worker.spec.memory_mib;
            if slot && fits {
                return Some((cost, evicted));
            }
            let idle = worker
                .resident
                .iter()
                .filter(|resident| !worker.runs(resident.model) && !evicted.contains(&resident.model));
            let worth =
                idle.map(|resident| (self.value(now, resident.model), resident.used_at, resident.model));
            let (value, _, least) = worth
                .min_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)).then_with(|| a.2.cmp(&b.2)))?;
            count -= 1;
            memory_mib -= size(least);
            cost += value;
            evicted.push(least);
        }
    }
}
