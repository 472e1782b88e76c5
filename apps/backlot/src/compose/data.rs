//! The company's numbers: follows everybody, is called by nobody.

use std::sync::Arc;

use backlot_foundation_db::Db;
use backlot_foundation_tokens::audience;

use super::{Channels, Context, System};

/// The sources whose events it follows.
const SOURCES: [&str; 3] = [audience::INFRASTRUCTURE, audience::INFERENCE, audience::BUSINESS];

/// Builds collector, lake and metrics over one database and one table.
pub(super) async fn build(context: &Context, channels: &Channels<'_>) -> anyhow::Result<System> {
    let config = &context.config.data;
    let db = Db::connect(&config.db, audience::DATA).await?;
    migrate(&db).await?;
    let mut lake = config.lake.clone();
    if lake.url.is_empty() {
        lake.url = context.folder.join("lake").display().to_string();
    }
    let lake = backlot_data_lake::Lake::new(lake)?;
    let mut sources = Vec::new();
    for system in SOURCES {
        sources.push(backlot_data_collector::Source {
            name: system.to_owned(),
            channel: channels.signed(system, "data")?,
        });
    }
    let clock = context.clock.clone();
    let collector = backlot_data_collector::Service::new(
        db.clone(),
        lake.clone(),
        sources,
        clock.clone(),
        config.collector.clone(),
    )
    .await?;
    collector.tasks(&context.tasks);
    let waiting = Arc::new(collector.clone());
    let metrics = backlot_data_metrics::Service::new(lake, waiting, clock, config.metrics.clone()).await?;
    let http = collector.http().merge(metrics.http());
    let verifier = context.trust.verifier(audience::DATA)?;
    Ok(System { name: audience::DATA, rpc: axum::Router::new(), http, verifier, db })
}

/// Brings data's schema up to date.
pub(super) async fn migrate(db: &Db) -> anyhow::Result<()> {
    db.migrate::<backlot_foundation_events::Migrator>().await?;
    db.migrate::<backlot_data_collector::Migrator>().await?;
    Ok(())
}
