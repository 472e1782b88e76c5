//! Tools: the catalogue, and the run that owns its money.

pub mod catalogue;
pub mod input;
pub mod machine;
pub mod manifest;
pub mod price;
pub mod who_pays;
