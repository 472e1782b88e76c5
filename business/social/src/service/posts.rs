//! Posts: written before storage is told, changed and removed by their author.

use backlot_business_api::community_events::PostRemoved;
use backlot_business_api::{BoardId, PostId};
use backlot_foundation_errors::Kind;
use backlot_foundation_events::outbox;
use backlot_infrastructure_api::{AssetId, OrganisationId};
use serde::Serialize;
use serde_json::Value;

use super::{Service, Viewer, admit, digest, meta};
use crate::error::Error;
use crate::hot::hot;
use crate::limits::{
    LEASE, PARAMETERS_BYTES_MAX, POSTS, PUBLISH_INLINE, RECIPE_BYTES_MAX, TAGS_MAX, TEXT_CHARS_MAX,
    TITLE_CHARS_MAX,
};
use crate::recipe::{without_ids, without_media};
use crate::rows::{Post, post_state, removed_because};
use crate::store::{self, Edit, Inserted, Key};
use crate::systems::Media;
use crate::text::{self, TextError};

/// What somebody wants to publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct NewPost {
    pub(crate) asset: AssetId,
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) tags: Vec<String>,
    pub(crate) board_id: Option<String>,
    pub(crate) share_parameters: bool,
    pub(crate) remixable: bool,
}

/// What an author changes; `None`: it stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PostChange {
    pub(crate) title: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) tags: Option<Vec<String>>,
    pub(crate) share_parameters: Option<bool>,
    pub(crate) remixable: Option<bool>,
}

/// Where a post's medium came from.
#[derive(Default)]
struct Origin {
    tool: String,
    tool_version: String,
    model: String,
    model_version: String,
    parameters: String,
    /// What stood on the board it was made on, as JSON; empty where there was none.
    recipe: String,
    /// The post that board was made from.
    parent: Option<PostId>,
}

impl Service {
    /// Publishes a picture or a film. The answer is the post as it is then: public, or still being published.
    pub(crate) async fn publish(
        &self,
        viewer: &Viewer,
        new: NewPost,
        key: Option<&str>,
    ) -> Result<Post, Error> {
        let organisation = viewer.organisation.ok_or(Error::NoOrganisation)?;
        let key = key.map(|key| Key {
            key_digest: digest(key),
            body_digest: digest(&serde_json::to_string(&new).unwrap_or_default()),
        });
        if let Some(key) = &key
            && let Some(before) = self.store().replay(viewer.user, key).await?
        {
            return self.replayed(before).await;
        }
        let edit = checked(&new)?;
        let media = self.publishable(organisation, new.asset).await?;
        self.systems().may_publish(organisation, viewer.user, &media.project_id).await?;
        let own = self.participant(viewer).await?;
        let mut origin = self.origin(organisation, &media).await?;
        (origin.recipe, origin.parent) = self.made_on(viewer, organisation, new.board_id.as_deref()).await?;
        let post = self.new_post(viewer, organisation, &new, edit, &media, origin);
        let tx = self.store().begin().await?;
        admit(&tx, &own, POSTS, post.created_at).await?;
        if !store::insert_post(&tx, &post, key.as_ref()).await? {
            // Another request with this key was faster.
            tx.rollback().await?;
            let key = key.as_ref().map(|key| self.store().replay(viewer.user, key));
            let before = match key {
                Some(before) => before.await?,
                None => None,
            };
            return self.replayed(before.unwrap_or(Inserted::New)).await;
        }
        tx.commit().await?;
        // Where this takes too long, or the caller goes away, the sweep carries on.
        if tokio::time::timeout(PUBLISH_INLINE, self.tell_storage(post.id)).await.is_err() {
            self.wake();
        }
        self.store().post(post.id).await?.ok_or_else(|| Error::PostUnknown(post.id.to_string()))
    }

    async fn replayed(&self, before: Inserted) -> Result<Post, Error> {
        match before {
            Inserted::Replay(id) => {
                self.store().post(id).await?.ok_or_else(|| Error::PostUnknown(id.to_string()))
            }
            Inserted::KeyReused(id) => Err(Error::KeyReused(id)),
            Inserted::New => Err(Error::PostUnknown(String::new())),
        }
    }

    async fn publishable(&self, organisation: OrganisationId, asset: AssetId) -> Result<Media, Error> {
        let unknown = || Error::NotPublishable("Your organisation has no such asset.".to_owned());
        let media = self.systems().media(organisation, asset).await?.ok_or_else(unknown)?;
        if !media.ready {
            return Err(Error::NotPublishable("It is not ready: complete its upload first.".to_owned()));
        }
        let shown = media.content_type.starts_with("image/") || media.content_type.starts_with("video/");
        if !shown {
            let why = format!("It is {}; only pictures and films are published.", media.content_type);
            return Err(Error::NotPublishable(why));
        }
        Ok(media)
    }

    /// What was on the board, and which post the board was made from.
    async fn made_on(
        &self,
        viewer: &Viewer,
        organisation: OrganisationId,
        board: Option<&str>,
    ) -> Result<(String, Option<PostId>), Error> {
        let Some(board) = board else { return Ok((String::new(), None)) };
        let (here, who) = (organisation.to_string(), viewer.user.to_string());
        let no_board = || Error::field("/board_id", "is no board of yours that you may edit");
        let boards = self.doors().boards.as_ref().ok_or_else(no_board)?;
        let id = BoardId::parse(board).map_err(|_| no_board())?;
        let content = match boards.snapshot(&here, &who, id).await {
            Ok(content) => without_media(content),
            Err(problem) if matches!(problem.kind, Kind::NotFound | Kind::Forbidden) => {
                return Err(no_board());
            }
            Err(problem) => return Err(problem.into()),
        };
        let recipe =
            Some(content.to_string()).filter(|text| text.len() <= RECIPE_BYTES_MAX).unwrap_or_default();
        Ok((recipe, self.store().parent_of_board(board, viewer.user, organisation).await?))
    }

    async fn origin(&self, organisation: OrganisationId, media: &Media) -> Result<Origin, Error> {
        let known = match media.run {
            Some(run) => self.doors().origins.origin(&organisation.to_string(), run).await?,
            None => None,
        };
        let Some(known) = known else {
            let (tool, tool_version) = (media.tool.clone(), media.tool_version.clone());
            return Ok(Origin { tool, tool_version, ..Origin::default() });
        };
        let parameters = without_ids(known.parameters);
        let parameters = match &parameters {
            Value::Object(fields) if !fields.is_empty() => parameters.to_string(),
            _ => String::new(),
        };
        let parameters =
            Some(parameters).filter(|text| text.len() <= PARAMETERS_BYTES_MAX).unwrap_or_default();
        Ok(Origin {
            tool: known.tool,
            tool_version: known.tool_version,
            model: known.model,
            model_version: known.model_version,
            parameters,
            ..Origin::default()
        })
    }

    fn new_post(
        &self,
        viewer: &Viewer,
        organisation: OrganisationId,
        new: &NewPost,
        edit: Edit,
        media: &Media,
        origin: Origin,
    ) -> Post {
        let now = self.now();
        Post {
            id: PostId::generate(),
            author_id: viewer.user,
            organisation_id: organisation,
            state: post_state::PUBLISHING.to_owned(),
            asset_id: new.asset,
            kind: if media.content_type.starts_with("video/") { "video" } else { "image" }.to_owned(),
            width_px: media.width_px,
            height_px: media.height_px,
            duration_ms: media.duration_ms,
            title: edit.title,
            text: edit.text,
            tags: serde_json::to_string(&edit.tags).unwrap_or_default(),
            board_id: new.board_id.clone(),
            parent_post_id: origin.parent,
            share_parameters: edit.share_parameters,
            remixable: edit.remixable,
            tool: origin.tool,
            tool_version: origin.tool_version,
            model: origin.model,
            model_version: origin.model_version,
            parameters: origin.parameters,
            recipe: origin.recipe,
            likes: 0,
            comments: 0,
            remixes: 0,
            hot: hot(now, 0, 0, 0),
            granted: false,
            grant_version: 1,
            removed_because: String::new(),
            due_at: Some(now.plus(LEASE)),
            tries: 0,
            created_at: now,
        }
    }

    /// Changes what its author says about a post.
    pub(crate) async fn change_post(
        &self,
        viewer: &Viewer,
        id: PostId,
        change: PostChange,
    ) -> Result<Post, Error> {
        self.visible_post(viewer, id).await?;
        let own = self.participant(viewer).await?;
        let now = self.now();
        let tx = self.store().begin().await?;
        admit(&tx, &own, POSTS, now).await?;
        let post = store::lock_post(&tx, id).await?.ok_or_else(|| Error::PostUnknown(id.to_string()))?;
        if post.author_id != viewer.user {
            return Err(Error::NotYours("the author of a post"));
        }
        if post.state != post_state::PUBLIC {
            return Err(Error::PostUnknown(id.to_string()));
        }
        let edit = checked(&NewPost {
            asset: post.asset_id,
            title: change.title.unwrap_or_else(|| post.title.clone()),
            text: change.text.unwrap_or_else(|| post.text.clone()),
            tags: change.tags.unwrap_or_else(|| post.tags()),
            board_id: None,
            share_parameters: change.share_parameters.unwrap_or(post.share_parameters),
            remixable: change.remixable.unwrap_or(post.remixable),
        })?;
        store::edit_post(&tx, &post, &edit, now).await?;
        tx.commit().await?;
        self.visible_post(viewer, id).await
    }

    /// Removes the caller's post. Safe to repeat.
    pub(crate) async fn remove_post(&self, viewer: &Viewer, id: PostId) -> Result<(), Error> {
        self.visible_post(viewer, id).await?;
        let now = self.now();
        let tx = self.store().begin().await?;
        let post = store::lock_post(&tx, id).await?.ok_or_else(|| Error::PostUnknown(id.to_string()))?;
        if post.author_id != viewer.user {
            return Err(Error::NotYours("the author of a post"));
        }
        if post.state == post_state::REMOVED {
            return Ok(tx.rollback().await?);
        }
        store::set_post_state(&tx, &post, post_state::REMOVED, removed_because::AUTHOR, now).await?;
        let event =
            PostRemoved { author_id: viewer.user.to_string(), reason: removed_because::AUTHOR.to_owned() };
        outbox::publish(&tx, meta(id, viewer, now), &event).await?;
        tx.commit().await?;
        self.wake();
        Ok(())
    }

    /// An address of a post's medium, or of its small picture.
    pub(crate) async fn media_address(
        &self,
        viewer: &Viewer,
        id: PostId,
        preview: bool,
    ) -> Result<String, Error> {
        let post = self.visible_post(viewer, id).await?;
        Ok(self.systems().sign(post.asset_id, &post.id.to_string(), preview).await?)
    }
}

/// What is said about a post, cleaned.
fn checked(new: &NewPost) -> Result<Edit, Error> {
    let title = text::line(&new.title, TITLE_CHARS_MAX).map_err(|error| Error::field("/title", error))?;
    let body = match text::lines(&new.text, TEXT_CHARS_MAX) {
        Ok(body) => body,
        Err(TextError::Empty) => String::new(),
        Err(error) => return Err(Error::field("/text", error)),
    };
    let tags = text::tags(&new.tags).map_err(|tag| {
        Error::field("/tags", format!("\"{tag}\" is no tag: 2 to 32 letters, digits, - and _"))
    })?;
    if tags.len() > TAGS_MAX {
        return Err(Error::field("/tags", format!("at most {TAGS_MAX}")));
    }
    if new.board_id.as_ref().is_some_and(|id| backlot_foundation_ids::Uuid::try_parse(id).is_err()) {
        return Err(Error::field("/board_id", "is no board"));
    }
    let (share_parameters, remixable) = (new.share_parameters, new.remixable);
    Ok(Edit { title, text: body, tags, share_parameters, remixable })
}
