//! Everything that can go wrong, and the problem that each becomes.

use backlot_foundation_db::DbError;
use backlot_foundation_errors::{Code, Problem, codes as common};
use backlot_infrastructure_api::codes::{billing as codes, mandates as mandate_codes};
use backlot_infrastructure_api::{HoldId, OrganisationId, UserId};
use backlot_infrastructure_mandates::{Chain, ChainError, GiveRefusal, Reason, Refusal};
use sea_orm::DbErr;

use crate::ledger::{Account, Unbalanced};
use crate::store::holds::HoldState;

/// Seconds after which to ask again for a proof that others kept waiting.
const PROOF_BUSY_S: u32 = 5;

/// What can go wrong in billing and mandates.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The organisation has no ledger.
    #[error("organisation {0} has no ledger")]
    UnknownOrganisation(OrganisationId),
    /// The organisation has closed.
    #[error("organisation {0} has closed")]
    OrganisationClosed(OrganisationId),
    /// Not there, or another tenant's.
    #[error("there is no such {0}")]
    Unknown(&'static str),
    /// No hold of this organisation.
    #[error("run {0} holds no credits")]
    UnknownHold(HoldId),
    /// The actor holds no mandate here.
    #[error("user {0} holds no mandate here")]
    NoMandate(UserId),
    /// A mandate of the chain refuses.
    #[error("mandate {} refuses: {}", refusal.mandate, refusal.reason.code())]
    Refused {
        /// Which, and why.
        refusal: Refusal,
        /// What the refusing mandate was given for.
        purpose: String,
        /// What was asked of the envelopes.
        needed_micro: i64,
    },
    /// A mandate may not be given like this.
    #[error("the mandate may not be given: {}", .0.code())]
    GiveRefused(GiveRefusal),
    /// The receiver does not belong to the organisation.
    #[error("user {0} is no member")]
    GranteeNotMember(UserId),
    /// Not theirs to take back.
    #[error("only those above a mandate take it back")]
    RevokeRefused,
    /// The root stays with an owner.
    #[error("the root mandate is protected")]
    RootProtected,
    /// As many mandates as there may be.
    #[error("the limit of {0} mandates is reached")]
    MandateLimit(usize),
    /// Not enough in the account that pays.
    #[error("{available_micro} of {needed_micro} micro-credits are available")]
    InsufficientCredits {
        /// What was asked.
        needed_micro: i64,
        /// What there is.
        available_micro: i64,
    },
    /// The run's hold was asked for with another body.
    #[error("run {0} holds credits on other terms")]
    HoldConflict(HoldId),
    /// The idempotency key stands for another order.
    #[error("the idempotency key was used for another order")]
    KeyReused,
    /// The hold ended in another way.
    #[error("run {run} ended as {} with {settled_micro}", state.as_str())]
    HoldEnded {
        /// Which.
        run: HoldId,
        /// How it ended, or that it has not.
        state: HoldState,
        /// What was charged.
        settled_micro: i64,
    },
    /// More than was held.
    #[error("at most {held_micro} can be settled")]
    SettleExceedsHold {
        /// What was held.
        held_micro: i64,
    },
    /// More than was charged.
    #[error("at most {most_micro} can be refunded")]
    RefundExceedsCharge {
        /// What is left of the charge.
        most_micro: i64,
    },
    /// Below zero or absurd.
    #[error("amount {pointer} is out of range")]
    AmountOutOfRange {
        /// The field.
        pointer: &'static str,
    },
    /// A field breaks a rule.
    #[error("{pointer}: {message}")]
    Invalid {
        /// The field.
        pointer: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// No plan of that name.
    #[error("plan \"{0}\" is unknown")]
    PlanUnknown(String),
    /// The invoice was canceled.
    #[error("the invoice is not open")]
    InvoiceNotOpen,
    /// One person has given another as many mandates as there may be.
    #[error("at most {0} live mandates from one person to another")]
    GivenLimit(i64),
    /// Others asked for a proof of the ledger before.
    #[error("others asked for a proof before")]
    ProofBusy,
    /// Another part of infrastructure, or the payment provider, refuses.
    #[error(transparent)]
    Elsewhere(#[from] Problem),
    /// Stored mandates make no chain.
    #[error("stored mandates make no chain")]
    Chain(#[from] ChainError),
    /// An entry does not balance.
    #[error("an entry does not balance")]
    Unbalanced(#[from] Unbalanced),
    /// An account that holds credits would go below zero.
    #[error("account {account} would go to {amount_micro}")]
    Overdrawn {
        /// Which.
        account: Account,
        /// Where to.
        amount_micro: i64,
    },
    /// The database answers an error.
    #[error("database")]
    Db(#[from] DbError),
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        Self::Db(error.into())
    }
}

impl Error {
    /// The refusal of a mandate of this chain.
    pub(crate) fn refused(chain: &Chain, refusal: Refusal, needed_micro: i64) -> Self {
        let refusing = chain.links().iter().find(|link| link.mandate.id == refusal.mandate);
        let purpose = refusing.map(|link| link.mandate.purpose.clone()).unwrap_or_default();
        Self::Refused { refusal, purpose, needed_micro }
    }

    /// Whether the same transaction may succeed when it is run again: a deadlock, a serialization
    /// failure, or a row that another transaction inserted first.
    pub(crate) fn is_worth_another_try(&self) -> bool {
        let Self::Db(DbError::Database(error)) = self else { return false };
        if matches!(error.sql_err(), Some(sea_orm::SqlErr::UniqueConstraintViolation(_))) {
            return true;
        }
        let text = error.to_string();
        ["deadlock detected", "could not serialize", "database is locked"]
            .iter()
            .any(|part| text.contains(part))
    }
}

/// Credits for people: micro-credits with the point in its place.
pub(crate) fn credits(amount_micro: i64) -> String {
    let (whole, rest) = (amount_micro / 1_000_000, (amount_micro % 1_000_000).abs());
    if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:06}").trim_end_matches('0').to_owned() }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::UnknownOrganisation(id) => Self::new(
                &codes::ORGANISATION_UNKNOWN,
                format!("No ledger belongs to organisation {id}. Check the id."),
            ),
            Error::OrganisationClosed(_) => Self::new(
                &codes::ORGANISATION_CLOSED,
                "The organisation has closed: nothing is spent in it any more. What ran before is still settled.",
            ),
            Error::Unknown(what) => {
                Self::new(&common::NOT_FOUND, format!("There is no such {what} in your organisation."))
            }
            Error::UnknownHold(run) => {
                Self::new(&codes::HOLD_UNKNOWN, format!("Run {run} of your organisation holds no credits."))
            }
            Error::NoMandate(_) => Self::new(
                &mandate_codes::MANDATE_MISSING,
                "You hold no mandate in this organisation. Ask an owner to give you one.",
            ),
            Error::Refused { refusal, purpose, needed_micro } => refused(&refusal, &purpose, needed_micro),
            Error::GiveRefused(refusal) => give_refused(&refusal),
            Error::GranteeNotMember(user) => Self::new(
                &mandate_codes::GRANTEE_NOT_MEMBER,
                format!("User {user} is no member of this organisation. Invite them first."),
            )
            .with_field("/grantee_id", "is no member of this organisation"),
            Error::RevokeRefused => Self::new(
                &mandate_codes::MANDATE_REVOKE_REFUSED,
                "Only its own holder, or the holder of a live mandate above it, takes a mandate back.",
            ),
            Error::RootProtected => Self::new(
                &mandate_codes::MANDATE_ROOT_PROTECTED,
                "The root mandate stays with an owner. Make somebody else an owner first.",
            ),
            Error::MandateLimit(limit) => Self::new(
                &mandate_codes::MANDATE_LIMIT,
                format!("An organisation has at most {limit} live mandates. Revoke some first."),
            ),
            Error::InsufficientCredits { needed_micro, available_micro } => Self::new(
                &codes::INSUFFICIENT_CREDITS,
                format!(
                    "This needs {} credits; {} are available. Nothing was held.",
                    credits(needed_micro),
                    credits(available_micro)
                ),
            )
            .with_extra("needed_micro", needed_micro)
            .with_extra("available_micro", available_micro),
            Error::HoldConflict(run) => Self::new(
                &codes::HOLD_CONFLICT,
                format!("Run {run} already holds credits on other terms. The existing hold is unchanged."),
            ),
            Error::KeyReused => Self::new(
                &common::IDEMPOTENCY_KEY_REUSED,
                "Use a new key for a new order. This one changed nothing.",
            ),
            Error::HoldEnded { run, state, settled_micro } => Self::new(
                &codes::HOLD_ENDED,
                format!(
                    "The hold of run {run} is {} with {} credits charged.",
                    state.as_str(),
                    credits(settled_micro)
                ),
            )
            .with_extra("state", state.as_str())
            .with_extra("settled_micro", settled_micro),
            Error::SettleExceedsHold { held_micro } => Self::new(
                &codes::SETTLE_EXCEEDS_HOLD,
                format!("At most {} credits can be charged. The hold is still open.", credits(held_micro)),
            )
            .with_extra("held_micro", held_micro),
            Error::RefundExceedsCharge { most_micro } => Self::new(
                &codes::REFUND_EXCEEDS_CHARGE,
                format!("At most {} credits can be given back.", credits(most_micro)),
            )
            .with_extra("most_micro", most_micro),
            Error::AmountOutOfRange { pointer } => Self::new(
                &codes::AMOUNT_OUT_OF_RANGE,
                "Amounts are micro-credits, never negative and at most 1,000,000,000 credits.",
            )
            .with_field(pointer, "is out of range"),
            Error::Invalid { pointer, message } => Self::new(
                &common::INVALID_FIELDS,
                "Correct the fields named in \"errors\" and send it again.",
            )
            .with_field(pointer, message),
            Error::PlanUnknown(plan) => Self::new(
                &codes::PLAN_UNKNOWN,
                format!("There is no plan \"{plan}\". GET /v1/billing/plans lists them."),
            ),
            Error::InvoiceNotOpen => Self::new(
                &codes::INVOICE_NOT_OPEN,
                "The invoice was canceled. Subscribe again to get a new one.",
            ),
            Error::GivenLimit(limit) => Self::new(
                &mandate_codes::MANDATE_LIMIT,
                format!(
                    "You have given this person {limit} live mandates already. Revoke some first, or give one that is wider."
                ),
            ),
            Error::ProofBusy => Self::new(
                &common::RATE_LIMITED,
                "Other ledgers are being proved, one after the other. Ask again in a moment.",
            )
            .retry_after(PROOF_BUSY_S),
            Error::Elsewhere(problem) => problem,
            Error::Db(error) => error.into(),
            error @ (Error::Chain(_) | Error::Unbalanced(_) | Error::Overdrawn { .. }) => {
                Self::internal(&error)
            }
        }
    }
}

const fn code_of(reason: Reason) -> &'static Code {
    match reason {
        Reason::Revoked => &mandate_codes::MANDATE_REVOKED,
        Reason::Expired => &mandate_codes::MANDATE_EXPIRED,
        Reason::NotYetValid => &mandate_codes::MANDATE_NOT_YET_VALID,
        Reason::DepthExceeded => &mandate_codes::MANDATE_DEPTH_EXCEEDED,
        Reason::NotHeld => &mandate_codes::MANDATE_NOT_HELD,
        Reason::ScopeNotAllowed => &mandate_codes::SCOPE_NOT_ALLOWED,
        Reason::ActionNotAllowed => &mandate_codes::ACTION_NOT_ALLOWED,
        Reason::ToolNotAllowed => &mandate_codes::TOOL_NOT_ALLOWED,
        Reason::UnitPriceExceeded => &mandate_codes::UNIT_PRICE_EXCEEDED,
        Reason::EnvelopeExceeded => &mandate_codes::ENVELOPE_EXCEEDED,
    }
}

fn refused(refusal: &Refusal, purpose: &str, needed_micro: i64) -> Problem {
    let name = if purpose.is_empty() { refusal.mandate.to_string() } else { format!("“{purpose}”") };
    let mut detail = format!("{} It is the mandate {name}.", refusal.reason.sentence());
    if let Some(left_micro) = refusal.left_micro {
        let (needed, left) = (credits(needed_micro), credits(left_micro));
        detail = format!("The envelope of the mandate {name} has {left} credits left; this needs {needed}.");
    }
    let problem = Problem::new(code_of(refusal.reason), detail)
        .with_extra("mandate_id", refusal.mandate.to_string())
        .with_extra("holder_id", refusal.holder.to_string())
        .with_extra("purpose", purpose);
    match refusal.left_micro {
        Some(left_micro) => {
            problem.with_extra("left_micro", left_micro).with_extra("needed_micro", needed_micro)
        }
        None => problem,
    }
}

fn give_refused(refusal: &GiveRefusal) -> Problem {
    match refusal {
        GiveRefusal::Chain(refusal) => refused(refusal, "", 0),
        GiveRefusal::Depth { most: None } => Problem::new(
            &mandate_codes::MANDATE_DEPTH_EXCEEDED,
            "Your mandate may not be given on. Ask someone higher in its chain to give it.",
        ),
        GiveRefusal::Depth { most: Some(most) } => Problem::new(
            &mandate_codes::MANDATE_DEPTH_EXCEEDED,
            format!("A mandate given out of yours has a depth of at most {most}."),
        )
        .with_field("/depth_max", format!("must be at most {most}"))
        .with_extra("depth_most", *most),
        GiveRefusal::SelfRaise => Problem::new(
            &mandate_codes::MANDATE_SELF_RAISE,
            "The receiver is you, or somebody above you in the chain. Authority goes downwards only.",
        )
        .with_field("/grantee_id", "already stands in the chain"),
        GiveRefusal::Scope => {
            Problem::new(&mandate_codes::SCOPE_NOT_ALLOWED, "Your mandate does not reach this project.")
                .with_field("/project_id", "is outside your mandate's scope")
        }
        GiveRefusal::Action(action) => Problem::new(
            &mandate_codes::ACTION_NOT_ALLOWED,
            format!("You do not hold the action \"{action}\", so you cannot give it."),
        )
        .with_field("/actions", format!("\"{action}\" is more than you hold")),
        GiveRefusal::Tools => Problem::new(
            &mandate_codes::TOOL_NOT_ALLOWED,
            "Your mandate is limited to certain tools; name tools among them.",
        )
        .with_field("/tools", "must be some of your own mandate's tools"),
        GiveRefusal::UnitPrice { most_micro } => Problem::new(
            &mandate_codes::UNIT_PRICE_EXCEEDED,
            format!(
                "Your mandate limits a single use to {} credits; give at most that.",
                credits(*most_micro)
            ),
        )
        .with_field("/max_unit_price_micro", format!("must be at most {most_micro}")),
        GiveRefusal::Envelope { mandate, most_micro } => Problem::new(
            &mandate_codes::ENVELOPE_EXCEEDED,
            format!(
                "Mandate {mandate} above has an envelope of {} credits; give at most that.",
                credits(*most_micro)
            ),
        )
        .with_field("/envelope/amount_micro", format!("must be at most {most_micro}"))
        .with_extra("mandate_id", mandate.to_string())
        .with_extra("left_micro", *most_micro),
        GiveRefusal::Expiry { latest } => Problem::new(
            &mandate_codes::MANDATE_EXPIRY_EXCEEDED,
            format!("Your own mandate ends at {latest}; give one that ends no later."),
        )
        .with_field("/expires_at", format!("must be at or before {latest}"))
        .with_extra("latest", latest.to_string()),
        GiveRefusal::Share { left_bps } => Problem::new(
            &mandate_codes::MANDATE_SHARE_EXCEEDED,
            format!("{left_bps} hundredths of a per cent of the benefit are left to give."),
        )
        .with_field("/share_bps", format!("must be at most {left_bps}"))
        .with_extra("left_bps", *left_bps),
    }
}
