//! What is accepted: the schemas that the sources told, and the judgement of an event by them.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use backlot_data_lake::EventRow;
use backlot_foundation_time::Timestamp;
use jsonschema::Validator;
use parking_lot::RwLock;
use serde_json::Value;

/// Longest id, type, subject, organisation or actor, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// Largest data of an event, in bytes.
const DATA_BYTES_MAX: usize = 64 << 10;
/// Clocks of two machines may differ by this much.
const FUTURE_US_MAX: i64 = 3_600_000_000;
/// Violations that a refusal names.
const VIOLATIONS_MAX: usize = 3;
/// Longest explanation of a refusal, in characters.
const DETAIL_CHARS_MAX: usize = 500;

/// Why an event is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// No source has told a schema of this type.
    UnknownType,
    /// Sources have told other versions of this type.
    UnknownVersion,
    /// The data breaks the schema.
    SchemaViolation,
    /// The data is not JSON.
    NotJson,
    /// An id, type or time that cannot be.
    BadEnvelope,
}

impl Reason {
    /// As it is stored and shown.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::UnknownType => "unknown_type",
            Self::UnknownVersion => "unknown_version",
            Self::SchemaViolation => "schema_violation",
            Self::NotJson => "not_json",
            Self::BadEnvelope => "bad_envelope",
        }
    }

    /// Whether a schema that is learned later may change the judgement.
    pub(crate) const fn is_unknown(self) -> bool {
        matches!(self, Self::UnknownType | Self::UnknownVersion)
    }
}

/// A judgement against an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) detail: String,
}

impl Refusal {
    fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into().chars().take(DETAIL_CHARS_MAX).collect() }
    }
}

/// A schema as a source told it. Compiled on first use: most types are rare.
pub(crate) struct Schema {
    json: String,
    validator: OnceLock<Result<Validator, String>>,
}

impl Schema {
    fn validator(&self) -> Result<&Validator, &str> {
        let compiled = self.validator.get_or_init(|| {
            let schema: Value = serde_json::from_str(&self.json).map_err(|error| error.to_string())?;
            jsonschema::validator_for(&schema).map_err(|error| error.to_string())
        });
        compiled.as_ref().map_err(String::as_str)
    }
}

/// All schemas that are known.
#[derive(Default)]
pub(crate) struct Registry {
    schemas: RwLock<HashMap<String, HashMap<i32, Arc<Schema>>>>,
}

impl Registry {
    /// Learns a schema; false where it was known in the same words.
    pub(crate) fn learn(&self, event_type: &str, version: i32, json: &str) -> bool {
        let mut schemas = self.schemas.write();
        let versions = schemas.entry(event_type.to_owned()).or_default();
        if versions.get(&version).is_some_and(|known| known.json == json) {
            return false;
        }
        versions.insert(version, Arc::new(Schema { json: json.to_owned(), validator: OnceLock::new() }));
        true
    }

    /// How many schemas are known.
    pub(crate) fn len(&self) -> usize {
        self.schemas.read().values().map(HashMap::len).sum()
    }

    fn find(&self, event_type: &str, version: i32) -> Result<Arc<Schema>, Refusal> {
        let schemas = self.schemas.read();
        let Some(versions) = schemas.get(event_type) else {
            let detail = format!("no source has told a schema of \"{event_type}\"");
            return Err(Refusal::new(Reason::UnknownType, detail));
        };
        versions.get(&version).cloned().ok_or_else(|| {
            let mut known: Vec<_> = versions.keys().collect();
            known.sort();
            let detail = format!("version {version} of \"{event_type}\" is not known; known are {known:?}");
            Refusal::new(Reason::UnknownVersion, detail)
        })
    }

    /// Whether an event is what its schema says.
    pub(crate) fn judge(&self, event: &EventRow, now: Timestamp) -> Result<(), Refusal> {
        check_envelope(event, now)?;
        let schema = self.find(&event.event_type, event.version)?;
        let validator = schema.validator().map_err(|error| {
            Refusal::new(Reason::SchemaViolation, format!("the schema itself cannot be used: {error}"))
        })?;
        let data: Value = serde_json::from_str(&event.data_json)
            .map_err(|error| Refusal::new(Reason::NotJson, error.to_string()))?;
        let violations: Vec<String> = validator
            .iter_errors(&data)
            .take(VIOLATIONS_MAX)
            .map(|violation| format!("{}: {violation}", violation.instance_path()))
            .collect();
        if violations.is_empty() {
            return Ok(());
        }
        Err(Refusal::new(Reason::SchemaViolation, violations.join("; ")))
    }
}

pub(crate) fn check_envelope(event: &EventRow, now: Timestamp) -> Result<(), Refusal> {
    let bad = |detail: &str| Err(Refusal::new(Reason::BadEnvelope, detail));
    if event.id.is_empty() || event.id.len() > NAME_BYTES_MAX {
        return bad("the id is empty or too long");
    }
    let is_word = |word: &str| {
        !word.is_empty()
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let is_type = event.event_type.len() <= NAME_BYTES_MAX
        && event.event_type.contains('.')
        && event.event_type.split('.').all(is_word);
    if !is_type {
        return bad("the type is not of the form system.thing.happened");
    }
    if [&event.subject, &event.organisation, &event.actor].iter().any(|name| name.len() > NAME_BYTES_MAX) {
        return bad("subject, organisation or actor is too long");
    }
    if event.time_us <= 0 || event.time_us > now.micros().saturating_add(FUTURE_US_MAX) {
        return bad("the time is before 1970 or in the future");
    }
    if event.data_json.len() > DATA_BYTES_MAX {
        return bad("the data is larger than 64 KiB");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn event() -> EventRow {
        EventRow {
            id: "1".to_owned(),
            event_type: "test.thing.happened".to_owned(),
            version: 1,
            source: "test".to_owned(),
            subject: String::new(),
            organisation: String::new(),
            actor: String::new(),
            time_us: NOW.micros(),
            data_json: r#"{"n":1}"#.to_owned(),
            received_us: NOW.micros(),
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut EventRow), expected: Result<(), &str>) {
        let registry = Registry::default();
        registry.learn(
            "test.thing.happened",
            1,
            r#"{"type":"object","required":["n"],"properties":{"n":{"type":"integer"}},"additionalProperties":false}"#,
        );
        registry.learn("test.broken.schema", 1, r#"{"type":7}"#);
        let mut event = event();
        change(&mut event);
        let judged = registry.judge(&event, NOW).map_err(|refusal| refusal.reason.name());
        assert_eq!(judged, expected);
    }

    #[test]
    fn an_event_is_accepted_by_its_schema_or_refused_with_a_reason() {
        check(|_| (), Ok(()));
        check(|event| event.event_type = "test.other.happened".to_owned(), Err("unknown_type"));
        check(|event| event.version = 2, Err("unknown_version"));
        check(|event| event.data_json = "{}".to_owned(), Err("schema_violation"));
        check(|event| event.data_json = r#"{"n":1,"prompt":"x"}"#.to_owned(), Err("schema_violation"));
        check(|event| event.data_json = "{".to_owned(), Err("not_json"));
        check(|event| event.event_type = "test.broken.schema".to_owned(), Err("schema_violation"));
        check(|event| event.event_type = "Robert'); DROP TABLE".to_owned(), Err("bad_envelope"));
        check(|event| event.event_type = "test".to_owned(), Err("bad_envelope"));
        check(|event| event.id.clear(), Err("bad_envelope"));
        check(|event| event.actor = "x".repeat(1_000), Err("bad_envelope"));
        check(|event| event.time_us = 0, Err("bad_envelope"));
        check(|event| event.time_us += 2 * FUTURE_US_MAX, Err("bad_envelope"));
        check(|event| event.data_json = format!("\"{}\"", "x".repeat(DATA_BYTES_MAX)), Err("bad_envelope"));
    }

    #[test]
    fn the_same_words_are_nothing_new() {
        let registry = Registry::default();
        assert!(registry.learn("a.b", 1, "{}"));
        assert!(!registry.learn("a.b", 1, "{}"));
        assert!(registry.learn("a.b", 1, r#"{"type":"object"}"#));
        assert!(registry.learn("a.b", 2, "{}"));
        assert_eq!(registry.len(), 2);
    }
}
