//! Infrastructure around the community, in memory, behind its real contract; and people who call by HTTP.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use backlot_business_api::doors::{Boards, Remix, RunOrigin, RunOrigins};
use backlot_business_api::{BoardId, RunId};
use backlot_business_social::{Config, Doors, Migrator, Service};
use backlot_foundation_db::Db;
use backlot_foundation_errors::{Problem, codes};
use backlot_foundation_rpc::Channel;
use backlot_foundation_rpc::http::authenticate;
use backlot_foundation_testkit::{TestDb, Trust, databases};
use backlot_foundation_time::{Clock as _, ManualClock, SystemClock};
use backlot_foundation_tokens::Claims;
use backlot_infrastructure_api::v1 as infra;
use backlot_infrastructure_api::v1::identity_server::{Identity, IdentityServer};
use backlot_infrastructure_api::v1::mandates_server::{Mandates, MandatesServer};
use backlot_infrastructure_api::v1::storage_server::{Storage, StorageServer};
use backlot_infrastructure_api::{AssetId, OrganisationId, UserId};
use http::{Request as HttpRequest, StatusCode};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tonic::{Request, Response, Status};
use tower::ServiceExt as _;

type Answer<T> = Result<Response<T>, Status>;

/// What infrastructure knows.
#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) names: HashMap<String, String>,
    pub(crate) assets: HashMap<String, infra::Asset>,
    /// By asset and grant: version, and whether it is public.
    pub(crate) grants: HashMap<(String, String), (i64, bool)>,
    pub(crate) may_not_publish: HashSet<String>,
    pub(crate) origins: HashMap<RunId, RunOrigin>,
    /// Boards that exist: id, owner, and what they were made from.
    pub(crate) boards: HashMap<String, (String, Option<Remix>)>,
    /// Calls of `create_from_post` that get no answer, after their effect.
    pub(crate) lose_boards: usize,
    /// Calls of `SetPublic` that get no answer before their effect, and after it.
    pub(crate) lose_before: usize,
    pub(crate) lose_after: usize,
}

#[derive(Clone, Default)]
pub(crate) struct Infra(pub(crate) Arc<Mutex<Facts>>);

fn unavailable() -> Status {
    Problem::new(&codes::UNAVAILABLE, "Storage does not answer.").into()
}

fn not_found() -> Status {
    Problem::new(&codes::NOT_FOUND, "There is no such asset.").into()
}

#[async_trait]
impl Storage for Infra {
    async fn get_asset(&self, request: Request<infra::GetAssetRequest>) -> Answer<infra::Asset> {
        let request = request.into_inner();
        let facts = self.0.lock();
        let asset = facts.assets.get(&request.asset_id);
        let asset = asset.filter(|asset| asset.organisation_id == request.organisation_id);
        asset.cloned().map(Response::new).ok_or_else(not_found)
    }

    async fn set_public(
        &self,
        request: Request<infra::SetPublicRequest>,
    ) -> Answer<infra::SetPublicResponse> {
        let request = request.into_inner();
        let mut facts = self.0.lock();
        if facts.lose_before > 0 {
            facts.lose_before -= 1;
            return Err(unavailable());
        }
        let ready = facts.assets.get(&request.asset_id).map(infra::Asset::state);
        if ready.is_none() || (request.public && ready != Some(infra::AssetState::Ready)) {
            return Err(not_found());
        }
        let grant = facts.grants.entry((request.asset_id, request.grant_id)).or_default();
        if grant.0 < request.version {
            *grant = (request.version, request.public);
        }
        if facts.lose_after > 0 {
            facts.lose_after -= 1;
            return Err(unavailable());
        }
        Ok(Response::new(infra::SetPublicResponse {}))
    }

    async fn sign_public(&self, request: Request<infra::SignPublicRequest>) -> Answer<infra::SignedUrl> {
        let request = request.into_inner();
        let grant = (request.asset_id.clone(), request.grant_id);
        let public = self.0.lock().grants.get(&grant).is_some_and(|(_, public)| *public);
        let url = format!("http://store.example/{}?preview={}", request.asset_id, request.preview);
        if public { Ok(Response::new(infra::SignedUrl { url, expires_at_us: 0 })) } else { Err(not_found()) }
    }

    async fn sign_download(&self, _: Request<infra::SignDownloadRequest>) -> Answer<infra::SignedUrl> {
        Err(Status::unimplemented("the community reads what is public only"))
    }

    async fn sign_output(&self, _: Request<infra::SignOutputRequest>) -> Answer<infra::SignedUrl> {
        Err(Status::unimplemented("the community runs nothing"))
    }

    async fn begin_upload(&self, _: Request<infra::BeginUploadRequest>) -> Answer<infra::Upload> {
        Err(Status::unimplemented("the community brings nothing in"))
    }

    async fn complete_upload(&self, _: Request<infra::CompleteUploadRequest>) -> Answer<infra::Asset> {
        Err(Status::unimplemented("the community brings nothing in"))
    }

    async fn cancel_upload(
        &self,
        _: Request<infra::CancelUploadRequest>,
    ) -> Answer<infra::CancelUploadResponse> {
        Err(Status::unimplemented("the community brings nothing in"))
    }

    async fn copy_public(&self, request: Request<infra::CopyPublicRequest>) -> Answer<infra::Asset> {
        let request = request.into_inner();
        let mut facts = self.0.lock();
        if let Some(copy) = facts.assets.get(&request.copy_id) {
            return Ok(Response::new(copy.clone()));
        }
        let grant = (request.asset_id.clone(), request.grant_id);
        if !facts.grants.get(&grant).is_some_and(|(_, public)| *public) {
            return Err(not_found());
        }
        let of = facts.assets.get(&request.asset_id).cloned().unwrap_or_default();
        let copy =
            infra::Asset { id: request.copy_id.clone(), organisation_id: request.organisation_id, ..of };
        facts.assets.insert(request.copy_id, copy.clone());
        Ok(Response::new(copy))
    }

    async fn create_issuer(&self, _: Request<infra::CreateIssuerRequest>) -> Answer<infra::Issuer> {
        Err(Status::unimplemented("the community runs nothing"))
    }

    async fn finalize_outputs(
        &self,
        _: Request<infra::FinalizeOutputsRequest>,
    ) -> Answer<infra::FinalizeOutputsResponse> {
        Err(Status::unimplemented("the community runs nothing"))
    }

    async fn discard_outputs(
        &self,
        _: Request<infra::DiscardOutputsRequest>,
    ) -> Answer<infra::DiscardOutputsResponse> {
        Err(Status::unimplemented("the community runs nothing"))
    }
}

#[async_trait]
impl Mandates for Infra {
    async fn check(&self, request: Request<infra::CheckRequest>) -> Answer<infra::CheckResponse> {
        let request = request.into_inner();
        assert_eq!(request.action, "assets.publish");
        let allowed = !self.0.lock().may_not_publish.contains(&request.actor_id);
        let reason = if allowed { "" } else { "no_mandate" };
        Ok(Response::new(infra::CheckResponse { allowed, reason: reason.to_owned(), ..Default::default() }))
    }
}

#[async_trait]
impl Identity for Infra {
    async fn authenticate(&self, _: Request<infra::AuthenticateRequest>) -> Answer<infra::Principal> {
        Err(Status::unimplemented("the edge asks this"))
    }

    async fn get_user(&self, request: Request<infra::GetUserRequest>) -> Answer<infra::User> {
        let id = request.into_inner().user_id;
        let name = self.0.lock().names.get(&id).cloned().ok_or_else(not_found)?;
        Ok(Response::new(infra::User { id, display_name: name, ..Default::default() }))
    }

    async fn create_api_key(
        &self,
        _: Request<infra::CreateApiKeyRequest>,
    ) -> Answer<infra::CreateApiKeyResponse> {
        Err(Status::unimplemented("the command line asks this"))
    }

    async fn reset_password(
        &self,
        _: Request<infra::ResetPasswordRequest>,
    ) -> Answer<infra::ResetPasswordResponse> {
        Err(Status::unimplemented("the command line asks this"))
    }
}

#[async_trait]
impl RunOrigins for Infra {
    async fn origin(&self, _: &str, run: RunId) -> Result<Option<RunOrigin>, Problem> {
        Ok(self.0.lock().origins.get(&run).cloned())
    }
}

#[async_trait]
impl Boards for Infra {
    async fn snapshot(&self, _: &str, user: &str, board: BoardId) -> Result<Value, Problem> {
        let facts = self.0.lock();
        let own = facts.boards.get(&board.to_string()).is_some_and(|(owner, _)| owner == user);
        let node = json!({ "id": "n", "kind": "tool", "x": 0.0, "params": { "prompt": "what was asked for",
            "input": { "image": RunId::generate() } } });
        let content = json!({ "nodes": { "n": node }, "edges": {}, "tracks": {} });
        own.then_some(content).ok_or_else(|| Problem::new(&codes::NOT_FOUND, "There is no such board."))
    }

    async fn create_from_post(&self, _: &str, user: &str, remix: Remix) -> Result<BoardId, Problem> {
        let mut facts = self.0.lock();
        let id = remix.id;
        facts.boards.entry(id.to_string()).or_insert_with(|| (user.to_owned(), Some(remix)));
        if facts.lose_boards > 0 {
            facts.lose_boards -= 1;
            return Err(Problem::new(&codes::UNAVAILABLE, "The canvas does not answer."));
        }
        Ok(id)
    }
}

/// The community in its world, on one database.
pub(crate) struct Stage {
    pub(crate) infra: Infra,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) db: Db,
    pub(crate) service: Service,
    router: Router,
    trust: Trust,
    channel: Channel,
    people: AtomicUsize,
    _database: TestDb,
}

/// Somebody who calls.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) user: UserId,
    pub(crate) organisation: OrganisationId,
    pub(crate) handle: String,
    pub(crate) staff: bool,
}

impl Stage {
    /// One on every kind of database that is at hand.
    pub(crate) async fn all() -> Vec<Self> {
        let mut stages = Vec::new();
        for database in databases("business").await {
            stages.push(Self::over(database).await);
        }
        stages
    }

    pub(crate) async fn over(database: TestDb) -> Self {
        let db = database.db.clone();
        db.migrate::<backlot_foundation_events::Migrator>().await.unwrap();
        db.migrate::<Migrator>().await.unwrap();
        let infra = Infra::default();
        let routes = tonic::service::Routes::new(StorageServer::new(infra.clone()))
            .add_service(MandatesServer::new(infra.clone()))
            .add_service(IdentityServer::new(infra.clone()));
        let channel = Trust::new("business", "infrastructure").channel(routes, "infrastructure");
        let clock = ManualClock::at(SystemClock.now());
        let trust = Trust::new("edge", "business");
        let (service, router) = start(&db, &channel, &infra, &clock, &trust);
        let people = AtomicUsize::new(0);
        Self { infra, clock, db, service, router, trust, channel, people, _database: database }
    }

    /// The process ends without a word, and another one starts on the same database.
    pub(crate) fn crash(&mut self) {
        (self.service, self.router) = start(&self.db, &self.channel, &self.infra, &self.clock, &self.trust);
    }

    /// Somebody new, in an organisation of their own.
    pub(crate) async fn person(&self, name: &str) -> Person {
        let person = Person {
            user: UserId::generate(),
            organisation: OrganisationId::generate(),
            handle: String::new(),
            staff: false,
        };
        self.infra.0.lock().names.insert(person.user.to_string(), name.to_owned());
        let number = self.people.fetch_add(1, Ordering::Relaxed);
        let handle = format!(
            "{}_{}",
            name.to_lowercase(),
            ["x", "y", "z", "k", "q", "v", "h", "g"][number % 8].repeat(1 + number / 8)
        );
        let body = json!({ "handle": handle, "name": name });
        let (status, answer) = self.send(&person, "PUT", "/v1/profiles/me", Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        Person { handle, ..person }
    }

    /// A ready picture of somebody's organisation.
    pub(crate) fn picture(&self, person: &Person) -> String {
        self.asset(person, "image/png", infra::AssetState::Ready)
    }

    pub(crate) fn asset(&self, person: &Person, content_type: &str, state: infra::AssetState) -> String {
        let id = AssetId::generate().to_string();
        let asset = infra::Asset {
            id: id.clone(),
            organisation_id: person.organisation.to_string(),
            state: state.into(),
            content_type: content_type.to_owned(),
            width_px: 640,
            height_px: 480,
            ..Default::default()
        };
        self.infra.0.lock().assets.insert(id.clone(), asset);
        id
    }

    /// Something happened in infrastructure.
    pub(crate) async fn hear(&self, event_type: &str, data: Value) {
        let event = backlot_foundation_events::v1::Event {
            r#type: event_type.to_owned(),
            data_json: data.to_string(),
            ..Default::default()
        };
        let tx = self.db.begin_write().await.unwrap();
        self.service.listener().handle(&tx, &event).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// The answer of a stream, which goes on.
    pub(crate) async fn stream(&self, person: &Person, path: &str, last: Option<&str>) -> Body {
        let token = self.token(person);
        let mut request = HttpRequest::builder().uri(path).header("authorization", format!("Bearer {token}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body()
    }

    fn token(&self, person: &Person) -> String {
        let (user, organisation) = (person.user.to_string(), person.organisation.to_string());
        let mut claims = Claims::person("business", &user, &organisation, SystemClock.now());
        claims.staff = person.staff;
        self.trust.signer.sign(&claims).unwrap()
    }

    /// Calls as somebody.
    pub(crate) async fn send(
        &self,
        person: &Person,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        self.send_with(person, method, path, body, &[]).await
    }

    pub(crate) async fn send_with(
        &self,
        person: &Person,
        method: &str,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> (StatusCode, Value) {
        let token = self.token(person);
        let mut request = HttpRequest::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {token}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let status = response.status();
        let location = response.headers().get("location").cloned();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = || location.map_or(Value::Null, |location| json!(location.to_str().unwrap()));
        (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| text()))
    }

    /// Reads as somebody; it must succeed.
    pub(crate) async fn get(&self, person: &Person, path: &str) -> Value {
        let (status, body) = self.send(person, "GET", path, None).await;
        assert!(status.is_success(), "{path}: {status} {body}");
        body
    }

    /// Changes as somebody; it must succeed.
    pub(crate) async fn act(&self, person: &Person, method: &str, path: &str) {
        let (status, body) = self.send(person, method, path, None).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{method} {path}: {body}");
    }

    /// Publishes a new picture and returns the post's id.
    pub(crate) async fn post(&self, person: &Person, title: &str, tags: &[&str]) -> String {
        let asset = self.picture(person);
        let body = json!({ "asset_id": asset, "title": title, "tags": tags, "remixable": true });
        let (status, post) = self.send(person, "POST", "/v1/posts", Some(body)).await;
        assert_eq!(status, StatusCode::CREATED, "{post}");
        self.clock.advance(Duration::from_millis(5));
        post["id"].as_str().unwrap().to_owned()
    }

    /// Titles of a feed, in order.
    pub(crate) async fn titles(&self, person: &Person, query: &str) -> Vec<String> {
        let page = self.get(person, &format!("/v1/posts?{query}")).await;
        let items = page["items"].as_array().unwrap();
        items.iter().map(|post| post["title"].as_str().unwrap().to_owned()).collect()
    }

    /// Types of the community's events in the outbox, in order.
    pub(crate) async fn events(&self) -> Vec<String> {
        use sea_orm::{ConnectionTrait as _, Statement};
        let sql = "SELECT type FROM outbox ORDER BY seq";
        let rows =
            self.db.read().query_all_raw(Statement::from_string(self.db.backend(), sql)).await.unwrap();
        let types = rows.iter().map(|row| row.try_get::<String>("", "type").unwrap());
        types.map(|text| text.replace("business.", "")).collect()
    }
}

fn start(
    db: &Db,
    channel: &Channel,
    infra: &Infra,
    clock: &Arc<ManualClock>,
    trust: &Trust,
) -> (Service, Router) {
    let doors = Doors { origins: Arc::new(infra.clone()), boards: Some(Arc::new(infra.clone())) };
    let service = Service::new(db.clone(), channel.clone(), doors, clock.clone(), Config::default());
    let (router, _) = service.http().split_for_parts();
    let router = router.layer(axum::middleware::from_fn_with_state(trust.verifier.clone(), authenticate));
    (service, router)
}
