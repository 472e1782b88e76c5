//! The local agent: runs models on this machine.

use backlot_foundation_tokens::audience;

use super::{Channels, Context};

/// Starts it; it dials control over whichever channel this process has.
pub(super) fn start(context: &Context, channels: &Channels<'_>) -> anyhow::Result<()> {
    let config = context.config.agent.clone();
    let channel = channels.plain(audience::INFERENCE)?.with_bearer(&config.join_token);
    backlot_agent::start(config, &context.folder, channel, &context.tasks)?;
    Ok(())
}
