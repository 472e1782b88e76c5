//! The rules of the community.

mod comments;
mod erase;
mod feed;
mod likes;
mod lineage;
mod moderation;
mod named;
mod notifications;
mod posts;
mod profiles;
mod publish;
mod relations;
mod remix;

use std::sync::Arc;

use backlot_business_api::PostId;
use backlot_business_api::doors::{Boards, RunOrigins};
use backlot_foundation_db::{Db, DbError, WriteTx};
use backlot_foundation_events::EventMeta;
use backlot_foundation_rpc::Channel;
use backlot_foundation_runtime::Stop;
use backlot_foundation_time::{SharedClock, Timestamp};
use backlot_infrastructure_api::{OrganisationId, UserId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast};

pub(crate) use erase::{EVENTS, Listener};
pub(crate) use feed::{Feed, FeedQuery, Page};
pub(crate) use lineage::Tree;
pub(crate) use moderation::{Decision, Reason, Reported};
pub(crate) use posts::{NewPost, PostChange};
pub(crate) use profiles::ProfileChange;

use crate::error::Error;
use crate::limits::{Rate, STREAMS_MAX};
use crate::rows::{Post, Profile, post_state};
use crate::store::{self, Store};
use crate::systems::Systems;

/// News that a slow stream may be behind; then it looks anyway.
const NEWS_MAX: usize = 1_024;
/// Characters of a digest that are kept.
const DIGEST_CHARS: usize = 32;

/// Settings of the community.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {}

/// What the community asks other parts of business.
#[derive(Clone)]
pub struct Doors {
    /// Tools: where a run's output came from.
    pub origins: Arc<dyn RunOrigins>,
    /// The canvas: boards that are made from posts. `None` where the studio has none: nothing is remixed then.
    pub boards: Option<Arc<dyn Boards>>,
}

/// Who looks, or acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Viewer {
    /// The account.
    pub user: UserId,
    /// Where it acts; `None`: nowhere, so that it can look and not publish.
    pub organisation: Option<OrganisationId>,
    /// The platform's own people.
    pub staff: bool,
}

/// The community. Cheap to clone.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    store: Store,
    systems: Systems,
    doors: Doors,
    clock: SharedClock,
    due: Notify,
    news: broadcast::Sender<UserId>,
    streams: Arc<Semaphore>,
    stop: Stop,
}

impl Service {
    /// Over business's migrated database.
    #[must_use]
    pub fn new(db: Db, infrastructure: Channel, doors: Doors, clock: SharedClock, _: Config) -> Self {
        Self(Arc::new(Inner {
            store: Store::new(db),
            systems: Systems::new(infrastructure),
            doors,
            clock,
            due: Notify::new(),
            news: broadcast::Sender::new(NEWS_MAX),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            stop: Stop::new(),
        }))
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn systems(&self) -> &Systems {
        &self.0.systems
    }

    pub(crate) fn doors(&self) -> &Doors {
        &self.0.doors
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Storage is to be told something: the sweep looks at once.
    pub(crate) fn wake(&self) {
        self.0.due.notify_one();
    }

    pub(crate) async fn waked(&self) {
        self.0.due.notified().await;
    }

    /// Somebody has news: open streams of theirs look at once.
    pub(crate) fn tell(&self, user: Option<UserId>) {
        if let Some(user) = user {
            // An error only says that nobody listens.
            let _ = self.0.news.send(user);
        }
    }

    pub(crate) fn news(&self) -> broadcast::Receiver<UserId> {
        self.0.news.subscribe()
    }

    /// A place for one more stream; `None` where all are taken.
    pub(crate) fn stream_place(&self) -> Option<OwnedSemaphorePermit> {
        self.0.streams.clone().try_acquire_owned().ok()
    }

    /// Given when this process is to stop: streams end then, and their clients come back elsewhere.
    pub(crate) fn streams(&self) -> &Stop {
        &self.0.stop
    }

    /// The post as this viewer may see it; unknown where one blocks the other, and where it is not public to
    /// anybody but its author and staff.
    pub(crate) async fn visible_post(&self, viewer: &Viewer, id: PostId) -> Result<Post, Error> {
        let unknown = || Error::PostUnknown(id.to_string());
        let post = self.store().post(id).await?.ok_or_else(unknown)?;
        if post.author_id == viewer.user || viewer.staff {
            return Ok(post);
        }
        if post.state != post_state::PUBLIC {
            return Err(unknown());
        }
        let standing = self.store().standing(viewer.user, post.author_id).await?;
        if standing.blocks || standing.is_blocked { Err(unknown()) } else { Ok(post) }
    }

    /// A public post that this viewer may answer: locked for nothing, checked again where it is written.
    pub(crate) async fn open_post(&self, viewer: &Viewer, id: PostId) -> Result<Post, Error> {
        let post = self.visible_post(viewer, id).await?;
        if post.state == post_state::PUBLIC { Ok(post) } else { Err(Error::PostUnknown(id.to_string())) }
    }
}

/// What is checked in each transaction by which somebody takes part: they may, and not too often.
pub(crate) async fn admit(tx: &WriteTx, who: &Profile, rate: Rate, now: Timestamp) -> Result<(), Error> {
    let current = store::profile_of(tx, who.user_id).await?;
    if !current.is_some_and(|profile| profile.is_active()) {
        return Err(Error::Banned);
    }
    if store::take(tx, who.user_id, rate, now).await? { Ok(()) } else { Err(Error::too_often(rate)) }
}

/// The envelope of an event of the community.
pub(crate) fn meta(subject: impl ToString, viewer: &Viewer, at: Timestamp) -> EventMeta {
    EventMeta {
        subject: subject.to_string(),
        organisation: viewer.organisation.map(|id| id.to_string()).unwrap_or_default(),
        actor: viewer.user.to_string(),
        time: at,
    }
}

pub(crate) fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text)).chars().take(DIGEST_CHARS).collect()
}

/// An act whose row was there already, or whose post is gone, leaves no trace.
pub(crate) async fn leave(tx: WriteTx) -> Result<(), DbError> {
    tx.rollback().await
}
