//! When a worker that has warm work turns to another line all the same.
//!
//! Warm first keeps loads rare, but a line whose few replicas are swamped would wait for ever behind workers that are
//! always busy with something warm. So the line that fares worst may take one, where it fares worse by several loads;
//! only a few workers may load for that reason at once, because while they load everybody waits longer.

use crate::limits;

/// How badly a line fares: how late its head is by its tenant's share, and what it still waits for a warm worker.
pub(crate) fn need_ms(late_ms: f64, wait_ms: f64) -> f64 {
    late_ms + wait_ms.min(limits::PRESSURE_WAIT_MS)
}

/// Whether a line's need, against how late the worker's own work is, is worth a load.
pub(crate) fn turns(need_ms: f64, own_late_ms: f64, load_ms: f64) -> bool {
    need_ms - own_late_ms > limits::PRESSURE_LOADS * load_ms
}

/// How many workers may load under pressure at once.
pub(crate) fn allowance(workers: usize) -> usize {
    (workers * limits::PRESSURE_PERCENT).div_ceil(100)
}
