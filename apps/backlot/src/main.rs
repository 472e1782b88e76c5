//! Everything of Backlot in one binary.

fn main() {}
