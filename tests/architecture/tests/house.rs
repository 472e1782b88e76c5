//! The house is documented: each room has a README, each system a changelog, each error code a page.

use std::collections::{BTreeMap, BTreeSet};

use backlot_foundation_errors::Code;
use backlot_tests_architecture::{root, workspace};

fn all_codes() -> Vec<&'static Code> {
    let systems = [
        backlot_foundation_errors::codes::ALL,
        backlot_inference_api::codes::ALL,
        backlot_business_api::codes::ALL,
        backlot_data_api::codes::ALL,
    ];
    systems.into_iter().flatten().copied().chain(backlot_infrastructure_api::codes::all()).collect()
}

#[test]
fn every_crate_and_every_system_has_a_readme() {
    let root = root();
    let systems = [
        "foundation",
        "infrastructure",
        "business",
        "inference",
        "data",
        "apps",
        "tests",
        "web",
        "workers",
        "deploy",
    ];
    let folders =
        workspace().into_iter().map(|one| one.folder).chain(systems.map(|system| root.join(system)));
    let without: Vec<_> = folders.filter(|folder| !folder.join("README.md").is_file()).collect();
    assert!(without.is_empty(), "folders without a README.md: {without:#?}");
}

#[test]
fn every_system_has_a_changelog() {
    for system in ["foundation", "infrastructure", "business", "inference", "data", "web"] {
        assert!(root().join(system).join("CHANGELOG.md").is_file(), "{system}/CHANGELOG.md is missing");
    }
}

/// Two types of one name in one system would be one schema of its OpenAPI document, and one of them wrong.
#[test]
fn no_two_schemas_of_a_system_have_one_name() {
    let mut places: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for system in ["infrastructure", "business", "inference", "data", "apps"] {
        for file in rust_files(&root().join(system)) {
            let text = std::fs::read_to_string(&file).expect("a source can be read");
            for name in schemas_in(&text) {
                places.entry((system.to_owned(), name)).or_default().push(file.display().to_string());
            }
        }
    }
    assert!(places.len() > 100, "only {} schemas were found", places.len());
    places.retain(|_, files| files.len() > 1);
    assert!(places.is_empty(), "rename one of each, or say #[schema(as = …)]: {places:#?}");
}

/// Names of the types that describe themselves, as their schemas are called. Generic ones are called by what is in them.
fn schemas_in(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if !(line.trim_start().starts_with("#[derive(") && line.contains("ToSchema")) {
            continue;
        }
        let mut renamed = None;
        for line in lines.by_ref() {
            if let Some((_, rest)) = line.split_once("schema(as = ") {
                renamed = rest.split([',', ')']).next().map(str::to_owned);
            }
            let item = line.split_once("struct ").or_else(|| line.split_once("enum "));
            let Some((_, item)) = item.filter(|_| !line.trim_start().starts_with("//")) else { continue };
            let end = item.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(item.len());
            if !item[end..].starts_with('<') {
                names.push(renamed.unwrap_or_else(|| item[..end].to_owned()));
            }
            break;
        }
    }
    names
}

fn rust_files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder can be read");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| match (path.is_dir(), path.extension()) {
            (true, _) => rust_files(&path),
            (false, Some(extension)) if extension == "rs" => vec![path],
            _ => Vec::new(),
        })
        .collect()
}

#[test]
fn every_error_code_is_unique_and_has_a_page() {
    let pages = root().join("docs/errors");
    let mut names = BTreeSet::new();
    for code in all_codes() {
        assert!(names.insert(code.name), "two codes are called {}", code.name);
        assert!(pages.join(format!("{}.md", code.name)).is_file(), "docs/errors/{}.md is missing", code.name);
    }
    for entry in std::fs::read_dir(pages).expect("docs/errors exists") {
        let path = entry.expect("entry can be read").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(name == "README" || names.contains(name.as_str()), "docs/errors/{name}.md explains no code");
    }
}
