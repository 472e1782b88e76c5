//! Looks at the folder of extensions again and again, and publishes what changed and holds still.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use backlot_foundation_runtime::Stop;

use super::describe::{Described, describe};
use super::folder::{Source, problem, read_all};
use super::published::{Kind, folder_name, manifest, write_files, write_worker};
use super::{ExtensionProblem, ExtensionView};
use crate::manifest::{self, Tool, version_key};
use crate::service::Service;

/// What is known of an extension's files.
#[derive(Default)]
struct Seen {
    /// As they were at the last look.
    hash: String,
    /// As they were when they were last published or found broken.
    settled: String,
}

/// Publishes extensions until the stop signal.
pub(crate) async fn watch(service: Service, stop: Stop) {
    let config = service.config().extensions.clone();
    if !config.is_on() {
        stop.stopped().await;
        return;
    }
    if let Err(error) = clear_drafts(&config.published) {
        tracing::error!(%error, folder = %config.published.display(), "extensions cannot be published");
        stop.stopped().await;
        return;
    }
    tracing::info!(folder = %config.folder.display(), "extensions are watched");
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    while !stop.is_stopped() {
        look(&service, &mut seen).await;
        stop.sleep(Duration::from_millis(config.poll_ms)).await;
    }
}

async fn look(service: &Service, seen: &mut BTreeMap<String, Seen>) {
    let folder = service.config().extensions.folder.clone();
    let Ok(sources) = tokio::task::spawn_blocking(move || read_all(&folder)).await else { return };
    let names: Vec<String> = sources.iter().map(|source| source.name.clone()).collect();
    seen.retain(|name, _| names.contains(name));
    service.extensions().keep_only(&names);
    for source in sources {
        let one = seen.entry(source.name.clone()).or_default();
        // Published when two looks see the same: an editor may be half-way through.
        let holds_still = one.hash == source.hash;
        one.hash.clone_from(&source.hash);
        if !holds_still || one.settled == source.hash {
            continue;
        }
        one.settled.clone_from(&source.hash);
        let (name, updated_at) = (source.name.clone(), service.now());
        // Before its tool is in the catalogue, so that whoever finds the one finds it in the list, too.
        if service.extensions().get(&name).is_none() {
            let version = service.catalogue().newest(&name).map(|tool| tool.manifest.version.clone());
            service.extensions().put(ExtensionView {
                name: name.clone(),
                version,
                problem: None,
                updated_at,
            });
        }
        let published = publish(service, source).await;
        let newest = service.catalogue().newest(&name).map(|tool| tool.manifest.version.clone());
        let problem = published.err();
        match &problem {
            None => tracing::info!(extension = name, version = newest, "an extension is live"),
            Some(problem) => tracing::error!(
                extension = name,
                file = problem.file,
                line = problem.line,
                running = newest,
                "an extension is broken: {}",
                problem.message
            ),
        }
        service.extensions().put(ExtensionView { name, version: newest, problem, updated_at });
    }
}

async fn publish(service: &Service, source: Source) -> Result<(), ExtensionProblem> {
    let newest = service.catalogue().newest(&source.name).cloned();
    if let Some(newest) = &newest {
        if newest.manifest.source != manifest::Source::Extension {
            return Err(problem(format!(
                "\"{}\" is the name of a tool that ships: rename the folder",
                source.name
            )));
        }
        if newest.manifest.model.version == source.hash {
            return Ok(());
        }
    }
    let file = source.file.clone()?;
    let config = &service.config().extensions;
    let disk = |error: std::io::Error| problem(format!("its version cannot be written: {error}"));
    let draft = tempfile::Builder::new().prefix(".draft-").tempdir_in(&config.published).map_err(disk)?;
    write_files(&source, draft.path()).map_err(disk)?;
    let described = describe(&config.python, draft.path(), &file).await?;
    publish_version(service, &source, Kind::Tool, &file, described, draft.path()).await
}

/// Publishes the next version of what `draft` holds, unless the newest is the same.
pub(super) async fn publish_version(
    service: &Service,
    source: &Source,
    kind: Kind,
    file: &str,
    described: Described,
    draft: &Path,
) -> Result<(), ExtensionProblem> {
    let disk = |error: std::io::Error| problem(format!("its version cannot be written: {error}"));
    let newest = service.catalogue().newest(&source.name).cloned();
    let version = next_version(newest.as_ref().map(|tool| tool.manifest.version.as_str()));
    let tool = Tool::check(manifest(source, kind, described, version)).map_err(|error| ExtensionProblem {
        message: words(&error),
        file: Some(file.to_owned()),
        line: None,
    })?;
    write_worker(&tool.manifest, kind, file, draft).map_err(disk)?;
    let target = service.config().extensions.published.join(folder_name(source));
    // The same content was published before: what is there is the same, and stays.
    if !target.join("worker.toml").is_file() {
        std::fs::rename(draft, &target).map_err(disk)?;
    }
    let model = tool.manifest.model.clone();
    service.publish_live(tool).await.map_err(|error| problem(error.to_string()))?;
    if let Err(problem) = service.systems().put_model(&model).await {
        // The first run registers it where this did not.
        tracing::info!(model = model.name, %problem, "an extension's model could not be registered yet");
    }
    Ok(())
}

/// The error with its causes.
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words = format!("{words}: {cause_words}");
        }
        source = cause.source();
    }
    words
}

fn next_version(newest: Option<&str>) -> String {
    let (major, minor, patch) = newest.and_then(version_key).unwrap_or((1, 0, 0));
    match newest {
        None => "1.0.0".to_owned(),
        Some(_) => format!("{major}.{minor}.{}", patch + 1),
    }
}

/// Makes the folder, and removes what an interrupted publication left.
fn clear_drafts(published: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(published)?;
    for entry in std::fs::read_dir(published)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(".draft-") {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
