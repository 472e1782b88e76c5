//! Client events by the Segment protocol: `track`, `identify`, `page`, `screen`, `group`,
//! `alias` and `batch`.
//!
//! They become events of type `client.…`, staged like any other, and never count as value actions: a browser
//! may say anything. What could name a person is dropped at the door: traits, addresses, titles, and every
//! property that is not a number, a truth value or a short word.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::HeaderMap;
use backlot_data_lake::EventRow;
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::http::json_problem;
use backlot_foundation_time::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::{Error, Service, registry};

/// Largest body, as the protocol has it for batches.
const BODY_BYTES_MAX: usize = 500 << 10;
/// Calls in a batch.
const BATCH_CALLS_MAX: usize = 500;
/// Properties that are kept of a call.
const PROPERTIES_MAX: usize = 32;
/// Longest text that is kept, and longest name of an event, in characters.
const WORD_CHARS_MAX: usize = 64;
/// Longest id that a client may send, in characters.
const ID_CHARS_MAX: usize = 100;

pub(crate) fn routes(service: &Service) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(track))
        .routes(routes!(identify))
        .routes(routes!(page))
        .routes(routes!(screen))
        .routes(routes!(group))
        .routes(routes!(alias))
        .routes(routes!(batch))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(service.clone())
}

/// One call of the protocol. Unknown fields are ignored, as libraries send many.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
struct Call {
    /// `track`, `identify`, `page`, `screen`, `group` or `alias`; only read in a batch.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The library's own id: the key for duplicates.
    message_id: Option<String>,
    /// Our pseudonymous id of the person.
    user_id: Option<String>,
    /// The library's id of the device.
    anonymous_id: Option<String>,
    /// `track`: what happened.
    event: Option<String>,
    /// `page`, `screen`: which one, by name.
    name: Option<String>,
    /// `group`: the organisation.
    group_id: Option<String>,
    /// `alias`: the id until now.
    previous_id: Option<String>,
    /// `track`, `page`, `screen`: more about it.
    #[schema(value_type = Object)]
    properties: Map<String, Value>,
    /// When it happened, RFC 3339.
    timestamp: Option<String>,
    /// For clients that cannot send headers.
    write_key: Option<String>,
}

/// Several calls.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Batch {
    /// At most 500.
    batch: Vec<Call>,
    /// For clients that cannot send headers.
    #[serde(default)]
    write_key: Option<String>,
}

/// The calls are stored.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Taken {
    /// Always true.
    success: bool,
}

type Body<T> = Result<Json<T>, JsonRejection>;
type Answer = Result<Json<Taken>, Problem>;

macro_rules! call {
    ($name:ident, $path:literal, $title:literal) => {
        #[doc = $title]
        #[utoipa::path(post, path = $path, tag = "tracking", request_body = Call, responses(
                            (status = 200, body = Taken),
                            (status = 400, description = "Not a call of the protocol", body = Problem),
                            (status = 401, description = "No known write key", body = Problem),
                        ))]
        async fn $name(State(service): State<Service>, headers: HeaderMap, body: Body<Call>) -> Answer {
            let Json(call) = body.map_err(json_problem)?;
            let key = service.write_key(&headers, call.write_key.as_deref())?;
            service.track(&key, stringify!($name), vec![call]).await?;
            Ok(Json(Taken { success: true }))
        }
    };
}

call!(track, "/v1/track", "Something happened (Segment protocol)");
call!(identify, "/v1/identify", "Who a device belongs to (Segment protocol)");
call!(page, "/v1/page", "A page was seen (Segment protocol)");
call!(screen, "/v1/screen", "A screen of an app was seen (Segment protocol)");
call!(group, "/v1/group", "Where a person belongs (Segment protocol)");
call!(alias, "/v1/alias", "Two ids are one (Segment protocol)");

/// Several calls at once (Segment protocol)
#[utoipa::path(post, path = "/v1/batch", tag = "tracking", request_body = Batch, responses(
    (status = 200, body = Taken),
    (status = 400, description = "Not a call of the protocol", body = Problem),
    (status = 401, description = "No known write key", body = Problem),
))]
async fn batch(State(service): State<Service>, headers: HeaderMap, body: Body<Batch>) -> Answer {
    let Json(batch) = body.map_err(json_problem)?;
    let key = service.write_key(&headers, batch.write_key.as_deref())?;
    if batch.batch.len() > BATCH_CALLS_MAX {
        return Err(Error::Tracking(format!("a batch has at most {BATCH_CALLS_MAX} calls")).into());
    }
    service.track(&key, "", batch.batch).await?;
    Ok(Json(Taken { success: true }))
}

impl Service {
    /// The write key of a request, where it is a configured one.
    fn write_key(&self, headers: &HeaderMap, in_body: Option<&str>) -> Result<String, Error> {
        let basic = headers
            .get(axum::http::header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Basic "))
            .and_then(|text| String::from_utf8(STANDARD.decode(text.trim()).ok()?).ok())
            .and_then(|pair| Some(pair.split_once(':')?.0.to_owned()));
        let sent = basic.or_else(|| in_body.map(str::to_owned)).ok_or(Error::WriteKey)?;
        let known =
            self.inner.config.write_keys.iter().any(|key| bool::from(key.as_bytes().ct_eq(sent.as_bytes())));
        if known && !sent.is_empty() { Ok(sent) } else { Err(Error::WriteKey) }
    }

    /// Stages the calls, all or none.
    async fn track(&self, key: &str, kind: &str, calls: Vec<Call>) -> Result<(), Error> {
        let now = self.inner.clock.now();
        let rows = calls
            .into_iter()
            .map(|call| {
                let kind =
                    if kind.is_empty() { call.kind.clone().unwrap_or_default() } else { kind.to_owned() };
                event(key, &kind, call, now)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let tx = self.inner.db.begin_write().await?;
        for row in &rows {
            self.stage(&tx, row).await?;
        }
        tx.commit().await?;
        self.wake_loader();
        Ok(())
    }
}

/// A call as an event.
fn event(key: &str, kind: &str, call: Call, now: Timestamp) -> Result<EventRow, Error> {
    let refuse = |text: &str| Err(Error::Tracking(text.to_owned()));
    let too_long = |id: &Option<String>| id.as_ref().is_some_and(|id| id.chars().count() > ID_CHARS_MAX);
    if [&call.message_id, &call.user_id, &call.anonymous_id, &call.group_id, &call.previous_id]
        .into_iter()
        .any(too_long)
    {
        return refuse("an id has at most 100 characters");
    }
    if call.user_id.is_none() && call.anonymous_id.is_none() {
        return refuse("a call needs userId or anonymousId");
    }
    let what = match kind {
        "track" => match call.event.as_deref().map(snake).filter(|name| !name.is_empty()) {
            Some(name) => name,
            None => return refuse("track needs \"event\""),
        },
        "identify" => "identified".to_owned(),
        "page" => "page_viewed".to_owned(),
        "screen" => "screen_viewed".to_owned(),
        "group" => "grouped".to_owned(),
        "alias" => "aliased".to_owned(),
        _ => return refuse("\"type\" is track, identify, page, screen, group or alias"),
    };
    // Of the key and the library's id: no client can take the id of a server's event.
    let id = match &call.message_id {
        Some(message_id) => {
            let digest =
                Sha256::new().chain_update(key).chain_update([0]).chain_update(message_id).finalize();
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&digest[..16]);
            uuid::Builder::from_custom_bytes(bytes).into_uuid()
        }
        None => Uuid::now_v7(),
    };
    let person = call.user_id.as_deref().and_then(|id| Uuid::parse_str(id).ok());
    let sent_at = call.timestamp.as_deref().and_then(|text| Timestamp::parse(text).ok());
    let name = call.name.as_deref().map(snake).filter(|_| matches!(kind, "page" | "screen"));
    let data = json!({
        "anonymous_id": call.anonymous_id.as_deref().and_then(word),
        "previous_id": call.previous_id.as_deref().and_then(word),
        "group_id": call.group_id.as_deref().and_then(word),
        "name": name,
        "properties": kept(call.properties),
    });
    let row = EventRow {
        id: id.to_string(),
        event_type: format!("client.{what}"),
        version: 1,
        source: "client".to_owned(),
        subject: String::new(),
        organisation: String::new(),
        actor: person.map(|id| id.to_string()).unwrap_or_default(),
        time_us: sent_at.filter(|at| at.micros() > 0 && *at <= now).unwrap_or(now).micros(),
        data_json: data.to_string(),
        received_us: now.micros(),
    };
    registry::check_envelope(&row, now).map_err(|refusal| Error::Tracking(refusal.detail))?;
    Ok(row)
}

/// `"Shot Exported!"` → `shot_exported`.
fn snake(text: &str) -> String {
    let mut name = String::new();
    for letter in text.chars().take(WORD_CHARS_MAX) {
        if letter.is_ascii_alphanumeric() {
            name.push(letter.to_ascii_lowercase());
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    name.trim_end_matches('_').to_owned()
}

/// A short text that can name neither a person nor a place on the web.
fn word(text: &str) -> Option<&str> {
    let harmless =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.' | ':' | ' ');
    (text.chars().count() <= WORD_CHARS_MAX && text.chars().all(harmless)).then_some(text)
}

fn kept(properties: Map<String, Value>) -> Map<String, Value> {
    let keep = |value: &Value| match value {
        Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => word(text).is_some(),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    };
    properties
        .into_iter()
        .filter(|(name, value)| word(name).is_some() && keep(value))
        .take(PROPERTIES_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn call(value: Value) -> Call {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_could_name_a_person_is_dropped() {
        let track = call(json!({
            "event": "Shot  Exported!", "userId": "ann@example.org", "messageId": "m1",
            "properties": {"count": 3, "ok": true, "format": "mp4", "mail": "a@b.c", "link": "https://x", "deep": {"a": 1}},
            "traits": {"email": "a@b.c"}, "context": {"ip": "1.2.3.4"}
        }));
        let row = event("key", "track", track.clone(), NOW).unwrap();
        assert_eq!((row.event_type.as_str(), row.actor.as_str()), ("client.shot_exported", ""));
        let data: Value = serde_json::from_str(&row.data_json).unwrap();
        assert_eq!(data["properties"], json!({"count": 3, "ok": true, "format": "mp4"}));
        assert!(!row.data_json.contains('@') && !row.data_json.contains("1.2.3.4"));
        // The same message is the same event; another key's is another.
        assert_eq!(event("key", "track", track.clone(), NOW).unwrap().id, row.id);
        assert_ne!(event("other", "track", track, NOW).unwrap().id, row.id);
    }

    #[test]
    fn what_is_no_call_is_refused() {
        for (kind, value) in [
            ("track", json!({"userId": "u"})),
            ("track", json!({"userId": "u", "event": "!!"})),
            ("page", json!({})),
            ("screen", json!({})),
            ("scream", json!({"userId": "u"})),
            ("identify", json!({"userId": "u".repeat(101)})),
        ] {
            assert!(event("key", kind, call(value.clone()), NOW).is_err(), "{kind} {value}");
        }
        let screen = event("key", "screen", call(json!({"userId": "u", "name": "Home"})), NOW).unwrap();
        assert_eq!(screen.event_type, "client.screen_viewed");
        assert!(screen.data_json.contains("\"name\":\"home\""));
        let future = call(json!({"userId": "u", "timestamp": "2100-01-01T00:00:00Z"}));
        assert_eq!(event("key", "page", future, NOW).unwrap().time_us, NOW.micros());
    }
}
