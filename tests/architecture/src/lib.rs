//! The boundaries of DESIGN as rules over the dependency graph.
//!
//! Every crate declares its system and its kind in `[package.metadata.backlot]`. [`violations`] is pure,
//! so that tests can plant a wrong dependency and see it refused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use cargo_metadata::{DependencyKind, MetadataCommand};
use serde::Deserialize;

/// What a crate is, as it declares itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// What every system stands on, and nothing of any system.
    Foundation,
    /// The contract of a system: the only door that others may use.
    Contract,
    /// Logic without clock, network, randomness or database.
    Pure,
    /// A part of a system that runs.
    Service,
    /// Composes systems.
    App,
    /// Helps tests; never part of the product.
    Testkit,
}

/// A crate of the workspace.
#[derive(Debug, Clone)]
pub struct Crate {
    /// Name of the package.
    pub name: String,
    /// `foundation`, `infrastructure`, `business`, `inference`, `data`, `apps` or `tests`.
    pub system: String,
    /// What it is.
    pub kind: Kind,
    /// Its folder.
    pub folder: PathBuf,
    /// Names of all packages that it depends on in the product (not for tests, not for its build script).
    pub dependencies: BTreeSet<String>,
}

/// Heavy analytics: only the lake may name them, so that nothing else waits for their build.
const ANALYTICS: &[&str] = &["datafusion", "deltalake"];
/// What a pure crate may use beside pure crates and ids, time and errors of the foundation.
const PURE_LIBRARIES: &[&str] =
    &["serde", "serde_json", "thiserror", "smallvec", "rustc-hash", "ordered-float"];
/// Foundation crates without I/O.
const PURE_FOUNDATION: &[&str] = &["backlot-foundation-ids", "backlot-foundation-time"];

/// Which other systems' contracts a system may call.
fn callable(system: &str) -> &'static [&'static str] {
    match system {
        "business" => &["infrastructure", "inference"],
        // Infrastructure and inference know neither business nor each other; data learns the schemas of
        // events at run time and links no producer.
        _ => &[],
    }
}

/// Every broken rule, as a sentence.
#[must_use]
pub fn violations(crates: &[Crate]) -> Vec<String> {
    let by_name: BTreeMap<&str, &Crate> = crates.iter().map(|one| (one.name.as_str(), one)).collect();
    let mut broken = Vec::new();
    for one in crates {
        for dependency in &one.dependencies {
            if let Some(reason) = broken_rule(one, dependency, by_name.get(dependency.as_str()).copied()) {
                broken.push(format!("{} must not depend on {dependency}: {reason}", one.name));
            }
        }
    }
    broken.extend(analytics_reach(&by_name));
    broken
}

fn broken_rule(one: &Crate, dependency: &str, target: Option<&Crate>) -> Option<&'static str> {
    let Some(target) = target else {
        return match one.kind {
            Kind::Testkit => None,
            Kind::Pure if !PURE_LIBRARIES.contains(&dependency) => {
                Some("a pure crate uses no library that does I/O")
            }
            _ if ANALYTICS.contains(&dependency) && one.name != "backlot-data-lake" => {
                Some("only backlot-data-lake uses the analytics engine")
            }
            _ => None,
        };
    };
    match (one.kind, target.kind) {
        (Kind::Testkit | Kind::App, _) => None,
        (_, Kind::Testkit) => Some("test helpers are no part of the product"),
        (_, Kind::App) => Some("nothing depends on an app"),
        (Kind::Foundation, Kind::Foundation) => None,
        (Kind::Foundation, _) => Some("the foundation knows no system"),
        // The contract of its own system is where the ids are declared.
        (Kind::Pure, Kind::Pure | Kind::Contract) if one.system == target.system => None,
        (Kind::Pure, Kind::Foundation) if PURE_FOUNDATION.contains(&dependency) => None,
        (Kind::Pure, _) => Some("a pure crate depends on pure crates of its system, ids and time"),
        (Kind::Contract, Kind::Foundation) => None,
        (Kind::Contract, _) => Some("a contract depends on the foundation only"),
        (Kind::Service, Kind::Foundation) => None,
        (Kind::Service, _) if one.system == target.system => None,
        (Kind::Service, Kind::Contract) if callable(&one.system).contains(&target.system.as_str()) => None,
        (Kind::Service, Kind::Contract) => Some("its system may not call that system"),
        (Kind::Service, _) => Some("another system's contract is its only door"),
    }
}

/// GPU hosts run the agent: it must never pull in the analytics engine, however indirectly.
fn analytics_reach(by_name: &BTreeMap<&str, &Crate>) -> Vec<String> {
    let hosts = ["backlot-inference-agent", "backlot-inference-runtimes"];
    let reaches = hosts.into_iter().filter(|host| {
        let mut seen = BTreeSet::new();
        let mut open = vec![*host];
        while let Some(name) = open.pop() {
            if ANALYTICS.contains(&name) {
                return true;
            }
            if seen.insert(name)
                && let Some(one) = by_name.get(name)
            {
                open.extend(one.dependencies.iter().map(String::as_str));
            }
        }
        false
    });
    reaches.map(|host| format!("{host} reaches the analytics engine: a GPU host must not link it")).collect()
}

#[derive(Deserialize)]
struct Declaration {
    backlot: Declared,
}

#[derive(Deserialize)]
struct Declared {
    system: String,
    kind: Kind,
}

/// The crates of this workspace.
///
/// # Panics
/// Where cargo does not answer, or a crate declares no system and kind.
#[must_use]
pub fn workspace() -> Vec<Crate> {
    let manifest = root().join("Cargo.toml");
    let metadata =
        MetadataCommand::new().manifest_path(manifest).no_deps().exec().expect("cargo metadata answers");
    let packages =
        metadata.workspace_packages().into_iter().filter(|package| package.name.as_str() != "workspace-hack");
    packages
        .map(|package| {
            let declared: Declaration =
                serde_json::from_value(package.metadata.clone()).unwrap_or_else(|error| {
                    panic!(
                        "{} declares no system and kind in [package.metadata.backlot]: {error}",
                        package.name
                    )
                });
            let dependencies = package.dependencies.iter().filter(|one| one.kind == DependencyKind::Normal);
            Crate {
                name: package.name.to_string(),
                system: declared.backlot.system,
                kind: declared.backlot.kind,
                folder: package.manifest_path.parent().expect("a manifest lies in a folder").into(),
                dependencies: dependencies.map(|one| one.name.clone()).collect(),
            }
        })
        .collect()
}

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the repository's root exists")
}
