//! Cheapest flows: the integer program of S2 is one, so it is solved exactly.

use std::collections::VecDeque;

/// A network with capacities and costs. Costs are whole numbers, so that a solution is the same everywhere.
#[derive(Clone, Debug, Default)]
pub struct Flow {
    /// For each node its arcs; an arc and the one back stand next to each other.
    arcs_of: Vec<Vec<usize>>,
    to: Vec<usize>,
    room: Vec<i64>,
    cost: Vec<i64>,
}

impl Flow {
    /// A network of so many nodes without arcs.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        Self { arcs_of: vec![Vec::new(); nodes], ..Self::default() }
    }

    /// An arc for up to `room` units at `cost` each.
    pub fn arc(&mut self, from: usize, to: usize, room: i64, cost: i64) {
        for (from, to, room, cost) in [(from, to, room, cost), (to, from, 0, -cost)] {
            self.arcs_of[from].push(self.to.len());
            self.to.push(to);
            self.room.push(room);
            self.cost.push(cost);
        }
    }

    /// What the cheapest way to send all units costs; `None` where they do not fit.
    pub fn cheapest(&mut self, from: usize, to: usize, units: i64) -> Option<i64> {
        let (mut sent, mut total) = (0, 0);
        while sent < units {
            let (path, cost) = self.path(from, to)?;
            let room = path.iter().map(|arc| self.room[*arc]).min().unwrap_or(0).min(units - sent);
            for arc in path {
                self.room[arc] -= room;
                self.room[arc ^ 1] += room;
            }
            (sent, total) = (sent + room, total + room * cost);
        }
        Some(total)
    }

    /// The cheapest path with room (Bellman and Ford, with a queue).
    fn path(&self, from: usize, to: usize) -> Option<(Vec<usize>, i64)> {
        let mut best: Vec<Option<(i64, usize)>> = vec![None; self.arcs_of.len()];
        let (mut queue, mut queued) = (VecDeque::from([from]), vec![false; self.arcs_of.len()]);
        best[from] = Some((0, usize::MAX));
        while let Some(node) = queue.pop_front() {
            queued[node] = false;
            let Some((so_far, _)) = best[node] else { continue };
            for arc in &self.arcs_of[node] {
                let (next, cost) = (self.to[*arc], so_far + self.cost[*arc]);
                if self.room[*arc] > 0 && best[next].is_none_or(|(least, _)| cost < least) {
                    best[next] = Some((cost, *arc));
                    if !std::mem::replace(&mut queued[next], true) {
                        queue.push_back(next);
                    }
                }
            }
        }
        let (cost, _) = best[to]?;
        let (mut path, mut node) = (Vec::new(), to);
        while node != from {
            let (_, arc) = best[node]?;
            path.push(arc);
            node = self.to[arc ^ 1];
        }
        Some((path, cost))
    }
}

#[cfg(test)]
mod tests {
    use super::Flow;

    #[test]
    fn the_cheapest_way_is_taken_back_where_that_pays() {
        // The first unit takes 0-1-2-3; the second makes it give 1-2 up.
        let mut flow = Flow::new(4);
        flow.arc(0, 1, 1, 1);
        flow.arc(0, 2, 1, 5);
        flow.arc(1, 2, 1, 1);
        flow.arc(1, 3, 1, 6);
        flow.arc(2, 3, 1, 1);
        assert_eq!(flow.clone().cheapest(0, 3, 1), Some(3));
        assert_eq!(flow.clone().cheapest(0, 3, 2), Some(13));
        assert_eq!(flow.cheapest(0, 3, 3), None);
    }
}
