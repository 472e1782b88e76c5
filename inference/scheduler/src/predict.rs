//! What a model's runs and loads are expected to take: a moving mean of what was measured.

use std::collections::BTreeMap;

use crate::{limits::PREDICT_NEW_PERCENT, types::ModelKey};

/// Means by model, in microseconds so that short runs do not round to nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Predictor {
    run_us: BTreeMap<ModelKey, i64>,
    load_us: BTreeMap<ModelKey, i64>,
}

fn learn(means: &mut BTreeMap<ModelKey, i64>, model: &ModelKey, ms: i64) {
    let us = ms.max(0).saturating_mul(1000);
    means
        .entry(model.clone())
        .and_modify(|mean| *mean += (us - *mean) / 100 * PREDICT_NEW_PERCENT)
        .or_insert(us);
}

impl Predictor {
    pub(crate) fn ran(&mut self, model: &ModelKey, compute_ms: i64) {
        learn(&mut self.run_us, model, compute_ms);
    }

    pub(crate) fn loaded(&mut self, model: &ModelKey, load_ms: i64) {
        learn(&mut self.load_us, model, load_ms);
    }

    /// Expected compute in milliseconds; `None` where nothing was measured yet.
    pub(crate) fn run_ms(&self, model: &ModelKey) -> Option<i64> {
        self.run_us.get(model).map(|us| us / 1000)
    }

    /// Expected load in milliseconds; `None` where nothing was measured yet.
    pub(crate) fn load_ms(&self, model: &ModelKey) -> Option<i64> {
        self.load_us.get(model).map(|us| us / 1000)
    }

    /// A text that [`Predictor::read`] understands: one measurement a line.
    pub(crate) fn write(&self) -> String {
        let lines = |kind: &'static str, means: &BTreeMap<ModelKey, i64>| {
            means.iter().map(move |(model, us)| format!("{kind} {us} {model}\n")).collect::<String>()
        };
        lines("run", &self.run_us) + &lines("load", &self.load_us)
    }

    /// Reads a snapshot; lines that it does not know are left out, because they may come from another version.
    pub(crate) fn read(text: &str) -> Self {
        let mut predictor = Self::default();
        for line in text.lines() {
            let mut parts = line.splitn(3, ' ');
            let (Some(kind), Some(us), Some(model)) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            let Ok(us) = us.parse::<i64>() else { continue };
            match kind {
                "run" => predictor.run_us.insert(ModelKey::from(model), us),
                "load" => predictor.load_us.insert(ModelKey::from(model), us),
                _ => None,
            };
        }
        predictor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_reads_back() {
        let mut predictor = Predictor::default();
        predictor.ran(&ModelKey::from("a/b:1"), 120);
        predictor.ran(&ModelKey::from("a/b:1"), 240);
        predictor.loaded(&ModelKey::from("a/b:1"), 9);
        assert_eq!(Predictor::read(&predictor.write()), predictor);
        assert_eq!(predictor.run_ms(&ModelKey::from("a/b:1")), Some(144));
    }
}
