//! What can go wrong, and the code that each way has.

use backlot_business_api::{BoardRunId, codes};
use backlot_foundation_db::DbError;
use backlot_foundation_errors::Problem;

use crate::command::Invalid;
use crate::crdt::Refusal;
use crate::graph::Fault;
use crate::limits::{DOCUMENT_BYTES_MAX, PROMPT_CHARS_MAX, UPDATE_BYTES_MAX};
use crate::role::Role;

/// What can go wrong with a request.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Our own database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// Another system refused, or does not answer.
    #[error("{0}")]
    Call(#[from] Problem),
    /// Our own row or document.
    #[error("{0}")]
    Broken(String),
    /// No such board that the caller may see.
    #[error("there is no board {0}")]
    BoardUnknown(String),
    /// The caller may see it, and not do this.
    #[error("the role {has:?} is below {needs:?}")]
    RoleMissing {
        /// What the caller is.
        has: Role,
        /// What it takes.
        needs: Role,
    },
    /// A command cannot be applied.
    #[error(transparent)]
    Command(#[from] Invalid),
    /// An update of the document is not taken.
    #[error("an update is refused: {0}")]
    Update(String, Option<String>),
    /// An update or the document is too large.
    #[error("{0} bytes are too many")]
    TooLarge(usize),
    /// The limit of boards.
    #[error("the organisation has {0} boards")]
    TooManyBoards(u64),
    /// A list of the board is full.
    #[error("the board has {max} {what}")]
    Full {
        /// Of what.
        what: &'static str,
        /// How many it may have.
        max: u64,
    },
    /// A field breaks a rule.
    #[error("{pointer}: {message}")]
    Field {
        /// JSON pointer.
        pointer: &'static str,
        /// For people.
        message: String,
    },
    /// No such share link.
    #[error("the share link opens nothing")]
    ShareUnknown,
    /// No such file on the board.
    #[error("the board has no file {0}")]
    MediaUnknown(String),
    /// No such comment.
    #[error("there is no comment {0}")]
    CommentUnknown(String),
    /// The board's process part is going down or is too busy.
    #[error("the board cannot be opened now")]
    Busy,
    /// The board is another organisation's: it pays, so its people run.
    #[error("only the board's own organisation runs it")]
    RunsElsewhere,
    /// The board cannot run as it is.
    #[error("the board has {} faults", .0.len())]
    Faults(Vec<Fault>),
    /// Everything is as it would be after a run.
    #[error("nothing is stale")]
    NothingToRun,
    /// Above the caller's maximum.
    #[error("the price of {price_micro} is above the maximum of {max_micro}")]
    PriceAboveMaximum {
        /// What it costs.
        price_micro: i64,
        /// What the caller allows.
        max_micro: i64,
    },
    /// No such run of a board that the caller may see.
    #[error("there is no run {0}")]
    RunUnknown(String),
    /// The limit of open runs.
    #[error("{0} runs are open")]
    TooManyRuns(u64),
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused(BoardRunId),
    /// No WebSocket handshake.
    #[error("no websocket handshake")]
    NoWebSocket,
}

impl Error {
    /// What the refusal of an update means.
    pub(crate) fn refused(refusal: Refusal) -> Self {
        match refusal {
            Refusal::LongText(node) => Self::Update(String::new(), Some(node)),
            Refusal::Unreadable | Refusal::Incomplete => Self::Update(refusal.to_string(), None),
            Refusal::TooMany { what, max } => Self::Full { what, max: max as u64 },
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Db(error) => error.into(),
            Error::Call(problem) => problem,
            Error::Broken(_) => Self::internal(&error),
            Error::BoardUnknown(id) => Self::new(
                &codes::BOARD_UNKNOWN,
                format!("There is no board {id} that you may see. GET /v1/boards lists those that you may."),
            ),
            Error::RoleMissing { has, needs } => Self::new(
                &codes::BOARD_ROLE_MISSING,
                format!("You are {} here; this takes the role \"{}\".", has.in_words(), needs.as_str()),
            )
            .with_extra("role", has.as_str())
            .with_extra("needs", needs.as_str()),
            Error::Command(invalid) => command_problem(&invalid),
            Error::Update(_, Some(node)) => prompt_problem(&node),
            Error::Update(reason, None) => {
                Self::new(&codes::BOARD_UPDATE_INVALID, format!("The change was not taken: {reason}."))
            }
            Error::TooLarge(bytes) => Self::new(
                &codes::BOARD_TOO_LARGE,
                format!(
                    "{bytes} bytes are too many: an update has at most {UPDATE_BYTES_MAX}, a board {DOCUMENT_BYTES_MAX}."
                ),
            )
            .with_extra("bytes", bytes),
            Error::TooManyBoards(count) => {
                Self::new(&codes::TOO_MANY_BOARDS, format!("Your organisation has {count} boards. Delete some."))
            }
            Error::Full { what, max } => {
                Self::new(&codes::BOARD_TOO_LARGE, format!("A board has at most {max} {what}."))
                    .with_extra("what", what)
                    .with_extra("max", max)
            }
            Error::Field { pointer, message } => {
                let detail = "Correct the fields named in \"errors\" and send it again.";
                Self::new(&backlot_foundation_errors::codes::INVALID_FIELDS, detail).with_field(pointer, message)
            }
            Error::ShareUnknown => Self::new(
                &codes::BOARD_SHARE_UNKNOWN,
                "The link was withdrawn, has run out, or is not whole. Ask for a new one.",
            ),
            Error::MediaUnknown(id) => Self::new(
                &codes::BOARD_MEDIA_UNKNOWN,
                format!("There is no file {id} on this board that you may see. Ask somebody of the board's own organisation to put it there."),
            ),
            Error::CommentUnknown(id) => {
                Self::new(&codes::BOARD_COMMENT_UNKNOWN, format!("The board has no comment {id}."))
            }
            Error::Busy => Self::new(
                &backlot_foundation_errors::codes::UNAVAILABLE,
                "The board cannot be opened now. Nothing was changed; try again.",
            )
            .retry_after(1),
            Error::RunsElsewhere => Self::new(
                &codes::BOARD_ROLE_MISSING,
                "The board belongs to another organisation, which pays for its runs: only its own people start them.",
            ),
            Error::Faults(faults) => faults_problem(&faults),
            Error::NothingToRun => Self::new(
                &codes::BOARD_NOTHING_TO_RUN,
                "Nothing is stale: every node shows what it would make. Change something, or name nodes and force them.",
            ),
            Error::PriceAboveMaximum { price_micro, max_micro } => Self::new(
                &codes::PRICE_ABOVE_MAXIMUM,
                "The run costs more than your maximum. Run fewer nodes, or raise it. Nothing was held.",
            )
            .with_extra("price_micro", price_micro)
            .with_extra("max_price_micro", max_micro),
            Error::RunUnknown(id) => Self::new(
                &codes::BOARD_RUN_UNKNOWN,
                format!("There is no run {id} of a board that you may see. GET /v1/boards/{{id}}/runs lists them."),
            ),
            Error::TooManyRuns(open) => Self::new(
                &codes::TOO_MANY_RUNS,
                format!("{open} runs of boards are open. Wait until some have ended, or cancel some."),
            )
            .with_extra("open_runs", open)
            .retry_after(10),
            Error::KeyReused(run) => Self::new(
                &backlot_inference_api::codes::IDEMPOTENCY_KEY_REUSED,
                "This key was used for another request. Use a new key for a new request. Nothing was held.",
            )
            .with_extra("board_run_id", run.to_string()),
            Error::NoWebSocket => Self::new(
                &codes::WEBSOCKET_EXPECTED,
                "Connect with a WebSocket client; GET /v1/boards/{id}/document reads the board once.",
            ),
        }
    }
}

/// The first fault gives the code; all are named.
fn faults_problem(faults: &[Fault]) -> Problem {
    let first = faults.first().map_or("", |fault| fault.code.as_str());
    let code = codes::ALL.iter().find(|code| code.name == first).copied();
    let problem = Problem::new(
        code.unwrap_or(&codes::TOOL_INPUT_INVALID),
        "Correct what \"errors\" names on the board and run it again. Nothing was held.",
    );
    let named = faults.iter().fold(problem, |problem, fault| {
        let place = fault.edge.as_ref().map(|edge| format!("/edges/{edge}"));
        let place = place.or(fault.node.as_ref().map(|node| format!("/nodes/{node}")));
        problem.with_field(place.unwrap_or_default(), fault.message.clone())
    });
    named.with_extra("problems", serde_json::json!(faults))
}

fn command_problem(invalid: &Invalid) -> Problem {
    let problem = match &invalid.prompt_of {
        Some(node) => prompt_problem(node),
        None => Problem::new(
            &codes::BOARD_COMMAND_INVALID,
            "Correct the command named in \"errors\" and send all of them again. Nothing was changed.",
        ),
    };
    problem
        .with_field(format!("/commands/{}", invalid.index), invalid.message.clone())
        .with_extra("index", invalid.index)
}

fn prompt_problem(node: &str) -> Problem {
    Problem::new(
        &codes::BOARD_PROMPT_TOO_LONG,
        format!("A text has at most {PROMPT_CHARS_MAX} characters. Shorten it. Nothing was changed."),
    )
    .with_extra("node", node)
    .with_extra("max_chars", PROMPT_CHARS_MAX)
}
