//! `backlot simulate`: replays a workload under our scheduler and what it is compared with. Needs no studio.

use anyhow::Context as _;
use backlot_inference_simulator::cli::{SimulateArgs, simulate};

/// Runs it. Results go to standard output, progress to standard error.
pub(crate) async fn run(args: SimulateArgs) -> anyhow::Result<()> {
    // It computes for minutes on threads of its own: the runtime's threads stay free to stop it.
    tokio::task::spawn_blocking(move || simulate(&args, &mut std::io::stdout().lock()))
        .await
        .context("the simulation did not end by itself")??;
    Ok(())
}
