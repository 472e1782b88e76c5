//! The community as people see it.

use std::collections::{HashMap, HashSet};

use backlot_business_api::{CaseId, CommentId, NotificationId, PostId};
use backlot_foundation_time::Timestamp;
use backlot_infrastructure_api::{AssetId, UserId};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::error::Error;
use crate::rows::{Case, Comment, Notification, Post, Profile, post_state, profile_state};
use crate::service::{Service, Tree, Viewer};
use crate::store::Standing;

/// What somebody is called whose account is gone.
pub(crate) const GONE: &str = "Deleted account";

/// Somebody, beside what they made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct AuthorView {
    /// Names the profile: `GET /v1/profiles/{handle}`.
    pub handle: String,
    /// As they call themselves.
    pub name: String,
    /// Route of their picture.
    pub avatar_url: Option<String>,
}

impl AuthorView {
    pub(crate) fn of(profile: &Profile) -> Self {
        Self { handle: profile.handle.clone(), name: profile.name.clone(), avatar_url: avatar_url(profile) }
    }

    /// Of somebody whose account is gone.
    fn gone() -> Self {
        Self { handle: "deleted".to_owned(), name: GONE.to_owned(), avatar_url: None }
    }
}

fn avatar_url(profile: &Profile) -> Option<String> {
    profile.avatar_asset.map(|_| format!("/v1/profiles/{}/avatar", profile.handle))
}

/// A profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ProfileView {
    /// Unique, and unlike every other.
    pub handle: String,
    /// As they call themselves.
    pub name: String,
    /// About themselves.
    pub bio: String,
    /// Route of their picture.
    pub avatar_url: Option<String>,
    /// The caller's own picture, to be sent back with `PUT /v1/profiles/me`; null in everybody else's profile.
    pub avatar_asset: Option<AssetId>,
    /// `active`; of the caller's own and for staff also `suspended`, `banned` or `erased`.
    pub state: String,
    /// Public posts.
    pub posts: i64,
    /// Who follows them.
    pub followers: i64,
    /// Whom they follow.
    pub following: i64,
    /// It is the caller's own.
    pub is_me: bool,
    /// The caller follows them.
    pub followed: bool,
    /// The caller blocks them.
    pub blocked: bool,
    /// The caller mutes them.
    pub muted: bool,
    /// Since when.
    pub created_at: Timestamp,
}

impl ProfileView {
    pub(crate) fn of(profile: &Profile, viewer: &Viewer, standing: Standing) -> Self {
        Self {
            handle: profile.handle.clone(),
            name: profile.name.clone(),
            bio: profile.bio.clone(),
            avatar_url: avatar_url(profile),
            avatar_asset: profile.avatar_asset.filter(|_| profile.user_id == viewer.user),
            state: profile.state.clone(),
            posts: profile.posts,
            followers: profile.followers,
            following: profile.following,
            is_me: profile.user_id == viewer.user,
            followed: standing.follows,
            blocked: standing.blocks,
            muted: standing.mutes,
            created_at: profile.created_at,
        }
    }
}

/// Where a post's medium came from.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ProvenanceView {
    /// `owner/name` of the model; null where none made it, or none is known.
    pub model: Option<String>,
    /// Version of the model.
    pub model_version: Option<String>,
    /// The tool; null where it was brought as it is.
    pub tool: Option<String>,
    /// Version of the tool.
    pub version: Option<String>,
    /// The tool's input without its media, where the author shares it.
    #[schema(value_type = Option<Object>)]
    pub parameters: Option<Value>,
    /// Route of the remix tree.
    pub lineage_url: String,
}

/// A published picture or film.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct PostView {
    /// Its id.
    pub id: PostId,
    /// Who published it.
    pub author: AuthorView,
    /// `image` or `video`.
    pub kind: String,
    /// `public`; to its author and staff also `publishing`, `hidden` or `removed`.
    pub state: String,
    /// Why it was removed, where it was: `author`, `moderation` or `asset_deleted`.
    pub removed_because: Option<String>,
    /// In one line.
    pub title: String,
    /// May be empty.
    pub text: String,
    /// Lower case, without `#`.
    pub tags: Vec<String>,
    /// Route of the medium.
    pub media_url: String,
    /// Route of a small picture of it.
    pub preview_url: String,
    /// Pixels.
    pub width: i32,
    /// Pixels.
    pub height: i32,
    /// Milliseconds; null for a picture.
    pub duration_ms: Option<i64>,
    /// How many like it.
    pub likes: i64,
    /// How many comments it has.
    pub comments: i64,
    /// How many boards were made from it.
    pub remixes: i64,
    /// Whether the caller likes it.
    pub liked: bool,
    /// Whether it is the caller's.
    pub is_mine: bool,
    /// Whether others may remix it.
    pub remixable: bool,
    /// Whether its author shows its parameters.
    pub share_parameters: bool,
    /// Where its medium came from.
    pub provenance: ProvenanceView,
    /// The post that it remixes.
    pub parent_post_id: Option<PostId>,
    /// The board that it was made on; only its author sees it.
    pub board_id: Option<String>,
    /// When.
    pub created_at: Timestamp,
}

fn post_view(post: &Post, author: Option<&Profile>, viewer: &Viewer, liked: bool) -> PostView {
    let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let own = post.author_id == viewer.user;
    let parameters = (post.share_parameters || own).then_some(post.parameters.as_str());
    PostView {
        id: post.id,
        author: author.map_or_else(AuthorView::gone, AuthorView::of),
        kind: post.kind.clone(),
        state: post.state.clone(),
        removed_because: filled(&post.removed_because).filter(|_| post.state == post_state::REMOVED),
        title: post.title.clone(),
        text: post.text.clone(),
        tags: post.tags(),
        media_url: format!("/v1/posts/{}/media", post.id),
        preview_url: format!("/v1/posts/{}/preview", post.id),
        width: post.width_px,
        height: post.height_px,
        duration_ms: Some(post.duration_ms).filter(|ms| *ms > 0),
        likes: post.likes,
        comments: post.comments,
        remixes: post.remixes,
        liked,
        is_mine: own,
        remixable: post.remixable,
        share_parameters: post.share_parameters,
        provenance: ProvenanceView {
            model: filled(&post.model),
            model_version: filled(&post.model_version),
            tool: filled(&post.tool),
            version: filled(&post.tool_version),
            parameters: parameters.and_then(|text| serde_json::from_str(text).ok()),
            lineage_url: format!("/v1/posts/{}/lineage", post.id),
        },
        parent_post_id: post.parent_post_id,
        board_id: post.board_id.clone().filter(|_| own),
        created_at: post.created_at,
    }
}

/// A comment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct CommentView {
    /// Its id.
    pub id: CommentId,
    /// The post.
    pub post_id: PostId,
    /// Who wrote it.
    pub author: AuthorView,
    /// What they wrote.
    pub text: String,
    /// Whether it is the caller's.
    pub is_mine: bool,
    /// When.
    pub created_at: Timestamp,
}

/// Something that somebody did with what the caller made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct NotificationView {
    /// Its id.
    pub id: NotificationId,
    /// `like`, `comment`, `follow`, `remix`, `removed` or `restored`.
    pub kind: String,
    /// Who did it; null where the studio itself did.
    pub actor: Option<AuthorView>,
    /// The post that it is about.
    pub post_id: Option<PostId>,
    /// Its title.
    pub post_title: Option<String>,
    /// Route of a small picture of it.
    pub preview_url: Option<String>,
    /// The comment that it is about.
    pub comment_id: Option<CommentId>,
    /// The beginning of the comment, or the reason of the decision.
    pub text: Option<String>,
    /// Whether it was marked as read.
    pub read: bool,
    /// When.
    pub created_at: Timestamp,
}

/// What somebody said against something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct CaseReportView {
    /// One of a fixed list, such as `spam`.
    pub reason: String,
    /// In their words; null where there are none.
    pub text: Option<String>,
    /// When.
    pub created_at: Timestamp,
}

/// Something that was reported, with what was said against it. Who said it is not in it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct CaseView {
    /// Its id.
    pub id: CaseId,
    /// `post`, `comment` or `profile`.
    pub subject: String,
    /// `open` or `decided`.
    pub state: String,
    /// The post, or the post that the comment is on.
    pub post: Option<PostView>,
    /// The post's id.
    pub post_id: Option<PostId>,
    /// The comment.
    pub comment: Option<CommentView>,
    /// Whose it is.
    pub author: Option<AuthorView>,
    /// What the author says about themselves.
    pub author_bio: Option<String>,
    /// How the author stands: `active`, `suspended`, `banned` or `erased`.
    pub author_state: Option<String>,
    /// The newest 20.
    pub reports: Vec<CaseReportView>,
    /// How many people reported it since it was opened.
    pub report_count: i64,
    /// The last decision: `keep`, `remove` or `ban`; null before the first.
    pub decision: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// When it was decided last.
    pub decided_at: Option<Timestamp>,
    /// Since when it waits.
    pub created_at: Timestamp,
}

/// A post of a remix tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct LineageNodeView {
    /// Its id.
    pub id: PostId,
    /// Empty where it cannot be seen any more.
    pub title: String,
    /// Who published it.
    pub author: AuthorView,
    /// Route of a small picture of it.
    pub preview_url: Option<String>,
    /// Whether it can be seen no more; it keeps its place in the tree.
    pub removed: bool,
    /// When.
    pub created_at: Timestamp,
}

/// A post was made from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct LineageEdgeView {
    /// The parent.
    pub from: PostId,
    /// The remix.
    pub to: PostId,
}

/// A remix tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct LineageView {
    /// Oldest first.
    pub nodes: Vec<LineageNodeView>,
    /// From parent to remix.
    pub edges: Vec<LineageEdgeView>,
    /// Whether there is more than the answer holds.
    pub truncated: bool,
}

impl Service {
    /// Notifications as people see them, in the same order.
    pub(crate) async fn notification_views(
        &self,
        notices: &[Notification],
    ) -> Result<Vec<NotificationView>, Error> {
        let authors = self.authors(notices.iter().filter_map(|one| one.actor_id)).await?;
        let mut posts: Vec<PostId> = notices.iter().filter_map(|one| one.post_id).collect();
        posts.sort_unstable();
        posts.dedup();
        let mut titles = self.store().titles(&posts).await?;
        titles.retain(|_, title| !title.is_empty());
        let view = |one: &Notification| NotificationView {
            id: one.id,
            kind: one.kind.clone(),
            actor: one.actor_id.map(|id| authors.get(&id).map_or_else(AuthorView::gone, AuthorView::of)),
            post_id: one.post_id,
            post_title: one.post_id.and_then(|id| titles.get(&id).cloned()),
            preview_url: one.post_id.map(|id| format!("/v1/posts/{id}/preview")),
            comment_id: one.comment_id,
            text: Some(one.text.clone()).filter(|text| !text.is_empty()),
            read: one.read_at.is_some(),
            created_at: one.created_at,
        };
        Ok(notices.iter().map(view).collect())
    }

    /// Cases as staff see them, in the same order.
    pub(crate) async fn case_views(&self, viewer: &Viewer, cases: &[Case]) -> Result<Vec<CaseView>, Error> {
        let mut reports = self.store().reports(cases).await?;
        let authors: Vec<UserId> = cases.iter().map(|case| case.author_id).collect();
        let authors = self.store().profiles(&authors).await?;
        let filled = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let mut views = Vec::with_capacity(cases.len());
        for case in cases {
            let author = authors.get(&case.author_id);
            let post = match case.post_id {
                Some(id) => self.store().post(id).await?,
                None => None,
            };
            let comment = match CommentId::parse(&case.target_id) {
                Ok(id) if case.subject == "comment" => self.store().comment(id).await?,
                Ok(_) | Err(_) => None,
            };
            let comments = self.comment_views(viewer, comment.as_slice()).await?;
            let posts = self.post_views(viewer, post.as_slice()).await?;
            let report = |one: crate::rows::Report| CaseReportView {
                text: filled(&one.text),
                reason: one.reason,
                created_at: one.created_at,
            };
            views.push(CaseView {
                id: case.id,
                subject: case.subject.clone(),
                state: case.state.clone(),
                post: posts.into_iter().next(),
                post_id: case.post_id,
                comment: comments.into_iter().next(),
                author: author.map(AuthorView::of),
                author_bio: author.and_then(|author| filled(&author.bio)),
                author_state: author.map(|author| author.state.clone()),
                reports: reports.remove(&case.id).unwrap_or_default().into_iter().map(report).collect(),
                report_count: case.reports,
                decision: filled(&case.decision),
                reason: filled(&case.reason),
                decided_at: case.decided_at,
                created_at: case.opened_at,
            });
        }
        Ok(views)
    }

    /// A remix tree as this viewer sees it: what they cannot see keeps its place, and no more.
    pub(crate) async fn lineage_view(&self, viewer: &Viewer, tree: Tree) -> Result<LineageView, Error> {
        let users: HashSet<UserId> = tree.posts.iter().map(|post| post.author_id).collect();
        let hidden = self.store().hidden_among(viewer.user, &users).await?;
        let authors = self.authors(users.into_iter()).await?;
        let node = |post: &Post| {
            let own = post.author_id == viewer.user;
            let seen = own || (post.state == post_state::PUBLIC && !hidden.contains(&post.author_id));
            let author = authors.get(&post.author_id).filter(|_| seen);
            LineageNodeView {
                id: post.id,
                title: if seen { post.title.clone() } else { String::new() },
                author: author.map_or_else(AuthorView::gone, AuthorView::of),
                preview_url: seen.then(|| format!("/v1/posts/{}/preview", post.id)),
                removed: !seen,
                created_at: post.created_at,
            }
        };
        let edges = tree.edges.iter().map(|&(from, to)| LineageEdgeView { from, to }).collect();
        Ok(LineageView { nodes: tree.posts.iter().map(node).collect(), edges, truncated: tree.truncated })
    }

    /// Posts as this viewer sees them, in the same order.
    pub(crate) async fn post_views(&self, viewer: &Viewer, posts: &[Post]) -> Result<Vec<PostView>, Error> {
        let ids: Vec<PostId> = posts.iter().map(|post| post.id).collect();
        let liked = self.store().liked_among(viewer.user, &ids).await?;
        let authors = self.authors(posts.iter().map(|post| post.author_id)).await?;
        let view =
            |post: &Post| post_view(post, authors.get(&post.author_id), viewer, liked.contains(&post.id));
        Ok(posts.iter().map(view).collect())
    }

    /// One post as this viewer sees it.
    pub(crate) async fn view_of_post(&self, viewer: &Viewer, post: &Post) -> Result<PostView, Error> {
        let views = self.post_views(viewer, std::slice::from_ref(post)).await?;
        views.into_iter().next().ok_or_else(|| Error::PostUnknown(post.id.to_string()))
    }

    /// Comments as this viewer sees them, in the same order.
    pub(crate) async fn comment_views(
        &self,
        viewer: &Viewer,
        comments: &[Comment],
    ) -> Result<Vec<CommentView>, Error> {
        let authors = self.authors(comments.iter().map(|comment| comment.author_id)).await?;
        let view = |comment: &Comment| CommentView {
            id: comment.id,
            post_id: comment.post_id,
            author: authors.get(&comment.author_id).map_or_else(AuthorView::gone, AuthorView::of),
            text: comment.text.clone(),
            is_mine: comment.author_id == viewer.user,
            created_at: comment.created_at,
        };
        Ok(comments.iter().map(view).collect())
    }

    pub(crate) async fn authors(
        &self,
        users: impl Iterator<Item = UserId>,
    ) -> Result<HashMap<UserId, Profile>, Error> {
        let mut users: Vec<UserId> = users.collect();
        users.sort_unstable();
        users.dedup();
        let mut found = self.store().profiles(&users).await?;
        found.retain(|_, profile| profile.state != profile_state::ERASED);
        Ok(found)
    }
}
