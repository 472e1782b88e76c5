//! What an operator sets.

use serde::{Deserialize, Serialize};

use crate::retention::Keep;

/// Configuration of control.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What an agent must send to join the fleet. Empty: no agent can join.
    pub join_token: String,
    /// Whether people may submit jobs over HTTP. Off by default: a job costs compute, and inference knows no credits;
    /// a product's own backend submits for its people. Where it is on, people's inputs may name no files and their
    /// outputs stay inline: an agent would otherwise read and write whatever address a person names.
    pub people_may_submit: bool,
    /// Where other replicas reach this one's contract while it leads, `http://HOST:PORT`; with `/inference` where the
    /// process serves other systems too. Empty: a replica that does not lead answers `queue_unavailable` itself.
    pub advertise: String,
    /// How long what is done with stays.
    pub keep: Keep,
}
