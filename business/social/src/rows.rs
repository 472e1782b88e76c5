//! The community's rows, as both databases hold them.

use backlot_business_api::{CommentId, PostId};
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

/// States of a profile, as stored.
pub(crate) mod profile_state {
    /// Takes part.
    pub(crate) const ACTIVE: &str = "active";
    /// The account is suspended.
    pub(crate) const SUSPENDED: &str = "suspended";
    /// Staff banned it.
    pub(crate) const BANNED: &str = "banned";
    /// The account was deleted; its name is gone.
    pub(crate) const ERASED: &str = "erased";
}

/// States of a comment, as stored.
pub(crate) mod comment_state {
    /// Seen.
    pub(crate) const PUBLIC: &str = "public";
    /// Deleted by its author, the post's author or staff.
    pub(crate) const REMOVED: &str = "removed";
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
        p.share_parameters, p.remixable, p.tool, p.tool_version, p.model, p.model_version, p.parameters, p.likes, \
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
