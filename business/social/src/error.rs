//! What can go wrong, and the code that each way has.

use backlot_business_api::{PostId, codes};
use backlot_foundation_db::DbError;
use backlot_foundation_errors::{Problem, codes as common};

use crate::limits::Rate;

/// What can go wrong with a request.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Our own database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// Another system refused, or does not answer.
    #[error("{0}")]
    Call(#[from] Problem),
    /// A field breaks a rule.
    #[error("{pointer} {message}")]
    Field {
        /// JSON pointer.
        pointer: &'static str,
        /// For people.
        message: String,
    },
    /// The caller acts in no organisation.
    #[error("only members of an organisation publish")]
    NoOrganisation,
    /// A program has no profile.
    #[error("only persons take part in the community")]
    NotAPerson,
    /// Nobody whom the caller can see.
    #[error("there is no profile {0}")]
    ProfileUnknown(String),
    /// The caller has taken no part yet.
    #[error("there is no profile of the caller's")]
    NoProfile {
        /// What the handle would be.
        handle: String,
        /// What the name would be.
        name: String,
    },
    /// Somebody has it.
    #[error("the handle {0} is taken")]
    HandleTaken(String),
    /// No post that the caller can see.
    #[error("there is no post {0}")]
    PostUnknown(String),
    /// Not a ready picture or clip of the organisation.
    #[error("the asset cannot be published: {0}")]
    NotPublishable(String),
    /// No such comment of this post.
    #[error("there is no comment {0}")]
    CommentUnknown(String),
    /// Somebody else's.
    #[error("only {0} may do this")]
    NotYours(&'static str),
    /// Suspended or banned.
    #[error("the account may not take part")]
    Banned,
    /// More than one person may do.
    #[error("too many {0} in this time")]
    TooOften(&'static str, i64, u32),
    /// More than one person may have.
    #[error("at most {max} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        max: i64,
    },
    /// The author does not allow it.
    #[error("the post may not be remixed")]
    RemixNotAllowed,
    /// No such case.
    #[error("there is no case {0}")]
    CaseUnknown(String),
    /// All places for streams are taken.
    #[error("too many streams are open")]
    Streams,
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for post {0}")]
    KeyReused(PostId),
}

impl Error {
    pub(crate) fn field(pointer: &'static str, message: impl std::fmt::Display) -> Self {
        Self::Field { pointer, message: message.to_string() }
    }

    pub(crate) fn too_often(rate: Rate) -> Self {
        let seconds = u32::try_from(rate.window.as_secs()).unwrap_or(u32::MAX);
        Self::TooOften(rate.action, rate.max, seconds)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Db(error) => error.into(),
            Error::Call(problem) => problem,
            Error::Field { pointer, message } => {
                Self::new(&common::INVALID_FIELDS, "Correct the fields named in \"errors\" and send it again.")
                    .with_field(pointer, message)
            }
            Error::NoOrganisation => Self::new(
                &common::FORBIDDEN,
                "What is published belongs to an organisation: act in one.",
            ),
            Error::NotAPerson => {
                Self::new(&common::FORBIDDEN, "Only persons take part in the community, not programs.")
            }
            Error::ProfileUnknown(handle) => Self::new(
                &codes::PROFILE_UNKNOWN,
                format!("You can see nobody called {handle}. GET /v1/profiles/me is your own profile."),
            ),
            Error::NoProfile { handle, name } => Self::new(
                &codes::PROFILE_UNKNOWN,
                "You have no profile yet. PUT /v1/profiles/me makes it, and so does the first thing that you publish.",
            )
            .with_extra("suggested", serde_json::json!({ "handle": handle, "name": name })),
            Error::HandleTaken(handle) => Self::new(
                &codes::HANDLE_TAKEN,
                format!("{handle}, or a handle that looks like it, is somebody's. Choose another one."),
            )
            .with_field("/handle", "is taken"),
            Error::PostUnknown(id) => Self::new(
                &codes::POST_UNKNOWN,
                format!("You can see no post {id}. GET /v1/posts lists what is public."),
            ),
            Error::NotPublishable(why) => {
                Self::new(&codes::ASSET_NOT_PUBLISHABLE, format!("{why} Nothing was published."))
                    .with_field("/asset_id", "cannot be published")
            }
            Error::CommentUnknown(id) => Self::new(
                &codes::COMMENT_UNKNOWN,
                format!("The post has no comment {id}. GET /v1/posts/{{id}}/comments lists them."),
            ),
            Error::NotYours(who) => Self::new(&common::FORBIDDEN, format!("Only {who} may do this.")),
            Error::Banned => Self::new(
                &codes::COMMUNITY_BANNED,
                "This account may look at the community and not take part. Your work and credits are not touched.",
            ),
            Error::TooOften(action, max, window_s) => Self::new(
                &codes::COMMUNITY_LIMIT,
                format!("One person may do {max} {action} in {window_s} seconds. Wait until there is room again."),
            )
            .with_extra("action", action)
            .retry_after(window_s),
            Error::TooMany { what, max } => Self::new(
                &codes::COMMUNITY_LIMIT,
                format!("One person may have {max} {what}. Take some back first."),
            )
            .with_extra("max", max),
            Error::RemixNotAllowed => Self::new(
                &codes::REMIX_NOT_ALLOWED,
                "Its author published it without permission to remix. Nothing was made.",
            ),
            Error::CaseUnknown(id) => Self::new(
                &codes::CASE_UNKNOWN,
                format!("There is no case {id}. GET /v1/moderation/queue lists the open ones."),
            ),
            Error::Streams => {
                Self::new(&common::UNAVAILABLE, "Too many pages listen at once. Ask for the list instead.")
                    .retry_after(30)
            }
            Error::KeyReused(post) => Self::new(
                &backlot_inference_api::codes::IDEMPOTENCY_KEY_REUSED,
                "This key was used for another post. Use a new key for a new post. Nothing was published.",
            )
            .with_extra("post_id", post.to_string()),
        }
    }
}
