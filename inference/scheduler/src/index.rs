//! Where the row of a key is: a table without chains, asked for a key and never walked, so its order is nobody's
//! business. It holds no key of its own: who asks says which row is meant, and what stands in the row decides.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;

const EMPTY: u32 = u32::MAX;
const CELLS_MIN: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Cell {
    tag: u32,
    row: u32,
}

/// Row numbers by the hash of what stands in the row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    cells: Vec<Cell>,
    len: usize,
}

/// A key's hash. Without a seed of the process, so that two runs probe alike; its lower half is the one that is mixed well.
fn tag_of<K: Hash + ?Sized>(key: &K) -> u32 {
    let mut hasher = FxHasher::default();
    key.hash(&mut hasher);
    hasher.finish() as u32
}

impl Index {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The row of a key; `is` says whether a row is the one.
    pub(crate) fn find<K: Hash + ?Sized>(&self, key: &K, is: impl Fn(u32) -> bool) -> Option<u32> {
        Some(self.cells[self.place(key, is)?].row)
    }

    /// Adds a row whose key is not there yet.
    pub(crate) fn insert<K: Hash + ?Sized>(&mut self, key: &K, row: u32) {
        // At most half full: a miss looks at two cells on average.
        if self.cells.len() < 2 * (self.len + 1) {
            self.grow();
        }
        self.put(Cell { tag: tag_of(key), row });
        self.len += 1;
    }

    pub(crate) fn remove<K: Hash + ?Sized>(&mut self, key: &K, is: impl Fn(u32) -> bool) {
        let Some(mut gap) = self.place(key, is) else { return };
        self.len -= 1;
        let mask = self.cells.len() - 1;
        let mut at = gap;
        // What was pushed aside by the one that goes moves back, so that no search stops at the gap too early.
        loop {
            at = (at + 1) & mask;
            let cell = self.cells[at];
            if cell.row == EMPTY {
                break;
            }
            let pushed = at.wrapping_sub(self.home(cell.tag)) & mask;
            if pushed >= (at.wrapping_sub(gap) & mask) {
                self.cells[gap] = cell;
                gap = at;
            }
        }
        self.cells[gap].row = EMPTY;
    }

    fn place<K: Hash + ?Sized>(&self, key: &K, is: impl Fn(u32) -> bool) -> Option<usize> {
        if self.cells.is_empty() {
            return None;
        }
        let (tag, mask) = (tag_of(key), self.cells.len() - 1);
        let mut at = self.home(tag);
        loop {
            let cell = self.cells[at];
            if cell.row == EMPTY {
                return None;
            }
            if cell.tag == tag && is(cell.row) {
                return Some(at);
            }
            at = (at + 1) & mask;
        }
    }

    fn home(&self, tag: u32) -> usize {
        tag as usize & (self.cells.len() - 1)
    }

    fn put(&mut self, cell: Cell) {
        let mask = self.cells.len() - 1;
        let mut at = self.home(cell.tag);
        while self.cells[at].row != EMPTY {
            at = (at + 1) & mask;
        }
        self.cells[at] = cell;
    }

    fn grow(&mut self) {
        let size = (2 * self.cells.len()).max(CELLS_MIN);
        let before = std::mem::replace(&mut self.cells, vec![Cell { tag: 0, row: EMPTY }; size]);
        before.into_iter().filter(|cell| cell.row != EMPTY).for_each(|cell| self.put(cell));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_there_and_nothing_else() {
        let (mut index, mut rows) = (Index::default(), Vec::new());
        for turn in 0..5_000_u32 {
            rows.push(Some(turn));
            index.insert(&turn, turn);
            let gone = turn.wrapping_mul(2_654_435_761) % (turn + 1);
            index.remove(&gone, |row| rows[row as usize] == Some(gone));
            rows[gone as usize] = None;
        }
        let live = rows.iter().flatten().count();
        assert_eq!(index.len(), live);
        for key in 0..5_000 {
            let found = index.find(&key, |row| rows[row as usize] == Some(key));
            assert_eq!(found, rows[key as usize]);
        }
    }
}
