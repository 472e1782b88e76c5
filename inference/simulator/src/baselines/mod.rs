//! What widely used systems do, each as a small policy behind the same interface. Rules were read from their sources
//! and papers in 2026; each file names its own.

mod b00_fifo_random;
mod b01_fifo_warm;
mod b02_least_load;
mod b03_power_of_two;
mod b04_multiplexed;
mod b05_chwbl;
mod b06_scorers;
mod b07_invoke;
mod b08_vtc;
mod b09_horde;
mod b10_affinity;
mod pull;
mod push;
mod regional;
mod view;

use std::collections::BTreeMap;

pub use self::regional::Mode;
use self::{pull::Pull, push::Push, regional::Regional};
use crate::{
    policy::{Backlot, Policy},
    rng::Rng,
};

/// Names of all policies, ours first.
pub const NAMES: &[&str] = &[
    "backlot",
    "b0-fifo-random",
    "b1-fifo-warm",
    "b2-least-load",
    "b3-power-of-two",
    "b4-multiplexed",
    "b5-chwbl",
    "b6-scorers",
    "b7-invoke",
    "b8-vtc",
    "b9-horde",
    "b10-affinity",
];

/// A rule over several regions, with the requests a second that one worker is meant to take.
#[must_use]
pub fn regional(mode: Mode, rate_per_worker: f64) -> Box<dyn Policy> {
    Box::new(Regional::new(mode, rate_per_worker))
}

const POLICY_KEY: u64 = 0x9011;

/// The policy of a name, or of its first part ("b1"); `None` where there is none. Its own random numbers, where it
/// draws any, follow the seed.
#[must_use]
pub fn policy(name: &str, seed: u64) -> Option<Box<dyn Policy>> {
    let full = NAMES.iter().find(|full| **full == name || full.split('-').next() == Some(name))?;
    let rng = Rng::keyed(seed, &[POLICY_KEY]);
    Some(match *full {
        "backlot" => Box::new(Backlot::new()),
        "b0-fifo-random" => Box::new(Pull::new(b00_fifo_random::FifoRandom(rng))),
        "b1-fifo-warm" => Box::new(Pull::new(b01_fifo_warm::FifoWarm)),
        "b2-least-load" => Box::new(Push::new(b02_least_load::LeastLoad::default())),
        "b3-power-of-two" => Box::new(Push::new(b03_power_of_two::PowerOfTwo(rng))),
        "b4-multiplexed" => {
            Box::new(Push::new(b04_multiplexed::Multiplexed { rng, insists: BTreeMap::new() }))
        }
        "b5-chwbl" => Box::new(Push::new(b05_chwbl::Chwbl::default())),
        "b6-scorers" => Box::new(Push::new(b06_scorers::Scorers(rng))),
        "b7-invoke" => Box::new(Pull::new(b07_invoke::Invoke::default())),
        "b8-vtc" => Box::new(Pull::new(b08_vtc::Vtc::default())),
        "b9-horde" => Box::new(Pull::new(b09_horde::Horde)),
        "b10-affinity" => Box::new(Pull::new(b10_affinity::Affinity)),
        _ => return None,
    })
}
