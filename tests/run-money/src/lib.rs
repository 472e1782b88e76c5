//! A run and its money over the real systems: see `tests/run_money.rs`.
