//! Members, share links and comments.

use std::time::Duration;

use backlot_business_api::{BoardCommentId, BoardId, BoardShareId};
use backlot_foundation_time::Timestamp;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::limits::{COMMENTS_MAX, MEMBERS_MAX, SHARES_MAX};
use crate::role::Role;
use crate::service::{Actor, Service};
use crate::socket::Change;
use crate::store::{CommentRow, MemberRow, ShareRow};

impl Service {
    /// Everybody with a role of their own.
    pub(crate) async fn members(&self, actor: &Actor, id: BoardId) -> Result<Vec<MemberRow>, Error> {
        self.at_least(actor, id, Role::Viewer).await?;
        Ok(self.store().members(id).await?)
    }

    /// Gives somebody a role.
    pub(crate) async fn put_member(
        &self,
        actor: &Actor,
        id: BoardId,
        user: &str,
        role: Role,
    ) -> Result<Timestamp, Error> {
        self.at_least(actor, id, Role::Owner).await?;
        let members = self.store().members(id).await?;
        let known = members.iter().any(|member| member.user_id == user);
        if !known && members.len() as u64 >= MEMBERS_MAX {
            return Err(Error::Full { what: "people", max: MEMBERS_MAX });
        }
        self.name(id, user, role, &actor.id).await
    }

    async fn name(&self, id: BoardId, user: &str, role: Role, by: &str) -> Result<Timestamp, Error> {
        let at = self.now();
        let member = MemberRow {
            user_id: user.to_owned(),
            role: role.as_str().to_owned(),
            added_by: by.to_owned(),
            at,
        };
        if !self.store().put_member(id, &member).await? {
            return Err(last_owner());
        }
        self.access_changed(Change::Board(id));
        Ok(at)
    }

    /// Takes somebody's role away: an owner may, and everybody their own.
    pub(crate) async fn remove_member(&self, actor: &Actor, id: BoardId, user: &str) -> Result<(), Error> {
        let needs = if user == actor.id { Role::Viewer } else { Role::Owner };
        self.at_least(actor, id, needs).await?;
        if !self.store().remove_member(id, user).await? {
            return Err(last_owner());
        }
        self.access_changed(Change::Board(id));
        Ok(())
    }

    /// The links that still open the board.
    pub(crate) async fn shares(&self, actor: &Actor, id: BoardId) -> Result<Vec<ShareRow>, Error> {
        self.at_least(actor, id, Role::Owner).await?;
        Ok(self.store().shares(id, self.now()).await?)
    }

    /// Makes a link; its token is kept as a digest only.
    pub(crate) async fn share(
        &self,
        actor: &Actor,
        id: BoardId,
        role: Role,
        expires_in_s: Option<i64>,
    ) -> Result<(ShareRow, String), Error> {
        self.at_least(actor, id, Role::Owner).await?;
        if role == Role::Owner {
            let message = "a link gives the role of an editor at most".to_owned();
            return Err(Error::Field { pointer: "/role", message });
        }
        if self.store().shares(id, self.now()).await?.len() as u64 >= SHARES_MAX {
            return Err(Error::Full { what: "share links", max: SHARES_MAX });
        }
        // Two random UUIDs: 244 bits that nobody guesses.
        let token = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        let now = self.now();
        let life = expires_in_s.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        let share = ShareRow {
            id: BoardShareId::generate(),
            board_id: id,
            role: role.as_str().to_owned(),
            created_by: actor.id.clone(),
            created_at: now,
            expires_at: life.map(|life| now.plus(life)),
        };
        self.store().insert_share(&share, &digest(&token)).await?;
        Ok((share, token))
    }

    /// Withdraws a link. Nobody loses a role by that.
    pub(crate) async fn withdraw_share(
        &self,
        actor: &Actor,
        id: BoardId,
        share: BoardShareId,
    ) -> Result<(), Error> {
        self.at_least(actor, id, Role::Owner).await?;
        if self.store().withdraw_share(id, share, self.now()).await? {
            Ok(())
        } else {
            Err(Error::ShareUnknown)
        }
    }

    /// Opens a link: the actor gets its role, or keeps a higher one.
    pub(crate) async fn accept_share(&self, actor: &Actor, token: &str) -> Result<BoardId, Error> {
        let share = self.store().share(&digest(token), self.now()).await?.ok_or(Error::ShareUnknown)?;
        let id = share.board_id;
        self.store().board(id).await?.ok_or(Error::ShareUnknown)?;
        let given = Role::parse(&share.role).ok_or(Error::ShareUnknown)?;
        let before = match self.role(actor, id).await {
            Ok((_, role)) => Some(role),
            Err(Error::BoardUnknown(_)) => None,
            Err(error) => return Err(error),
        };
        if before.is_some_and(|role| role >= given) {
            return Ok(id);
        }
        if self.store().count_of("board_members", id).await? >= MEMBERS_MAX {
            return Err(Error::Full { what: "people", max: MEMBERS_MAX });
        }
        self.name(id, &actor.id, given, &share.created_by).await?;
        Ok(id)
    }

    /// What people say, oldest first.
    pub(crate) async fn comments(
        &self,
        actor: &Actor,
        id: BoardId,
        after: Option<BoardCommentId>,
        limit: u64,
    ) -> Result<Vec<CommentRow>, Error> {
        self.at_least(actor, id, Role::Viewer).await?;
        Ok(self.store().comments(id, after, limit).await?)
    }

    /// Says something.
    pub(crate) async fn comment(
        &self,
        actor: &Actor,
        id: BoardId,
        node: Option<String>,
        text: String,
    ) -> Result<CommentRow, Error> {
        self.at_least(actor, id, Role::Commenter).await?;
        if self.store().count_of("board_comments", id).await? >= COMMENTS_MAX {
            return Err(Error::Full { what: "comments", max: COMMENTS_MAX });
        }
        let row = CommentRow {
            id: BoardCommentId::generate(),
            node,
            author_id: actor.id.clone(),
            body: text,
            created_at: self.now(),
            resolved_at: None,
            resolved_by: None,
        };
        self.store().insert_comment(id, &row).await?;
        self.rooms().tell(id, json!({ "type": "comment", "comment_id": row.id, "node": row.node }));
        Ok(row)
    }

    /// Deletes a comment: its author, or an owner of the board.
    pub(crate) async fn delete_comment(
        &self,
        actor: &Actor,
        id: BoardId,
        comment: BoardCommentId,
    ) -> Result<(), Error> {
        self.at_least(actor, id, Role::Commenter).await?;
        let row = self.known_comment(id, comment).await?;
        if row.author_id != actor.id {
            self.at_least(actor, id, Role::Owner).await?;
        }
        self.store().delete_comment(id, comment, self.now()).await?;
        self.rooms().tell(id, json!({ "type": "comment", "comment_id": comment, "node": row.node }));
        Ok(())
    }

    /// Marks a comment as done with.
    pub(crate) async fn resolve_comment(
        &self,
        actor: &Actor,
        id: BoardId,
        comment: BoardCommentId,
    ) -> Result<CommentRow, Error> {
        self.at_least(actor, id, Role::Commenter).await?;
        self.known_comment(id, comment).await?;
        self.store().resolve_comment(id, comment, &actor.id, self.now()).await?;
        let row = self.known_comment(id, comment).await?;
        self.rooms().tell(id, json!({ "type": "comment", "comment_id": comment, "node": row.node }));
        Ok(row)
    }

    async fn known_comment(&self, id: BoardId, comment: BoardCommentId) -> Result<CommentRow, Error> {
        let row = self.store().comment(id, comment).await?;
        row.ok_or_else(|| Error::CommentUnknown(comment.to_string()))
    }
}

fn last_owner() -> Error {
    Error::Field { pointer: "/user_id", message: "is the last owner: name another one first".to_owned() }
}

fn digest(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}
