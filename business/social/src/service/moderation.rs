//! Reports, and what staff decide about them.
//!
//! A case is one reported thing with all that was said against it. A decision answers them all, can be overturned
//! by another one, and leaves a line in the audit.

use backlot_business_api::community_events::{CaseDecided, PostRemoved, ReportFiled};
use backlot_business_api::{CaseId, CommentId, PostId};
use backlot_foundation_db::WriteTx;
use backlot_foundation_events::outbox;
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::UserId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::publish::of;
use super::{Page, Service, Viewer, admit, meta};
use crate::error::Error;
use crate::limits::{REASON_CHARS_MAX, REPORTS};
use crate::rows::{AuditLine, Case, comment_state, notice, post_state, removed_because};
use crate::store::{self, CasePosition, Counter, Flag, NewReport, Notice, Target};
use crate::text::{self, TextError};

/// Subjects of cases, as stored.
mod subject {
    pub(super) const POST: &str = "post";
    pub(super) const COMMENT: &str = "comment";
    pub(super) const PROFILE: &str = "profile";
}

/// Why somebody reports something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// Advertising, or posted over and over.
    Spam,
    /// Somebody else's work.
    Stolen,
    /// Sexual.
    Sexual,
    /// Violent or cruel.
    Violent,
    /// Hateful, or harasses somebody.
    Hateful,
    /// Something else.
    Other,
}

impl Reason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Spam => "spam",
            Self::Stolen => "stolen",
            Self::Sexual => "sexual",
            Self::Violent => "violent",
            Self::Hateful => "hateful",
            Self::Other => "other",
        }
    }
}

/// A decision about a case.
#[derive(Debug, Clone, Copy)]
struct Verdict<'a> {
    case: &'a Case,
    decision: Decision,
    reason: &'a str,
    now: Timestamp,
}

/// What staff decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CaseDecision)]
pub(crate) enum Decision {
    /// It stays; what an earlier decision took down comes back.
    Keep,
    /// It is taken down.
    Remove,
    /// It is taken down, and its author takes part no longer.
    Ban,
}

impl Decision {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Remove => "remove",
            Self::Ban => "ban",
        }
    }
}

/// What is reported.
#[derive(Debug, Clone)]
pub(crate) enum Reported {
    /// A post.
    Post(PostId),
    /// A comment.
    Comment(CommentId),
    /// Somebody.
    Profile(String),
}

impl Service {
    /// Reports something that the caller can see. Reporting it twice is reporting it.
    pub(crate) async fn report(
        &self,
        viewer: &Viewer,
        reported: &Reported,
        reason: Reason,
        text: &str,
    ) -> Result<CaseId, Error> {
        let text = optional(text, "/text")?;
        let target = self.target(viewer, reported).await?;
        if target.author == viewer.user {
            return Err(Error::field("/reason", "speaks of what is your own: change or delete it instead"));
        }
        let own = self.participant(viewer).await?;
        let now = self.now();
        let new = NewReport { reporter: viewer.user, reason: reason.as_str(), text: &text, at: now };
        let tx = self.store().begin().await?;
        admit(&tx, &own, REPORTS, now).await?;
        let case = store::write_report(&tx, &target, &new).await?;
        let event = ReportFiled {
            kind: target.subject.to_owned(),
            target_id: target.id.clone(),
            reason: reason.as_str().to_owned(),
        };
        outbox::publish(&tx, meta(case, viewer, now), &event).await?;
        tx.commit().await?;
        Ok(case)
    }

    async fn target(&self, viewer: &Viewer, reported: &Reported) -> Result<Target, Error> {
        match reported {
            Reported::Post(id) => {
                let post = self.visible_post(viewer, *id).await?;
                let (author, id, post) = (post.author_id, id.to_string(), Some(post.id));
                Ok(Target { subject: subject::POST, id, author, post })
            }
            Reported::Comment(id) => {
                let comment = self.store().comment(*id).await?;
                let comment = comment.filter(|comment| comment.state == comment_state::PUBLIC);
                let comment = comment.ok_or_else(|| Error::CommentUnknown(id.to_string()))?;
                self.visible_post(viewer, comment.post_id).await?;
                let (author, id, post) = (comment.author_id, id.to_string(), Some(comment.post_id));
                Ok(Target { subject: subject::COMMENT, id, author, post })
            }
            Reported::Profile(handle) => {
                let (profile, _) = self.profile_of(viewer, handle).await?;
                let (author, id) = (profile.user_id, profile.user_id.to_string());
                Ok(Target { subject: subject::PROFILE, id, author, post: None })
            }
        }
    }

    /// Cases that wait, or were decided; those that wait longest first.
    pub(crate) async fn cases(
        &self,
        decided: bool,
        after: Option<CasePosition>,
        limit: usize,
    ) -> Result<Page<Case>, Error> {
        let state = if decided { "decided" } else { "open" };
        let mut items = self.store().cases(state, after, limit as u64 + 1).await?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more);
        let next = next.map(|last| format!("{}.{}", last.opened_at.micros(), last.id));
        Ok(Page { items, next })
    }

    /// What staff did, newest first.
    pub(crate) async fn audit(&self, before: Option<&str>, limit: usize) -> Result<Page<AuditLine>, Error> {
        let mut items = self.store().audit(before, limit as u64 + 1).await?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|last| last.id.clone());
        Ok(Page { items, next })
    }

    /// Decides a case. Deciding it again overturns what was decided before.
    pub(crate) async fn decide(
        &self,
        viewer: &Viewer,
        id: CaseId,
        decision: Decision,
        reason: &str,
    ) -> Result<Case, Error> {
        let reason = optional(reason, "/reason")?;
        let unknown = || Error::CaseUnknown(id.to_string());
        let now = self.now();
        let tx = self.store().begin().await?;
        let case = store::lock_case(&tx, id).await?.ok_or_else(unknown)?;
        let verdict = Verdict { case: &case, decision, reason: &reason, now };
        let news = match case.subject.as_str() {
            subject::POST => self.decide_post(&tx, verdict).await?,
            subject::COMMENT => self.decide_comment(&tx, verdict).await?,
            _ => self.decide_profile(&tx, verdict).await?,
        };
        match decision {
            Decision::Ban => {
                store::set_flag(&tx, case.author_id, Flag::Banned, true, now).await?;
            }
            Decision::Keep if case.decision == Decision::Ban.as_str() => {
                store::set_flag(&tx, case.author_id, Flag::Banned, false, now).await?;
            }
            Decision::Keep | Decision::Remove => (),
        }
        store::decide_case(&tx, &case, decision.as_str(), &reason, viewer.user, now).await?;
        let event = CaseDecided {
            kind: case.subject.clone(),
            target_id: case.target_id.clone(),
            decision: decision.as_str().to_owned(),
            reports: case.reports,
            open_ms: now.millis() - case.opened_at.millis(),
        };
        outbox::publish(&tx, meta(id, viewer, now), &event).await?;
        tx.commit().await?;
        self.wake();
        self.tell(news);
        self.store().case(id).await?.ok_or_else(unknown)
    }

    async fn decide_post(&self, tx: &WriteTx, verdict: Verdict<'_>) -> Result<Option<UserId>, Error> {
        let Verdict { case, decision, reason, now } = verdict;
        let Ok(id) = PostId::parse(&case.target_id) else { return Ok(None) };
        let Some(post) = store::lock_post(tx, id).await? else { return Ok(None) };
        let moderated =
            post.state == post_state::REMOVED && post.removed_because == removed_because::MODERATION;
        if decision == Decision::Keep {
            if !moderated {
                return Ok(None);
            }
            let banned = case.decision == Decision::Ban.as_str();
            let active = store::profile_of(tx, post.author_id).await?.is_some_and(|one| one.is_active());
            // Where the ban ends with this decision, the post is shown with the author's others.
            let state = if active && !banned { post_state::PUBLIC } else { post_state::HIDDEN };
            store::set_post_state(tx, &post, state, "", now).await?;
            return notice_of(tx, case, notice::RESTORED, reason, now).await;
        }
        if post.state == post_state::REMOVED {
            return Ok(None);
        }
        store::set_post_state(tx, &post, post_state::REMOVED, removed_because::MODERATION, now).await?;
        let event = PostRemoved {
            author_id: post.author_id.to_string(),
            reason: removed_because::MODERATION.to_owned(),
        };
        outbox::publish(tx, of(&post, now), &event).await?;
        notice_of(tx, case, notice::REMOVED, reason, now).await
    }

    async fn decide_comment(&self, tx: &WriteTx, verdict: Verdict<'_>) -> Result<Option<UserId>, Error> {
        let Verdict { case, decision, reason, now } = verdict;
        let (Ok(id), Some(post)) = (CommentId::parse(&case.target_id), case.post_id) else { return Ok(None) };
        let (from, to, by, kind) = if decision == Decision::Keep {
            (comment_state::MODERATED, comment_state::PUBLIC, 1, notice::RESTORED)
        } else {
            (comment_state::PUBLIC, comment_state::MODERATED, -1, notice::REMOVED)
        };
        if !store::set_comment_state(tx, id, from, to).await? {
            return Ok(None);
        }
        store::bump(tx, post, Counter::Comments, by).await?;
        notice_of(tx, case, kind, reason, now).await
    }

    async fn decide_profile(&self, tx: &WriteTx, verdict: Verdict<'_>) -> Result<Option<UserId>, Error> {
        if verdict.decision == Decision::Remove {
            store::clear_profile(tx, verdict.case.author_id, verdict.now).await?;
        }
        Ok(None)
    }
}

/// Tells the author what was decided; who reported it, nobody is told.
async fn notice_of(
    tx: &WriteTx,
    case: &Case,
    kind: &'static str,
    reason: &str,
    now: Timestamp,
) -> Result<Option<UserId>, Error> {
    let notice = Notice {
        to: case.author_id,
        kind,
        actor: None,
        post: case.post_id,
        comment: (case.subject == subject::COMMENT).then(|| CommentId::parse(&case.target_id).ok()).flatten(),
        text: reason,
        once: format!("{kind}:{}:{}", case.id, now.micros()),
    };
    Ok(store::notify(tx, &notice, now).await?.then_some(case.author_id))
}

fn optional(text: &str, pointer: &'static str) -> Result<String, Error> {
    match text::lines(text, REASON_CHARS_MAX) {
        Ok(text) => Ok(text),
        Err(TextError::Empty) => Ok(String::new()),
        Err(error) => Err(Error::field(pointer, error)),
    }
}
