//! A definition becomes SQL: a pure function of the definitions, the days and the configured values.
//!
//! Every simple metric becomes the same chain of relations, each of which can be looked at alone:
//!
//! - `people`: who is to be left out, by the latest event that says so;
//! - `devices`: for metrics of visitors, whose a device is;
//! - `NAME_seen`: the events of the definition's types, with the person and whether the filter `matches`;
//! - `NAME_judged`: the same, with `is_staff` and `is_service`;
//! - `NAME_counted`: what counts, with the value `x` and the `day` that it counts for;
//! - `NAME`: one value for each day of `days`.
//!
//! Ratios, windows and cohorts are joins of these. For a total, everything counts for one day: the last.

mod answer;
mod base;

use backlot_data_api::{Definition, MetricType};

use crate::Day;
use crate::definitions::{Catalogue, Document};
use crate::rules::window_days;

/// The days of a question, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First day.
    pub from: Day,
    /// Last day.
    pub to: Day,
}

/// What a metric becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// A row for each day: `day`, `value`, and for ratios and conversions `numerator`, `denominator`;
    /// parts as `part_NAME`.
    pub points: String,
    /// One row of the same columns for the whole range; none for conversions, whose complete days are summed, and
    /// for windows, of which the last one stands for the range.
    pub total: Option<String>,
    /// One row: `staff`, `service` (persons left out), `events` (their events); none where nobody is left out.
    pub excluded: Option<String>,
    /// SQL: the events that these statements look at, and no others.
    pub needs: String,
}

/// How the days of a statement are made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grain {
    /// Each day by itself.
    Daily,
    /// All days as the last one.
    Total,
}

/// Everything that a metric of the catalogue needs for `range`.
#[must_use]
pub fn compile(document: &Document, catalogue: &Catalogue, range: Range) -> Compiled {
    let compiler = Compiler { catalogue, definition: &document.definition, range };
    Compiled {
        points: compiler.values(Grain::Daily),
        total: compiler.has_total().then(|| compiler.values(Grain::Total)),
        excluded: (!document.definition.exclusions.is_empty()).then(|| compiler.excluded()),
        needs: compiler.needs(),
    }
}

/// The events behind one day: those of the metric itself, of its denominator, or of its cohort.
#[must_use]
pub fn compile_rows(document: &Document, catalogue: &Catalogue, day: Day, limit: usize) -> String {
    let compiler =
        Compiler { catalogue, definition: &document.definition, range: Range { from: day, to: day } };
    compiler.rows(limit)
}

/// Days after its own day that a point looks at.
#[must_use]
pub fn lag_days(definition: &Definition) -> i32 {
    definition.conversion_day.and_then(|days| i32::try_from(days).ok()).unwrap_or(0)
}

struct Compiler<'a> {
    catalogue: &'a Catalogue,
    definition: &'a Definition,
    range: Range,
}

impl Compiler<'_> {
    fn has_total(&self) -> bool {
        !matches!(self.definition.metric_type, MetricType::Conversion | MetricType::Cumulative)
    }

    /// The simple metrics that it rests on; itself where it is simple.
    fn bases(&self) -> Vec<&Definition> {
        if self.definition.metric_type == MetricType::Simple {
            return vec![self.definition];
        }
        self.catalogue.inputs(self.definition).iter().map(|document| &document.definition).collect()
    }

    /// The simple metric whose events stand for the whole: what is left out of it, and its rows.
    fn main_base(&self) -> &Definition {
        let definition = self.definition;
        let name = definition
            .denominator
            .as_ref()
            .or(definition.conversion_metric.as_ref())
            .or(definition.input_metrics.first());
        let input = name.and_then(|name| self.catalogue.get(name));
        input.map_or(definition, |document| &document.definition)
    }

    /// The days whose events a base metric needs.
    fn event_days(&self, base: &Definition) -> (Option<Day>, Day) {
        let definition = self.definition;
        let Range { from, to } = self.range;
        let before = i32::try_from(window_days(definition)).unwrap_or(1) - 1;
        let lag = lag_days(definition);
        if definition.base_metric.as_deref() == Some(&base.name) {
            // The first event ever: the whole past.
            return (None, to);
        }
        (Some(from.plus(lag - before)), to.plus(lag))
    }

    /// The events of every base on its days, and what is said about people at any time.
    fn needs(&self) -> String {
        let rules = self.definition.exclusions.iter().filter_map(|name| self.catalogue.exclusion(*name));
        let about_people: Vec<String> = rules.flat_map(|rule| rule.events.clone()).collect();
        let mut conditions: Vec<String> =
            self.bases().into_iter().map(|base| format!("({})", self.event_condition(base))).collect();
        if !about_people.is_empty() {
            conditions.push(format!("type IN ({})", quoted(&about_people)));
        }
        if self.bases().into_iter().any(Self::is_of_visitors) {
            conditions.push(base::BELONGINGS.to_owned());
        }
        conditions.join(" OR ")
    }

    fn values(&self, grain: Grain) -> String {
        let mut relations = vec![self.days(grain)];
        relations.extend(self.about_people());
        for base in self.bases() {
            relations.extend(self.base_relations(base, grain));
        }
        let (more, select) = self.select(grain);
        relations.extend(more);
        statement(&relations, &select)
    }

    /// What every base stands on: who is left out, and whose the devices are.
    fn about_people(&self) -> impl Iterator<Item = String> {
        self.people().into_iter().chain(self.devices())
    }

    fn days(&self, grain: Grain) -> String {
        let Range { from, to } = self.range;
        if grain == Grain::Total {
            return format!("days AS (SELECT DATE '{to}' AS day)");
        }
        format!(
            "days AS (SELECT unnest(generate_series(DATE '{from}', DATE '{to}', INTERVAL '1 day')) AS day)"
        )
    }

    fn excluded(&self) -> String {
        let base = self.main_base();
        let mut relations: Vec<String> = self.about_people().collect();
        relations.extend(self.base_relations(base, Grain::Daily).into_iter().filter(|text| {
            ["_seen", "_judged"].iter().any(|end| text.starts_with(&format!("{}{end} AS", base.name)))
        }));
        statement(
            &relations,
            &format!(
                "SELECT count(DISTINCT person) FILTER (WHERE is_staff) AS staff, count(DISTINCT person) FILTER (WHERE \
                 is_service AND NOT is_staff) AS service, count(*) FILTER (WHERE is_staff OR is_service) AS events\nFROM \
                 {}_judged\nWHERE matches",
                base.name
            ),
        )
    }

    fn rows(&self, limit: usize) -> String {
        let base = self.main_base();
        let mut relations: Vec<String> = self.about_people().collect();
        relations.extend(self.base_relations(base, Grain::Daily).into_iter().filter(|text| {
            ["_seen", "_judged"].iter().any(|end| text.starts_with(&format!("{}{end} AS", base.name)))
        }));
        let value = self.fill(base.expr.as_deref().unwrap_or("id"));
        statement(
            &relations,
            &format!(
                "SELECT id, type, version, source, subject, organisation, person, time_us, date, ({value}) AS value, NOT is_staff \
                 AND NOT is_service AS counted, data_json\nFROM {}_judged\nWHERE matches\nORDER BY time_us, id\nLIMIT {limit}",
                base.name
            ),
        )
    }

    /// Puts the configured values in the places of their names.
    fn fill(&self, text: &str) -> String {
        let mut filled = text.trim().to_owned();
        for base in self.bases().into_iter().chain([self.definition]) {
            for name in &base.parameters {
                if let Some(value) = self.catalogue.parameter(name) {
                    filled = filled.replace(&format!("{{{name}}}"), &number(value));
                }
            }
        }
        filled
    }
}

/// A configured value as an SQL literal; whole numbers stay whole.
fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 { format!("{value:.0}") } else { format!("{value:?}") }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("'{}'", name.replace('\'', "''"))).collect::<Vec<_>>().join(", ")
}

fn statement(relations: &[String], select: &str) -> String {
    if relations.is_empty() {
        return select.to_owned();
    }
    format!("WITH {}\n{select}", relations.join(",\n"))
}

/// Settled and refunded credits by organisation, with nobody left out.
#[must_use]
pub fn reconciliation(range: Range) -> String {
    let Range { from, to } = range;
    format!(
        "SELECT organisation,\n  count(*) FILTER (WHERE type = 'billing.hold.settled') AS holds,\n  \
         coalesce(sum(json_int(data_json, 'settled_micro')) FILTER (WHERE type = 'billing.hold.settled'), 0) AS settled_micro,\n  \
         coalesce(sum(json_int(data_json, 'refunded_micro')) FILTER (WHERE type = 'billing.hold.refunded'), 0) AS refunded_micro\n\
         FROM events\nWHERE type IN ('billing.hold.settled', 'billing.hold.refunded') AND date >= DATE '{from}' AND date <= DATE '{to}'\n\
         GROUP BY organisation\nORDER BY organisation"
    )
}
