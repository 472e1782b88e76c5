//! A job's input at the door: its size, its schema, and the digest by which a repetition is known.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{error::Error, limits};

/// The member by which an input refers to a file: `{"$file": "https://…", "name": "…"}`.
const FILE: &str = "$file";
/// Fields that one refusal names.
const FIELDS_NAMED_MAX: usize = 16;
/// Nesting that is taken.
const DEPTH_MAX: usize = 32;

/// A model's compiled input schema.
pub(crate) struct Schema(jsonschema::Validator);

impl Schema {
    /// Compiles a schema. References to anything outside of it are an error: nothing is fetched.
    pub(crate) fn compile(schema: &Value) -> Result<Self, Error> {
        let invalid = |rule: String| Error::ModelInvalid { pointer: "/input_schema_json".to_owned(), rule };
        if !schema.is_object() && !schema.is_boolean() {
            return Err(invalid("must be a JSON Schema: an object".to_owned()));
        }
        let validator = jsonschema::options().build(schema);
        validator.map(Self).map_err(|error| invalid(format!("must be a valid JSON Schema: {error}")))
    }

    /// Checks an input as the model will see it: a file is a text there, its path or URL.
    pub(crate) fn check(&self, input: &Value) -> Result<(), Error> {
        let seen = as_seen_by_model(input);
        let broken: Vec<(String, String)> = self
            .0
            .iter_errors(&seen)
            .take(FIELDS_NAMED_MAX)
            .map(|error| (error.instance_path().to_string(), shorten(&error.to_string())))
            .collect();
        if broken.is_empty() { Ok(()) } else { Err(Error::InputInvalid(broken)) }
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(limits::NOTE_CHARS_MAX).collect()
}

/// Reads an input, if it is not too large or too deep.
pub(crate) fn parse(text: &str) -> Result<Value, Error> {
    if text.len() > limits::INPUT_BYTES_MAX {
        return Err(Error::InputTooLarge { bytes: text.len() });
    }
    let input: Value = serde_json::from_str(text)
        .map_err(|error| Error::InputInvalid(vec![(String::new(), format!("must be JSON: {error}"))]))?;
    if depth(&input) > DEPTH_MAX {
        let rule = format!("must not be nested deeper than {DEPTH_MAX}");
        return Err(Error::InputInvalid(vec![(String::new(), rule)]));
    }
    Ok(input)
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn as_seen_by_model(value: &Value) -> Value {
    match value {
        Value::Object(members) => match members.get(FILE) {
            Some(Value::String(url)) => Value::String(url.clone()),
            Some(_) | None => Value::Object(
                members.iter().map(|(name, value)| (name.clone(), as_seen_by_model(value))).collect(),
            ),
        },
        Value::Array(items) => Value::Array(items.iter().map(as_seen_by_model).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Whether an input refers to a file.
pub(crate) fn has_files(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.contains_key(FILE) || members.values().any(has_files),
        Value::Array(items) => items.iter().any(has_files),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The input for comparison: members in order, and files without the query of their URL, because a signature differs
/// each time that the same file is signed.
pub(crate) fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| *name);
            let same = |name: &str, value: &Value| match value {
                Value::String(url) if name == FILE => {
                    Value::String(url.split('?').next().unwrap_or(url).to_owned())
                }
                _ => canonical(value),
            };
            Value::Object(sorted.into_iter().map(|(name, value)| (name.clone(), same(name, value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(canonical).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// SHA-256 of parts, each with its length, in hex.
pub(crate) fn digest(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hex::encode(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_is_a_text_for_the_schema_and_its_signature_does_not_count() {
        let schema =
            json!({"type": "object", "properties": {"image": {"type": "string", "format": "asset"}}});
        let input = json!({"image": {"$file": "https://store/a.png?signature=1", "name": "a.png"}, "b": 1});
        let again = json!({"b": 1, "image": {"name": "a.png", "$file": "https://store/a.png?signature=2"}});
        Schema::compile(&schema).unwrap().check(&input).unwrap();
        assert_eq!(canonical(&input).to_string(), canonical(&again).to_string());
    }

    #[test]
    fn a_schema_that_reaches_outside_is_refused() {
        let schema = json!({"$ref": "https://example.invalid/schema.json"});
        assert!(matches!(Schema::compile(&schema), Err(Error::ModelInvalid { .. })));
    }

    #[test]
    fn deep_input_is_refused() {
        let deep = "[".repeat(40) + &"]".repeat(40);
        assert!(matches!(parse(&deep), Err(Error::InputInvalid(_))));
    }
}
