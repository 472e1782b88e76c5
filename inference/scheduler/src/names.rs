//! Dense numbers for keys, and rows by number.

use std::hash::Hash;

use crate::index::Index;

/// Numbers for keys. A number keeps its key until it is forgotten; then it is given again.
#[derive(Clone, Debug)]
pub(crate) struct Names<K> {
    index: Index,
    keys: Vec<K>,
    free: Vec<u32>,
}

impl<K> Default for Names<K> {
    fn default() -> Self {
        Self { index: Index::default(), keys: Vec::new(), free: Vec::new() }
    }
}

impl<K: Eq + Hash + Clone> Names<K> {
    pub(crate) fn find(&self, key: &K) -> Option<u32> {
        self.index.find(key, |id| self.keys[id as usize] == *key)
    }

    /// The key's number, a new one where it has none.
    pub(crate) fn intern(&mut self, key: &K) -> u32 {
        if let Some(id) = self.find(key) {
            return id;
        }
        let id = match self.free.pop() {
            Some(id) => {
                self.keys[id as usize] = key.clone();
                id
            }
            None => {
                self.keys.push(key.clone());
                u32::try_from(self.keys.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.index.insert(key, id);
        id
    }

    /// Forgets all keys whose number is not among these; the numbers that are free now.
    pub(crate) fn keep(&mut self, used: &[bool]) -> Vec<u32> {
        let unused = |id: &u32| !used.get(*id as usize).copied().unwrap_or(false);
        let all = 0..u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        let mut gone = Vec::new();
        for id in all.filter(unused) {
            let before = self.index.len();
            self.index.remove(&self.keys[id as usize], |row| row == id);
            if self.index.len() < before {
                gone.push(id);
            }
        }
        self.free.extend(&gone);
        gone
    }

    /// Keys that have a number.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Numbers that were ever given at once.
    pub(crate) fn given(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn key(&self, id: u32) -> &K {
        &self.keys[id as usize]
    }
}

/// Rows by number; a number is used again once its row is gone.
#[derive(Clone, Debug)]
pub(crate) struct Slab<T> {
    rows: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub(crate) fn insert(&mut self, row: T) -> u32 {
        if let Some(id) = self.free.pop() {
            self.rows[id as usize] = Some(row);
            return id;
        }
        self.rows.push(Some(row));
        u32::try_from(self.rows.len() - 1).unwrap_or(u32::MAX)
    }

    pub(crate) fn remove(&mut self, id: u32) -> Option<T> {
        let row = self.rows.get_mut(id as usize)?.take();
        if row.is_some() {
            self.free.push(id);
        }
        row
    }

    pub(crate) fn get(&self, id: u32) -> Option<&T> {
        self.rows.get(id as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        self.rows.get_mut(id as usize)?.as_mut()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.rows.iter_mut().flatten()
    }

    /// Rows that are there, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.rows.iter().enumerate().filter_map(|(id, row)| Some((u32::try_from(id).ok()?, row.as_ref()?)))
    }
}
