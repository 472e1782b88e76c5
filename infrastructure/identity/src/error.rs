//! What can go wrong in identity, and the code of each.

use std::time::Duration;

use backlot_foundation_db::DbError;
use backlot_foundation_errors::{Problem, codes};
use backlot_infrastructure_api::codes::identity as own;
use sea_orm::DbErr;

use crate::email::InvalidEmail;
use crate::password::{HashError, WeakPassword};
use crate::secrets::RandomError;

/// One way of failing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another account has the e-mail.
    #[error("another account has this e-mail")]
    EmailTaken,
    /// The text is no e-mail address.
    #[error("the e-mail {0}")]
    Email(#[from] InvalidEmail),
    /// A field breaks a rule.
    #[error("{pointer} {message}")]
    Field {
        /// JSON pointer of the field.
        pointer: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The new password breaks the rule.
    #[error("the password {0}")]
    WeakPassword(#[from] WeakPassword),
    /// Unknown e-mail or wrong password.
    #[error("e-mail or password is wrong")]
    InvalidCredentials,
    /// Too many tries.
    #[error("too many tries")]
    RateLimited(Duration),
    /// The credential is nothing that we made.
    #[error("the credential is unknown")]
    UnknownCredential,
    /// The session is over.
    #[error("the session has ended")]
    SessionEnded,
    /// The key's time is over.
    #[error("the API key has expired")]
    KeyExpired,
    /// The key was taken back.
    #[error("the API key was revoked")]
    KeyRevoked,
    /// The account may not act.
    #[error("the account is suspended")]
    Suspended,
    /// The key does not cover the action.
    #[error("the API key lacks the scope {0}")]
    ScopeMissing(String),
    /// The actor's role does not contain what is given or taken.
    #[error("nobody gives or takes what they do not hold: {0}")]
    NotHeld(&'static str),
    /// The organisation would be left without an owner.
    #[error("the organisation would have no owner")]
    LastOwner,
    /// The person is a member.
    #[error("the person is a member already")]
    AlreadyMember,
    /// No such invitation.
    #[error("the invitation is unknown")]
    InvitationUnknown,
    /// Accepted, taken back, or too old.
    #[error("the invitation has ended")]
    InvitationEnded,
    /// It names another e-mail.
    #[error("the invitation names another e-mail")]
    InvitationForAnother,
    /// Strangers may not sign up here.
    #[error("sign-up is closed")]
    SignUpClosed,
    /// A limit is reached.
    #[error("the limit of {limit} {things} is reached")]
    Limit {
        /// How many.
        limit: u64,
        /// Of what, in the plural.
        things: &'static str,
    },
    /// Not there, or another tenant's.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Only another system, or staff, may.
    #[error("the caller may not do this")]
    Refused(Box<Problem>),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// Hashing failed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// A stored row cannot be read.
    #[error("a stored {what} is broken: {text}")]
    Stored {
        /// Which kind of value.
        what: &'static str,
        /// What was found.
        text: String,
    },
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Refused(Box::new(problem))
    }
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        Self::Db(error.into())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::EmailTaken => {
                Self::new(&own::EMAIL_TAKEN, "Sign in with this e-mail, or use another one.")
                    .with_field("/email", "is taken")
            }
            Error::Email(error) => Self::new(&codes::INVALID_FIELDS, "Correct the e-mail and send it again.")
                .with_field("/email", error.to_string()),
            Error::Field { pointer, message } => {
                Self::new(&codes::INVALID_FIELDS, format!("Correct {pointer} and send it again."))
                    .with_field(pointer, message)
            }
            Error::WeakPassword(weak) => Self::new(
                &own::WEAK_PASSWORD,
                format!("The password {weak}. Several plain words make a good one."),
            )
            .with_field("/password", weak.to_string()),
            Error::InvalidCredentials => Self::new(&own::INVALID_CREDENTIALS, "Check both and try again."),
            Error::RateLimited(wait) => {
                let seconds = u32::try_from(wait.as_secs() + 1).unwrap_or(u32::MAX);
                Self::new(&codes::RATE_LIMITED, format!("Too many tries. Wait {seconds} seconds."))
                    .retry_after(seconds)
            }
            Error::UnknownCredential => Self::new(
                &codes::UNAUTHENTICATED,
                "This session or API key is unknown. Sign in, or make a new key.",
            ),
            Error::SessionEnded => Self::new(&own::SESSION_ENDED, "Sign in again."),
            Error::KeyExpired => Self::new(&own::KEY_EXPIRED, "Make a new API key and use that one."),
            Error::KeyRevoked => Self::new(&own::KEY_REVOKED, "Make a new API key and use that one."),
            Error::Suspended => Self::new(
                &own::ACCOUNT_SUSPENDED,
                "Write to the people who run this service to find out why.",
            ),
            Error::ScopeMissing(scope) => {
                Self::new(&own::SCOPE_MISSING, format!("Use a key that has the scope \"{scope}\"."))
                    .with_extra("scope", scope)
            }
            Error::NotHeld(what) => Self::new(&own::AUTHORITY_NOT_HELD, what),
            Error::LastOwner => {
                Self::new(&own::LAST_OWNER, "Make another member an owner first, then try again.")
            }
            Error::AlreadyMember => Self::new(&own::ALREADY_MEMBER, "Change the role of the member instead."),
            Error::InvitationUnknown => {
                Self::new(&own::INVITATION_UNKNOWN, "Check the link, or ask for a new invitation.")
            }
            Error::InvitationEnded => {
                Self::new(&own::INVITATION_ENDED, "It was used, taken back or is too old. Ask for a new one.")
            }
            Error::InvitationForAnother => Self::new(
                &own::INVITATION_FOR_ANOTHER,
                "Sign in with the e-mail that was invited, or ask for an invitation to yours.",
            ),
            Error::SignUpClosed => Self::new(
                &codes::FORBIDDEN,
                "New accounts need an invitation here. Ask someone who has an account.",
            ),
            Error::Limit { limit, things } => Self::new(
                &own::IDENTITY_LIMIT,
                format!("There are {limit} {things} already. Remove one that is not needed, then try again."),
            )
            .with_extra("limit", limit),
            Error::NotFound(what) => Self::new(&codes::NOT_FOUND, format!("There is no such {what}.")),
            Error::Refused(problem) => *problem,
            Error::Db(error) => error.into(),
            Error::Hash(_) | Error::Random(_) | Error::Stored { .. } => Self::internal(&error),
        }
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        Problem::from(error).into()
    }
}
