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
/// No board has this id, or none that the caller may see.
pub const BOARD_UNKNOWN: Code = Code::new("board_unknown", Kind::NotFound, "There is no such board");
/// The caller's role on the board does not allow this.
pub const BOARD_ROLE_MISSING: Code =
    Code::new("board_role_missing", Kind::Forbidden, "Your role on this board does not allow this");
/// A command cannot be applied to the board as it is.
pub const BOARD_COMMAND_INVALID: Code =
    Code::new("board_command_invalid", Kind::Unprocessable, "A command cannot be applied");
/// An update of the document is no update, or has parts missing.
pub const BOARD_UPDATE_INVALID: Code =
    Code::new("board_update_invalid", Kind::Unprocessable, "The change cannot be read");
/// An update or the document is larger than a board may be.
pub const BOARD_TOO_LARGE: Code = Code::new("board_too_large", Kind::TooLarge, "The board is too large");
/// A prompt is longer than a prompt may be.
pub const BOARD_PROMPT_TOO_LONG: Code =
    Code::new("board_prompt_too_long", Kind::Unprocessable, "A prompt is too long");
/// The organisation has as many boards as it may.
pub const TOO_MANY_BOARDS: Code = Code::new("too_many_boards", Kind::TooMany, "Too many boards");
/// The share link is unknown, withdrawn or has run out.
pub const BOARD_SHARE_UNKNOWN: Code =
    Code::new("board_share_unknown", Kind::NotFound, "This share link opens nothing");
/// No comment of this board has this id.
pub const BOARD_COMMENT_UNKNOWN: Code =
    Code::new("board_comment_unknown", Kind::NotFound, "There is no such comment");
/// No file of this board has this id, or it is not there for the caller to see.
pub const BOARD_MEDIA_UNKNOWN: Code =
    Code::new("board_media_unknown", Kind::NotFound, "There is no such file on this board");
/// The address takes a WebSocket and nothing else.
pub const WEBSOCKET_EXPECTED: Code =
    Code::new("websocket_expected", Kind::BadRequest, "This address takes a WebSocket");

/// The nodes that are to run depend on each other in a circle.
pub const BOARD_CYCLIC: Code = Code::new("board_cyclic", Kind::Unprocessable, "The board runs in a circle");
/// An edge brings something that the input at its end does not take, or brings it twice.
pub const BOARD_TYPE_MISMATCH: Code =
    Code::new("board_type_mismatch", Kind::Unprocessable, "A connection does not fit");
/// A tool on the board lacks an input that it must have.
pub const BOARD_INPUT_MISSING: Code =
    Code::new("board_input_missing", Kind::Unprocessable, "An input is missing");
/// A node uses a file that was deleted or was never yours.
pub const BOARD_ASSET_MISSING: Code =
    Code::new("board_asset_missing", Kind::Unprocessable, "A file that the board uses is not there");
/// Every node shows what it would make.
pub const BOARD_NOTHING_TO_RUN: Code =
    Code::new("board_nothing_to_run", Kind::FailedPrecondition, "Nothing is stale");
/// No run of a board has this id, or none that the caller may see.
pub const BOARD_RUN_UNKNOWN: Code =
    Code::new("board_run_unknown", Kind::NotFound, "There is no such run of a board");
/// The run of a tool in a run of a board ended without success.
pub const BOARD_CHILD_FAILED: Code =
    Code::new("board_child_failed", Kind::FailedPrecondition, "A run of a tool on the board did not succeed");
/// The film to export has no clip with something to show.
pub const BOARD_FILM_EMPTY: Code =
    Code::new("board_film_empty", Kind::FailedPrecondition, "The film has nothing to show");
/// The workflow is none, or the ComfyUI server cannot run it.
pub const WORKFLOW_REFUSED: Code =
    Code::new("workflow_refused", Kind::Unprocessable, "The workflow cannot be a tool");
/// No ComfyUI server is configured, or it does not answer.
pub const COMFYUI_UNAVAILABLE: Code =
    Code::new("comfyui_unavailable", Kind::Unavailable, "The ComfyUI server does not answer");

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
    &WORKFLOW_REFUSED,
    &COMFYUI_UNAVAILABLE,
    &PROFILE_UNKNOWN,
    &HANDLE_TAKEN,
    &POST_UNKNOWN,
    &ASSET_NOT_PUBLISHABLE,
    &COMMENT_UNKNOWN,
    &COMMUNITY_LIMIT,
    &COMMUNITY_BANNED,
    &REMIX_NOT_ALLOWED,
    &CASE_UNKNOWN,
    &BOARD_UNKNOWN,
    &BOARD_ROLE_MISSING,
    &BOARD_COMMAND_INVALID,
    &BOARD_UPDATE_INVALID,
    &BOARD_TOO_LARGE,
    &BOARD_PROMPT_TOO_LONG,
    &TOO_MANY_BOARDS,
    &BOARD_SHARE_UNKNOWN,
    &BOARD_COMMENT_UNKNOWN,
    &BOARD_MEDIA_UNKNOWN,
    &WEBSOCKET_EXPECTED,
    &BOARD_CYCLIC,
    &BOARD_TYPE_MISMATCH,
    &BOARD_INPUT_MISSING,
    &BOARD_ASSET_MISSING,
    &BOARD_NOTHING_TO_RUN,
    &BOARD_RUN_UNKNOWN,
    &BOARD_CHILD_FAILED,
    &BOARD_FILM_EMPTY,
];
