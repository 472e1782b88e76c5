//! Who the credentials are: a cache that is never older than half a second.
//!
//! The view tails identity's events and drops what they touch. While heartbeats come, it answers from
//! memory; when the last one is older than 500 ms, it asks identity for every request, and where identity
//! does not answer, the request is denied. So a revocation bites within a second, and no request needs a
//! call while all is well.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backlot_foundation_errors::{Kind, Problem, codes};
use backlot_foundation_events::v1::events_client::EventsClient;
use backlot_foundation_events::v1::tail_response::Item;
use backlot_foundation_events::v1::{Event, TailRequest};
use backlot_foundation_rpc::Channel;
use backlot_foundation_runtime::{Stop, Tasks};
use backlot_foundation_tokens::{CallerKind, Claims, Signer, TOKEN_LIFE};
use backlot_infrastructure_api::v1::authenticate_request::Credential;
use backlot_infrastructure_api::v1::identity_client::IdentityClient;
use backlot_infrastructure_api::v1::{ActorKind, AuthenticateRequest, Principal};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, watch};

/// Age of the last heartbeat above which the cache is not believed.
const HEARTBEAT_AGE_MAX: Duration = Duration::from_millis(500);
/// Age of an entry above which identity is asked again: it also learns that the credential is in use.
const ENTRY_AGE_MAX: Duration = Duration::from_secs(60);
/// Credentials remembered at once.
const ENTRIES_MAX: usize = 50_000;
/// Questions to identity at once; more wait.
const QUESTIONS_MAX: usize = 64;
/// Longest wait for identity's answer.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
/// Silence after which a stream is taken for dead and opened again.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// Pause before a stream is opened again.
const REOPEN_PAUSE: Duration = Duration::from_millis(100);

/// Events that change what a credential may do.
const TYPES: &[&str] = &[
    "identity.session.ended",
    "identity.session.switched",
    "identity.api_key.revoked",
    "identity.membership.changed",
    "identity.user.state_changed",
    "identity.user.deleted",
    "identity.organisation.closed",
];

/// What a client presents.
#[derive(Clone)]
pub(super) enum Presented {
    /// The value of the session cookie.
    Session(String),
    /// An API key.
    ApiKey(String),
}

/// SHA-256 of a presented credential: the cache never holds one in clear.
type Digest = [u8; 32];

/// Who a credential is, and the tokens that were signed for it.
pub(super) struct Known {
    pub(super) principal: Principal,
    tokens: Mutex<HashMap<&'static str, (String, i64)>>,
}

struct Entry {
    known: Arc<Known>,
    learned: Instant,
}

/// The cache. Cheap to clone.
#[derive(Clone)]
pub(super) struct AuthView {
    inner: Arc<Inner>,
}

struct Inner {
    infrastructure: Channel,
    signer: Arc<Signer>,
    entries: Mutex<HashMap<Digest, Entry>>,
    /// When the last heartbeat came. Before the first, nothing is believed.
    heartbeat: Mutex<Option<Instant>>,
    /// Rises with every event that drops something.
    changes: watch::Sender<u64>,
    questions: Semaphore,
}

impl AuthView {
    pub(super) fn new(infrastructure: Channel, signer: Arc<Signer>) -> Self {
        let inner = Inner {
            infrastructure,
            signer,
            entries: Mutex::default(),
            heartbeat: Mutex::default(),
            changes: watch::Sender::new(0),
            questions: Semaphore::new(QUESTIONS_MAX),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Starts the loop that follows identity's events.
    pub(super) fn start(&self, tasks: &Tasks) {
        let view = self.clone();
        tasks.spawn_loop("edge view", move |stop| view.clone().follow(stop));
    }

    /// Rises whenever a credential may have become invalid.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// Who presents this.
    pub(super) async fn resolve(&self, presented: &Presented) -> Result<Arc<Known>, Problem> {
        let digest = digest(presented);
        let fresh = self.is_fresh();
        if fresh && let Some(known) = self.cached(&digest) {
            return Ok(known);
        }
        // Read before asking: an event in between may tell that the answer is out of date already.
        let version = *self.inner.changes.borrow();
        let principal = self.ask(presented).await?;
        let known = Arc::new(Known { principal, tokens: Mutex::default() });
        let mut entries = self.inner.entries.lock();
        if fresh && *self.inner.changes.borrow() == version {
            make_room(&mut entries);
            entries.insert(digest, Entry { known: known.clone(), learned: Instant::now() });
        }
        Ok(known)
    }

    /// Whether the last heartbeat is young enough for the cache to be believed.
    pub(super) fn is_fresh(&self) -> bool {
        self.inner.heartbeat.lock().is_some_and(|at| at.elapsed() <= HEARTBEAT_AGE_MAX)
    }

    fn cached(&self, digest: &Digest) -> Option<Arc<Known>> {
        let entries = self.inner.entries.lock();
        let entry = entries.get(digest)?;
        let expires = entry.known.principal.expires_at_us;
        let expired = expires != 0 && expires <= self.inner.signer.now().micros();
        (!expired && entry.learned.elapsed() <= ENTRY_AGE_MAX).then(|| entry.known.clone())
    }

    async fn ask(&self, presented: &Presented) -> Result<Principal, Problem> {
        let silent =
            || Problem::new(&codes::UNAVAILABLE, "Accounts cannot be checked now. Try again.").retry_after(1);
        let credential = match presented {
            Presented::Session(token) => Credential::SessionToken(token.clone()),
            Presented::ApiKey(key) => Credential::ApiKey(key.clone()),
        };
        metrics::counter!("backlot_edge_identity_questions").increment(1);
        let question = async {
            let _permit = self.inner.questions.acquire().await.map_err(|_| silent())?;
            let mut client = IdentityClient::new(self.inner.infrastructure.clone());
            let request = AuthenticateRequest { credential: Some(credential) };
            client.authenticate(request).await.map_err(Problem::from)
        };
        match tokio::time::timeout(QUESTION_TIMEOUT, question).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(problem)) if problem.is_transient() => {
                tracing::warn!(%problem, "identity did not answer");
                Err(silent())
            }
            Ok(Err(problem)) => Err(problem),
            Err(_) => Err(silent()),
        }
    }

    /// Drops everything about a person at once: what this edge has just changed itself needs no event.
    pub(super) fn forget_user(&self, user_id: &str) {
        self.drop_where(|principal| principal.user_id == user_id);
    }

    fn drop_where(&self, touched: impl Fn(&Principal) -> bool) {
        let mut entries = self.inner.entries.lock();
        entries.retain(|_, entry| !touched(&entry.known.principal));
        // Inside the lock: whoever inserts next sees the new version.
        self.inner.changes.send_modify(|version| *version += 1);
    }

    /// A token for `audience`, signed again when half of its life is over.
    pub(super) fn token(&self, known: &Known, audience: &'static str) -> Result<String, Problem> {
        let now = self.inner.signer.now();
        let half_life = TOKEN_LIFE.as_secs() as i64 / 2;
        if let Some((token, exp)) = known.tokens.lock().get(audience)
            && exp - now.seconds() > half_life
        {
            return Ok(token.clone());
        }
        let principal = &known.principal;
        let mut claims = Claims::person(audience, &principal.user_id, &principal.organisation_id, now);
        if principal.kind() == ActorKind::Service {
            claims.kind = CallerKind::Service;
        }
        claims.credential.clone_from(&principal.credential_id);
        claims.scopes.clone_from(&principal.scopes);
        claims.staff = principal.platform_staff;
        claims.mandate_version = principal.mandate_version;
        let token = self.inner.signer.sign(&claims).map_err(|error| Problem::internal(&error))?;
        known.tokens.lock().insert(audience, (token.clone(), claims.exp));
        Ok(token)
    }

    /// Tails identity until the stop signal. The cursor survives a broken stream, so nothing is missed.
    async fn follow(self, stop: Stop) {
        let mut cursor = String::new();
        while !stop.is_stopped() {
            let ended = stop.unless_stopped(self.tail(&mut cursor)).await;
            *self.inner.heartbeat.lock() = None;
            if let Some(Err(problem)) = ended {
                tracing::warn!(%problem, "identity's events cannot be followed; every request asks identity");
                if matches!(problem.kind, Kind::BadRequest | Kind::Gone) {
                    // The stream does not know our position, or no longer: begin again, remembering nothing.
                    cursor.clear();
                    self.drop_where(|_| true);
                }
            }
            stop.sleep(REOPEN_PAUSE).await;
        }
    }

    async fn tail(&self, cursor: &mut String) -> Result<(), Problem> {
        let types = TYPES.iter().map(|&name| name.to_owned()).collect();
        let request = TailRequest { cursor: cursor.clone(), types, from_end: true };
        let mut client = EventsClient::new(self.inner.infrastructure.clone());
        let mut stream = client.tail(request).await.map_err(Problem::from)?.into_inner();
        loop {
            let message = tokio::time::timeout(SILENCE_MAX, stream.message()).await;
            let silent = |_| Problem::new(&codes::UNAVAILABLE, "The stream of events fell silent.");
            let Some(message) = message.map_err(silent)?.map_err(Problem::from)? else { return Ok(()) };
            match message.item {
                Some(Item::Event(event)) => {
                    self.apply(&event);
                    *cursor = event.cursor;
                }
                Some(Item::Heartbeat(beat)) => {
                    *cursor = beat.cursor;
                    *self.inner.heartbeat.lock() = Some(Instant::now());
                }
                None => (),
            }
        }
    }

    fn apply(&self, event: &Event) {
        let data: serde_json::Value = serde_json::from_str(&event.data_json).unwrap_or_default();
        let field = |name: &str| data.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
        let (user, organisation) = (field("user_id"), field("organisation_id"));
        match event.r#type.as_str() {
            "identity.session.ended" | "identity.session.switched" => {
                let credential = format!("session:{}", field("session_id"));
                self.drop_where(|principal| principal.credential_id == credential);
            }
            "identity.api_key.revoked" => {
                let credential = format!("key:{}", field("api_key_id"));
                self.drop_where(|principal| principal.credential_id == credential);
            }
            // The version of the organisation's authority rose: everybody's there is out of date.
            "identity.membership.changed" | "identity.organisation.closed" => self.drop_where(|principal| {
                principal.organisation_id == organisation || (!user.is_empty() && principal.user_id == user)
            }),
            "identity.user.state_changed" | "identity.user.deleted" => self.forget_user(user),
            // Not asked for; an edge of another version may be. Forgetting too much is never wrong.
            _ => self.drop_where(|_| true),
        }
    }
}

fn digest(presented: &Presented) -> Digest {
    match presented {
        Presented::Session(text) | Presented::ApiKey(text) => Sha256::digest(text.as_bytes()).into(),
    }
}

/// Drops what is old, and everything where that does not help.
fn make_room(entries: &mut HashMap<Digest, Entry>) {
    if entries.len() < ENTRIES_MAX {
        return;
    }
    entries.retain(|_, entry| entry.learned.elapsed() <= ENTRY_AGE_MAX);
    if entries.len() >= ENTRIES_MAX {
        entries.clear();
    }
}
