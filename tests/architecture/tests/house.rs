//! The house is documented: each room has a README, each system a changelog, each error code a page.

use std::collections::BTreeSet;

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
