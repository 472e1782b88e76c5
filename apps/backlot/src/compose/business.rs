//! Tools, canvas and the community: call infrastructure and inference by their contracts, follow their events.

use std::sync::Arc;

use backlot_business_canvas as canvas;
use backlot_business_social as social;
use backlot_business_tools as tools;
use backlot_foundation_db::Db;
use backlot_foundation_events::EventsService;
use backlot_foundation_rpc::Server;
use backlot_foundation_tokens::audience;

use super::{Channels, Context, System};

/// Builds the services and starts their tasks.
pub(super) async fn build(context: &Context, channels: &Channels<'_>) -> anyhow::Result<System> {
    let config = &context.config.business;
    let db = Db::connect(&config.db, audience::BUSINESS).await?;
    migrate(&db).await?;
    let infrastructure = channels.signed(audience::INFRASTRUCTURE, "business")?;
    let inference = channels.signed(audience::INFERENCE, "business")?;
    let clock = context.clock.clone();
    let tools = tools::Service::new(
        db.clone(),
        infrastructure.clone(),
        inference.clone(),
        clock.clone(),
        config.tools.clone(),
    )
    .await?;
    tools.tasks(&context.tasks, &infrastructure, &inference);
    let canvas = canvas::Service::new(
        db.clone(),
        infrastructure.clone(),
        tools.clone(),
        clock.clone(),
        &context.tasks,
    );
    canvas.tasks(&infrastructure);
    let social = social::Service::new(
        db.clone(),
        infrastructure.clone(),
        social::Doors { origins: Arc::new(tools.clone()), boards: Some(Arc::new(canvas.clone())) },
        clock.clone(),
        config.social.clone(),
    );
    canvas.set_people(Arc::new(social.clone()));
    social.tasks(&context.tasks, &infrastructure);
    let events = EventsService::new(db.clone(), clock, backlot_business_api::events::schemas());
    let verifier = context.trust.verifier(audience::BUSINESS)?;
    let routes = tonic::service::Routes::new(events.server());
    Ok(System {
        name: audience::BUSINESS,
        rpc: Server::new(verifier.clone()).layer(routes),
        http: tools.http().merge(canvas.http()).merge(social.http()),
        verifier,
        db,
    })
}

/// Brings business's schema up to date.
pub(super) async fn migrate(db: &Db) -> anyhow::Result<()> {
    db.migrate::<backlot_foundation_events::Migrator>().await?;
    db.migrate::<tools::Migrator>().await?;
    db.migrate::<social::Migrator>().await?;
    db.migrate::<canvas::Migrator>().await?;
    Ok(())
}
