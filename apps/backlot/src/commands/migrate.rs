//! `backlot migrate`: brings the schemas up to date and ends, for deployments that do it as a step.

use clap::Args;

use crate::Common;
use crate::compose::{self, Role};

/// Options of `backlot migrate`.
#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    common: Common,
    /// Which systems; nothing: all.
    #[arg(value_enum)]
    roles: Vec<Role>,
}

/// Migrates each system's database, under its lock.
pub(crate) async fn run(args: &MigrateArgs) -> anyhow::Result<()> {
    let config = args.common.load()?;
    let roles = if args.roles.is_empty() { Role::ALL.to_vec() } else { args.roles.clone() };
    for role in roles {
        if compose::migrate(&config, role).await? {
            println!("{role:?}: up to date");
        }
    }
    Ok(())
}
