//! Checks what a model claims to have made before anyone reads it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::manifest::is_file;
use crate::{Body, Failure, OUTPUTS_MAX, Output, Work};

const NAME_CHARS_MAX: usize = 120;
/// For files whose type nobody knows.
const CONTENT_TYPE_DEFAULT: &str = "application/octet-stream";

/// A file that a model claims to have made inside `folder`.
pub(crate) fn file(folder: &Path, path: &Path, name: &str, content_type: &str) -> Result<Output, Failure> {
    let refuse =
        |why: &str| Failure::Model(format!("the model gave back \"{}\", which {why}", path.display()));
    // The real path: a link could lead to any file that the agent can read.
    let real = folder.join(path).canonicalize().map_err(|_| refuse("does not exist"))?;
    let folder = folder.canonicalize().map_err(|_| refuse("is in a folder that is gone"))?;
    if !real.starts_with(&folder) {
        return Err(refuse("is outside its output folder"));
    }
    if !real.is_file() {
        return Err(refuse("is no file"));
    }
    Ok(Output { name: safe_name(name), content_type: known_type(content_type, name), body: Body::File(real) })
}

/// Refuses a result with more files than allowed.
pub(crate) fn count(outputs: Vec<Output>) -> Result<Vec<Output>, Failure> {
    if outputs.len() > OUTPUTS_MAX {
        return Err(Failure::Model(format!(
            "the model gave back {} files, at most {OUTPUTS_MAX} are taken",
            outputs.len()
        )));
    }
    Ok(outputs)
}

/// A name without folders, control characters or leading dots, of bounded length.
pub(crate) fn safe_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let safe: String = last
        .chars()
        .map(|char| if char.is_alphanumeric() || "-_. ".contains(char) { char } else { '_' })
        .collect();
    let safe = safe.trim_start_matches('.').trim();
    let skipped = safe.chars().count().saturating_sub(NAME_CHARS_MAX);
    // The end is kept: it has the extension.
    let safe: String = safe.chars().skip(skipped).collect();
    if safe.is_empty() { "output".to_owned() } else { safe }
}

/// The claimed type where it looks like one, else a guess from the name.
pub(crate) fn known_type(claimed: &str, name: &str) -> String {
    let is_type = claimed.len() <= 100
        && claimed.split_once('/').is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty())
        && claimed.bytes().all(|byte| byte.is_ascii_graphic());
    if is_type {
        return claimed.to_owned();
    }
    mime_guess::from_path(name).first_raw().unwrap_or(CONTENT_TYPE_DEFAULT).to_owned()
}

/// Where the schema says file, only a file of the work may stand: else a job could name any path of this
/// machine, or have it call any address.
pub(crate) fn check_files(schema: Option<&Value>, work: &Work) -> Result<(), Failure> {
    let properties = schema.and_then(|schema| schema.get("properties")).and_then(Value::as_object);
    for (name, _) in properties.into_iter().flatten().filter(|(_, property)| is_file(property)) {
        let is_allowed = match work.input.get(name) {
            None | Some(Value::Null) => true,
            Some(Value::String(text)) => {
                text.starts_with("data:") || work.files.iter().any(|file| file.as_path() == Path::new(text))
            }
            Some(_) => false,
        };
        if !is_allowed {
            return Err(Failure::InvalidInput(format!("\"{name}\" is a file: send {{\"$file\": URL}}")));
        }
    }
    Ok(())
}

/// The folder in which a work's outputs are made.
pub(crate) fn make_folder(work: &Work) -> Result<PathBuf, Failure> {
    let folder = work.folder.join("out");
    std::fs::create_dir_all(&folder).map_err(|source| Failure::Start {
        what: "its output folder could not be made".to_owned(),
        source,
    })?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_safe() {
        assert_eq!(safe_name("../../etc/passwd"), "passwd");
        assert_eq!(safe_name("..\\a\nb.png"), "a_b.png");
        assert_eq!(safe_name(".hidden"), "hidden");
        assert_eq!(safe_name("///"), "output");
        assert!(safe_name(&format!("{}.png", "x".repeat(500))).ends_with("x.png"));
    }

    #[test]
    fn a_link_out_of_the_folder_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("link")).expect("linked");
        let refused = file(folder.path(), Path::new("link"), "link", "");
        assert!(matches!(refused, Err(Failure::Model(message)) if message.contains("outside")));
    }

    proptest::proptest! {
        #[test]
        fn no_name_leads_out_of_a_folder(name in "\\PC*|(\\.|/|\\\\|[a-z]){0,12}") {
            let safe = safe_name(&name);
            let mut parts = Path::new(&safe).components();
            proptest::prop_assert!(matches!(parts.next(), Some(std::path::Component::Normal(_))), "{}", safe);
            proptest::prop_assert!(parts.next().is_none(), "{}", safe);
        }
    }
}
