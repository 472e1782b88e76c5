//! The community by its HTTP API, on every database that is at hand.

mod feeds;
mod leaving;
mod moderation;
mod notifications;
mod people;
mod publishing;
mod remixes;
mod world;
