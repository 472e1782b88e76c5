//! Brings a job's input files to this machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::backoff::Backoff;

/// Most files of one job.
const FILES_MAX: usize = 64;
/// Largest input file.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// Deepest nesting that is looked through.
const DEPTH_MAX: usize = 32;
const TRIES_MAX: u32 = 4;
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_LONGEST: Duration = Duration::from_secs(3);
const NAME_CHARS_MAX: usize = 100;

/// A file that an input refers to: `{"$file": URL, "name": "photo.jpg"}`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reference {
    pointer: String,
    url: url::Url,
    name: String,
}

/// Why an input is not here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The input itself is wrong.
    #[error("{0}")]
    Input(String),
    /// The store does not have it, or does not give it to us.
    #[error("the input file \"{name}\" cannot be read: {why}")]
    Refused { name: String, why: String },
    /// The store does not answer; another try may succeed.
    #[error("the input file \"{name}\" could not be fetched")]
    Unreachable {
        name: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// This machine has no room, for example.
    #[error("an input file could not be kept")]
    Disk(#[source] std::io::Error),
}

/// Downloads every file of `input` into `folder` and puts its path in the place of the reference.
/// Returns the paths.
pub(crate) async fn fetch(
    client: &reqwest::Client,
    input: &mut Value,
    folder: &Path,
) -> Result<Vec<PathBuf>, FetchError> {
    let references = references(input)?;
    if references.is_empty() {
        return Ok(Vec::new());
    }
    tokio::fs::create_dir_all(folder).await.map_err(FetchError::Disk)?;
    let mut paths = Vec::with_capacity(references.len());
    for (n, reference) in references.iter().enumerate() {
        let path = folder.join(format!("{n}-{}", reference.name));
        fetch_one(client, reference, &path).await?;
        if let Some(place) = input.pointer_mut(&reference.pointer) {
            *place = Value::String(path.to_string_lossy().into_owned());
        }
        paths.push(path);
    }
    Ok(paths)
}

/// Whether an input refers to any file.
pub(crate) fn has_files(input: &Value) -> bool {
    match input {
        Value::Object(fields) => fields.contains_key("$file") || fields.values().any(has_files),
        Value::Array(items) => items.iter().any(has_files),
        _ => false,
    }
}

fn references(input: &Value) -> Result<Vec<Reference>, FetchError> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), input, 0)];
    while let Some((pointer, value, depth)) = open.pop() {
        if depth > DEPTH_MAX {
            return Err(FetchError::Input("the input is nested too deeply".to_owned()));
        }
        let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
        match value {
            Value::Object(fields) if fields.contains_key("$file") => found.push(reference(pointer, fields)?),
            Value::Object(fields) => {
                open.extend(
                    fields
                        .iter()
                        .map(|(key, value)| (format!("{pointer}/{}", escaped(key)), value, depth + 1)),
                );
            }
            Value::Array(items) => {
                open.extend(
                    items.iter().enumerate().map(|(n, value)| (format!("{pointer}/{n}"), value, depth + 1)),
                );
            }
            _ => (),
        }
    }
    if found.len() > FILES_MAX {
        return Err(FetchError::Input(format!("the input has more than {FILES_MAX} files")));
    }
    found.reverse();
    Ok(found)
}

fn reference(pointer: String, fields: &serde_json::Map<String, Value>) -> Result<Reference, FetchError> {
    let text = fields.get("$file").and_then(Value::as_str).unwrap_or_default();
    let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.ok_or_else(|| FetchError::Input(format!("\"$file\" at {pointer} is no HTTP address")))?;
    let in_url = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
    let name = fields.get("name").and_then(Value::as_str).unwrap_or(in_url);
    Ok(Reference { pointer, name: file_name(name), url })
}

fn file_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let safe: String = last
        .chars()
        .map(|char| if char.is_ascii_alphanumeric() || "-_.".contains(char) { char } else { '_' })
        .collect();
    // The end is kept: it has the extension.
    let safe = safe[safe.len().saturating_sub(NAME_CHARS_MAX)..].trim_start_matches('.').to_owned();
    if safe.is_empty() { "file".to_owned() } else { safe }
}

async fn fetch_one(client: &reqwest::Client, reference: &Reference, path: &Path) -> Result<(), FetchError> {
    let mut backoff = Backoff::new(PAUSE_FIRST, PAUSE_LONGEST);
    let mut tries = 0;
    loop {
        tries += 1;
        match download(client, reference, path).await {
            Err(FetchError::Unreachable { source, .. }) if tries < TRIES_MAX => {
                tracing::debug!(error = %source, tries, "an input is fetched again");
                tokio::time::sleep(backoff.pause(rand::random())).await;
            }
            outcome => return outcome,
        }
    }
}

async fn download(client: &reqwest::Client, reference: &Reference, path: &Path) -> Result<(), FetchError> {
    let name = &reference.name;
    // Without the address in the message: it is signed, and messages are shown and kept.
    let unreachable = |error: reqwest::Error| FetchError::Unreachable {
        name: name.clone(),
        source: error.without_url().into(),
    };
    let mut response = client.get(reference.url.clone()).send().await.map_err(unreachable)?;
    let status = response.status();
    if status.is_server_error() || status.as_u16() == 429 {
        let source = format!("the store answered {status}").into();
        return Err(FetchError::Unreachable { name: name.clone(), source });
    }
    if !status.is_success() {
        return Err(FetchError::Refused { name: name.clone(), why: format!("the store answered {status}") });
    }
    let too_large =
        || FetchError::Input(format!("the input file \"{name}\" has more than {} GiB", FILE_BYTES_MAX >> 30));
    if response.content_length().is_some_and(|bytes| bytes > FILE_BYTES_MAX) {
        return Err(too_large());
    }
    let mut file = tokio::fs::File::create(path).await.map_err(FetchError::Disk)?;
    let mut written = 0_u64;
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        written += chunk.len() as u64;
        if written > FILE_BYTES_MAX {
            return Err(too_large());
        }
        file.write_all(&chunk).await.map_err(FetchError::Disk)?;
    }
    file.flush().await.map_err(FetchError::Disk)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_found_anywhere() {
        let input = json!({"a/b": [{"$file": "http://h/x/y.png?sig=1"}], "c": {"$file": "https://h/z", "name": "../p h.jpg"}, "d": 1});
        let found = references(&input).expect("found");
        let mut seen: Vec<(&str, &str)> =
            found.iter().map(|reference| (reference.pointer.as_str(), reference.name.as_str())).collect();
        seen.sort_unstable();
        assert_eq!(seen, [("/a~1b/0", "y.png"), ("/c", "p_h.jpg")]);
        assert!(has_files(&input));
        assert!(!has_files(&json!({"a": ["b"]})));
    }

    #[test]
    fn addresses_of_this_machine_are_no_files() {
        for url in ["file:///etc/passwd", "/etc/passwd", "", "ftp://h/x"] {
            assert!(matches!(references(&json!({"a": {"$file": url}})), Err(FetchError::Input(_))), "{url}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_name_leads_out_of_the_private_folder(name in "\\PC*|(\\.|/|\\\\|[a-z]){0,12}") {
            let mut input = json!({"a": {"$file": "http://h/x", "name": name}});
            let found = references(&input).expect("a reference");
            let path = format!("0-{}", found[0].name);
            proptest::prop_assert!(!path.contains('/') && path.len() <= 120, "{}", path);
            // The pointer finds the place again.
            proptest::prop_assert!(input.pointer_mut(&found[0].pointer).is_some());
        }

        #[test]
        fn any_key_is_found_again(key in "\\PC*") {
            let input = json!({key: [{"$file": "http://h/x"}]});
            let found = references(&input).expect("a reference");
            proptest::prop_assert!(found.is_empty() || input.pointer(&found[0].pointer).is_some());
        }
    }
}
