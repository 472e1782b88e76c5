//! The contract of data: metric definitions as documents, the answers of its HTTP API, its error codes.
//!
//! No other system depends on it: data follows everybody, and nobody depends on data.

pub mod codes;
mod definition;
mod numbers;

pub use definition::{
    Agg, Definition, Exclusion, ExclusionRule, MetricType, Named, People, Unit, Weekday, WindowKind,
};
pub use numbers::{
    Excluded, Metric, MetricList, MetricRows, MetricSummary, OrganisationBurn, Part, Point, Quarantined,
    QuarantinedList, Reconciliation, Replayed, Total,
};
