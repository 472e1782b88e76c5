//! One machine of the fleet as a process: reads its configuration, dials control, drains on SIGTERM.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use backlot_foundation_rpc::Channel;
use backlot_foundation_runtime::{Tasks, termination_signal};
use backlot_foundation_telemetry::{Telemetry, TelemetryConfig};
use backlot_inference_agent::Agent;
use clap::Args;
use serde::{Deserialize, Serialize};

/// What is left of the grace period after the jobs have drained.
const GRACE_AFTER_DRAIN: Duration = Duration::from_secs(10);
/// Variables after the prefix that are flags of the command line, not keys.
const RESERVED: &[&str] = &["DATA", "PORT", "CONFIG", "EXTENSIONS"];

/// Options of an agent's process.
#[derive(Debug, Args)]
pub struct AgentArgs {
    /// Data folder: the agent's id, spooled reports, fetched inputs.
    #[arg(long, env = "BACKLOT_DATA", default_value = "data-dir")]
    data: PathBuf,
    /// Configuration file (TOML).
    #[arg(long, env = "BACKLOT_CONFIG")]
    config: Option<PathBuf>,
    /// Taken and not used: an agent listens nowhere.
    #[arg(long, env = "BACKLOT_PORT", hide = true)]
    port: Option<u16>,
    /// Sets one key, for example --set agent.region=eu-west; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// An agent's configuration: the part of the big binary's that an agent reads.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    agent: backlot_inference_agent::Config,
    rpc: RpcConfig,
    telemetry: TelemetryConfig,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RpcConfig {
    /// `http://HOST:PORT` of inference's contract.
    inference: String,
}

/// Runs until SIGTERM or SIGINT, then lets its jobs finish.
pub async fn run(args: &AgentArgs) -> anyhow::Result<()> {
    let config: Config = backlot_foundation_config::load(args.config.as_deref(), &args.set, RESERVED)?;
    let _telemetry = Telemetry::install(&config.telemetry, "backlot-agent")?;
    let control = &config.rpc.inference;
    anyhow::ensure!(
        !control.is_empty(),
        "set rpc.inference to the address of the inference system (http://HOST:PORT)"
    );
    let drain = Duration::from_millis(config.agent.drain_ms);
    let channel = Channel::remote(control)?.with_bearer(&config.agent.join_token);
    let tasks = Tasks::new();
    let agent = start(config.agent, &args.data, channel, &tasks)?;
    println!("backlot: agent {} is ready at {control}", agent.id());
    termination_signal().await;
    tasks.shutdown(drain + GRACE_AFTER_DRAIN).await;
    Ok(())
}

/// Starts an agent that `tasks` own, in the folder `agent` of `data`.
pub fn start(
    config: backlot_inference_agent::Config,
    data: &Path,
    channel: Channel,
    tasks: &Tasks,
) -> anyhow::Result<Arc<Agent>> {
    let agent = Arc::new(Agent::new(config, &data.join("agent"), channel).context("the agent cannot start")?);
    agent.clone().spawn(tasks);
    Ok(agent)
}
