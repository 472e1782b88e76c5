//! The composition root: builds the systems that this process serves and decides, once, which channel is
//! local and which is remote. Nothing else in the product knows.

mod agent;
mod business;
mod data;
mod edge;
mod health;
mod inference;
mod infrastructure;

use std::sync::Arc;

use anyhow::Context as _;
use backlot_foundation_db::Db;
use backlot_foundation_rpc::Channel;
use backlot_foundation_runtime::Tasks;
use backlot_foundation_time::{SharedClock, SystemClock};
use backlot_foundation_tokens::{Verifier, audience};
use utoipa_axum::router::OpenApiRouter;

use crate::config::Config;
use crate::trust::Trust;

pub(crate) use health::Health;
pub(crate) use infrastructure::Infrastructure;

/// A role that a process may serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Role {
    /// Users, authority, credits, media.
    Infrastructure,
    /// Jobs on models.
    Inference,
    /// Tools.
    Business,
    /// The company's numbers.
    Data,
    /// Routes, tokens and the web app.
    Edge,
    /// Runs models on this machine.
    Agent,
}

impl Role {
    /// Everything, in the order in which it is built.
    pub(crate) const ALL: [Self; 6] =
        [Self::Infrastructure, Self::Inference, Self::Business, Self::Data, Self::Edge, Self::Agent];

    /// Whether a process with these roles signs for every issuer, and so may make the keys itself.
    pub(crate) fn is_whole(roles: &[Self]) -> bool {
        Self::ALL.iter().all(|role| *role == Self::Agent || roles.contains(role))
    }
}

/// A system as this process serves it.
pub(crate) struct System {
    /// Its name: the audience of its tokens.
    pub(crate) name: &'static str,
    /// Its contract, with all layers.
    pub(crate) rpc: axum::Router,
    /// Its own HTTP routes and their OpenAPI fragment, not yet behind the verifier.
    pub(crate) http: OpenApiRouter,
    /// Believes callers of its HTTP routes.
    pub(crate) verifier: Arc<Verifier>,
    /// Its database, for readiness.
    pub(crate) db: Db,
}

/// What every part is built from.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) trust: Trust,
    pub(crate) clock: SharedClock,
    pub(crate) tasks: Tasks,
    /// How the outside reaches this studio, without a slash at the end.
    pub(crate) public_url: String,
    /// The data folder.
    pub(crate) folder: std::path::PathBuf,
}

impl Context {
    /// Reads the keys; `whole`: this process serves everything and makes those that are missing.
    pub(crate) fn new(
        config: Config,
        folder: &std::path::Path,
        public_url: String,
        whole: bool,
    ) -> anyhow::Result<Self> {
        let clock = SystemClock::shared();
        let trust = Trust::new(&config.tokens.keys_dir, clock.clone(), config.tokens.trusted.clone());
        if whole {
            trust.create_all()?;
        }
        Ok(Self { config, trust, clock, tasks: Tasks::new(), public_url, folder: folder.to_owned() })
    }
}

/// All that one process serves.
pub(crate) struct Studio {
    pub(crate) context: Context,
    pub(crate) systems: Vec<System>,
    /// The public routes: the edge's where it is served here, else each system's own.
    pub(crate) http: axum::Router,
    pub(crate) health: Health,
}

impl Studio {
    /// Builds the chosen roles, in the order of their dependence.
    pub(crate) async fn build(
        mut context: Context,
        roles: &[Role],
        prometheus: Option<health::Prometheus>,
    ) -> anyhow::Result<Self> {
        let has = |role| roles.contains(&role);
        if has(Role::Inference) {
            // Before a token is made up: machines from elsewhere need one that outlives this process.
            context.config.inference.control.check()?;
        }
        if has(Role::Inference) && (has(Role::Agent) || context.config.has_local_pools()) {
            context.config.share_join_token();
        }
        let mut systems = Vec::new();
        if has(Role::Infrastructure) {
            systems.push(Infrastructure::build(&context).await.context("infrastructure")?.system(&context)?);
        }
        if has(Role::Inference) {
            systems.push(inference::build(&context).await.context("inference")?);
        }
        if has(Role::Business) {
            let channels = Channels::new(&context, &systems);
            systems.push(business::build(&context, &channels).await.context("business")?);
        }
        if has(Role::Data) {
            let channels = Channels::new(&context, &systems);
            systems.push(data::build(&context, &channels).await.context("data")?);
        }
        for system in &systems {
            context.config.events.start(&context.tasks, &system.db, &context.clock);
        }
        let health = Health::new(&systems, prometheus);
        let http = if has(Role::Edge) {
            edge::build(&context, &mut systems, &health).context("edge")?
        } else {
            merge_own_routes(&mut systems, &health)
        };
        if has(Role::Agent) {
            let channels = Channels::new(&context, &systems);
            agent::start(&context, &channels).context("agent")?;
        }
        Ok(Self { context, systems, http, health })
    }

    /// The contracts of all systems here, for one socket: each under its name, since all serve `Events`; a
    /// system that has the process for itself also without.
    pub(crate) fn rpc(&self) -> axum::Router {
        let alone = match self.systems.as_slice() {
            [one] => one.rpc.clone(),
            _ => axum::Router::new(),
        };
        self.systems
            .iter()
            .fold(alone, |router, system| router.nest(&format!("/{}", system.name), system.rpc.clone()))
    }
}

/// Without an edge, a process answers its systems' own routes to whoever brings a token.
fn merge_own_routes(systems: &mut [System], health: &Health) -> axum::Router {
    let mut documents = crate::edge::Documents::default();
    let router = systems.iter_mut().fold(health.router(), |router, system| {
        let (routes, document) = std::mem::take(&mut system.http).split_for_parts();
        documents.add_local(system.name, &document);
        let layer = axum::middleware::from_fn_with_state(
            system.verifier.clone(),
            backlot_foundation_rpc::http::authenticate,
        );
        router.merge(routes.layer(layer))
    });
    // An edge elsewhere merges this document into its own, and began the trace.
    router.merge(documents.router()).layer(axum::middleware::from_fn(crate::edge::traced))
}

/// How this process reaches each system: in process where it serves it, else over the network.
pub(crate) struct Channels<'a> {
    context: &'a Context,
    systems: &'a [System],
}

impl<'a> Channels<'a> {
    pub(crate) fn new(context: &'a Context, systems: &'a [System]) -> Self {
        Self { context, systems }
    }

    /// A channel to `system` without a token of its own.
    pub(crate) fn plain(&self, system: &'static str) -> anyhow::Result<Channel> {
        if let Some(local) = self.systems.iter().find(|one| one.name == system) {
            return Ok(Channel::local(local.rpc.clone()));
        }
        let rpc = &self.context.config.rpc;
        let address = match system {
            audience::INFRASTRUCTURE => &rpc.infrastructure,
            audience::BUSINESS => &rpc.business,
            audience::INFERENCE => &rpc.inference,
            other => anyhow::bail!("nobody calls {other}"),
        };
        anyhow::ensure!(
            !address.is_empty(),
            "{system} is not served by this process: set rpc.{system} to its address (http://HOST:PORT)"
        );
        Ok(Channel::remote(address)?)
    }

    /// A channel to `system` on which `issuer` speaks for itself.
    pub(crate) fn signed(&self, system: &'static str, issuer: &str) -> anyhow::Result<Channel> {
        Ok(self.plain(system)?.with_signer(self.context.trust.signer(issuer)?, system))
    }
}

/// Brings the schema of a role's database up to date; false where it has none.
pub(crate) async fn migrate(config: &Config, role: Role) -> anyhow::Result<bool> {
    match role {
        Role::Infrastructure => {
            infrastructure::migrate(&Db::connect(&config.infrastructure.db, audience::INFRASTRUCTURE).await?)
                .await?;
        }
        Role::Inference => {
            inference::migrate(&Db::connect(&config.inference.db, audience::INFERENCE).await?).await?
        }
        Role::Business => {
            business::migrate(&Db::connect(&config.business.db, audience::BUSINESS).await?).await?
        }
        Role::Data => data::migrate(&Db::connect(&config.data.db, audience::DATA).await?).await?,
        Role::Edge | Role::Agent => return Ok(false),
    }
    Ok(true)
}
