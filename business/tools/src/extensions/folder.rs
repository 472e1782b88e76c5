//! An extension's folder: `backlot.toml` and its files, as they are at one moment.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::ExtensionProblem;
use super::published::SDK;

const DESCRIPTION: &str = "backlot.toml";
/// Most files of an extension.
const FILES_MAX: usize = 64;
/// Largest file of an extension.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Deepest folder in an extension.
const DEPTH_MAX: usize = 3;
/// Most extensions in a folder.
const EXTENSIONS_MAX: usize = 200;
const NAME_CHARS_MAX: usize = 48;
/// Characters of a hash that name a version.
const HASH_CHARS: usize = 12;

/// An extension's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// Of its folder.
    pub(super) name: String,
    /// Relative paths and contents, in order.
    pub(super) files: Vec<(PathBuf, Vec<u8>)>,
    /// Of the contents and the library: what "the same version" means.
    pub(super) hash: String,
    /// The Python file with the tool, or what is wrong with `backlot.toml`.
    pub(super) file: Result<String, ExtensionProblem>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tool: ToolPart,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolPart {
    file: String,
}

pub(super) fn problem(message: impl Into<String>) -> ExtensionProblem {
    ExtensionProblem { message: message.into(), file: None, line: None }
}

/// Every extension under `folder`; none where the folder is not there. Blocks.
pub(super) fn read_all(folder: &Path) -> Vec<Source> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut folders: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join(DESCRIPTION).is_file())
        .take(EXTENSIONS_MAX)
        .collect();
    folders.sort();
    folders.iter().filter_map(|folder| read(folder)).collect()
}

/// One extension; `None` where its folder vanished or its name cannot be a tool's.
fn read(folder: &Path) -> Option<Source> {
    let name = folder.file_name()?.to_str().filter(|name| is_name(name))?.to_owned();
    let mut files = Vec::new();
    let found = collect(folder, Path::new(""), 0, &mut files);
    files.sort();
    let hash = hash_of(&files);
    let file = found.map_err(problem).and_then(|()| tool_file(&files));
    Some(Source { name, files, hash, file })
}

/// Whether the text can name a tool, a folder and a model.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= NAME_CHARS_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn collect(root: &Path, at: &Path, depth: usize, files: &mut Vec<(PathBuf, Vec<u8>)>) -> Result<(), String> {
    let entries = std::fs::read_dir(root.join(at)).map_err(|error| error.to_string())?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_hidden = name.to_string_lossy().starts_with('.') || name == "__pycache__";
        let (path, full) = (at.join(&name), entry.path());
        if is_hidden || full.is_symlink() {
            continue;
        }
        if full.is_dir() {
            if depth >= DEPTH_MAX {
                return Err(format!("folders are at most {DEPTH_MAX} deep"));
            }
            collect(root, &path, depth + 1, files)?;
            continue;
        }
        let size = entry.metadata().map_or(0, |metadata| metadata.len());
        if size > FILE_BYTES_MAX || files.len() >= FILES_MAX {
            return Err(format!(
                "{}: an extension has at most {FILES_MAX} files of at most {FILE_BYTES_MAX} bytes",
                path.display()
            ));
        }
        let content = std::fs::read(&full).map_err(|error| format!("{}: {error}", path.display()))?;
        files.push((path, content));
    }
    Ok(())
}

fn tool_file(files: &[(PathBuf, Vec<u8>)]) -> Result<String, ExtensionProblem> {
    let described = files.iter().find(|(path, _)| path == Path::new(DESCRIPTION));
    let text = described.map(|(_, content)| String::from_utf8_lossy(content)).unwrap_or_default();
    let file: File = toml::from_str(&text).map_err(|error| {
        let before = error.span().map(|span| &text[..span.start.min(text.len())]);
        let line = before.and_then(|before| u32::try_from(before.matches('\n').count() + 1).ok());
        ExtensionProblem { message: error.message().to_owned(), file: Some(DESCRIPTION.to_owned()), line }
    })?;
    let name = file.tool.file;
    if files.iter().any(|(path, _)| path == Path::new(&name)) {
        return Ok(name);
    }
    Err(ExtensionProblem {
        message: format!("tool.file names \"{name}\", which is not there"),
        file: Some(DESCRIPTION.to_owned()),
        line: None,
    })
}

/// Files that were not read from a folder, as one source.
pub(super) fn of_files(name: &str, file: &str, files: Vec<(PathBuf, Vec<u8>)>) -> Source {
    Source { name: name.to_owned(), hash: hash_of(&files), files, file: Ok(file.to_owned()) }
}

fn hash_of(files: &[(PathBuf, Vec<u8>)]) -> String {
    let mut hasher = Sha256::new();
    let library = SDK.iter().map(|(name, text)| (*name, text.as_bytes()));
    let own = files.iter().map(|(path, content)| (path.to_str().unwrap_or_default(), content.as_slice()));
    for (path, content) in library.chain(own) {
        hasher.update((path.len() as u64).to_be_bytes());
        hasher.update(path.as_bytes());
        hasher.update((content.len() as u64).to_be_bytes());
        hasher.update(content);
    }
    hex::encode(hasher.finalize()).chars().take(HASH_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_whole_and_its_hash_follows_every_byte() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sepia");
        std::fs::create_dir_all(folder.join("parts")).unwrap();
        std::fs::write(folder.join(DESCRIPTION), "[tool]\nfile = 'sepia.py'\n").unwrap();
        std::fs::write(folder.join("sepia.py"), "a").unwrap();
        std::fs::write(folder.join("parts/more.py"), "b").unwrap();
        std::fs::write(folder.join(".hidden"), "c").unwrap();
        let first = read_all(root.path()).remove(0);
        assert_eq!((first.file.as_deref(), first.files.len()), (Ok("sepia.py"), 3));
        std::fs::write(folder.join(".hidden"), "other").unwrap();
        assert_eq!(read_all(root.path())[0].hash, first.hash);
        std::fs::write(folder.join("parts/more.py"), "d").unwrap();
        assert_ne!(read_all(root.path())[0].hash, first.hash);
    }

    #[test]
    fn a_wrong_description_names_its_line() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("broken");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join(DESCRIPTION), "[tool]\nfile = 'a.py'\nfiel = 1\n").unwrap();
        let problem = read_all(root.path()).remove(0).file.unwrap_err();
        assert_eq!((problem.file.as_deref(), problem.line), (Some(DESCRIPTION), Some(3)));
        std::fs::write(folder.join(DESCRIPTION), "[tool]\nfile = 'a.py'\n").unwrap();
        assert!(read_all(root.path()).remove(0).file.unwrap_err().message.contains("not there"));
    }

    #[test]
    fn names_are_those_of_tools() {
        assert!(is_name("film-look-2"));
        assert!(["", "2d", "Sepia", "a_b", "a/b", "..", &"x".repeat(49)].iter().all(|name| !is_name(name)));
    }
}
