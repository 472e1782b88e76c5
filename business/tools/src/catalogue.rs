//! The catalogue: every published version of every tool.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::manifest::{ManifestError, Tool, Visibility, version_key};

/// The manifests that ship, by file name.
const SHIPPED: &[(&str, &str)] = &[
    ("animate-1.0.0.yaml", include_str!("../catalogue/animate-1.0.0.yaml")),
    ("cutout-1.0.0.yaml", include_str!("../catalogue/cutout-1.0.0.yaml")),
    ("echo-1.0.0.yaml", include_str!("../catalogue/echo-1.0.0.yaml")),
    ("film-1.0.0.yaml", include_str!("../catalogue/film-1.0.0.yaml")),
    ("moderate-1.0.0.yaml", include_str!("../catalogue/moderate-1.0.0.yaml")),
    ("narrate-1.0.0.yaml", include_str!("../catalogue/narrate-1.0.0.yaml")),
    ("upscale-1.0.0.yaml", include_str!("../catalogue/upscale-1.0.0.yaml")),
];

/// The versions of one tool, in order.
type Versions = BTreeMap<(u32, u32, u32), Arc<Tool>>;

/// Every published version of every tool. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    tools: Arc<BTreeMap<String, Versions>>,
}

impl Catalogue {
    /// The manifests that ship.
    pub fn shipped() -> Result<Self, ManifestError> {
        let tools: Result<Vec<Tool>, ManifestError> =
            SHIPPED.iter().map(|(file, yaml)| Tool::parse(file, yaml)).collect();
        Self::of(tools?)
    }

    /// A catalogue of these tools.
    pub fn of(tools: impl IntoIterator<Item = Tool>) -> Result<Self, ManifestError> {
        let mut catalogue: BTreeMap<String, Versions> = BTreeMap::new();
        for tool in tools {
            let (name, version) = (tool.manifest.name.clone(), tool.manifest.version.clone());
            let key = version_key(&version).unwrap_or_default();
            if catalogue.entry(name.clone()).or_default().insert(key, Arc::new(tool)).is_some() {
                return Err(ManifestError::Twice(format!("{name} {version}")));
            }
        }
        Ok(Self { tools: Arc::new(catalogue) })
    }

    /// The same catalogue with one more version.
    #[must_use]
    pub fn with(&self, tool: Arc<Tool>) -> Self {
        let mut tools = (*self.tools).clone();
        let key = version_key(&tool.manifest.version).unwrap_or_default();
        tools.entry(tool.manifest.name.clone()).or_default().insert(key, tool);
        Self { tools: Arc::new(tools) }
    }

    /// The newest version of every tool that everyone may find, by name.
    pub fn listed(&self) -> impl Iterator<Item = &Arc<Tool>> {
        self.tools
            .values()
            .filter_map(|versions| versions.values().next_back())
            .filter(|tool| tool.manifest.visibility == Visibility::Everyone)
    }

    /// Every version of every tool.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Tool>> {
        self.tools.values().flat_map(BTreeMap::values)
    }

    /// The newest version of a tool.
    #[must_use]
    pub fn newest(&self, name: &str) -> Option<&Arc<Tool>> {
        self.tools.get(name)?.values().next_back()
    }

    /// One version of a tool.
    #[must_use]
    pub fn version(&self, name: &str, version: &str) -> Option<&Arc<Tool>> {
        self.tools.get(name)?.get(&version_key(version)?)
    }

    /// The versions of a tool, oldest first.
    pub fn versions(&self, name: &str) -> Vec<String> {
        let versions = self.tools.get(name).into_iter().flat_map(BTreeMap::values);
        versions.map(|tool| tool.manifest.version.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ships_is_well_formed_and_named_after_its_file() {
        let catalogue = Catalogue::shipped().unwrap();
        assert_eq!(catalogue.all().count(), SHIPPED.len());
        for (file, yaml) in SHIPPED {
            let tool = Tool::parse(file, yaml).unwrap();
            assert_eq!(*file, format!("{}-{}.yaml", tool.manifest.name, tool.manifest.version));
        }
    }

    #[test]
    fn every_file_of_the_folder_ships() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/catalogue");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| {
                name.ends_with(".yaml") && !["prompts.yaml", "who_pays.yaml"].contains(&name.as_str())
            })
            .collect();
        files.sort();
        let shipped: Vec<&str> = SHIPPED.iter().map(|(file, _)| *file).collect();
        assert_eq!(files, shipped);
    }

    #[test]
    fn the_operators_tools_are_not_listed() {
        let catalogue = Catalogue::shipped().unwrap();
        let listed: Vec<&str> = catalogue.listed().map(|tool| tool.manifest.name.as_str()).collect();
        assert_eq!(listed, ["animate", "cutout", "moderate", "narrate", "upscale"]);
        assert!(catalogue.newest("echo").is_some());
    }

    #[test]
    fn examples_satisfy_their_schema_but_for_the_asset() {
        let catalogue = Catalogue::shipped().unwrap();
        for tool in catalogue.all() {
            for example in &tool.manifest.examples {
                let errors = tool.input.validate(&example.input).err().unwrap_or_default();
                assert!(errors.iter().all(|error| error.pointer == "/image"), "{errors:?}");
            }
        }
    }
}
