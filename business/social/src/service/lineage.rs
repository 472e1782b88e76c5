//! The remix tree: which post was made from which, in both directions.

use std::collections::BTreeSet;

use backlot_business_api::PostId;

use super::{Service, Viewer};
use crate::error::Error;
use crate::limits::{LINEAGE_GENERATIONS_MAX, LINEAGE_NODES_MAX};
use crate::rows::Post;

/// A part of the tree around one post.
pub(crate) struct Tree {
    /// Oldest first.
    pub(crate) posts: Vec<Post>,
    /// Parent and child.
    pub(crate) edges: Vec<(PostId, PostId)>,
    /// Whether there is more than the answer holds.
    pub(crate) truncated: bool,
}

impl Service {
    /// Follows a post to its beginnings and to everything that was made from them.
    pub(crate) async fn lineage(&self, viewer: &Viewer, id: PostId) -> Result<Tree, Error> {
        let post = self.visible_post(viewer, id).await?;
        let mut truncated = false;
        let mut root = post.clone();
        let mut seen = BTreeSet::from([id]);
        for generation in 0.. {
            let Some(parent) = root.parent_post_id.filter(|parent| seen.insert(*parent)) else { break };
            if generation == LINEAGE_GENERATIONS_MAX {
                truncated = true;
                break;
            }
            let Some(found) = self.store().post(parent).await? else { break };
            root = found;
        }
        seen.insert(root.id);
        let mut frontier: Vec<PostId> = seen.iter().copied().collect();
        for generation in 0..=LINEAGE_GENERATIONS_MAX {
            if frontier.is_empty() {
                break;
            }
            if generation == LINEAGE_GENERATIONS_MAX || seen.len() >= LINEAGE_NODES_MAX {
                truncated = true;
                break;
            }
            let room = LINEAGE_NODES_MAX - seen.len();
            let children = self.store().children(&frontier, room + seen.len()).await?;
            frontier = children.into_iter().filter(|child| seen.insert(*child)).take(room).collect();
        }
        let ids: Vec<PostId> = seen.into_iter().collect();
        let mut posts: Vec<Post> = self.store().posts(&ids).await?.into_values().collect();
        posts.sort_by_key(|post| post.id);
        let known: BTreeSet<PostId> = posts.iter().map(|post| post.id).collect();
        let edge =
            |post: &Post| post.parent_post_id.filter(|parent| known.contains(parent)).map(|p| (p, post.id));
        let edges = posts.iter().filter_map(edge).collect();
        Ok(Tree { posts, edges, truncated })
    }
}
