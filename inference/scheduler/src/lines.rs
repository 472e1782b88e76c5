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
    /// Rows of lines that were forgotten.
    free: Vec<u32>,
    pub(crate) waiting: usize,
}

impl Lines {
    /// The line of a model and a place, and whether it is new.
    pub(crate) fn id(&mut self, model: u32, place: u32) -> (u32, bool) {
        if let Some(id) = self.ids.get(&(model, place)) {
            return (*id, false);
        }
        let row = Line { model, place, jobs: BTreeMap::new(), timer_at: None, stalled: false };
        let id = match self.free.pop() {
            Some(id) => {
                self.rows[id as usize] = row;
                id
            }
            None => {
                self.rows.push(row);
                u32::try_from(self.rows.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.ids.insert((model, place), id);
        (id, true)
    }

    /// Lines that are known.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Forgets lines in which nothing waits; what they were of.
    pub(crate) fn keep_waiting(&mut self) -> Vec<(u32, u32)> {
        let rows = &self.rows;
        let gone: Vec<((u32, u32), u32)> = self
            .ids
            .iter()
            .filter(|(_, id)| rows[**id as usize].jobs.is_empty())
            .map(|(key, id)| (*key, *id))
            .collect();
        for (key, id) in &gone {
            self.ids.remove(key);
            let row = &mut self.rows[*id as usize];
            (row.timer_at, row.stalled) = (None, false);
            self.free.push(*id);
        }
        let rows = &self.rows;
        self.stalled.retain(|id| rows[*id as usize].stalled);
        gone.into_iter().map(|((model, _), id)| (model, id)).collect()
    }

    /// Places in which lines are.
    pub(crate) fn places(&self) -> impl Iterator<Item = u32> + '_ {
        self.ids.keys().map(|(_, place)| *place)
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

    /// Lines that nothing connected can run.
    pub(crate) fn stalled(&self) -> impl Iterator<Item = u32> + '_ {
        self.stalled.iter().copied()
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
