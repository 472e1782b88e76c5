//! The thin agent for GPU hosts.

use std::process::ExitCode;

use backlot_agent::AgentArgs;
use clap::Parser;

/// Runs models on this machine for a control elsewhere.
#[derive(Debug, Parser)]
#[command(name = "backlot-agent", version, about)]
struct Cli {
    #[command(flatten)]
    args: AgentArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    // Two libraries bring a TLS provider each: one has to be chosen.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match backlot_agent::run(&Cli::parse().args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("backlot-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}
