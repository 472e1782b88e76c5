//! Notifications: a list, a mark, a stream.

use std::convert::Infallible;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use backlot_business_api::NotificationId;
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::http::{Query, ValidJson};
use futures::StreamExt as _;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Person, page_size};
use crate::error::Error;
use crate::limits::KEEP_ALIVE;
use crate::service::Service;
use crate::view::NotificationView;

/// Which part of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct NotificationsQuery {
    /// Most items, 1 to 100; 24 where it is left out.
    limit: Option<u64>,
    /// The `next` of the page before.
    before: Option<String>,
}

/// Notifications.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NotificationList {
    /// Newest first.
    items: Vec<NotificationView>,
    /// Where the next page begins; null: this is the last.
    next: Option<String>,
    /// How many are unread, 100 at most: more are told as 100.
    unread: i64,
}

/// What others did with what you made.
#[utoipa::path(get, path = "/v1/notifications", tag = "community", params(NotificationsQuery),
    responses((status = 200, body = NotificationList), (status = "default", body = Problem)))]
pub(super) async fn list_notifications(
    State(service): State<Service>,
    Person(viewer): Person,
    Query(query): Query<NotificationsQuery>,
) -> Result<Json<NotificationList>, Problem> {
    let before = query.before.as_deref().map(|text| id(text, "/before")).transpose()?;
    let (page, unread) = service.notifications(&viewer, before, page_size(query.limit)).await?;
    let items = service.notification_views(&page.items).await?;
    Ok(Json(NotificationList { items, next: page.next, unread }))
}

/// What was read.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadBody {
    /// Up to this one; all where it is left out.
    #[serde(default)]
    #[garde(inner(length(max = 64)))]
    until: Option<String>,
}

/// Mark notifications as read. Safe to repeat.
#[utoipa::path(post, path = "/v1/notifications/read", tag = "community", request_body = ReadBody,
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn read_notifications(
    State(service): State<Service>,
    Person(viewer): Person,
    ValidJson(body): ValidJson<ReadBody>,
) -> Result<StatusCode, Problem> {
    let until = body.until.as_deref().map(|text| id(text, "/until")).transpose()?;
    service.mark_read(&viewer, until).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Each new notification as it happens, as server-sent events named `notification`.
#[utoipa::path(get, path = "/v1/notifications/events", tag = "community",
    responses((status = 200, content_type = "text/event-stream", body = NotificationView),
        (status = "default", body = Problem)))]
pub(super) async fn notification_events(
    State(service): State<Service>,
    Person(viewer): Person,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    let place = service.stream_place().ok_or(Error::Streams)?;
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    // An id that is none of ours is as good as none: the list tells what was missed.
    let last = last.and_then(|text| NotificationId::parse(text).ok());
    let events = service.watch(viewer, last).map(move |item| {
        let _held = &place;
        let event = match item {
            Ok(view) => Event::default().event("notification").id(view.id.to_string()).json_data(&view),
            Err(problem) => Event::default().event("problem").json_data(&problem),
        };
        Ok::<Event, Infallible>(event.unwrap_or_default())
    });
    let stream = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok(([("cache-control", "no-store"), ("x-accel-buffering", "no")], stream))
}

fn id(text: &str, pointer: &'static str) -> Result<NotificationId, Error> {
    NotificationId::parse(text).map_err(|_| Error::field(pointer, "is no notification"))
}
