//! When a free worker without warm work loads a model.
//!
//! Waiting for a warm worker costs the line its wait; a swap costs a load on a worker that others may need, and what the
//! victim's next request pays to get it back. So the wait that a swap saves, with the age of the line's head, must
//! exceed loads (more of them the fewer workers are free) and patience for the victim's worth. Age grows, so every
//! refusal has an end.

use crate::limits;

/// What is known when a line asks for a swap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    /// Milliseconds until a worker where the model is resident would take the last of the line; `None`: it is resident
    /// nowhere.
    pub(crate) warm_in_ms: Option<f64>,
    /// How long the head has waited.
    pub(crate) age_ms: f64,
    /// What the load is expected to take.
    pub(crate) load_ms: f64,
    /// Workers with room.
    pub(crate) free: usize,
    /// Erlangs a replica of what must go; 0 where there is room.
    pub(crate) victim: f64,
}

/// Milliseconds until the swap is allowed, if nothing else changes; 0 or less: now.
pub(crate) fn due_in_ms(question: &Question) -> f64 {
    let patience = limits::SWAP_PATIENCE_MS * question.victim.max(0.0);
    let Some(warm_in_ms) = question.warm_in_ms else {
        return patience.min(limits::SWAP_ABSENT_MS) - question.age_ms;
    };
    let free = question.free.max(1) as f64;
    let loads = limits::SWAP_LOADS + limits::SWAP_LOADS_SCARCE / free;
    question.load_ms * loads + patience - question.age_ms - warm_in_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: Question =
        Question { warm_in_ms: Some(30_000.0), age_ms: 0.0, load_ms: 20_000.0, free: 10, victim: 0.0 };

    #[test]
    fn a_long_wait_earns_a_swap_and_a_short_one_does_not() {
        assert!(due_in_ms(&QUESTION) <= 0.0);
        assert!(due_in_ms(&Question { warm_in_ms: Some(5_000.0), ..QUESTION }) > 0.0);
    }

    #[test]
    fn the_last_free_worker_and_a_wanted_victim_are_kept_longer() {
        assert!(due_in_ms(&Question { free: 1, ..QUESTION }) > 0.0);
        assert!(due_in_ms(&Question { victim: 2.0, ..QUESTION }) > 0.0);
    }

    #[test]
    fn every_refusal_ends() {
        let refused = Question { victim: 50.0, warm_in_ms: None, ..QUESTION };
        let due = due_in_ms(&refused);
        assert!(due > 0.0 && due <= limits::SWAP_ABSENT_MS);
        assert!(due_in_ms(&Question { age_ms: due, ..refused }) <= 0.0);
    }
}
