//! The edge over whatever this process serves itself; it proxies to the rest.

use backlot_foundation_tokens::audience;

use super::{Channels, Context, Health, System};
use crate::edge::{Edge, LocalSystem, Parts};

/// Takes the systems' routes and puts the edge in front of them.
pub(super) fn build(
    context: &Context,
    systems: &mut [System],
    health: &Health,
) -> anyhow::Result<axum::Router> {
    let local = systems.iter_mut().map(|system| LocalSystem {
        name: system.name,
        http: std::mem::take(&mut system.http),
        verifier: system.verifier.clone(),
    });
    let local = local.collect();
    let parts = Parts {
        local,
        infrastructure: Channels::new(context, systems).signed(audience::INFRASTRUCTURE, "edge")?,
        signer: context.trust.signer("edge")?,
        public_url: context.public_url.clone(),
        extra: health.router(),
    };
    Ok(Edge::new(&context.config.edge, parts, &context.tasks)?)
}
