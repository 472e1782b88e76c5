//! Error codes of billing.

use backlot_foundation_errors::{Code, Kind};

/// The organisation's grants hold less than was asked for.
pub const INSUFFICIENT_CREDITS: Code =
    Code::new("insufficient_credits", Kind::PaymentRequired, "There are not enough credits");
/// No run of this organisation holds credits under this id.
pub const HOLD_UNKNOWN: Code = Code::new("hold_unknown", Kind::NotFound, "This run holds no credits");
/// The run already holds credits, asked for with another body.
pub const HOLD_CONFLICT: Code =
    Code::new("hold_conflict", Kind::Conflict, "This run already holds credits on other terms");
/// The hold ended, and not like this.
pub const HOLD_ENDED: Code = Code::new("hold_ended", Kind::Conflict, "This hold has ended in another way");
/// More than was held.
pub const SETTLE_EXCEEDS_HOLD: Code =
    Code::new("settle_exceeds_hold", Kind::Unprocessable, "A run is never charged more than it held");
/// More than was charged and not yet given back.
pub const REFUND_EXCEEDS_CHARGE: Code =
    Code::new("refund_exceeds_charge", Kind::Unprocessable, "No more is given back than was charged");
/// An amount below zero, or larger than any that makes sense.
pub const AMOUNT_OUT_OF_RANGE: Code =
    Code::new("amount_out_of_range", Kind::Unprocessable, "This amount is out of range");
/// No plan of that name is offered.
pub const PLAN_UNKNOWN: Code = Code::new("plan_unknown", Kind::Unprocessable, "There is no such plan");
/// The invoice was canceled.
pub const INVOICE_NOT_OPEN: Code = Code::new("invoice_not_open", Kind::Conflict, "This invoice is not open");
/// The organisation has no ledger.
pub const ORGANISATION_UNKNOWN: Code =
    Code::new("organisation_unknown", Kind::NotFound, "There is no such organisation");
/// The organisation has closed, so it spends nothing any more.
pub const ORGANISATION_CLOSED: Code =
    Code::new("organisation_closed", Kind::Forbidden, "This organisation has closed");

/// All codes of billing.
pub const ALL: &[&Code] = &[
    &INSUFFICIENT_CREDITS,
    &HOLD_UNKNOWN,
    &HOLD_CONFLICT,
    &HOLD_ENDED,
    &SETTLE_EXCEEDS_HOLD,
    &REFUND_EXCEEDS_CHARGE,
    &AMOUNT_OUT_OF_RANGE,
    &PLAN_UNKNOWN,
    &INVOICE_NOT_OPEN,
    &ORGANISATION_UNKNOWN,
    &ORGANISATION_CLOSED,
];
