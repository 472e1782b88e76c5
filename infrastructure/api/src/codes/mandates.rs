//! Error codes of mandates.

use backlot_foundation_errors::{Code, Kind};

/// The actor holds no mandate in this organisation.
pub const MANDATE_MISSING: Code =
    Code::new("mandate_missing", Kind::Forbidden, "You hold no mandate for this");
/// The mandate, or an ancestor, was taken back.
pub const MANDATE_REVOKED: Code = Code::new("mandate_revoked", Kind::Forbidden, "The mandate was revoked");
/// The mandate, or an ancestor, ran out.
pub const MANDATE_EXPIRED: Code = Code::new("mandate_expired", Kind::Forbidden, "The mandate has expired");
/// The mandate, or an ancestor, begins later.
pub const MANDATE_NOT_YET_VALID: Code =
    Code::new("mandate_not_yet_valid", Kind::Forbidden, "The mandate is not valid yet");
/// It may not be given on, or not that often.
pub const MANDATE_DEPTH_EXCEEDED: Code =
    Code::new("mandate_depth_exceeded", Kind::Forbidden, "This mandate may not be given on that far");
/// Somebody else holds it.
pub const MANDATE_NOT_HELD: Code =
    Code::new("mandate_not_held", Kind::Forbidden, "Somebody else holds this mandate");
/// It is for another project.
pub const SCOPE_NOT_ALLOWED: Code =
    Code::new("scope_not_allowed", Kind::Forbidden, "The mandate does not reach this project");
/// It does not allow the action.
pub const ACTION_NOT_ALLOWED: Code =
    Code::new("action_not_allowed", Kind::Forbidden, "The mandate does not allow this action");
/// It does not allow the tool.
pub const TOOL_NOT_ALLOWED: Code =
    Code::new("tool_not_allowed", Kind::Forbidden, "The mandate does not allow this tool");
/// One use costs more than it allows.
pub const UNIT_PRICE_EXCEEDED: Code =
    Code::new("unit_price_exceeded", Kind::Forbidden, "One use costs more than the mandate allows");
/// Its envelope, or an ancestor's, has less left.
pub const ENVELOPE_EXCEEDED: Code =
    Code::new("envelope_exceeded", Kind::Forbidden, "The mandate's envelope has less left");
/// The receiver already stands in the chain that it would be given out of.
pub const MANDATE_SELF_RAISE: Code =
    Code::new("mandate_self_raise", Kind::Forbidden, "Nobody raises their own authority");
/// It would outlive the mandate it is given out of.
pub const MANDATE_EXPIRY_EXCEEDED: Code =
    Code::new("mandate_expiry_exceeded", Kind::Forbidden, "It would outlive your own mandate");
/// More of the benefit than is left.
pub const MANDATE_SHARE_EXCEEDED: Code =
    Code::new("mandate_share_exceeded", Kind::Forbidden, "More of the benefit is given than is left");
/// The root stays with an owner.
pub const MANDATE_ROOT_PROTECTED: Code =
    Code::new("mandate_root_protected", Kind::Conflict, "The root mandate stays with an owner");
/// Not the holder of the mandate or of one above it.
pub const MANDATE_REVOKE_REFUSED: Code =
    Code::new("mandate_revoke_refused", Kind::Forbidden, "Only those above a mandate take it back");
/// The receiver is no member of the organisation.
pub const GRANTEE_NOT_MEMBER: Code =
    Code::new("grantee_not_member", Kind::Unprocessable, "The receiver is no member of the organisation");
/// The organisation has as many mandates as it may.
pub const MANDATE_LIMIT: Code =
    Code::new("mandate_limit", Kind::Conflict, "The limit of mandates is reached");

/// All codes of mandates.
pub const ALL: &[&Code] = &[
    &MANDATE_MISSING,
    &MANDATE_REVOKED,
    &MANDATE_EXPIRED,
    &MANDATE_NOT_YET_VALID,
    &MANDATE_DEPTH_EXCEEDED,
    &MANDATE_NOT_HELD,
    &SCOPE_NOT_ALLOWED,
    &ACTION_NOT_ALLOWED,
    &TOOL_NOT_ALLOWED,
    &UNIT_PRICE_EXCEEDED,
    &ENVELOPE_EXCEEDED,
    &MANDATE_SELF_RAISE,
    &MANDATE_EXPIRY_EXCEEDED,
    &MANDATE_SHARE_EXCEEDED,
    &MANDATE_ROOT_PROTECTED,
    &MANDATE_REVOKE_REFUSED,
    &GRANTEE_NOT_MEMBER,
    &MANDATE_LIMIT,
];
