//! What crashes, cancels and abandoned uploads left behind. It reads the state and believes no message.

use std::time::Duration;

use backlot_infrastructure_api::AssetId;
use futures::StreamExt;

use crate::error::Error;
use crate::keys::{Area, ObjectKey};
use crate::outputs_store::{self, issuer_state};
use crate::service::{AssetState, Service};
use crate::store;

/// Rows of one kind that one round takes.
const ROUND_MAX: u64 = 200;
/// Objects without a row are left alone for this long: their row may be about to commit.
const ORPHAN_AGE: Duration = Duration::from_secs(2 * 3_600);

/// What a round removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Uploads that were not completed in time; their space was returned.
    pub expired_uploads: usize,
    /// Assets and jobs whose leftover objects were removed.
    pub leftovers: usize,
    /// Assets of organisations that have closed.
    pub of_closed: usize,
    /// Objects that no row knows.
    pub orphans: usize,
}

impl Service {
    /// One round over the rows: ends uploads whose time is over, removes objects that no state wants, deletes what
    /// closed organisations left.
    pub async fn reconcile(&self) -> Result<Removed, Error> {
        let inner = &self.inner;
        let mut removed = Removed::default();
        let now = inner.clock.now();
        // One of them that cannot be handled must not keep the others: the next round tries it again.
        for row in store::expired_uploads(inner.db.read(), now, ROUND_MAX).await? {
            match self.expire_upload(&row).await {
                Ok(()) => removed.expired_uploads += 1,
                Err(error) => tracing::warn!(asset = %row.id, %error, "an upload could not be ended"),
            }
        }
        for row in store::with_objects_pending(inner.db.read(), ROUND_MAX).await? {
            match self.try_remove_objects(&row).await {
                Ok(()) => removed.leftovers += 1,
                Err(error) => tracing::warn!(asset = %row.id, %error, "objects could not be removed"),
            }
        }
        for issuer in outputs_store::issuers_with_objects_pending(inner.db.read(), ROUND_MAX).await? {
            match self.try_remove_outputs(&issuer.job_id).await {
                Ok(()) => removed.leftovers += 1,
                Err(error) => tracing::warn!(job = issuer.job_id, %error, "outputs could not be removed"),
            }
        }
        removed.of_closed = self.clear_closed().await?;
        Ok(removed)
    }

    /// One round over the store itself: removes objects that no row wants and that are old enough not to
    /// belong to work in progress. Slow on a large store; run it rarely.
    pub async fn sweep_orphans(&self) -> Result<Removed, Error> {
        let inner = &self.inner;
        let before = inner.clock.now().minus(ORPHAN_AGE);
        let mut removed = Removed::default();
        inner.objects.sweep_scratch(ORPHAN_AGE)?;
        for area in Area::ALL {
            let mut listing = std::pin::pin!(inner.objects.list(area, None));
            while let Some(listed) = listing.next().await {
                let listed = listed?;
                if listed.modified_at <= before && !self.is_wanted(&listed.key).await? {
                    inner.objects.delete(&listed.key).await?;
                    removed.orphans += 1;
                }
            }
        }
        Ok(removed)
    }

    /// Whether a row wants this object now.
    pub(crate) async fn is_wanted(&self, key: &ObjectKey) -> Result<bool, Error> {
        let db = self.inner.db.read();
        if key.area() == Area::Outputs {
            return self.is_output_wanted(key).await;
        }
        let Ok(id) = AssetId::parse(key.last()) else { return Ok(false) };
        let Some(row) = store::asset(db, id).await? else { return self.is_finalizing(id).await };
        if key.segment(1) != Some(row.organisation_id.to_string().as_str()) {
            return Ok(false);
        }
        let state = AssetState::parse(&row.state);
        Ok(match key.area() {
            Area::Uploads => state == AssetState::Uploading,
            // While it is looked at, the verified copy comes before the state.
            Area::Assets | Area::Previews => matches!(state, AssetState::Uploading | AssetState::Ready),
            Area::Outputs => false,
        })
    }

    /// Whether the id was given to an output of a job that is still open: its asset may be about to commit.
    async fn is_finalizing(&self, id: AssetId) -> Result<bool, Error> {
        let db = self.inner.db.read();
        let Some(job_id) = outputs_store::job_of_asset(db, id).await? else { return Ok(false) };
        let issuer = outputs_store::issuer(db, &job_id).await?;
        Ok(issuer.is_some_and(|issuer| issuer.state == issuer_state::OPEN))
    }

    /// Whether an attempt announced this output and its job is open.
    pub(crate) async fn is_output_wanted(&self, key: &ObjectKey) -> Result<bool, Error> {
        let db = self.inner.db.read();
        let (Some(job_id), Some(fence), Ok(n)) = (key.segment(1), key.segment(2), key.last().parse()) else {
            return Ok(false);
        };
        if outputs_store::output(db, job_id, fence, n).await?.is_none() {
            return Ok(false);
        }
        let issuer = outputs_store::issuer(db, job_id).await?;
        Ok(issuer.is_some_and(|issuer| issuer.state == issuer_state::OPEN))
    }
}
