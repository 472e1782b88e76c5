//! Control as a whole, over its contract: a scripted agent on the in-process channel, a process that can be killed.

mod agents;
mod cancel;
mod crashes;
mod doors;
mod http;
mod jobs;
mod lab;
mod leader;
mod overflow;
mod pools;
mod retention;
mod together;
