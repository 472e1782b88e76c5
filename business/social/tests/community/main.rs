//! The community by its HTTP API, on every database that is at hand.

mod feeds;
mod people;
mod publishing;
mod world;
