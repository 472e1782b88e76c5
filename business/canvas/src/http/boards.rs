//! Boards, their documents and the live connection.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use backlot_business_api::BoardId;
use backlot_foundation_errors::{Problem, codes};
use backlot_foundation_rpc::http::{Path, Query, ValidJson};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{AssetId, OrganisationId, ProjectId};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{LIMIT_DEFAULT, LIMIT_MAX, Person, board_id};
use crate::command::Command;
use crate::model::{Edge, Node, Track};
use crate::role::Role;
use crate::service::{Changed, NewBoard, Service};
use crate::socket;
use crate::store::{BoardRow, Listed};

pub(super) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new()
        .routes(routes!(list_boards, create_board))
        .routes(routes!(get_board, change_board, delete_board))
        .routes(routes!(get_board_document))
        .routes(routes!(command_board))
        .routes(routes!(sync_board))
        .routes(routes!(make_board_template))
        .routes(routes!(list_board_templates))
}

/// A board.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BoardView {
    /// Names it.
    id: BoardId,
    /// For people.
    title: String,
    /// Whose it is.
    organisation_id: OrganisationId,
    /// Where it belongs.
    project_id: Option<ProjectId>,
    /// What you are here.
    role: Role,
    /// Whether it is there to be copied.
    is_template: bool,
    /// The board that it was made from.
    parent_board_id: Option<BoardId>,
    /// The post that it was made from.
    parent_post_id: Option<String>,
    /// Nodes on it.
    nodes: i64,
    /// Who made it.
    created_by: String,
    /// When it was made.
    created_at: Timestamp,
    /// When it was changed last.
    updated_at: Timestamp,
    /// Route of a small picture of it.
    preview_url: Option<String>,
}

impl BoardView {
    pub(super) fn of(row: BoardRow, role: Role) -> Self {
        Self {
            id: row.id,
            title: row.title,
            organisation_id: row.organisation_id,
            project_id: row.project_id,
            role,
            is_template: row.is_template,
            parent_board_id: row.parent_board_id,
            parent_post_id: row.parent_post_id,
            nodes: row.nodes,
            created_by: row.created_by,
            created_at: row.created_at,
            updated_at: row.updated_at,
            preview_url: row.preview_asset.map(|asset| media_url(row.id, &asset, true)),
        }
    }
}

/// Route of a file on a board: for everybody who is on it, in whatever organisation.
pub(super) fn media_url(board: BoardId, asset: &str, preview: bool) -> String {
    format!("/v1/boards/{board}/media/{asset}{}", if preview { "?preview=true" } else { "" })
}

/// Boards.
#[derive(Debug, Serialize, ToSchema)]
struct BoardList {
    /// Newest first.
    items: Vec<BoardView>,
    /// Where the next page begins; null: this is the last.
    next: Option<String>,
}

/// Which part of the list.
#[derive(Debug, Deserialize, IntoParams)]
struct BoardsQuery {
    /// Most items, 1 to 200; 50 where it is left out.
    limit: Option<u64>,
    /// The `next` of the page before.
    before: Option<String>,
    /// Only boards of this project.
    project_id: Option<ProjectId>,
}

async fn list(
    service: &Service,
    person: &Person,
    query: BoardsQuery,
    templates: bool,
) -> Result<Json<BoardList>, Problem> {
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
    let before = query.before.as_deref().map(BoardId::parse).transpose();
    let before = before.map_err(|error| Problem::new(&codes::BAD_REQUEST, format!("\"before\": {error}")))?;
    let listed =
        Listed { templates, project: query.project_id, before, limit: limit + 1, ..Listed::default() };
    let mut rows = service.boards(&person.actor, listed).await?;
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > size;
    rows.truncate(size);
    let next = more.then(|| rows.last().map(|(row, _)| row.id.to_string())).flatten();
    let items = rows.into_iter().map(|(row, role)| BoardView::of(row, role)).collect();
    Ok(Json(BoardList { items, next }))
}

/// The boards that you may see, newest first.
#[utoipa::path(get, path = "/v1/boards", tag = "boards", params(BoardsQuery),
    responses((status = 200, body = BoardList), (status = "default", body = Problem)))]
async fn list_boards(
    State(service): State<Service>,
    person: Person,
    Query(query): Query<BoardsQuery>,
) -> Result<Json<BoardList>, Problem> {
    list(&service, &person, query, false).await
}

/// The boards of your organisation that are there to be copied.
#[utoipa::path(get, path = "/v1/board-templates", tag = "boards", params(BoardsQuery),
    responses((status = 200, body = BoardList), (status = "default", body = Problem)))]
async fn list_board_templates(
    State(service): State<Service>,
    person: Person,
    Query(query): Query<BoardsQuery>,
) -> Result<Json<BoardList>, Problem> {
    list(&service, &person, query, true).await
}

/// A board to make.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateBoard {
    /// For people; 1 to 200 characters.
    #[garde(skip)]
    title: String,
    /// Where it belongs.
    #[garde(skip)]
    project_id: Option<ProjectId>,
    /// A board whose content it begins with: a template, or any that you may see.
    #[garde(skip)]
    template_id: Option<BoardId>,
}

async fn view(service: &Service, person: &Person, id: BoardId) -> Result<BoardView, Problem> {
    let (row, role) = service.role(&person.actor, id).await?;
    Ok(BoardView::of(row, role))
}

/// Make a board. You own it.
#[utoipa::path(post, path = "/v1/boards", tag = "boards", request_body = CreateBoard,
    responses((status = 201, body = BoardView), (status = "default", body = Problem)))]
async fn create_board(
    State(service): State<Service>,
    person: Person,
    ValidJson(body): ValidJson<CreateBoard>,
) -> Result<(StatusCode, Json<BoardView>), Problem> {
    let new = NewBoard { title: body.title, project: body.project_id, template: body.template_id };
    let id = service.create(&person.actor, &new).await?;
    Ok((StatusCode::CREATED, Json(view(&service, &person, id).await?)))
}

/// A board, without its document.
#[utoipa::path(get, path = "/v1/boards/{id}", tag = "boards", params(("id" = BoardId, Path)),
    responses((status = 200, body = BoardView), (status = "default", body = Problem)))]
async fn get_board(
    State(service): State<Service>,
    person: Person,
    Path(id): Path<String>,
) -> Result<Json<BoardView>, Problem> {
    Ok(Json(view(&service, &person, board_id(&id)?).await?))
}

/// What changes; what is left out stays.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeBoard {
    /// For people; 1 to 200 characters.
    #[garde(skip)]
    title: Option<String>,
    /// Where it belongs.
    #[garde(skip)]
    project_id: Option<ProjectId>,
    /// An asset whose picture stands for the board in lists.
    #[garde(skip)]
    preview_asset: Option<AssetId>,
}

/// Change a board's title, project or picture.
#[utoipa::path(patch, path = "/v1/boards/{id}", tag = "boards", params(("id" = BoardId, Path)),
    request_body = ChangeBoard,
    responses((status = 200, body = BoardView), (status = "default", body = Problem)))]
async fn change_board(
    State(service): State<Service>,
    person: Person,
    Path(id): Path<String>,
    ValidJson(body): ValidJson<ChangeBoard>,
) -> Result<Json<BoardView>, Problem> {
    let id = board_id(&id)?;
    let changed = Changed {
        title: body.title,
        project: body.project_id,
        preview_asset: body.preview_asset.map(|id| id.to_string()),
    };
    service.change(&person.actor, id, changed).await?;
    Ok(Json(view(&service, &person, id).await?))
}

/// Delete a board. Its runs go on and its takes stay.
#[utoipa::path(delete, path = "/v1/boards/{id}", tag = "boards", params(("id" = BoardId, Path)),
    responses((status = 204, description = "It is gone"), (status = "default", body = Problem)))]
async fn delete_board(
    State(service): State<Service>,
    person: Person,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    service.delete(&person.actor, board_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a board says at one moment.
#[derive(Debug, Serialize, ToSchema)]
struct DocumentView {
    /// Rises with each change.
    revision: i64,
    /// By id.
    nodes: Vec<Node>,
    /// By id.
    edges: Vec<Edge>,
    /// By id, each with its clips in order.
    tracks: Vec<Track>,
}

/// A board's document at one moment, as plain data.
#[utoipa::path(get, path = "/v1/boards/{id}/document", tag = "boards", params(("id" = BoardId, Path)),
    responses((status = 200, body = DocumentView), (status = "default", body = Problem)))]
async fn get_board_document(
    State(service): State<Service>,
    person: Person,
    Path(id): Path<String>,
) -> Result<Json<DocumentView>, Problem> {
    let seen = service.read(&person.actor, board_id(&id)?).await?;
    Ok(Json(DocumentView {
        revision: seen.revision,
        nodes: seen.board.nodes.into_values().collect(),
        edges: seen.board.edges.into_values().collect(),
        tracks: seen.board.tracks.into_values().collect(),
    }))
}

/// What to do.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct CommandBody {
    /// 1 to 500, in order; all are applied, or none.
    #[garde(skip)]
    commands: Vec<Command>,
}

/// What was done.
#[derive(Debug, Serialize, ToSchema)]
struct CommandsView {
    /// Of the document, with all of it.
    revision: i64,
    /// For each command, the id that it made or touched.
    ids: Vec<String>,
}

/// Change a board's document by commands: all are applied, or none. Everybody who is connected sees it.
#[utoipa::path(post, path = "/v1/boards/{id}/commands", tag = "boards", params(("id" = BoardId, Path)),
    request_body = CommandBody,
    responses((status = 200, body = CommandsView), (status = "default", body = Problem)))]
async fn command_board(
    State(service): State<Service>,
    person: Person,
    Path(id): Path<String>,
    ValidJson(body): ValidJson<CommandBody>,
) -> Result<Json<CommandsView>, Problem> {
    let done = service.command(&person.actor, board_id(&id)?, body.commands).await?;
    Ok(Json(CommandsView { revision: done.revision, ids: done.ids }))
}

/// The live document: a WebSocket that speaks the y-sync protocol, as y-websocket does with
/// `/v1/boards` as its server and `{id}/sync` as its room. Messages of type 100 are JSON from the server:
/// `role`, `refused`, `run`, `take`, `comment`.
#[utoipa::path(get, path = "/v1/boards/{id}/sync", tag = "boards", params(("id" = BoardId, Path)),
    responses((status = 101, description = "The y-sync protocol"), (status = "default", body = Problem)))]
async fn sync_board(
    State(service): State<Service>,
    person: Person,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let guest = service.guest(&person.actor, board_id(&id)?, person.only_looks).await?;
    Ok(socket::accept(&service, guest, request)?)
}

/// Make a template: a copy of the board as it is now, for others to begin with.
#[utoipa::path(post, path = "/v1/boards/{id}/template", tag = "boards", params(("id" = BoardId, Path)),
    responses((status = 201, body = BoardView), (status = "default", body = Problem)))]
async fn make_board_template(
    State(service): State<Service>,
    person: Person,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<BoardView>), Problem> {
    let id = service.make_template(&person.actor, board_id(&id)?).await?;
    Ok((StatusCode::CREATED, Json(view(&service, &person, id).await?)))
}
