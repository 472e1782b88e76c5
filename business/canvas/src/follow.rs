//! Whose authority ended: follows infrastructure's events and tells the live connections.
//!
//! It remembers nothing. Where the stream breaks for longer than a moment, every connection asks again at
//! the door: what was missed is not guessed.

use std::time::Duration;

use backlot_foundation_errors::{Problem, codes};
use backlot_foundation_events::v1::events_client::EventsClient;
use backlot_foundation_events::v1::tail_response::Item;
use backlot_foundation_events::v1::{Event, TailRequest};
use backlot_foundation_rpc::Channel;
use backlot_foundation_runtime::Stop;
use serde_json::Value;

use crate::service::Service;
use crate::socket::Change;

/// Silence after which a stream is taken for dead and opened again.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// Pause before a stream is opened again.
const REOPEN_PAUSE: Duration = Duration::from_millis(100);
/// Events that end or change what somebody may do.
const TYPES: &[&str] = &[
    "identity.session.ended",
    "identity.session.switched",
    "identity.api_key.revoked",
    "identity.membership.changed",
    "identity.user.state_changed",
    "identity.user.deleted",
    "identity.organisation.closed",
    "mandates.mandate.given",
    "mandates.mandate.revoked",
];

/// Follows until the stop signal. The cursor survives a broken stream, so nothing is missed.
pub(crate) async fn follow(service: Service, events: Channel, stop: Stop) {
    let mut cursor = String::new();
    while !stop.is_stopped() {
        if let Some(Err(problem)) = stop.unless_stopped(tail(&service, &events, &mut cursor)).await {
            tracing::warn!(%problem, "authority's events cannot be followed now");
            if problem.kind == backlot_foundation_errors::Kind::BadRequest {
                cursor.clear();
                service.access_changed(Change::Everybody);
            }
        }
        stop.sleep(REOPEN_PAUSE).await;
    }
}

async fn tail(service: &Service, events: &Channel, cursor: &mut String) -> Result<(), Problem> {
    let types = TYPES.iter().map(|&name| name.to_owned()).collect();
    let request = TailRequest { cursor: cursor.clone(), types, from_end: true };
    let mut client = EventsClient::new(events.clone());
    let mut stream = client.tail(request).await.map_err(Problem::from)?.into_inner();
    loop {
        let message = tokio::time::timeout(SILENCE_MAX, stream.message()).await;
        let silent = |_| Problem::new(&codes::UNAVAILABLE, "The stream of events fell silent.");
        let Some(message) = message.map_err(silent)?.map_err(Problem::from)? else { return Ok(()) };
        match message.item {
            Some(Item::Event(event)) => {
                if let Some(change) = change_of(&event) {
                    service.access_changed(change);
                }
                *cursor = event.cursor;
            }
            Some(Item::Heartbeat(beat)) => *cursor = beat.cursor,
            None => (),
        }
    }
}

fn change_of(event: &Event) -> Option<Change> {
    let data: Value = serde_json::from_str(&event.data_json).unwrap_or_default();
    let field = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(match event.r#type.as_str() {
        "identity.session.ended" | "identity.session.switched" => {
            Change::Credential(format!("session:{}", field("session_id")))
        }
        "identity.api_key.revoked" => Change::Credential(format!("key:{}", field("api_key_id"))),
        "identity.membership.changed" => {
            Change::Person { user: field("user_id"), organisation: field("organisation_id") }
        }
        "identity.user.state_changed" | "identity.user.deleted" => {
            Change::Person { user: field("user_id"), organisation: String::new() }
        }
        "identity.organisation.closed" => Change::Organisation(field("organisation_id")),
        "mandates.mandate.given" | "mandates.mandate.revoked" => Change::Mandates(field("organisation_id")),
        _ => return None,
    })
}
