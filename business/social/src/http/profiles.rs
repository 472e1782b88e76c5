//! Profiles, follows, blocks and mutes.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use backlot_foundation_errors::Problem;
use backlot_foundation_rpc::http::{Path, ValidJson};
use backlot_infrastructure_api::AssetId;
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Person, redirect};
use crate::service::{ProfileChange, Service};
use crate::store::{Hiding, Standing};
use crate::view::ProfileView;

/// Your profile. Before you have taken part there is none, and the problem's `suggested` says what it would be.
#[utoipa::path(get, path = "/v1/profiles/me", tag = "community",
    responses((status = 200, body = ProfileView), (status = "default", body = Problem)))]
pub(super) async fn get_my_profile(
    State(service): State<Service>,
    Person(viewer): Person,
) -> Result<Json<ProfileView>, Problem> {
    let profile = service.me(&viewer).await?;
    Ok(Json(ProfileView::of(&profile, &viewer, Standing::default())))
}

/// How you want to be called.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileBody {
    /// 3 to 30 of a-z, 0-9 and _, beginning with a letter, unlike every other.
    #[garde(length(chars, max = 64))]
    handle: String,
    /// 1 to 60 characters in one line.
    #[garde(length(chars, max = 200))]
    name: String,
    /// Up to 300 characters.
    #[serde(default)]
    #[garde(length(chars, max = 1000))]
    bio: String,
    /// A picture of your organisation; it becomes public.
    #[garde(skip)]
    avatar_asset: Option<AssetId>,
}

/// Change your profile.
#[utoipa::path(put, path = "/v1/profiles/me", tag = "community", request_body = ProfileBody,
    responses((status = 200, body = ProfileView), (status = 409, body = Problem),
        (status = "default", body = Problem)))]
pub(super) async fn put_my_profile(
    State(service): State<Service>,
    Person(viewer): Person,
    ValidJson(body): ValidJson<ProfileBody>,
) -> Result<Json<ProfileView>, Problem> {
    let change =
        ProfileChange { handle: body.handle, name: body.name, bio: body.bio, avatar: body.avatar_asset };
    let profile = service.change_profile(&viewer, &change).await?;
    Ok(Json(ProfileView::of(&profile, &viewer, Standing::default())))
}

/// Somebody's profile.
#[utoipa::path(get, path = "/v1/profiles/{handle}", tag = "community", params(("handle" = String, Path)),
    responses((status = 200, body = ProfileView), (status = "default", body = Problem)))]
pub(super) async fn get_profile(
    State(service): State<Service>,
    Person(viewer): Person,
    Path(handle): Path<String>,
) -> Result<Json<ProfileView>, Problem> {
    let (profile, standing) = service.profile_of(&viewer, &handle).await?;
    Ok(Json(ProfileView::of(&profile, &viewer, standing)))
}

/// Redirects to a signed address of somebody's picture.
#[utoipa::path(get, path = "/v1/profiles/{handle}/avatar", tag = "community", params(("handle" = String, Path)),
    responses((status = 302), (status = "default", body = Problem)))]
pub(super) async fn get_avatar(
    State(service): State<Service>,
    Person(viewer): Person,
    Path(handle): Path<String>,
) -> Result<Response, Problem> {
    redirect(&service.avatar_address(&viewer, &handle).await?)
}

/// Follow somebody. Safe to repeat.
#[utoipa::path(put, path = "/v1/profiles/{handle}/follow", tag = "community", params(("handle" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn put_follow(
    State(service): State<Service>,
    Person(viewer): Person,
    Path(handle): Path<String>,
) -> Result<StatusCode, Problem> {
    service.follow(&viewer, &handle).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Follow somebody no longer. Safe to repeat.
#[utoipa::path(delete, path = "/v1/profiles/{handle}/follow", tag = "community", params(("handle" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn delete_follow(
    State(service): State<Service>,
    Person(viewer): Person,
    Path(handle): Path<String>,
) -> Result<StatusCode, Problem> {
    service.unfollow(&viewer, &handle).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Block somebody: neither sees the other, and both follows end. Safe to repeat.
#[utoipa::path(put, path = "/v1/profiles/{handle}/block", tag = "community", params(("handle" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn put_block(
    State(service): State<Service>,
    Person(viewer): Person,
    Path(handle): Path<String>,
) -> Result<StatusCode, Problem> {
    service.hide(&viewer, &handle, Hiding::Block).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Block somebody no longer. Safe to repeat.
#[utoipa::path(delete, path = "/v1/profiles/{handle}/block", tag = "community", params(("handle" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn delete_block(
    State(service): State<Service>,
    Person(viewer): Person,
    Path(handle): Path<String>,
) -> Result<StatusCode, Problem> {
    service.unhide(&viewer, &handle, Hiding::Block).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Mute somebody: you meet them in no feed, comment or notification. They are not told. Safe to repeat.
#[utoipa::path(put, path = "/v1/profiles/{handle}/mute", tag = "community", params(("handle" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn put_mute(
    State(service): State<Service>,
    Person(viewer): Person,
    Path(handle): Path<String>,
) -> Result<StatusCode, Problem> {
    service.hide(&viewer, &handle, Hiding::Mute).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Mute somebody no longer. Safe to repeat.
#[utoipa::path(delete, path = "/v1/profiles/{handle}/mute", tag = "community", params(("handle" = String, Path)),
    responses((status = 204), (status = "default", body = Problem)))]
pub(super) async fn delete_mute(
    State(service): State<Service>,
    Person(viewer): Person,
    Path(handle): Path<String>,
) -> Result<StatusCode, Problem> {
    service.unhide(&viewer, &handle, Hiding::Mute).await?;
    Ok(StatusCode::NO_CONTENT)
}
