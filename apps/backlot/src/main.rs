//! Everything of Backlot in one binary: `serve`, `agent`, `migrate`, `admin`, `demo`, `simulate`.

mod commands;
mod compose;
mod config;
mod edge;
mod trust;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use config::Config;

/// The backend and inference system of a generative-media studio.
#[derive(Debug, Parser)]
#[command(name = "backlot", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves the studio, or only some of its systems.
    Serve(commands::serve::ServeArgs),
    /// Runs models on this machine for a control elsewhere.
    Agent(backlot_agent::AgentArgs),
    /// Brings the databases' schemas up to date, and ends.
    Migrate(commands::migrate::MigrateArgs),
    /// What writers of tools do.
    Tool(commands::tool::ToolArgs),
    /// What operators do by hand.
    Admin(commands::admin::AdminArgs),
    /// Drives one real job through a running studio over its public API.
    Demo(commands::demo::DemoArgs),
    /// Replays a workload under the scheduler and the policies that it is compared with.
    Simulate(Box<backlot_inference_simulator::cli::SimulateArgs>),
    /// Prints the OpenAPI document of the public API.
    Openapi,
    /// Looks at one uploaded file, in a process of its own that may crash.
    #[command(hide = true)]
    ProbeChild,
}

/// Flags of every command that reads the configuration.
#[derive(Debug, Args)]
struct Common {
    /// Data folder: databases, media, keys.
    #[arg(long, env = "BACKLOT_DATA", default_value = "data-dir")]
    data: PathBuf,
    /// Configuration file (TOML).
    #[arg(long, env = "BACKLOT_CONFIG")]
    config: Option<PathBuf>,
    /// HTTP port; 0: any free one.
    #[arg(long, env = "BACKLOT_PORT")]
    port: Option<u16>,
    /// Sets one key, for example --set agent.region=eu-west; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Common {
    /// All layers, with what is left open placed in the data folder.
    fn load(&self) -> anyhow::Result<Config> {
        let mut flags = self.set.clone();
        flags.extend(self.port.map(|port| ("http.port".to_owned(), port.to_string())));
        Ok(Config::load(self.config.as_deref(), &flags)?.in_folder(&self.data))
    }
}

fn main() -> ExitCode {
    // Two libraries bring a TLS provider each: one has to be chosen.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse();
    if matches!(cli.command, Command::ProbeChild) {
        backlot_infrastructure_storage::probe_child_main();
        return ExitCode::SUCCESS;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("backlot: no threads can be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("backlot: {}", in_words(&error));
            ExitCode::FAILURE
        }
    }
}

/// The error with its causes, each once: some say their cause themselves.
fn in_words(error: &anyhow::Error) -> String {
    let mut words = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if words.is_empty() {
            words = cause;
        } else if !words.contains(&cause) {
            words = format!("{words}: {cause}");
        }
    }
    words
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(args) => commands::serve::run(&args).await,
        Command::Agent(args) => backlot_agent::run(&args).await,
        Command::Migrate(args) => commands::migrate::run(&args).await,
        Command::Tool(args) => commands::tool::run(&args),
        Command::Admin(args) => commands::admin::run(&args).await,
        Command::Demo(args) => commands::demo::run(&args).await,
        Command::Simulate(args) => commands::simulate::run(*args).await,
        Command::Openapi => commands::openapi::run().await,
        Command::ProbeChild => unreachable!("handled before the runtime starts"),
    }
}
