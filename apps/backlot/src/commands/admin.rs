//! `backlot admin`: what operators do by hand.

use std::path::PathBuf;

use anyhow::Context as _;
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::Channel;
use backlot_foundation_time::SystemClock;
use backlot_foundation_tokens::audience;
use backlot_infrastructure_api::v1::identity_client::IdentityClient;
use backlot_infrastructure_api::v1::{CreateApiKeyRequest, ResetPasswordRequest};
use clap::{Args, Subcommand};

use super::serve::ADDRESS_FILE;
use crate::Common;
use crate::compose::{Context, Infrastructure};
use crate::trust::Trust;

/// Options of `backlot admin`.
#[derive(Debug, Args)]
pub(crate) struct AdminArgs {
    #[command(subcommand)]
    command: AdminCommand,
}

#[derive(Debug, Subcommand)]
enum AdminCommand {
    /// Makes an API key for an account and prints it: it is shown only now.
    ApiKey {
        #[command(flatten)]
        common: Common,
        /// The account's e-mail.
        #[arg(long)]
        email: String,
        /// What the key is for.
        #[arg(long, default_value = "made by an operator")]
        name: String,
    },
    /// Gives an account a new password and prints it; its sessions end, its API keys stay.
    Password {
        #[command(flatten)]
        common: Common,
        /// The account's e-mail.
        #[arg(long)]
        email: String,
    },
    /// Copies the data folder as it is at one moment, also while a studio runs on it. The copy is a data folder.
    Backup {
        #[command(flatten)]
        common: Common,
        /// The new folder.
        #[arg(long)]
        out: PathBuf,
    },
    /// Makes a key pair for each issuer, for systems that run apart.
    Keys {
        /// Folder for the files NAME.key and NAME.pub; existing keys are kept.
        #[arg(long)]
        out: PathBuf,
    },
}

/// Runs one operator's command.
pub(crate) async fn run(args: &AdminArgs) -> anyhow::Result<()> {
    match &args.command {
        AdminCommand::ApiKey { common, email, name } => api_key(common, email, name).await,
        AdminCommand::Password { common, email } => password(common, email).await,
        AdminCommand::Backup { common, out } => super::backup::run(common, out).await,
        AdminCommand::Keys { out } => {
            Trust::new(out, SystemClock::shared(), Vec::new()).create_all()?;
            println!("{}", out.display());
            Ok(())
        }
    }
}

async fn api_key(common: &Common, email: &str, name: &str) -> anyhow::Result<()> {
    let request = CreateApiKeyRequest { email: email.to_owned(), name: name.to_owned() };
    let answer = identity(common).await?.create_api_key(request).await.map_err(Problem::from)?;
    println!("{}", answer.into_inner().key);
    Ok(())
}

async fn password(common: &Common, email: &str) -> anyhow::Result<()> {
    let request = ResetPasswordRequest { email: email.to_owned() };
    let answer = identity(common).await?.reset_password(request).await.map_err(Problem::from)?;
    println!("{}", answer.into_inner().password);
    Ok(())
}

/// Identity of the studio that runs on this data folder or at the configured address; else of the folder itself.
async fn identity(common: &Common) -> anyhow::Result<IdentityClient<Channel>> {
    let config = common.load()?;
    let trust = Trust::new(&config.tokens.keys_dir, SystemClock::shared(), Vec::new());
    let remote =
        running(common)?.or_else(|| Some(config.rpc.infrastructure.clone()).filter(|url| !url.is_empty()));
    let channel = match remote {
        Some(address) => Channel::remote(&address)?,
        // Nothing runs: the database is free, and this process serves it to itself for one call.
        None => {
            let context = Context::new(config, &common.data, String::new(), true)?;
            let system = Infrastructure::build(&context).await?.system(&context)?;
            Channel::local(system.rpc)
        }
    };
    Ok(IdentityClient::new(channel.with_signer(trust.signer("admin")?, audience::INFRASTRUCTURE)))
}

/// Where the process of this data folder serves its contracts, if one runs.
fn running(common: &Common) -> anyhow::Result<Option<String>> {
    let path = common.data.join(ADDRESS_FILE);
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
    let document: serde_json::Value =
        serde_json::from_str(&text).with_context(|| format!("{} cannot be read", path.display()))?;
    let pid = document["pid"].as_i64().unwrap_or_default();
    let alive = std::path::Path::new(&format!("/proc/{pid}")).exists();
    Ok(document["rpc"].as_str().filter(|_| alive).map(|rpc| format!("{rpc}/{}", audience::INFRASTRUCTURE)))
}
