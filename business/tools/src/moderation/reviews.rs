//! Reviews: what moderation withheld or refused, and what a person of the staff says about it.
//!
//! An output that is in doubt waits for its review with the run's hold open; releasing delivers and charges it,
//! upholding ends the run without a charge. A refused input has ended its run; releasing it lets the same
//! picture pass in the same organisation's next run.

use backlot_business_api::{ReviewId, RunId};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{AssetId, OrganisationId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Side;
use super::store::{self, ReviewRow};
use crate::error::Error;
use crate::service::Service;

/// Seconds that a reviewer's URL of a withheld medium lives.
const LOOK_S: i64 = 600;

/// State of a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReviewState {
    /// Waits for a person.
    Open,
    /// It may pass.
    Released,
    /// It stays refused: by a person, or by its score alone.
    Upheld,
    /// Nobody decided in time; it stays refused.
    Expired,
}

impl ReviewState {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Released => "released",
            Self::Upheld => "upheld",
            Self::Expired => "expired",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::Released, Self::Upheld, Self::Expired].into_iter().find(|s| s.as_str() == text)
    }
}

/// What a person decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ReviewDecision)]
pub enum Decision {
    /// Let it pass.
    Release,
    /// Keep it refused.
    Uphold,
}

impl Decision {
    const fn state(self) -> ReviewState {
        match self {
            Self::Release => ReviewState::Released,
            Self::Uphold => ReviewState::Upheld,
        }
    }
}

/// Which part of the list.
#[derive(Debug, Clone, Copy)]
pub struct ReviewFilter {
    /// Only these.
    pub state: ReviewState,
    /// Only those that come after this one.
    pub after: Option<ReviewId>,
    /// At most so many.
    pub limit: u64,
}

/// A medium under review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReviewMedium {
    /// A URL for ten minutes; null where it is gone.
    pub url: Option<String>,
    /// As it is known; null where it is gone.
    pub content_type: Option<String>,
    /// The asset, where it is one.
    pub asset_id: Option<AssetId>,
}

/// A review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReviewView {
    /// Its id.
    pub id: ReviewId,
    /// The run behind it.
    pub run_id: RunId,
    /// Whose run it is.
    pub organisation_id: OrganisationId,
    /// Name of the tool.
    pub tool: String,
    /// What is judged.
    pub side: Side,
    /// How it stands.
    pub state: ReviewState,
    /// The highest score, 0 safe to 1,000,000; null where nothing could be judged.
    pub score_ppm: Option<i64>,
    /// What is judged.
    pub media: Vec<ReviewMedium>,
    /// A user, `score` or `clock`; null while it is open.
    pub decided_by: Option<String>,
    /// What they said.
    pub note: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When it stays refused if nobody has decided; null where it is decided, or where nothing waits for it.
    pub due_at: Option<Timestamp>,
    /// When it was decided.
    pub decided_at: Option<Timestamp>,
}

impl Service {
    /// Reviews: open ones in the order in which they wait, decided ones newest first.
    pub async fn reviews(&self, filter: ReviewFilter) -> Result<Vec<ReviewView>, Error> {
        let rows = store::reviews(self.store().db(), filter.state, filter.after, filter.limit).await?;
        let mut views = Vec::with_capacity(rows.len());
        for row in rows {
            views.push(self.review_view(row).await);
        }
        Ok(views)
    }

    /// One review.
    pub async fn review(&self, id: ReviewId) -> Result<ReviewView, Error> {
        Ok(self.review_view(self.review_row(id).await?).await)
    }

    /// Decides a review. The same decision again changes nothing; another one is a conflict.
    pub async fn decide_review(
        &self,
        by: &str,
        id: ReviewId,
        decision: Decision,
        note: &str,
    ) -> Result<ReviewView, Error> {
        let row = self.review_row(id).await?;
        let state = decision.state();
        if !store::decide(self.store().db(), &row, state, by, note, self.now()).await? {
            let row = self.review_row(id).await?;
            if row.state != state.as_str() {
                return Err(Error::ReviewDecided(id));
            }
        }
        self.nudge([row.run_id]);
        self.review(id).await
    }

    async fn review_row(&self, id: ReviewId) -> Result<ReviewRow, Error> {
        store::review(self.store().db(), id).await?.ok_or_else(|| Error::ReviewUnknown(id.to_string()))
    }

    async fn review_view(&self, row: ReviewRow) -> ReviewView {
        let side = if row.side == Side::Input.as_str() { Side::Input } else { Side::Output };
        let subjects: Vec<String> = serde_json::from_str(&row.subjects).unwrap_or_default();
        let mut media = Vec::with_capacity(subjects.len());
        for subject in subjects {
            media.push(match side {
                Side::Input => self.input_medium(row.organisation_id, &subject).await,
                Side::Output => self.output_medium(row.run_id, &subject).await,
            });
        }
        let state = ReviewState::parse(&row.state).unwrap_or(ReviewState::Upheld);
        // The run of a refused input has ended: only what came out of one waits.
        let is_awaited = state == ReviewState::Open && side == Side::Output;
        ReviewView {
            id: row.id,
            run_id: row.run_id,
            organisation_id: row.organisation_id,
            tool: row.tool,
            side,
            state,
            score_ppm: row.score_ppm,
            media,
            decided_by: Some(row.decided_by).filter(|by| !by.is_empty()),
            note: row.note,
            created_at: row.created_at,
            due_at: is_awaited.then(|| row.created_at.plus(self.config().moderation.review_time())),
            decided_at: row.decided_at,
        }
    }

    async fn input_medium(&self, organisation: OrganisationId, subject: &str) -> ReviewMedium {
        let Ok(id) = AssetId::parse(subject) else {
            return ReviewMedium { url: None, content_type: None, asset_id: None };
        };
        let asset = self.systems().asset(organisation, id).await.ok().flatten();
        let url = self.systems().sign_download(organisation, id, LOOK_S).await.ok();
        ReviewMedium { url, content_type: asset.map(|asset| asset.content_type), asset_id: Some(id) }
    }

    /// What was released is an asset by now, what was upheld is gone.
    async fn output_medium(&self, run: RunId, key: &str) -> ReviewMedium {
        let row = self.store().run(run).await.ok().flatten();
        let output =
            row.into_iter().flat_map(|row| row.job_outputs()).find(|output| output.object_key == key);
        let url = self.systems().sign_output(run, key, LOOK_S).await.ok();
        let content_type = url.as_ref().and(output).map(|output| output.content_type);
        ReviewMedium { url, content_type, asset_id: None }
    }
}
