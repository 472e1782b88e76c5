//! The workspace keeps the boundaries, and a planted wrong dependency is refused.

use backlot_tests_architecture::{Crate, Kind, violations, workspace};

fn planted(from: &str, to: &str) -> Vec<String> {
    let mut crates = workspace();
    let one = crates.iter_mut().find(|one| one.name == from).expect("the crate exists");
    one.dependencies.insert(to.to_owned());
    violations(&crates)
}

#[test]
fn the_workspace_keeps_the_boundaries() {
    let broken = violations(&workspace());
    assert!(broken.is_empty(), "broken boundaries:\n{}", broken.join("\n"));
}

#[test]
fn every_crate_lies_in_the_folder_of_its_system_and_is_named_after_it() {
    for Crate { name, system, folder, kind, .. } in workspace() {
        let folder_names: Vec<_> = folder.iter().rev().take(2).map(|part| part.to_string_lossy()).collect();
        assert_eq!(folder_names[1], system, "{name} lies in another system's folder");
        if !matches!(kind, Kind::App) {
            let dashed = format!("backlot-{system}-{}", folder_names[0]);
            assert_eq!(name, dashed, "a crate is named after its folder");
        }
    }
}

#[test]
fn planted_wrong_dependencies_are_refused() {
    let wrong = [
        ("backlot-infrastructure-billing", "backlot-business-api"),
        ("backlot-infrastructure-storage", "backlot-inference-api"),
        ("backlot-inference-control", "backlot-infrastructure-api"),
        ("backlot-inference-agent", "backlot-infrastructure-storage"),
        ("backlot-business-tools", "backlot-infrastructure-billing"),
        ("backlot-business-tools", "backlot-inference-control"),
        ("backlot-business-tools", "backlot-data-api"),
        ("backlot-data-collector", "backlot-business-api"),
        ("backlot-data-metrics", "datafusion"),
        ("backlot-foundation-db", "backlot-infrastructure-api"),
        ("backlot-infrastructure-api", "backlot-infrastructure-mandates"),
        ("backlot-inference-scheduler", "tokio"),
        ("backlot-inference-scheduler", "backlot-foundation-db"),
        ("backlot-infrastructure-mandates", "sea-orm"),
        ("backlot-infrastructure-identity", "backlot"),
        ("backlot-inference-runtimes", "backlot-foundation-testkit"),
        ("backlot-inference-agent", "backlot-data-lake"),
    ];
    for (from, to) in wrong {
        let broken = planted(from, to);
        assert!(broken.iter().any(|line| line.starts_with(from)), "{from} → {to} was accepted: {broken:?}");
    }
}

#[test]
fn right_dependencies_are_accepted() {
    let right = [
        ("backlot-business-tools", "backlot-infrastructure-api"),
        ("backlot-business-tools", "backlot-inference-api"),
        ("backlot-infrastructure-billing", "backlot-infrastructure-mandates"),
        ("backlot-inference-control", "backlot-inference-scheduler"),
        ("backlot-data-lake", "datafusion"),
    ];
    for (from, to) in right {
        assert_eq!(planted(from, to), Vec::<String>::new(), "{from} → {to}");
    }
}
