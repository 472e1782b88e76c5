//! `backlot admin backup`: a copy of the data folder as it is at one moment, also while a studio runs on it.
//!
//! What it writes is a data folder: `backlot serve --data COPY` is the whole of a restore. The databases and the log
//! of the lake are of one moment, because each system's cursor counts the other's events. Everything else never
//! changes once it is written, so it is copied afterwards: a file that is younger than the databases is of no row, and
//! swept; one that was deleted in between is missed.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use backlot_foundation_db::Standstill;
use backlot_infrastructure_storage::StoreConfig;

use crate::Common;
use crate::config::Config;

/// The lake's log, in the data folder.
const LAKE_LOG: &str = "lake/_delta_log";
/// What a copy has no use for: it belongs to the process or the machine, or is copied first.
const LEFT_OUT: &[&str] = &[LAKE_LOG, "agent", "machines", "media/tmp", "address.json", "address.new"];
/// Files of a database beside its copy.
const DATABASE_FILES: &[&str] = &["db", "db-wal", "db-shm", "lock"];

/// How much was copied beside the databases.
#[derive(Debug, Default)]
struct Copied {
    files: u64,
    bytes: u64,
}

/// Copies the data folder into `out`, which appears when it is whole.
pub(super) async fn run(common: &Common, out: &Path) -> anyhow::Result<()> {
    let config = common.load()?;
    let data = common
        .data
        .canonicalize()
        .with_context(|| format!("there is no data folder {}", common.data.display()))?;
    let databases = databases(&config, &data);
    anyhow::ensure!(!databases.is_empty(), "no database lies in {}: nothing to copy", data.display());
    anyhow::ensure!(!out.exists(), "{} exists: name a new folder", out.display());
    let out = std::path::absolute(out)?;
    anyhow::ensure!(!out.starts_with(&data), "{} lies in the data folder itself", out.display());
    let draft = out.with_extension("partial");
    match fs::remove_dir_all(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("{} cannot be removed", draft.display()));
        }
        Ok(()) | Err(_) => {
            fs::create_dir_all(&draft).with_context(|| format!("cannot write {}", draft.display()))?
        }
    }
    let mut copied = Copied::default();
    let standstill = Standstill::begin(&databases).await?;
    standstill.copy_into(&draft).await?;
    copy_folder(&data.join(LAKE_LOG), &draft.join(LAKE_LOG), &|_| true, &mut copied)?;
    drop(standstill);
    copy_folder(&data, &draft, &|path| is_wanted(path.strip_prefix(&data).unwrap_or(path)), &mut copied)?;
    fs::File::open(&draft)?.sync_all()?;
    fs::rename(&draft, &out).with_context(|| format!("cannot name the copy {}", out.display()))?;
    println!(
        "{}: {} databases, {} files, {} bytes",
        out.display(),
        databases.len(),
        copied.files,
        copied.bytes
    );
    for elsewhere in elsewhere(&config, &data) {
        println!("not in it: {elsewhere}");
    }
    Ok(())
}

/// The databases that are files of this folder.
fn databases(config: &Config, data: &Path) -> Vec<PathBuf> {
    let urls = urls(config).into_iter().filter_map(|(_, url)| url.strip_prefix("sqlite:"));
    let paths = urls.filter_map(|path| Path::new(path.trim_start_matches("//")).canonicalize().ok());
    paths.filter(|path| path.parent() == Some(data)).collect()
}

fn urls(config: &Config) -> [(&'static str, &str); 4] {
    [
        ("infrastructure", &config.infrastructure.db.url),
        ("inference", &config.inference.db.url),
        ("business", &config.business.db.url),
        ("data", &config.data.db.url),
    ]
}

/// What this studio keeps in other places, for people.
fn elsewhere(config: &Config, data: &Path) -> Vec<String> {
    let mut places = Vec::new();
    let copied = databases(config, data);
    for (system, url) in urls(config) {
        let path = url.strip_prefix("sqlite:").map(|path| Path::new(path.trim_start_matches("//")));
        match path.map(|path| path.canonicalize().unwrap_or_else(|_| path.to_owned())) {
            None => places.push(format!("the database of {system}, in PostgreSQL: use pg_dump")),
            Some(path) if !copied.contains(&path) => {
                places.push(format!("the database of {system}, at {}", path.display()));
            }
            Some(_) => (),
        }
    }
    let storage = &config.infrastructure.storage;
    if !matches!(storage.store, StoreConfig::Folder) {
        places.push("media, in a bucket: use its versions or a second bucket".to_owned());
    } else if storage.folder.is_absolute() && !storage.folder.starts_with(data) {
        places.push(format!("media, in {}", storage.folder.display()));
    }
    if !config.data.lake.url.is_empty() {
        places.push("the lake, by data.lake.url".to_owned());
    }
    places
}

fn is_wanted(inside: &Path) -> bool {
    let is_left_out = LEFT_OUT.iter().any(|name| inside == Path::new(name));
    let is_top = inside.parent().is_some_and(|parent| parent.as_os_str().is_empty());
    let extension = inside.extension().and_then(|text| text.to_str()).unwrap_or_default();
    let is_database = is_top && DATABASE_FILES.contains(&extension);
    !is_left_out && !is_database
}

/// Copies what is wanted of a folder; what vanishes meanwhile was deleted, and is left out.
fn copy_folder(
    from: &Path,
    to: &Path,
    wanted: &dyn Fn(&Path) -> bool,
    copied: &mut Copied,
) -> anyhow::Result<()> {
    let entries = match fs::read_dir(from) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| format!("cannot read {}", from.display()))?,
    };
    fs::create_dir_all(to).with_context(|| format!("cannot write {}", to.display()))?;
    for entry in entries {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if !wanted(&path) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy_folder(&path, &target, wanted, copied)?;
            continue;
        }
        match fs::copy(&path, &target) {
            Err(error) if error.kind() == ErrorKind::NotFound => (),
            bytes => {
                copied.bytes += bytes.with_context(|| format!("cannot copy {}", path.display()))?;
                copied.files += 1;
                fs::File::open(&target)?.sync_all()?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_the_process_stays() {
        for left in
            ["business.db", "business.db-wal", "infrastructure.lock", "agent", "media/tmp", "address.json"]
        {
            assert!(!is_wanted(Path::new(left)), "{left}");
        }
        for taken in [
            "keys",
            "keys/edge.key",
            "media",
            "media/objects/assets/a.lock",
            "extensions",
            "lake/part.parquet",
        ] {
            assert!(is_wanted(Path::new(taken)), "{taken}");
        }
    }
}
