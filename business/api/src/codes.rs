//! The error codes of business. Each has a page `docs/errors/<code>.md`.
//!
//! A refused hold is answered with billing's own problem, and a reused idempotency key with
//! `idempotency_key_reused`, which is inference's code for the same mistake.

use backlot_foundation_errors::{Code, Kind};

/// No tool has this name, or none in this version.
pub const TOOL_UNKNOWN: Code = Code::new("tool_unknown", Kind::NotFound, "There is no such tool or version");
/// The input breaks a rule of the tool's schema, or names an asset that cannot be used.
pub const TOOL_INPUT_INVALID: Code =
    Code::new("tool_input_invalid", Kind::Unprocessable, "The input is not what the tool takes");
/// The price is above the maximum that the request names.
pub const PRICE_ABOVE_MAXIMUM: Code =
    Code::new("price_above_maximum", Kind::Conflict, "The price is above your maximum");
/// No run of this organisation has this id.
pub const RUN_UNKNOWN: Code = Code::new("run_unknown", Kind::NotFound, "There is no such run");
/// The organisation has as many open runs as it may.
pub const TOO_MANY_RUNS: Code = Code::new("too_many_runs", Kind::TooMany, "Too many runs are open");
/// A text of the input is refused by the word list of moderation.
pub const PROMPT_MODERATED: Code =
    Code::new("prompt_moderated", Kind::Unprocessable, "The text was refused by moderation");
/// No review has this id.
pub const REVIEW_UNKNOWN: Code = Code::new("review_unknown", Kind::NotFound, "There is no such review");
/// The review was decided otherwise before.
pub const REVIEW_DECIDED: Code =
    Code::new("review_decided", Kind::Conflict, "The review was decided otherwise");

/// Nobody whom the caller can see has this handle.
pub const PROFILE_UNKNOWN: Code = Code::new("profile_unknown", Kind::NotFound, "There is no such profile");
/// Somebody has this handle, or one that looks like it.
pub const HANDLE_TAKEN: Code = Code::new("handle_taken", Kind::Conflict, "The handle is taken");
/// No post that the caller can see has this id.
pub const POST_UNKNOWN: Code = Code::new("post_unknown", Kind::NotFound, "There is no such post");
/// The asset is not a ready picture or clip of the caller's organisation.
pub const ASSET_NOT_PUBLISHABLE: Code =
    Code::new("asset_not_publishable", Kind::Unprocessable, "This asset cannot be published");
/// No comment of this post has this id.
pub const COMMENT_UNKNOWN: Code = Code::new("comment_unknown", Kind::NotFound, "There is no such comment");
/// More in this time than one person may do.
pub const COMMUNITY_LIMIT: Code = Code::new("community_limit", Kind::TooMany, "Too much at once");
/// The account may look, and do nothing else, in the community.
pub const COMMUNITY_BANNED: Code =
    Code::new("community_banned", Kind::Forbidden, "This account may not take part");
/// The author does not let others remix the post.
pub const REMIX_NOT_ALLOWED: Code =
    Code::new("remix_not_allowed", Kind::Forbidden, "This post may not be remixed");
/// No case of moderation has this id.
pub const CASE_UNKNOWN: Code = Code::new("case_unknown", Kind::NotFound, "There is no such case");

/// All of the above.
pub const ALL: &[&Code] = &[
    &TOOL_UNKNOWN,
    &TOOL_INPUT_INVALID,
    &PRICE_ABOVE_MAXIMUM,
    &RUN_UNKNOWN,
    &TOO_MANY_RUNS,
    &PROMPT_MODERATED,
    &REVIEW_UNKNOWN,
    &REVIEW_DECIDED,
    &PROFILE_UNKNOWN,
    &HANDLE_TAKEN,
    &POST_UNKNOWN,
    &ASSET_NOT_PUBLISHABLE,
    &COMMENT_UNKNOWN,
    &COMMUNITY_LIMIT,
    &COMMUNITY_BANNED,
    &REMIX_NOT_ALLOWED,
    &CASE_UNKNOWN,
];
