//! What runs and loads are expected to take: learned on line, by model and features, then by what is alike.

use std::collections::BTreeMap;

use crate::{
    event::Features,
    limits,
    loads::Loads,
    names::Names,
    remember::positive,
    starts::{Regime, Starts},
    types::ModelKey,
};

const RATIO_MIN: f64 = 0.001;
const RATIO_MAX: f64 = 1_000.0;

/// A learned distribution: mean and two quantiles, by stochastic approximation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cell {
    count: u32,
    mean_ms: f64,
    p50_ms: f64,
    p90_ms: f64,
}

impl Cell {
    fn first(ms: f64) -> Self {
        Self { count: 1, mean_ms: ms, p50_ms: ms, p90_ms: ms }
    }

    /// About the first decile.
    fn least_ms(&self) -> i64 {
        (2.0 * self.p50_ms - self.p90_ms).max(0.0).min(self.mean_ms) as i64
    }

    fn learn(&mut self, ms: f64) {
        self.count = self.count.saturating_add(1);
        let weight = (1.0 / f64::from(self.count)).max(limits::PREDICT_NEW);
        self.mean_ms += (ms - self.mean_ms) * weight;
        for (quantile, at) in [(&mut self.p50_ms, 0.5), (&mut self.p90_ms, 0.9)] {
            let step = weight * self.mean_ms.max(1.0);
            *quantile = (*quantile + if ms > *quantile { step * at } else { -step * (1.0 - at) }).max(0.0);
        }
    }
}

/// A bounded memory of cells: what was not used for a whole generation is forgotten.
#[derive(Clone, Debug, PartialEq)]
struct Cells<K> {
    young: BTreeMap<K, Cell>,
    old: BTreeMap<K, Cell>,
}

impl<K> Default for Cells<K> {
    fn default() -> Self {
        Self { young: BTreeMap::new(), old: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Cells<K> {
    fn get(&self, key: &K) -> Option<&Cell> {
        self.young.get(key).or_else(|| self.old.get(key)).filter(|cell| cell.count >= limits::PREDICT_MIN)
    }

    fn learn(&mut self, key: &K, ms: f64) {
        if let Some(cell) = self.young.get_mut(key) {
            cell.learn(ms);
            return;
        }
        let cell = match self.old.remove(key) {
            Some(mut cell) => {
                cell.learn(ms);
                cell
            }
            None => Cell::first(ms),
        };
        self.put(key.clone(), cell);
    }

    fn put(&mut self, key: K, cell: Cell) {
        if self.young.len() >= limits::PREDICT_CELLS {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, cell);
    }

    fn all(&self) -> impl Iterator<Item = (&K, &Cell)> {
        self.old.iter().chain(&self.young)
    }
}

/// Everything that was learned.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Predictor {
    exact: Cells<(u32, Features)>,
    alike: Cells<Features>,
    model: Cells<u32>,
    load: Cells<u32>,
    /// From the wish that a model pauses to its answer.
    pause: Cells<u32>,
    /// What several jobs in one call took, in thousandths of what one takes: by model and number.
    together: Cells<(u32, u32)>,
    /// What each further one added, in thousandths: by model.
    more: Cells<u32>,
    any_run: Option<Cell>,
    any_load: Option<Cell>,
    pub(crate) loads: Loads,
    pub(crate) starts: Starts,
}

fn learn_any(cell: &mut Option<Cell>, ms: f64) {
    match cell {
        Some(cell) => cell.learn(ms),
        None => *cell = Some(Cell::first(ms)),
    }
}

impl Predictor {
    pub(crate) fn ran(&mut self, model: u32, features: Features, compute_ms: i64) {
        let ms = compute_ms.max(0) as f64;
        if features != Features::default() {
            self.exact.learn(&(model, features), ms);
            self.alike.learn(&features, ms);
        }
        self.model.learn(&model, ms);
        learn_any(&mut self.any_run, ms);
    }

    /// So many jobs in one call took so long. Where nothing is known of one alone, that is what is learned.
    pub(crate) fn ran_together(
        &mut self,
        model: u32,
        features: Features,
        count: u32,
        ms: i64,
        said_permille: u32,
    ) {
        let known = match features == Features::default() {
            true => self.model.get(&model),
            false => self.exact.get(&(model, features)),
        };
        let Some(one_ms) = known.map(|cell| cell.mean_ms).filter(|ms| *ms >= 1.0) else {
            let growth = self.growth(model, count, said_permille);
            return self.ran(model, features, (ms.max(0) as f64 / growth).round() as i64);
        };
        let ratio = (ms.max(0) as f64 / one_ms).clamp(RATIO_MIN, RATIO_MAX);
        self.together.learn(&(model, count), ratio * 1_000.0);
        let more = (ratio - 1.0) / f64::from(count.saturating_sub(1).max(1));
        self.more.learn(&model, more.max(0.0) * 1_000.0);
    }

    /// How many times as long as one so many jobs take in one call: what the model says of it, what its batches took, and
    /// what those of this number took.
    pub(crate) fn growth(&self, model: u32, count: u32, said_permille: u32) -> f64 {
        let blend = |said: f64, cell: Option<&Cell>| {
            cell.map_or(said, |cell| {
                let count = f64::from(cell.count);
                (said * limits::BATCH_SAID + cell.mean_ms / 1_000.0 * count) / (limits::BATCH_SAID + count)
            })
        };
        if count <= 1 {
            return 1.0;
        }
        let more = blend(f64::from(said_permille) / 1_000.0, self.more.get(&model));
        let all = 1.0 + more * f64::from(count - 1);
        blend(all, self.together.get(&(model, count))).max(RATIO_MIN)
    }

    /// A load of a model that says it takes `said_ms`.
    pub(crate) fn loaded(&mut self, model: u32, said_ms: i64, load_ms: i64) {
        self.loads.learn(load_ms, said_ms);
        let ms = load_ms.max(0) as f64;
        self.load.learn(&model, ms);
        learn_any(&mut self.any_load, ms);
    }

    /// Models of which something was learned.
    pub(crate) fn models(&self) -> impl Iterator<Item = u32> + '_ {
        let exact = self.exact.all().map(|((model, _), _)| *model);
        let others = [&self.model, &self.load, &self.pause, &self.more].into_iter().flat_map(Cells::all);
        let together = self.together.all().map(|((model, _), _)| *model);
        exact.chain(together).chain(others.map(|(model, _)| *model))
    }

    /// Expected compute: by model and features, else by features, else by model, else what the model says of itself,
    /// else what runs take.
    pub(crate) fn run_ms(&self, model: u32, features: Features, said_ms: i64) -> i64 {
        let known = features != Features::default();
        let exact = if known { self.exact.get(&(model, features)) } else { None };
        let cell = exact
            .or_else(|| if known { self.alike.get(&features) } else { None })
            .or_else(|| self.model.get(&model));
        match cell {
            Some(cell) => cell.mean_ms.round() as i64,
            None if said_ms > 0 => said_ms,
            None => self.any_run.map_or(limits::PREDICT_RUN_MS, |cell| cell.mean_ms).round() as i64,
        }
    }

    /// What a quick run takes (about the first decile): as far below the median as the ninth decile lies above it. Half of
    /// what is expected where nothing was measured.
    pub(crate) fn least_run_ms(&self, model: u32, features: Features, expected_ms: i64) -> i64 {
        let known = features != Features::default();
        let exact = if known { self.exact.get(&(model, features)) } else { None };
        let cell = exact.or_else(|| if known { None } else { self.model.get(&model) });
        cell.map_or(expected_ms / 2, |cell| cell.least_ms().min(expected_ms))
    }

    /// The same of a load.
    pub(crate) fn least_load_ms(&self, model: u32, said_ms: i64) -> i64 {
        self.load.get(&model).map_or(said_ms / 2, Cell::least_ms)
    }

    /// Expected load: what the model says of itself, as right as models are here, and what was measured of it.
    pub(crate) fn load_ms(&self, model: u32, said_ms: i64) -> i64 {
        if said_ms <= 0 {
            return 0;
        }
        let said = said_ms as f64 * self.loads.mean();
        let load = self.load.get(&model).map_or(said, |cell| {
            let count = f64::from(cell.count);
            (said * limits::LOAD_SAID + cell.mean_ms * count) / (limits::LOAD_SAID + count)
        });
        (load.round() as i64).max(1)
    }

    /// A model paused so long after it was asked to.
    pub(crate) fn paused(&mut self, model: u32, answer_ms: i64) {
        self.pause.learn(&model, answer_ms.max(0) as f64);
    }

    /// What a model takes until it pauses; 0 where it never did.
    pub(crate) fn pause_ms(&self, model: u32) -> i64 {
        self.pause.get(&model).map_or(0, |cell| cell.mean_ms.round() as i64)
    }

    /// What a load takes on the whole; 0 where none was measured.
    pub(crate) fn mean_load_ms(&self) -> f64 {
        self.any_load.map_or(0.0, |cell| cell.mean_ms)
    }

    /// A text that [`Predictor::read`] understands: one cell a line.
    pub(crate) fn write(&self, names: &Names<ModelKey>) -> String {
        let mut text = String::new();
        let mut line = |kind: &str, cell: &Cell, rest: String| {
            let Cell { count, mean_ms, p50_ms, p90_ms } = cell;
            text += &format!("{kind} {count} {mean_ms} {p50_ms} {p90_ms} {rest}\n");
        };
        let features = |f: &Features| format!("{} {} {} {}", f.task, f.steps, f.count, f.size);
        self.exact.all().for_each(|((model, f), cell)| {
            line("exact", cell, format!("{} {}", features(f), names.key(*model)))
        });
        self.alike.all().for_each(|(f, cell)| line("alike", cell, features(f)));
        self.model.all().for_each(|(model, cell)| line("model", cell, names.key(*model).to_string()));
        self.load.all().for_each(|(model, cell)| line("load", cell, names.key(*model).to_string()));
        self.pause.all().for_each(|(model, cell)| line("pause", cell, names.key(*model).to_string()));
        self.together.all().for_each(|((model, count), cell)| {
            line("together", cell, format!("{count} {}", names.key(*model)))
        });
        self.more.all().for_each(|(model, cell)| line("more", cell, names.key(*model).to_string()));
        self.any_run.iter().for_each(|cell| line("run", cell, String::new()));
        self.any_load.iter().for_each(|cell| line("loads", cell, String::new()));
        for (at, regime) in self.starts.regimes.iter().enumerate().filter(|(_, regime)| regime.count > 0) {
            let Regime { count, p50, p90, level } = regime;
            text += &format!("starts {at} {count} {p50} {p90} {level}\n");
        }
        for (bucket, count) in self.loads.counts().iter().enumerate() {
            text += &format!("ratio {bucket} {count}\n");
        }
        text
    }

    /// Reads a snapshot; lines that it does not know are left out, because they may come from another version.
    pub(crate) fn read(text: &str, mut id_of: impl FnMut(&str) -> u32) -> Self {
        let mut predictor = Self::default();
        for line in text.lines() {
            let _: Option<()> = predictor.read_line(line, &mut id_of);
        }
        predictor
    }

    fn read_line(&mut self, line: &str, id_of: &mut impl FnMut(&str) -> u32) -> Option<()> {
        let (kind, rest) = line.split_once(' ')?;
        if kind == "starts" {
            let mut parts = rest.split(' ');
            let (at, count): (usize, u32) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            let (p50, p90) = (positive(parts.next()?)?, positive(parts.next()?)?);
            let level = positive(parts.next()?)?;
            *self.starts.regimes.get_mut(at)? = Regime { count, p50, p90, level };
            return Some(());
        }
        if kind == "ratio" {
            let (bucket, count) = rest.split_once(' ')?;
            return self.loads.restore(bucket.parse().ok()?, positive(count)?);
        }
        let mut parts = rest.splitn(5, ' ');
        let count = parts.next()?.parse().ok()?;
        let (mean_ms, p50_ms, p90_ms) =
            (positive(parts.next()?)?, positive(parts.next()?)?, positive(parts.next()?)?);
        let cell = Cell { count, mean_ms, p50_ms, p90_ms };
        let key = parts.next()?;
        match kind {
            "exact" => {
                let (features, model) = features(key)?;
                self.exact.put((id_of(model), features), cell);
            }
            "alike" => self.alike.put(features(key)?.0, cell),
            "model" => self.model.put(id_of(key), cell),
            "load" => self.load.put(id_of(key), cell),
            "pause" => self.pause.put(id_of(key), cell),
            "together" => {
                let (count, model) = key.split_once(' ')?;
                self.together.put((id_of(model), count.parse().ok()?), cell);
            }
            "more" => self.more.put(id_of(key), cell),
            "run" => self.any_run = Some(cell),
            "loads" => self.any_load = Some(cell),
            _ => {}
        }
        Some(())
    }
}

fn features(text: &str) -> Option<(Features, &str)> {
    let mut parts = text.splitn(5, ' ');
    let mut next = || parts.next()?.parse().ok();
    let features = Features { task: next()?, steps: next()?, count: next()?, size: next()? };
    Some((features, parts.next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{starts::Forecast, types::TimeUs};

    #[test]
    fn a_snapshot_reads_back() {
        let (mut predictor, mut names) = (Predictor::default(), Names::default());
        let model = names.intern(&ModelKey::from("a/b:1"));
        let features = Features { task: 1, steps: 20, count: 4, size: 1_000 };
        predictor.ran(model, features, 120);
        predictor.ran(model, features, 240);
        predictor.loaded(model, 10, 9);
        predictor.paused(model, 700);
        predictor.ran_together(model, features, 4, 450, 500);
        let forecast = Forecast { ms: 1_000, told_p90_ms: 1_800, loads: true };
        predictor.starts.learn(forecast, TimeUs(0), TimeUs(5_000_000));
        let text = predictor.write(&names);
        let read = Predictor::read(&text, |name| names.intern(&ModelKey::from(name)));
        assert_eq!(read, predictor);
        assert_eq!(predictor.run_ms(model, features, 0), 180);
        // Three told say 2.5 times as long for four, one measured says as much.
        assert!((predictor.growth(model, 4, 500) - 2.5).abs() < 1e-9);
        assert!(predictor.growth(model, 2, 500) < 1.6);
        assert_eq!(predictor.run_ms(model + 1, features, 7), 180);
        assert_eq!(predictor.run_ms(model + 1, Features::default(), 7), 7);
    }

    #[test]
    fn memory_is_bounded() {
        let mut predictor = Predictor::default();
        for n in 0..100_000_u32 {
            predictor.loaded(n, 5, 5);
        }
        assert!(predictor.load.all().count() <= 2 * limits::PREDICT_CELLS);
    }
}
