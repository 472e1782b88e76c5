//! A metric's definition: a YAML document in the MetricFlow vocabulary, and what that vocabulary leaves open.
//!
//! A number without these is not a number: which events count, whose they are, the time zone, the week's
//! first day, the kind of window, who is left out, how late data may be, and the version. All are required.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One metric. Unknown fields are errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Unique, snake case; the name in the address.
    pub name: String,
    /// For people.
    pub label: String,
    /// What it says and what it does not.
    pub description: String,
    /// Rises with every change that changes a number.
    pub version: u32,
    /// How it is made.
    #[serde(rename = "type")]
    pub metric_type: MetricType,
    /// What the number counts.
    pub unit: Unit,
    /// Only an input of other metrics; left out of the list.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub component: bool,

    /// `simple`: the event types that count; `*` is any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// `simple`: how rows become a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agg: Option<Agg>,
    /// `simple`: SQL, what is counted or added up, over the columns of an event and `person`.
    /// `derived`: SQL over the names of `input_metrics`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expr: Option<String>,
    /// `simple`: SQL, which of these events count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// `agg: percentile`: which one, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentile: Option<f64>,
    /// `agg: percentile`: SQL, the rows whose value was never reached; they rank after all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub censored: Option<String>,
    /// `simple`: parts of each value, aggregated the same way, shown beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Named>,
    /// Rows that are not counted but shown beside, each with its SQL condition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apart: Vec<Named>,

    /// `cumulative`: the metric that is accumulated. `derived`: those that `expr` names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub input_metrics: Vec<String>,
    /// `cumulative`: how long the window is, in whole days: `7 days`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,

    /// `ratio`: the metric above the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numerator: Option<String>,
    /// `ratio`: the metric below the line. Where it is zero, the ratio is null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denominator: Option<String>,

    /// Whose numbers they are: `person` for metrics of persons; `visitor` where devices of the tracking protocol count,
    /// too, until they are said to be a person's: then all that was ever seen of them is the person's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// `conversion`: a person enters the cohort of the day of their first event ever in this metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_metric: Option<String>,
    /// `conversion`: and is retained by an event of this metric,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversion_metric: Option<String>,
    /// `conversion`: exactly this many calendar days later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversion_day: Option<u32>,

    /// SQL over the columns of an event: the person or service that it counts for.
    pub actor: String,
    /// Whose midnight ends a day. Only `UTC`.
    pub time_zone: String,
    /// The first day of a week.
    pub week_starts_on: Weekday,
    /// Which days a number looks at.
    pub window_kind: WindowKind,
    /// Who is left out, by the names of exclusion rules.
    pub exclusions: Vec<Exclusion>,
    /// After the end of its window a number stays provisional for so long, in whole hours: `1 hours`.
    pub late_data_horizon: String,
    /// Names of configured values that the SQL uses as `{name}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<String>,
}

/// How a metric is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetricType {
    /// An aggregate of events by day.
    Simple,
    /// One metric over another.
    Ratio,
    /// A simple metric over a trailing window.
    Cumulative,
    /// Arithmetic over other metrics.
    Derived,
    /// How many of a cohort came back.
    Conversion,
}

/// How rows become a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Agg {
    /// Rows where `expr` is not null.
    Count,
    /// Distinct values of `expr`.
    CountDistinct,
    /// The total of `expr`.
    Sum,
    /// The nearest-rank percentile of `expr`.
    Percentile,
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Persons.
    Persons,
    /// Runs of tools.
    Runs,
    /// What people published.
    Posts,
    /// Likes of what people published.
    Likes,
    /// A part of one.
    Ratio,
    /// Milliseconds.
    Milliseconds,
    /// Micro-credits; one credit is 1,000,000.
    MicroCredits,
}

/// The first day of a week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Weekday {
    /// As ISO 8601 has it.
    Monday,
    /// As North America has it.
    Sunday,
}

/// Which days a number looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WindowKind {
    /// The calendar day itself: `[d, d+1)`.
    CalendarDay,
    /// The day and those before it: `[d-(n-1), d+1)`.
    Trailing,
    /// The calendar day that is N days after the cohort's: `[d+N, d+N+1)`.
    OnDay,
}

/// Who is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Exclusion {
    /// The platform's own people.
    Staff,
    /// Services and service accounts.
    Service,
}

impl Exclusion {
    /// As it is written in definitions and in SQL.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Staff => "staff",
            Self::Service => "service",
        }
    }
}

/// How it is known who is to be left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct People {
    /// SQL over the columns of an event about a person: whom it is about.
    pub person: String,
    /// One rule for each exclusion.
    pub exclusions: Vec<ExclusionRule>,
}

/// How it is known that someone is to be left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExclusionRule {
    /// Which one.
    pub name: Exclusion,
    /// For people.
    pub description: String,
    /// SQL over `person` alone: true where the id itself says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person_is: Option<String>,
    /// Types of events about the person; the latest one that says anything holds.
    pub events: Vec<String>,
    /// SQL over the columns of such an event: true, false, or null where it says nothing.
    pub expr: String,
}

/// An SQL expression with a name for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Snake case.
    pub name: String,
    /// For people.
    pub label: String,
    /// SQL over the columns of an event.
    pub expr: String,
}
