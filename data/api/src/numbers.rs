//! What the HTTP API of data answers.

use std::collections::BTreeMap;

use backlot_foundation_time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};
use utoipa::ToSchema;

use crate::{Definition, MetricType, Unit};

/// All metrics.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MetricList {
    /// In the order of the definitions.
    pub items: Vec<MetricSummary>,
    /// Always null: there is one page.
    pub next: Option<String>,
}

/// A metric in the list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MetricSummary {
    /// The name in the address.
    pub name: String,
    /// For people.
    pub label: String,
    /// What it says.
    pub description: String,
    /// How it is made.
    #[serde(rename = "type")]
    pub metric_type: MetricType,
    /// What the number counts.
    pub unit: Unit,
    /// Of the definition.
    pub version: u32,
}

/// A metric over a range of days, with everything that it rests on.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Metric {
    /// The definition as JSON.
    pub definition: Definition,
    /// The definition as it was written.
    pub definition_yaml: String,
    /// The definitions of the metrics that it is made of.
    pub inputs: Vec<Definition>,
    /// Configured values that went into the SQL.
    pub parameters: BTreeMap<String, Value>,
    /// The statement that computed `points`.
    pub sql: String,
    /// First day, UTC.
    #[schema(value_type = String, format = Date)]
    pub from: String,
    /// Last day, UTC, inclusive.
    #[schema(value_type = String, format = Date)]
    pub to: String,
    /// One for each day.
    pub points: Vec<Point>,
    /// The whole range as one number; null where it is not defined.
    #[schema(value_type = Option<f64>)]
    pub total: Option<Number>,
    /// How `total` came about.
    pub total_detail: Total,
    /// Who was left out of this range.
    pub excluded: Excluded,
    /// Everything that was known by then is in these numbers.
    pub as_of: Timestamp,
    /// Version of the lake's table that was read; null where there is none yet.
    pub lake_version: Option<u64>,
    /// Events that were read from what still waits for the table.
    pub events_waiting: usize,
    /// Where the rows behind a day are.
    pub rows_url: String,
}

/// One day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Point {
    /// UTC.
    #[schema(value_type = String, format = Date)]
    pub date: String,
    /// Null where it is not defined: nothing below the line, or a percentile that was not reached.
    #[schema(value_type = Option<f64>)]
    pub value: Option<Number>,
    /// Above the line, for ratios and conversions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<f64>)]
    pub numerator: Option<Number>,
    /// Below the line, for ratios and conversions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<f64>)]
    pub denominator: Option<Number>,
    /// Parts of the value, and what is shown apart, by name.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub parts: Vec<Part>,
    /// Whether the window is over and late data has had its time; false: it may still change.
    pub complete: bool,
}

/// A number beside a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Part {
    /// As in the definition.
    pub name: String,
    /// For people.
    pub label: String,
    /// Null where it is not defined.
    #[schema(value_type = Option<f64>)]
    pub value: Option<Number>,
}

/// The whole range as one number. Distinct counts and ratios never add up, so it is computed, not summed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Total {
    /// Above the line.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<f64>)]
    pub numerator: Option<Number>,
    /// Below the line.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<f64>)]
    pub denominator: Option<Number>,
    /// Parts of the value, and what is shown apart.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub parts: Vec<Part>,
    /// How it came about, for people.
    pub meaning: String,
}

/// Who was left out of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Excluded {
    /// Persons of the staff.
    pub staff: i64,
    /// Services and service accounts.
    pub service: i64,
    /// Events of both that would have counted.
    pub events: i64,
}

/// The events behind a day of a metric.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MetricRows {
    /// Columns as in the lake; `counted` says whether the row is in the number or was left out.
    #[schema(value_type = Vec<Object>)]
    pub items: Vec<Map<String, Value>>,
    /// Always null: ask for a higher `limit`.
    pub next: Option<String>,
    /// The statement that found them.
    pub sql: String,
}

/// What the lake knows of the ledger, by organisation, without any exclusion.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Reconciliation {
    /// First day, UTC.
    #[schema(value_type = String, format = Date)]
    pub from: String,
    /// Last day, UTC, inclusive.
    #[schema(value_type = String, format = Date)]
    pub to: String,
    /// Everything that was known by then is in these numbers.
    pub as_of: Timestamp,
    /// Ordered by organisation.
    pub items: Vec<OrganisationBurn>,
    /// Settled in the range, all organisations.
    pub settled_micro: i64,
    /// Refunded in the range, all organisations.
    pub refunded_micro: i64,
    /// Settled less refunded: the metric `credit_burn` with nobody left out.
    pub burn_micro: i64,
    /// The statement that computed it.
    pub sql: String,
}

/// One organisation's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrganisationBurn {
    /// Pseudonymous id.
    pub organisation: String,
    /// Holds that were settled.
    pub holds: i64,
    /// Settled.
    pub settled_micro: i64,
    /// Refunded.
    pub refunded_micro: i64,
}

/// Events that were not accepted.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct QuarantinedList {
    /// Newest first.
    pub items: Vec<Quarantined>,
    /// Pass as `before` for older ones; null at the end.
    pub next: Option<String>,
}

/// One event that was not accepted, whole, so that it can be tried again.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Quarantined {
    /// Of the quarantine, rising.
    pub number: i64,
    /// The event's own id.
    pub event_id: String,
    /// The event's type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The version of the schema that it names.
    pub version: i32,
    /// The system it came from.
    pub source: String,
    /// `unknown_type`, `unknown_version`, `schema_violation`, `not_json`, `bad_envelope`.
    pub reason: String,
    /// What exactly is wrong, for people.
    pub detail: String,
    /// When the collector read it.
    pub received_at: Timestamp,
    /// The event's data as it came.
    pub data: String,
}

/// What a replay of the quarantine did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Replayed {
    /// Events tried.
    pub tried: u64,
    /// Events accepted now.
    pub accepted: u64,
    /// Events that were already in the lake.
    pub duplicates: u64,
    /// Events that stay.
    pub remaining: u64,
}
