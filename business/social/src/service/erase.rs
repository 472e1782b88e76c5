//! What other systems say of accounts, organisations and assets, and what the community removes for it.
//!
//! An event changes at once what people see, in the transaction that moves the cursor; the rest is removed step by
//! step from rows that say so.

use async_trait::async_trait;
use backlot_business_api::community_events::PostRemoved;
use backlot_foundation_db::{DbError, WriteTx};
use backlot_foundation_events::{Handler, HandlerError, outbox, v1};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{OrganisationId, UserId};
use serde_json::Value;

use super::Service;
use super::publish::of;
use crate::error::Error;
use crate::limits::{DUE_MAX, ERASE_CHUNK, LEASE, NOTIFICATIONS_KEPT, RATES_KEPT};
use crate::rows::{Post, post_state, removed_because};
use crate::store::{self, Flag};
use crate::systems::Grant;

/// An account was suspended or reinstated.
const STATE_CHANGED: &str = "identity.user.state_changed";
/// An account is gone.
const USER_DELETED: &str = "identity.user.deleted";
/// An organisation is gone.
const ORGANISATION_CLOSED: &str = "identity.organisation.closed";
/// An asset is gone.
const ASSET_DELETED: &str = "storage.asset.deleted";
/// What infrastructure says that the community must hear.
pub(crate) const EVENTS: &[&str] = &[STATE_CHANGED, USER_DELETED, ORGANISATION_CLOSED, ASSET_DELETED];

/// Applies infrastructure's events.
pub(crate) struct Listener(pub(crate) Service);

#[async_trait]
impl Handler for Listener {
    async fn handle(&self, tx: &WriteTx, event: &v1::Event) -> Result<(), HandlerError> {
        let now = self.0.now();
        let data: Value = serde_json::from_str(&event.data_json).unwrap_or_default();
        let text = |name: &str| data[name].as_str().unwrap_or_default();
        match event.r#type.as_str() {
            STATE_CHANGED => {
                if let Ok(user) = UserId::parse(text("user_id")) {
                    let suspended = text("state") == "suspended";
                    store::set_flag(tx, user, Flag::Suspended, suspended, now).await?;
                }
            }
            USER_DELETED => {
                if let Ok(user) = UserId::parse(text("user_id")) {
                    store::begin_erasure(tx, user, now).await?;
                }
            }
            ORGANISATION_CLOSED => {
                if let Ok(organisation) = OrganisationId::parse(text("organisation_id")) {
                    store::begin_closing(tx, organisation, now).await?;
                }
            }
            ASSET_DELETED => {
                for post in store::posts_of_asset(tx, text("asset_id")).await? {
                    let because = removed_because::ASSET_DELETED;
                    store::set_post_state(tx, &post, post_state::REMOVED, because, now).await?;
                    say_removed(tx, &post, because, now).await?;
                }
            }
            _ => (),
        }
        Ok(())
    }

    async fn committed(&self) {
        self.0.wake();
    }
}

async fn say_removed(tx: &WriteTx, post: &Post, because: &str, now: Timestamp) -> Result<(), DbError> {
    let event = PostRemoved { author_id: post.author_id.to_string(), reason: because.to_owned() };
    outbox::publish(tx, of(post, now), &event).await
}

impl Service {
    /// One step of everything that is to be removed; answers how much there was.
    pub(crate) async fn sweep_removals(&self) -> Result<usize, Error> {
        let mut steps = self.revoke_pictures().await?;
        for organisation in self.store().closing(DUE_MAX).await? {
            let now = self.now();
            let tx = self.store().begin().await?;
            for post in store::close_step(&tx, organisation, ERASE_CHUNK, now).await? {
                say_removed(&tx, &post, removed_because::ACCOUNT_DELETED, now).await?;
            }
            tx.commit().await?;
            steps += 1;
        }
        for user in self.store().erasing(DUE_MAX).await? {
            let now = self.now();
            let tx = self.store().begin().await?;
            let (posts, _) = store::erase_step(&tx, user, ERASE_CHUNK, now).await?;
            for post in posts {
                say_removed(&tx, &post, removed_because::ACCOUNT_DELETED, now).await?;
            }
            tx.commit().await?;
            steps += 1;
        }
        Ok(steps)
    }

    async fn revoke_pictures(&self) -> Result<usize, Error> {
        let due = self.store().due_revocations(self.now(), DUE_MAX).await?;
        for one in &due {
            let grant = Grant {
                asset: one.asset_id,
                organisation: one.organisation_id,
                name: one.grant_id.clone(),
                version: one.version,
                public: false,
            };
            let told = self.systems().set_public(&grant).await;
            let tx = self.store().begin().await?;
            match told {
                Err(problem) if problem.is_transient() => {
                    store::revoke_later(&tx, one, self.now().plus(LEASE)).await?;
                }
                // Told, or there is nothing that could be public.
                Ok(()) | Err(_) => store::revoked(&tx, one.asset_id, &one.grant_id, one.version).await?,
            }
            tx.commit().await?;
        }
        Ok(due.len())
    }

    /// Forgets what is old.
    pub(crate) async fn forget(&self) -> Result<(), Error> {
        let now = self.now();
        loop {
            let tx = self.store().begin().await?;
            let gone =
                store::forget_notifications(&tx, now.minus(NOTIFICATIONS_KEPT), ERASE_CHUNK * 10).await?;
            store::forget_rates(&tx, now.minus(RATES_KEPT)).await?;
            tx.commit().await?;
            if gone < ERASE_CHUNK * 10 {
                return Ok(());
            }
        }
    }
}
