//! Reads what a predictor's server answers.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::mailbox::Delivered;
use crate::{Body, Failure, Output, message, outputs};

/// With this text in its error a predictor says that the caller made the mistake.
const INVALID_INPUT: &str = "invalid_input: ";
/// What Cog puts before a predictor's own words.
const COG_PREFIX: &str = "Prediction failed: ";
/// Begins a line of the log that is progress: "progress: 0.42 some note".
const PROGRESS: &str = "progress: ";

#[derive(Debug, Default, Deserialize)]
struct Health {
    status: String,
    #[serde(default)]
    setup: Option<Setup>,
}

#[derive(Debug, Default, Deserialize)]
struct Setup {
    #[serde(default)]
    logs: String,
}

/// How a file without a name is called, by its type.
const EXTENSIONS: &[(&str, &str)] = &[
    ("image/png", "png"),
    ("image/jpeg", "jpg"),
    ("image/webp", "webp"),
    ("image/gif", "gif"),
    ("video/mp4", "mp4"),
    ("video/webm", "webm"),
    ("audio/wav", "wav"),
    ("audio/mpeg", "mp3"),
    ("text/plain", "txt"),
    ("application/json", "json"),
];

/// The state of a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    Starting,
    Ready,
    Busy,
    /// The predictor's own setup raised an error.
    SetupFailed(String),
    /// Only a new server helps.
    Broken(String),
}

/// Reads the body of a health check.
pub(super) fn health(body: &[u8]) -> State {
    let Ok(health) = serde_json::from_slice::<Health>(body) else {
        return State::Broken("no health".to_owned());
    };
    match health.status.as_str() {
        "STARTING" | "UNKNOWN" => State::Starting,
        "READY" => State::Ready,
        "BUSY" => State::Busy,
        "SETUP_FAILED" => State::SetupFailed(health.setup.unwrap_or_default().logs),
        other => State::Broken(other.to_owned()),
    }
}

/// The answer to a prediction.
#[derive(Debug, Deserialize)]
pub(super) struct Prediction {
    #[serde(default)]
    pub(super) status: String,
    #[serde(default)]
    pub(super) error: Option<String>,
    #[serde(default)]
    pub(super) logs: String,
    #[serde(default)]
    pub(super) output: Value,
}

/// Why a prediction failed, from the predictor's words.
pub(super) fn failure(error: &str) -> Failure {
    if let Some((_, words)) = error.split_once(INVALID_INPUT) {
        return Failure::InvalidInput(message(words));
    }
    let mut words = error;
    while let Some(rest) = words.strip_prefix(COG_PREFIX) {
        words = rest;
    }
    Failure::Model(if words.is_empty() {
        "the model failed without a word".to_owned()
    } else {
        message(words)
    })
}

/// What is wrong with the input, from the body of a 422.
pub(super) fn rejection(body: &[u8]) -> Failure {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return Failure::InvalidInput("the model does not accept this input".to_owned());
    };
    let details = body.get("detail").and_then(Value::as_array).cloned().unwrap_or_default();
    let reasons: Vec<String> = details
        .iter()
        .map(|detail| {
            let field = detail.pointer("/loc").and_then(Value::as_array).and_then(|path| path.last());
            let field = field.and_then(Value::as_str).unwrap_or("input");
            format!("{field}: {}", detail.get("msg").and_then(Value::as_str).unwrap_or("not accepted"))
        })
        .collect();
    Failure::InvalidInput(message(&reasons.join("; ")))
}

/// A line of the log as progress and its note, where it is that.
pub(super) fn progress(line: &str) -> Option<(f64, &str)> {
    let rest = line.strip_prefix(PROGRESS)?;
    let (fraction, note) = rest.split_once(' ').unwrap_or((rest, ""));
    Some((fraction.parse().ok()?, note))
}

/// The files of an output, in their order; and what is not only files as `output.json` after them.
pub(super) fn outputs(output: Value, delivered: &[Delivered], folder: &Path) -> Result<Vec<Output>, Failure> {
    let is_only_files = match &output {
        Value::String(_) => true,
        Value::Array(items) => !items.is_empty() && items.iter().all(Value::is_string),
        _ => false,
    };
    let mut found = Vec::new();
    let mut others = 0;
    let described = replace(output, delivered, folder, &mut found, &mut others)?;
    if !(is_only_files && others == 0) {
        found.push(Output {
            name: "output.json".to_owned(),
            content_type: "application/json".to_owned(),
            body: Body::Bytes(Bytes::from(described.to_string())),
        });
    }
    Ok(found)
}

/// Replaces files by their names, and collects them; counts strings that are none.
fn replace(
    value: Value,
    delivered: &[Delivered],
    folder: &Path,
    found: &mut Vec<Output>,
    others: &mut usize,
) -> Result<Value, Failure> {
    match value {
        Value::String(text) => {
            let output = match delivered.iter().find(|file| file.location == text) {
                Some(file) => Some(outputs::file(folder, &file.path, &file.name, &file.content_type)?),
                None => data_url(&text, found.len()),
            };
            let Some(output) = output else {
                *others += 1;
                return Ok(Value::String(text));
            };
            let name = output.name.clone();
            found.push(output);
            Ok(Value::String(name))
        }
        Value::Array(items) => {
            items.into_iter().map(|item| replace(item, delivered, folder, found, others)).collect()
        }
        Value::Object(fields) => {
            let fields = fields
                .into_iter()
                .map(|(key, item)| Ok((key, replace(item, delivered, folder, found, others)?)));
            Ok(Value::Object(fields.collect::<Result<_, Failure>>()?))
        }
        other => Ok(other),
    }
}

/// The bytes of "data:image/png;base64,…".
fn data_url(text: &str, n: usize) -> Option<Output> {
    let (head, data) = text.strip_prefix("data:")?.split_once(',')?;
    let content_type = head.strip_suffix(";base64")?;
    let bytes = STANDARD.decode(data.trim()).ok()?;
    let content_type = content_type.split(';').next().unwrap_or_default();
    let extension =
        EXTENSIONS.iter().find(|(known, _)| *known == content_type).map_or("bin", |(_, extension)| extension);
    Some(Output {
        name: format!("output-{n}.{extension}"),
        content_type: outputs::known_type(content_type, ""),
        body: Body::Bytes(bytes.into()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_of_a_predictor_become_a_failure() {
        let wrong = failure("Prediction failed: Prediction failed: InvalidInput: invalid_input: too large");
        assert!(matches!(wrong, Failure::InvalidInput(words) if words == "too large"));
        let failed = failure("Prediction failed: Prediction failed: ValueError: no");
        assert!(matches!(failed, Failure::Model(words) if words == "ValueError: no"));
        let rejected =
            rejection(br#"{"detail":[{"loc":["body","input","scale"],"msg":"3 is not one of [2,4]"}]}"#);
        assert!(matches!(rejected, Failure::InvalidInput(words) if words == "scale: 3 is not one of [2,4]"));
        assert!(matches!(rejection(b"<html>"), Failure::InvalidInput(_)));
    }

    #[test]
    fn progress_is_read_from_the_log() {
        assert_eq!(progress("progress: 0.25 tile 2 of 4"), Some((0.25, "tile 2 of 4")));
        assert_eq!(progress("progress: 1"), Some((1.0, "")));
        assert_eq!(progress("progress: soon"), None);
    }

    #[test]
    fn outputs_of_every_shape_are_read() {
        let check = |output: Value, expected: &[&str]| {
            let names: Vec<String> = outputs(output, &[], Path::new("/"))
                .expect("read")
                .into_iter()
                .map(|output| match output.body {
                    Body::Bytes(bytes) => format!("{} {}", output.name, String::from_utf8_lossy(&bytes)),
                    Body::File(path) => format!("{} {}", output.name, path.display()),
                })
                .collect();
            assert_eq!(names, expected);
        };
        check(json!("data:text/plain;base64,aGk="), &["output-0.txt hi"]);
        check(json!("hello"), &["output.json \"hello\""]);
        check(
            json!({"text": "a", "file": "data:text/plain;base64,aGk="}),
            &["output-0.txt hi", r#"output.json {"text":"a","file":"output-0.txt"}"#],
        );
        check(json!(null), &["output.json null"]);
        check(json!([]), &["output.json []"]);
    }

    #[test]
    fn states_are_read() {
        assert_eq!(health(br#"{"status":"READY"}"#), State::Ready);
        assert_eq!(health(br#"{"status":"UNHEALTHY"}"#), State::Broken("UNHEALTHY".to_owned()));
        assert_eq!(
            health(br#"{"status":"SETUP_FAILED","setup":{"logs":"no weights"}}"#),
            State::SetupFailed("no weights".to_owned())
        );
    }

    fn any_json() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        let text = prop_oneof![
            "\\PC{0,20}",
            "data:[a-z/;]{0,12}(;base64)?,[A-Za-z0-9+/=]{0,12}",
            "http://[a-z/]{0,12}"
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec(
                    ("[a-z]{0,8}|detail|loc|msg|status|setup|logs|output|error", inner),
                    0..6
                )
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest::proptest! {
        #[test]
        fn no_answer_of_a_server_breaks_the_reading(value in any_json(), words in "\\PC*") {
            let bytes = value.to_string().into_bytes();
            let _ = health(&bytes);
            let _ = serde_json::from_slice::<Prediction>(&bytes);
            let _ = failure(&words);
            let _ = progress(&words);
            proptest::prop_assert!(matches!(rejection(&bytes), Failure::InvalidInput(_)));
            // Whatever it is, something is delivered: an output is never silently lost.
            proptest::prop_assert!(!outputs(value, &[], Path::new("/")).expect("no file is named").is_empty());
        }
    }
}
