//! Jobs on models: the contract, the agents' door and the driver of the scheduler.

use backlot_foundation_db::Db;
use backlot_foundation_rpc::Server;
use backlot_foundation_tokens::audience;
use backlot_inference_control as control;

use super::{Context, System};

/// Builds control and starts its driver.
pub(super) async fn build(context: &Context) -> anyhow::Result<System> {
    let config = &context.config.inference;
    let db = Db::connect(&config.db, audience::INFERENCE).await?;
    migrate(&db).await?;
    let control = control::Service::new(db.clone(), context.clock.clone(), config.control.clone());
    control.tasks(&context.tasks);
    let verifier = context.trust.verifier(audience::INFERENCE)?;
    Ok(System {
        name: audience::INFERENCE,
        rpc: Server::new(verifier.clone()).layer(control.rpc_routes()),
        http: control.http(),
        verifier,
        db,
    })
}

/// Brings inference's schema up to date.
pub(super) async fn migrate(db: &Db) -> anyhow::Result<()> {
    Ok(control::Service::migrate(db).await?)
}
