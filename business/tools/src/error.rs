//! What can go wrong, and the code that each way has.

use backlot_business_api::{ReviewId, RunId, codes};
use backlot_foundation_db::DbError;
use backlot_foundation_errors::Problem;

use crate::driver::DriveError;
use crate::input::Fault;
use crate::manifest::ManifestError;
use crate::price::PriceError;
use crate::row::RowError;
use crate::who_pays::TableError;

/// What can go wrong with a request.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Our own database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// Our own row.
    #[error(transparent)]
    Row(#[from] RowError),
    /// A manifest that ships cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The who-pays table cannot be used.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Another system refused, or does not answer.
    #[error("{0}")]
    Call(#[from] Problem),
    /// No such tool or version.
    #[error("there is no tool {0}")]
    ToolUnknown(String),
    /// The input breaks rules.
    #[error("the input is not what the tool takes")]
    Input(Vec<Fault>),
    /// Above the caller's maximum.
    #[error("the price of {price_micro} is above the maximum of {max_micro}")]
    PriceAboveMaximum {
        /// What it costs.
        price_micro: i64,
        /// What the caller allows.
        max_micro: i64,
    },
    /// No such run of this organisation.
    #[error("there is no run {0}")]
    RunUnknown(String),
    /// The limit of open runs.
    #[error("{0} runs are open")]
    TooManyRuns(u64),
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for run {0}")]
    KeyReused(RunId),
    /// A text of the input is refused by the word list.
    #[error("the text at {pointer} is refused: {category}")]
    Prompt {
        /// JSON pointer into the input.
        pointer: String,
        /// The rule.
        category: String,
        /// For people.
        message: String,
    },
    /// The list of refused words cannot be used.
    #[error(transparent)]
    PromptList(#[from] crate::moderation::prompts::PromptListError),
    /// No such review.
    #[error("there is no review {0}")]
    ReviewUnknown(String),
    /// Decided otherwise before.
    #[error("review {0} was decided otherwise")]
    ReviewDecided(ReviewId),
    /// A workflow cannot be imported.
    #[error(transparent)]
    Import(#[from] crate::extensions::ImportError),
    /// Billing refused to hold the price.
    #[error("{0}")]
    Refused(Problem),
}

impl From<DriveError> for Error {
    fn from(error: DriveError) -> Self {
        match error {
            DriveError::Db(error) => Self::Db(error),
            DriveError::Row(error) => Self::Row(error),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Db(error) => error.into(),
            Error::Row(_) | Error::Manifest(_) | Error::Table(_) | Error::PromptList(_) => Self::internal(&error),
            Error::Call(problem) => problem,
            Error::ToolUnknown(name) => {
                Self::new(&codes::TOOL_UNKNOWN, format!("There is no tool {name}. GET /v1/tools lists the tools."))
            }
            Error::Input(faults) => {
                let problem = Self::new(
                    &codes::TOOL_INPUT_INVALID,
                    "Correct the fields named in \"errors\" and send it again. Nothing was held.",
                );
                faults.into_iter().fold(problem, |problem, fault| {
                    problem.with_field(format!("/input{}", fault.pointer), fault.message)
                })
            }
            Error::PriceAboveMaximum { price_micro, max_micro } => Self::new(
                &codes::PRICE_ABOVE_MAXIMUM,
                "The run costs more than your maximum. Choose a smaller input or a higher maximum. Nothing was held.",
            )
            .with_extra("price_micro", price_micro)
            .with_extra("max_price_micro", max_micro),
            Error::RunUnknown(id) => {
                Self::new(&codes::RUN_UNKNOWN, format!("Your organisation has no run {id}. GET /v1/runs lists yours."))
            }
            Error::TooManyRuns(open) => Self::new(
                &codes::TOO_MANY_RUNS,
                format!("{open} runs are open. Wait until some have ended, or cancel some. Nothing was held."),
            )
            .with_extra("open_runs", open)
            .retry_after(10),
            Error::KeyReused(run) => Self::new(
                &backlot_foundation_errors::codes::IDEMPOTENCY_KEY_REUSED,
                "This key was used for another request. Use a new key for a new request. Nothing was held.",
            )
            .with_extra("run_id", run.to_string()),
            Error::Prompt { pointer, category, message } => Self::new(
                &codes::PROMPT_MODERATED,
                format!("This studio makes no {message}. Say it differently, if that is not meant. Nothing was held."),
            )
            .with_field(format!("/input{pointer}"), "is refused by moderation")
            .with_extra("category", category),
            Error::ReviewUnknown(id) => {
                Self::new(&codes::REVIEW_UNKNOWN, format!("There is no review {id}. GET /v1/reviews lists them."))
            }
            Error::ReviewDecided(id) => Self::new(
                &codes::REVIEW_DECIDED,
                format!("Somebody has decided it before. GET /v1/reviews/{id} says who, when and how."),
            ),
            Error::Import(error) => error.into(),
            Error::Refused(problem) => problem,
        }
    }
}

impl From<PriceError> for Error {
    fn from(error: PriceError) -> Self {
        let pointer = match &error {
            PriceError::NotANumber(property)
            | PriceError::NotAText(property)
            | PriceError::NoFacts(property)
            | PriceError::UnknownProperty(property) => format!("/{property}"),
            PriceError::Shape | PriceError::Amount(_) | PriceError::TooLarge => String::new(),
        };
        Self::Input(vec![Fault { pointer, message: error.to_string() }])
    }
}
