//! Error codes of identity, and of the edge where it refuses a credential.

use backlot_foundation_errors::{Code, Kind};

/// Another account has this e-mail.
pub const EMAIL_TAKEN: Code =
    Code::new("email_taken", Kind::Conflict, "There is already an account with this e-mail");
/// The e-mail is unknown or the password is wrong; which of the two is not told.
pub const INVALID_CREDENTIALS: Code =
    Code::new("invalid_credentials", Kind::Unauthenticated, "E-mail or password is wrong");
/// The new password is too short, too long or too common.
pub const WEAK_PASSWORD: Code =
    Code::new("weak_password", Kind::Unprocessable, "This password is too easy to guess");
/// The session is over: signed out, ended elsewhere, or not used for too long.
pub const SESSION_ENDED: Code = Code::new("session_ended", Kind::Unauthenticated, "This session has ended");
/// The API key's time is over.
pub const KEY_EXPIRED: Code = Code::new("key_expired", Kind::Unauthenticated, "This API key has expired");
/// The API key was taken back.
pub const KEY_REVOKED: Code = Code::new("key_revoked", Kind::Unauthenticated, "This API key was revoked");
/// The API key does not cover this.
pub const SCOPE_MISSING: Code =
    Code::new("scope_missing", Kind::Forbidden, "This API key does not cover this action");
/// The account may not act at present.
pub const ACCOUNT_SUSPENDED: Code =
    Code::new("account_suspended", Kind::Forbidden, "This account is suspended");
/// Nobody gives what they do not hold.
pub const AUTHORITY_NOT_HELD: Code =
    Code::new("authority_not_held", Kind::Forbidden, "You cannot give or take what you do not hold");
/// An organisation keeps at least one owner.
pub const LAST_OWNER: Code = Code::new("last_owner", Kind::Conflict, "An organisation needs an owner");
/// The person is in the organisation already.
pub const ALREADY_MEMBER: Code =
    Code::new("already_member", Kind::Conflict, "This person is a member already");
/// The invitation is unknown, or it was meant for another organisation.
pub const INVITATION_UNKNOWN: Code =
    Code::new("invitation_unknown", Kind::NotFound, "There is no such invitation");
/// The invitation was accepted, taken back, or is older than seven days.
pub const INVITATION_ENDED: Code =
    Code::new("invitation_ended", Kind::Gone, "This invitation is no longer valid");
/// The invitation names another e-mail than the account that is signed in.
pub const INVITATION_FOR_ANOTHER: Code =
    Code::new("invitation_for_another", Kind::Forbidden, "This invitation is for another e-mail");
/// One of identity's limits (keys, projects, invitations, members) is reached.
pub const IDENTITY_LIMIT: Code = Code::new("identity_limit", Kind::Conflict, "The limit is reached");
/// A browser sent a changing request with a cookie from another site.
pub const ORIGIN_REFUSED: Code =
    Code::new("origin_refused", Kind::Forbidden, "The request came from another site");

/// All codes of identity.
pub const ALL: &[&Code] = &[
    &EMAIL_TAKEN,
    &INVALID_CREDENTIALS,
    &WEAK_PASSWORD,
    &SESSION_ENDED,
    &KEY_EXPIRED,
    &KEY_REVOKED,
    &SCOPE_MISSING,
    &ACCOUNT_SUSPENDED,
    &AUTHORITY_NOT_HELD,
    &LAST_OWNER,
    &ALREADY_MEMBER,
    &INVITATION_UNKNOWN,
    &INVITATION_ENDED,
    &INVITATION_FOR_ANOTHER,
    &IDENTITY_LIMIT,
    &ORIGIN_REFUSED,
];
