//! Storage over its two doors, HTTP and gRPC, on every database and every store that is at hand.

mod closed;
mod concurrency;
mod crash;
mod outputs;
mod probe;
mod public;
mod signed;
mod tenancy;
mod uploads;
mod world;
