//! What people hear of: kept as rows, told by a stream within a second.

use std::collections::HashSet;
use std::time::Duration;

use backlot_business_api::NotificationId;
use backlot_foundation_errors::Problem;
use backlot_foundation_ids::Uuid;
use backlot_foundation_time::Timestamp;
use futures::Stream;
use tokio::sync::broadcast::error::RecvError;

use super::{Page, Service, Viewer};
use crate::error::Error;
use crate::limits::{STREAM_CHUNK, STREAM_LOOKBACK, STREAM_POLL};
use crate::rows::Notification;
use crate::store;
use crate::view::NotificationView;

impl Service {
    /// A page of the caller's notifications, newest first, and how many are unread.
    pub(crate) async fn notifications(
        &self,
        viewer: &Viewer,
        before: Option<NotificationId>,
        limit: usize,
    ) -> Result<(Page<Notification>, i64), Error> {
        let mut items = self.store().notifications(viewer.user, before, limit as u64 + 1).await?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|last| last.id.to_string());
        Ok((Page { items, next }, self.store().unread(viewer.user).await?))
    }

    /// Marks the caller's notifications as read: all, or those up to one.
    pub(crate) async fn mark_read(
        &self,
        viewer: &Viewer,
        until: Option<NotificationId>,
    ) -> Result<(), Error> {
        let tx = self.store().begin().await?;
        store::mark_read(&tx, viewer.user, until, self.now()).await?;
        Ok(tx.commit().await?)
    }

    /// What comes from now on, or came after `last`; each once.
    pub(crate) fn watch(
        &self,
        viewer: Viewer,
        last: Option<NotificationId>,
    ) -> impl Stream<Item = Result<NotificationView, Problem>> + Send + use<> {
        let service = self.clone();
        async_stream::try_stream! {
            // Listened for before the first look, so that nothing falls between.
            let mut news = service.news();
            let mut sent = Sent::from(last, service.now());
            loop {
                let found = service.store().notifications_after(viewer.user, &sent.after, STREAM_CHUNK).await?;
                let full = found.len() as u64 == STREAM_CHUNK;
                let new = sent.new_of(found, service.now());
                for view in service.notification_views(&new).await? {
                    yield view;
                }
                if full && !new.is_empty() {
                    continue;
                }
                tokio::select! {
                    () = service.streams().stopped() => break,
                    () = of(&mut news, viewer.user) => (),
                    () = tokio::time::sleep(STREAM_POLL) => (),
                }
            }
        }
    }
}

/// What a stream has sent. Another process may commit a row whose id is older than one that was sent: so a stream
/// looks back a little, and remembers what it sent there.
struct Sent {
    /// Looked for are ids after this.
    after: String,
    ids: HashSet<NotificationId>,
}

impl Sent {
    fn from(last: Option<NotificationId>, now: Timestamp) -> Self {
        match last {
            Some(last) => Self { after: last.to_string(), ids: HashSet::new() },
            None => Self { after: first_id_at(now, Duration::ZERO), ids: HashSet::new() },
        }
    }

    fn new_of(&mut self, found: Vec<Notification>, now: Timestamp) -> Vec<Notification> {
        let new: Vec<Notification> = found.into_iter().filter(|one| self.ids.insert(one.id)).collect();
        let back = first_id_at(now, STREAM_LOOKBACK);
        if back > self.after {
            self.ids.retain(|id| id.to_string() > back);
            self.after = back;
        }
        new
    }
}

/// The smallest id that a row can have that was written at this time.
fn first_id_at(now: Timestamp, back: Duration) -> String {
    let millis = u64::try_from(now.minus(back).millis()).unwrap_or_default();
    Uuid::from_u128(u128::from(millis) << 80).to_string()
}

/// Waits until there may be news for this person.
async fn of(
    news: &mut tokio::sync::broadcast::Receiver<backlot_infrastructure_api::UserId>,
    user: backlot_infrastructure_api::UserId,
) {
    loop {
        match news.recv().await {
            Ok(told) if told == user => return,
            Ok(_) => (),
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => return std::future::pending().await,
        }
    }
}
