//! Jobs that wait, in the order in which they should start.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    limits,
    state::Place,
    types::{JobKey, ModelKey, Tier, TimeUs},
};

/// Jobs that the same workers can run stand in one line: only the head of a line is ever looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    pub(crate) model: ModelKey,
    pub(crate) place: Place,
}

/// Where a job stands: the time of its arrival, made later by its tier's head start. So a job of a lower tier is
/// overtaken for a bounded time only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    aged_us: TimeUs,
    job: JobKey,
}

impl Rank {
    pub(crate) fn new(created_at: TimeUs, tier: Tier, job: JobKey) -> Self {
        let age_ms = match tier {
            Tier::Interactive => 0,
            Tier::Standard => limits::STANDARD_AGE_MS,
            Tier::Batch => limits::BATCH_AGE_MS,
        };
        Self { aged_us: created_at.plus_ms(age_ms), job }
    }

    pub(crate) fn job(self) -> JobKey {
        self.job
    }
}

/// All lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    lines: BTreeMap<Line, BTreeSet<Rank>>,
    all: BTreeMap<Rank, Line>,
}

impl Queue {
    pub(crate) fn push(&mut self, rank: Rank, line: Line) {
        self.lines.entry(line.clone()).or_default().insert(rank);
        self.all.insert(rank, line);
    }

    pub(crate) fn remove(&mut self, rank: Rank) {
        let Some(line) = self.all.remove(&rank) else { return };
        if let Some(ranks) = self.lines.get_mut(&line) {
            ranks.remove(&rank);
            if ranks.is_empty() {
                self.lines.remove(&line);
            }
        }
    }

    /// The first job of each line, the one that should start first at the front.
    pub(crate) fn heads(&self) -> Vec<(Rank, &Line)> {
        let mut heads: Vec<_> =
            self.lines.iter().filter_map(|(line, ranks)| ranks.first().map(|rank| (*rank, line))).collect();
        heads.sort_unstable_by_key(|(rank, _)| *rank);
        heads
    }

    /// All jobs before `rank`, first to start first.
    pub(crate) fn before(&self, rank: Rank) -> impl Iterator<Item = (JobKey, &Line)> {
        self.all.range(..rank).map(|(rank, line)| (rank.job, line))
    }

    pub(crate) fn contains(&self, rank: Rank) -> bool {
        self.all.contains_key(&rank)
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }
}
