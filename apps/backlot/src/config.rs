//! Configuration of a process: which systems it serves, where the others are, and each system's own part.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use backlot_foundation_config::ConfigError;
use backlot_foundation_db::DbConfig;
use backlot_foundation_telemetry::TelemetryConfig;
use backlot_foundation_tokens::TrustedIssuer;
use serde::{Deserialize, Serialize};

/// Variables after the prefix that are flags of the command line, not keys.
pub(crate) const RESERVED: &[&str] = &["DATA", "PORT", "CONFIG", "URL", "EXTENSIONS"];

/// Everything that can be configured. Every key has a default that works on one machine.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// The public HTTP address.
    pub(crate) http: HttpConfig,
    /// Where contracts are served, and where other processes serve theirs.
    pub(crate) rpc: RpcConfig,
    /// Whom the systems believe.
    pub(crate) tokens: TokensConfig,
    /// Logs, traces and metrics.
    pub(crate) telemetry: TelemetryConfig,
    /// How long this process's systems keep the events that others follow.
    pub(crate) events: backlot_foundation_events::Retention,
    /// Users, authority, credits, media.
    pub(crate) infrastructure: InfrastructureConfig,
    /// Jobs on models.
    pub(crate) inference: InferenceConfig,
    /// Tools.
    pub(crate) business: BusinessConfig,
    /// The company's numbers.
    pub(crate) data: DataConfig,
    /// Routes, tokens and the web app.
    pub(crate) edge: crate::edge::Config,
    /// Runs models on this machine.
    pub(crate) agent: AgentConfig,
}

/// The public HTTP address.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HttpConfig {
    /// Address to listen on.
    pub(crate) host: IpAddr,
    /// Port to listen on; 0: any free one.
    pub(crate) port: u16,
    /// How the outside reaches it, for signed URLs; empty: `http://HOST:PORT`.
    pub(crate) public_url: String,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { host: IpAddr::from([127, 0, 0, 1]), port: 8080, public_url: String::new() }
    }
}

/// Where contracts are served, and where other processes serve theirs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RpcConfig {
    /// HOST:PORT for this process's contracts (gRPC).
    pub(crate) listen: String,
    /// `http://HOST:PORT` of infrastructure's contract, where another process serves it.
    pub(crate) infrastructure: String,
    /// The same for business.
    pub(crate) business: String,
    /// The same for inference.
    pub(crate) inference: String,
}

impl Default for RpcConfig {
    fn default() -> Self {
        let nowhere = String::new;
        Self {
            listen: "127.0.0.1:0".to_owned(),
            infrastructure: nowhere(),
            business: nowhere(),
            inference: nowhere(),
        }
    }
}

/// Whom the systems believe.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TokensConfig {
    /// Folder with `ISSUER.key` of this process's issuers and `ISSUER.pub` of all; empty: `keys` in the
    /// data folder, made at the first start.
    pub(crate) keys_dir: PathBuf,
    /// Issuers beside our own whom inference believes: other companies' backends.
    pub(crate) trusted: Vec<TrustedIssuer>,
}

/// Users, authority, credits, media.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct InfrastructureConfig {
    /// Its database; empty URL: a file in the data folder.
    pub(crate) db: DbConfig,
    /// Accounts.
    pub(crate) identity: backlot_infrastructure_identity::Config,
    /// Ledger, plans, mandates.
    pub(crate) billing: backlot_infrastructure_billing::Config,
    /// Media.
    pub(crate) storage: backlot_infrastructure_storage::Config,
}

/// Jobs on models.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct InferenceConfig {
    /// Its database; empty URL: a file in the data folder.
    pub(crate) db: DbConfig,
    /// The durable driver of the scheduler.
    pub(crate) control: backlot_inference_control::Config,
}

/// Tools.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BusinessConfig {
    /// Its database; empty URL: a file in the data folder.
    pub(crate) db: DbConfig,
    /// Catalogue and runs.
    pub(crate) tools: backlot_business_tools::Config,
    /// Profiles, posts, feeds.
    pub(crate) social: backlot_business_social::Config,
}

/// The company's numbers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DataConfig {
    /// Its database; empty URL: a file in the data folder.
    pub(crate) db: DbConfig,
    /// Validates and keeps events.
    pub(crate) collector: backlot_data_collector::Config,
    /// The table of all events.
    pub(crate) lake: backlot_data_lake::Config,
    /// Definitions and their parameters.
    pub(crate) metrics: backlot_data_metrics::Config,
}

/// Runs models on this machine.
pub(crate) type AgentConfig = backlot_inference_agent::Config;

impl Config {
    /// Reads the layers; `flags` win.
    pub(crate) fn load(file: Option<&Path>, flags: &[(String, String)]) -> Result<Self, ConfigError> {
        backlot_foundation_config::load(file, flags, RESERVED)
    }

    /// Control and agent of one process need no configured token: they share one that nobody else knows.
    pub(crate) fn share_join_token(&mut self) {
        if self.inference.control.join_token.is_empty() {
            self.inference.control.join_token = uuid::Uuid::new_v4().to_string();
        }
        if self.agent.join_token.is_empty() {
            self.agent.join_token = self.inference.control.join_token.clone();
        }
    }

    /// Whether agents are started on this machine by need.
    pub(crate) fn has_local_pools(&self) -> bool {
        let pools = &self.inference.control.pools;
        pools.values().any(|pool| pool.provider == backlot_inference_control::ProviderKind::Local)
    }

    /// Business and agent of one process share the folder in which extensions are published.
    pub(crate) fn watch_extensions(&mut self, folder: &Path, data: &Path) {
        let extensions = &mut self.business.tools.extensions;
        if extensions.folder.as_os_str().is_empty() {
            extensions.folder = folder.to_owned();
        }
        if extensions.published.as_os_str().is_empty() {
            extensions.published = data.join("extensions");
        }
        extensions.python.clone_from(&self.agent.python);
        self.agent.extensions_dir.clone_from(&extensions.published);
    }

    /// Fills what is left open with places in the data folder.
    #[must_use]
    pub(crate) fn in_folder(mut self, data: &Path) -> Self {
        let databases = [
            (&mut self.infrastructure.db, "infrastructure"),
            (&mut self.inference.db, "inference"),
            (&mut self.business.db, "business"),
            (&mut self.data.db, "data"),
        ];
        for (db, system) in databases {
            if db.url.is_empty() {
                *db = DbConfig::sqlite(&data.join(format!("{system}.db")));
            }
        }
        if self.tokens.keys_dir.as_os_str().is_empty() {
            self.tokens.keys_dir = data.join("keys");
        }
        self
    }
}
