//! The events of the community. Ids, counts and kinds only: no text that anybody wrote, no handle, no URL.
//!
//! The subject is the post's id; of a follow, the id of who is followed; of a case, the case's id.

use backlot_foundation_events::{EventSchema, EventType, schema_of};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! event {
    ($name:ident, $text:literal) => {
        impl EventType for $name {
            const TYPE: &'static str = $text;
            const VERSION: u32 = 1;
        }
    };
}

/// A picture or a film is public from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PostPublished {
    /// Who published it.
    pub author_id: String,
    /// What is shown.
    pub asset_id: String,
    /// `image` or `video`.
    pub kind: String,
    /// The tool that made it; empty where none did.
    pub tool: String,
    /// Whether it was made by remixing another post.
    pub is_remix: bool,
    /// The post that it remixes; empty where it is none.
    pub parent_post_id: String,
    /// Whether others may remix it.
    pub remixable: bool,
    /// How many tags it has.
    pub tags: i32,
}
event!(PostPublished, "business.post.published");

/// A post is no longer public.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PostRemoved {
    /// Whose it was.
    pub author_id: String,
    /// `author`, `moderation` or `asset_deleted`.
    pub reason: String,
}
event!(PostRemoved, "business.post.removed");

/// Somebody likes a post.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PostLiked {
    /// Whose post it is.
    pub author_id: String,
}
event!(PostLiked, "business.post.liked");

/// Somebody took a like back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PostUnliked {
    /// Whose post it is.
    pub author_id: String,
}
event!(PostUnliked, "business.post.unliked");

/// Somebody commented on a post.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PostCommented {
    /// Whose post it is.
    pub author_id: String,
    /// The comment.
    pub comment_id: String,
}
event!(PostCommented, "business.post.commented");

/// Somebody made a board from a post.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PostRemixed {
    /// Whose post it is.
    pub author_id: String,
    /// The remix.
    pub remix_id: String,
    /// The new board.
    pub board_id: String,
}
event!(PostRemixed, "business.post.remixed");

/// Somebody follows somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileFollowed {
    /// Who is followed.
    pub followee_id: String,
}
event!(ProfileFollowed, "business.profile.followed");

/// Somebody follows somebody no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProfileUnfollowed {
    /// Who was followed.
    pub followee_id: String,
}
event!(ProfileUnfollowed, "business.profile.unfollowed");

/// Somebody reported a post, a comment or a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportFiled {
    /// `post`, `comment` or `profile`.
    pub kind: String,
    /// Its id.
    pub target_id: String,
    /// One of a fixed list, such as `spam`.
    pub reason: String,
}
event!(ReportFiled, "business.report.filed");

/// Staff decided a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CaseDecided {
    /// `post`, `comment` or `profile`.
    pub kind: String,
    /// Its id.
    pub target_id: String,
    /// `keep`, `remove` or `ban`.
    pub decision: String,
    /// Reports that it answers.
    pub reports: i64,
    /// From the first report to the decision.
    pub open_ms: i64,
}
event!(CaseDecided, "business.case.decided");

/// The schemas of the community's events.
#[must_use]
pub fn schemas() -> Vec<EventSchema> {
    vec![
        schema_of::<PostPublished>(),
        schema_of::<PostRemoved>(),
        schema_of::<PostLiked>(),
        schema_of::<PostUnliked>(),
        schema_of::<PostCommented>(),
        schema_of::<PostRemixed>(),
        schema_of::<ProfileFollowed>(),
        schema_of::<ProfileUnfollowed>(),
        schema_of::<ReportFiled>(),
        schema_of::<CaseDecided>(),
    ]
}
