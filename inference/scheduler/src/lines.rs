//! Jobs that wait. Those that the same workers can run stand in one line, and only its head is ever looked at.

use std::collections::{BTreeMap, BTreeSet};

use crate::types::TimeUs;

/// Where a job stands: its fair start, then the order of submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    pub(crate) key: i64,
    pub(crate) submission: u64,
}

/// The jobs of one model that may run in the same places.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) model: u32,
    pub(crate) place: u32,
    pub(crate) jobs: BTreeMap<Rank, u32>,
    /// When its refused swap is looked at again.
    pub(crate) timer_at: Option<TimeUs>,
    /// Nothing that is connected can run it: it is not looked at until the fleet changes.
    pub(crate) stalled: bool,
}

/// All lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    ids: BTreeMap<(u32, u32), u32>,
    pub(crate) rows: Vec<Line>,
    /// Heads of lines that are not stalled.
    pub(crate) heads: BTreeSet<(Rank, u32)>,
    stalled: Vec<u32>,
    pub(crate) waiting: usize,
}

impl Lines {
    /// The line of a model and a place, and whether it is new.
    pub(crate) fn id(&mut self, model: u32, place: u32) -> (u32, bool) {
        if let Some(id) = self.ids.get(&(model, place)) {
            return (*id, false);
        }
        let id = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        self.ids.insert((model, place), id);
        self.rows.push(Line { model, place, jobs: BTreeMap::new(), timer_at: None, stalled: false });
        (id, true)
    }

    pub(crate) fn line(&self, id: u32) -> &Line {
        &self.rows[id as usize]
    }

    pub(crate) fn head(&self, id: u32) -> Option<(Rank, u32)> {
        self.rows[id as usize].jobs.first_key_value().map(|(rank, slot)| (*rank, *slot))
    }

    pub(crate) fn push(&mut self, id: u32, rank: Rank, slot: u32) {
        let row = &mut self.rows[id as usize];
        let before = row.jobs.first_key_value().map(|(rank, _)| *rank);
        if row.jobs.insert(rank, slot).is_none() {
            self.waiting += 1;
        }
        if !row.stalled && before.is_none_or(|before| rank < before) {
            if let Some(before) = before {
                self.heads.remove(&(before, id));
            }
            self.heads.insert((rank, id));
        }
    }

    pub(crate) fn remove(&mut self, id: u32, rank: Rank) {
        let row = &mut self.rows[id as usize];
        let was_head = row.jobs.first_key_value().is_some_and(|(first, _)| *first == rank);
        if row.jobs.remove(&rank).is_none() {
            return;
        }
        self.waiting -= 1;
        if was_head && !row.stalled {
            self.heads.remove(&(rank, id));
            if let Some((next, _)) = row.jobs.first_key_value() {
                self.heads.insert((*next, id));
            }
        }
    }

    pub(crate) fn stall(&mut self, id: u32) {
        if let Some((rank, _)) = self.head(id) {
            self.heads.remove(&(rank, id));
        }
        if !std::mem::replace(&mut self.rows[id as usize].stalled, true) {
            self.stalled.push(id);
        }
    }

    /// The fleet has changed: every line is looked at again.
    pub(crate) fn unstall(&mut self) {
        for id in std::mem::take(&mut self.stalled) {
            self.rows[id as usize].stalled = false;
            if let Some((rank, _)) = self.head(id) {
                self.heads.insert((rank, id));
            }
        }
    }
}
