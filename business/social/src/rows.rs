//! The community's rows, as both databases hold them.

use backlot_business_api::{CaseId, CommentId, NotificationId, PostId, RemixId};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{AssetId, OrganisationId, UserId};
use sea_orm::FromQueryResult;

/// States of a post, as stored.
pub(crate) mod post_state {
    /// Its medium is being made public.
    pub(crate) const PUBLISHING: &str = "publishing";
    /// Everybody signed in sees it.
    pub(crate) const PUBLIC: &str = "public";
    /// Its author is suspended or banned: it comes back when they do.
    pub(crate) const HIDDEN: &str = "hidden";
    /// Nobody sees it any more but its author and staff.
    pub(crate) const REMOVED: &str = "removed";
}

/// States of a profile, as stored; beside these `suspended` and `banned`, which follow from its flags.
pub(crate) mod profile_state {
    /// Takes part.
    pub(crate) const ACTIVE: &str = "active";
    /// The account was deleted; its name is gone.
    pub(crate) const ERASED: &str = "erased";
}

/// States of a comment, as stored.
pub(crate) mod comment_state {
    /// Seen.
    pub(crate) const PUBLIC: &str = "public";
    /// Deleted by its author, the post's author or staff.
    pub(crate) const REMOVED: &str = "removed";
    /// Taken down by a decision about a report, which can be overturned.
    pub(crate) const MODERATED: &str = "moderated";
}

/// Why a post was removed, as stored.
pub(crate) mod removed_because {
    /// Its author removed it.
    pub(crate) const AUTHOR: &str = "author";
    /// Staff decided so; the decision can be overturned.
    pub(crate) const MODERATION: &str = "moderation";
    /// Its medium is gone.
    pub(crate) const ASSET_DELETED: &str = "asset_deleted";
    /// Its author's account, or its organisation, is gone.
    pub(crate) const ACCOUNT_DELETED: &str = "account_deleted";
}

/// Kinds of notifications, as stored and told.
pub(crate) mod notice {
    /// Somebody likes a post.
    pub(crate) const LIKE: &str = "like";
    /// Somebody commented on a post.
    pub(crate) const COMMENT: &str = "comment";
    /// Somebody follows.
    pub(crate) const FOLLOW: &str = "follow";
    /// Somebody made a board from a post.
    pub(crate) const REMIX: &str = "remix";
    /// Staff took something down.
    pub(crate) const REMOVED: &str = "removed";
    /// Staff overturned that.
    pub(crate) const RESTORED: &str = "restored";
}

/// Somebody in the community.
#[derive(Debug, Clone, PartialEq, FromQueryResult)]
pub(crate) struct Profile {
    pub(crate) user_id: UserId,
    pub(crate) handle: String,
    pub(crate) name: String,
    pub(crate) bio: String,
    pub(crate) avatar_asset: Option<AssetId>,
    pub(crate) avatar_organisation: Option<OrganisationId>,
    pub(crate) state: String,
    pub(crate) posts: i64,
    pub(crate) followers: i64,
    pub(crate) following: i64,
    pub(crate) created_at: Timestamp,
}

impl Profile {
    /// Columns in the order that does not matter: they are read by name.
    pub(crate) const COLUMNS: &'static str = "user_id, handle, name, bio, avatar_asset, avatar_organisation, \
        state, posts, followers, following, created_at";

    pub(crate) fn is_active(&self) -> bool {
        self.state == profile_state::ACTIVE
    }
}

/// A post.
#[derive(Debug, Clone, PartialEq, FromQueryResult)]
pub(crate) struct Post {
    pub(crate) id: PostId,
    pub(crate) author_id: UserId,
    pub(crate) organisation_id: OrganisationId,
    pub(crate) state: String,
    pub(crate) asset_id: AssetId,
    /// `image` or `video`.
    pub(crate) kind: String,
    pub(crate) width_px: i32,
    pub(crate) height_px: i32,
    pub(crate) duration_ms: i64,
    pub(crate) title: String,
    pub(crate) text: String,
    /// JSON list of texts.
    pub(crate) tags: String,
    pub(crate) board_id: Option<String>,
    pub(crate) parent_post_id: Option<PostId>,
    pub(crate) share_parameters: bool,
    pub(crate) remixable: bool,
    /// Empty where no run made it.
    pub(crate) tool: String,
    pub(crate) tool_version: String,
    pub(crate) model: String,
    pub(crate) model_version: String,
    /// JSON object; empty where there are none.
    pub(crate) parameters: String,
    /// JSON: what was on its board when it was published; may be empty, and is where a post is read: it is large, and
    /// only a remix asks for it, by `Store::recipe`.
    pub(crate) recipe: String,
    pub(crate) likes: i64,
    pub(crate) comments: i64,
    pub(crate) remixes: i64,
    pub(crate) hot: i64,
    /// Storage was told that its medium is public, and has not been told otherwise since.
    pub(crate) granted: bool,
    /// Rises whenever what storage should be told changes: of two calls the later one counts.
    pub(crate) grant_version: i64,
    pub(crate) removed_because: String,
    /// When storage has to be told something; `None` where it knows all.
    pub(crate) due_at: Option<Timestamp>,
    pub(crate) tries: i32,
    pub(crate) created_at: Timestamp,
}

impl Post {
    /// Read by name.
    pub(crate) const COLUMNS: &'static str = "p.id, p.author_id, p.organisation_id, p.state, p.asset_id, p.kind, \
        p.width_px, p.height_px, p.duration_ms, p.title, p.text, p.tags, p.board_id, p.parent_post_id, \
        p.share_parameters, p.remixable, p.tool, p.tool_version, p.model, p.model_version, p.parameters, '' AS recipe, p.likes, \
        p.comments, p.remixes, p.hot, p.granted, p.grant_version, p.removed_because, p.due_at, p.tries, p.created_at";

    pub(crate) fn tags(&self) -> Vec<String> {
        serde_json::from_str(&self.tags).unwrap_or_default()
    }

    /// Whether its medium should be readable by everybody signed in.
    pub(crate) fn wants_grant(&self) -> bool {
        matches!(self.state.as_str(), post_state::PUBLISHING | post_state::PUBLIC)
    }
}

/// A comment.
#[derive(Debug, Clone, PartialEq, FromQueryResult)]
pub(crate) struct Comment {
    pub(crate) id: CommentId,
    pub(crate) post_id: PostId,
    pub(crate) author_id: UserId,
    pub(crate) state: String,
    pub(crate) text: String,
    pub(crate) created_at: Timestamp,
}

impl Comment {
    /// Read by name.
    pub(crate) const COLUMNS: &'static str = "id, post_id, author_id, state, text, created_at";
}

/// A word or a tag with the number of its posts.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub(crate) struct Word {
    pub(crate) word: String,
    pub(crate) posts: i64,
}

/// Something that a person hears of.
#[derive(Debug, Clone, PartialEq, FromQueryResult)]
pub(crate) struct Notification {
    pub(crate) id: NotificationId,
    pub(crate) kind: String,
    /// `None`: the studio itself.
    pub(crate) actor_id: Option<UserId>,
    pub(crate) post_id: Option<PostId>,
    pub(crate) comment_id: Option<CommentId>,
    pub(crate) text: String,
    pub(crate) read_at: Option<Timestamp>,
    pub(crate) created_at: Timestamp,
}

impl Notification {
    /// Read by name.
    pub(crate) const COLUMNS: &'static str =
        "id, kind, actor_id, post_id, comment_id, text, read_at, created_at";
}

/// Something that was reported.
#[derive(Debug, Clone, PartialEq, FromQueryResult)]
pub(crate) struct Case {
    pub(crate) id: CaseId,
    /// `post`, `comment` or `profile`.
    pub(crate) subject: String,
    pub(crate) target_id: String,
    pub(crate) author_id: UserId,
    pub(crate) post_id: Option<PostId>,
    /// `open` or `decided`.
    pub(crate) state: String,
    /// Since it was opened last.
    pub(crate) reports: i64,
    /// Of the last time; empty before.
    pub(crate) decision: String,
    pub(crate) reason: String,
    pub(crate) decided_by: Option<UserId>,
    pub(crate) opened_at: Timestamp,
    pub(crate) decided_at: Option<Timestamp>,
}

impl Case {
    /// Read by name.
    pub(crate) const COLUMNS: &'static str = "id, subject, target_id, author_id, post_id, state, reports, decision, \
        reason, decided_by, opened_at, decided_at";
}

/// What somebody said against something.
#[derive(Debug, Clone, PartialEq, FromQueryResult)]
pub(crate) struct Report {
    pub(crate) reason: String,
    pub(crate) text: String,
    pub(crate) created_at: Timestamp,
}

/// A line of what staff did.
#[derive(Debug, Clone, PartialEq, FromQueryResult)]
pub(crate) struct AuditLine {
    pub(crate) id: String,
    pub(crate) at: Timestamp,
    pub(crate) actor_id: UserId,
    pub(crate) action: String,
    pub(crate) subject: String,
    pub(crate) target_id: String,
    /// JSON object.
    pub(crate) detail: String,
}

/// A board that is made from a post.
#[derive(Debug, Clone, PartialEq, FromQueryResult)]
pub(crate) struct Remix {
    pub(crate) id: RemixId,
    pub(crate) post_id: PostId,
    pub(crate) user_id: UserId,
    pub(crate) organisation_id: OrganisationId,
    /// `intent`, `done` or `failed`.
    pub(crate) state: String,
    pub(crate) board_id: Option<String>,
    /// JSON, where it failed.
    pub(crate) problem: String,
    pub(crate) due_at: Option<Timestamp>,
    pub(crate) tries: i32,
    pub(crate) created_at: Timestamp,
}

impl Remix {
    /// Read by name.
    pub(crate) const COLUMNS: &'static str =
        "id, post_id, user_id, organisation_id, state, board_id, problem, due_at, tries, created_at";
}
