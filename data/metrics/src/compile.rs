//! A definition becomes SQL: a pure function of the definitions, the days and the configured values.
//!
//! Every simple metric becomes the same chain of relations, each of which can be looked at alone:
//!
//! - `people`: who is to be left out, by the latest event that says so;
//! - `NAME_seen`: the events of the definition's types, with the person and whether the filter `matches`;
//! - `NAME_judged`: the same, with `is_staff` and `is_service`;
//! - `NAME_counted`: what counts, with the value `x` and the `day` that it counts for;
//! - `NAME`: one value for each day of `days`.
//!
//! Ratios, windows and cohorts are joins of these. For a total, everything counts for one day: the last.

use std::fmt::Write as _;

use backlot_data_api::{Agg, Definition, Exclusion, MetricType, Named};

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

    fn values(&self, grain: Grain) -> String {
        let mut relations = vec![self.days(grain)];
        relations.extend(self.people());
        for base in self.bases() {
            relations.extend(self.base_relations(base, grain));
        }
        let (more, select) = self.select(grain);
        relations.extend(more);
        statement(&relations, &select)
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

    /// Who is to be left out, where anybody is.
    fn people(&self) -> Option<String> {
        let people = self.catalogue.people()?;
        let rules: Vec<_> =
            self.definition.exclusions.iter().filter_map(|name| self.catalogue.exclusion(*name)).collect();
        if rules.is_empty() {
            return None;
        }
        let mut types: Vec<String> = rules.iter().flat_map(|rule| rule.events.clone()).collect();
        types.sort();
        types.dedup();
        let said: String = rules
            .iter()
            .map(|rule| {
                let (types, expr, name) = (quoted(&rule.events), &rule.expr, rule.name.name());
                format!(", CASE WHEN type IN ({types}) THEN ({expr}) END AS {name}")
            })
            .collect();
        let latest: String = rules
            .iter()
            .map(|rule| {
                let name = rule.name.name();
                format!(
                    ", last_value({name} ORDER BY time_us, id) FILTER (WHERE {name} IS NOT NULL) AS {name}"
                )
            })
            .collect();
        Some(format!(
            "people AS (\n  SELECT who{latest}\n  FROM (SELECT ({person}) AS who, time_us, id{said} FROM events WHERE type IN \
             ({types}))\n  GROUP BY who\n)",
            person = people.person,
            types = quoted(&types),
        ))
    }

    fn base_relations(&self, base: &Definition, grain: Grain) -> Vec<String> {
        let mut relations = Vec::new();
        relations.push(self.seen(base));
        relations.push(self.judged(base));
        relations.push(self.counted(base, grain));
        relations.extend(self.aggregated(base));
        relations
    }

    /// The events of the definition's types, with the person, and whether they fulfil the filter.
    fn seen(&self, base: &Definition) -> String {
        let (from, to) = self.event_days(base);
        let mut conditions = Vec::new();
        if base.events.iter().all(|name| name != "*") {
            conditions.push(format!("type IN ({})", quoted(&base.events)));
        }
        if let Some(from) = from {
            conditions.push(format!("date >= DATE '{from}'"));
        }
        conditions.push(format!("date <= DATE '{to}'"));
        let conditions = conditions.join(" AND ");
        let matches = self.fill(base.filter.as_deref().unwrap_or("TRUE"));
        format!(
            "{name}_seen AS (\n  SELECT *, ({actor}) AS person, coalesce(({matches}), FALSE) AS matches\n  FROM events\n  WHERE \
             {conditions}\n)",
            name = base.name,
            actor = base.actor,
        )
    }

    /// The same, with who is left out.
    fn judged(&self, base: &Definition) -> String {
        let mut columns = String::new();
        for exclusion in [Exclusion::Staff, Exclusion::Service] {
            let name = exclusion.name();
            let rule = self.catalogue.exclusion(exclusion).filter(|_| base.exclusions.contains(&exclusion));
            let reason = rule.map_or("FALSE".to_owned(), |rule| {
                let person_is = rule.person_is.as_ref().map(|text| format!("coalesce(({text}), FALSE) OR "));
                format!("{}coalesce(p.{name}, FALSE)", person_is.unwrap_or_default())
            });
            let _ = write!(columns, ", ({reason}) AS is_{name}");
        }
        let join = if base.exclusions.is_empty() { "" } else { "\n  LEFT JOIN people p ON p.who = s.person" };
        format!("{name}_judged AS (\n  SELECT s.*{columns}\n  FROM {name}_seen s{join}\n)", name = base.name)
    }

    /// What counts, with its value and the day that it counts for.
    fn counted(&self, base: &Definition, grain: Grain) -> String {
        let day = match grain {
            Grain::Daily => "date".to_owned(),
            Grain::Total => format!("DATE '{}'", self.range.to),
        };
        let mut columns =
            format!("{day} AS day, id, person, ({}) AS x", self.fill(base.expr.as_deref().unwrap_or("id")));
        if base.agg == Some(Agg::Percentile) {
            let reached = base
                .censored
                .as_deref()
                .map_or("TRUE".to_owned(), |text| format!("NOT coalesce(({text}), FALSE)"));
            let _ = write!(columns, ", {reached} AS reached");
        }
        for part in &base.parts {
            let _ = write!(columns, ", ({}) AS part_{}", self.fill(&part.expr), part.name);
        }
        let nobody = if base.entity.as_deref() == Some("person") { " AND person <> ''" } else { "" };
        format!(
            "{name}_counted AS (\n  SELECT {columns}\n  FROM {name}_judged\n  WHERE matches AND NOT is_staff AND NOT \
             is_service{nobody}\n)",
            name = base.name
        )
    }

    /// One value for each day, as the relation with the metric's own name.
    fn aggregated(&self, base: &Definition) -> Vec<String> {
        let name = &base.name;
        if self.definition.metric_type == MetricType::Conversion {
            return Vec::new();
        }
        let parts = |of: fn(&str) -> String| {
            base.parts.iter().fold(String::new(), |mut text, part| {
                let _ = write!(text, ", {} AS part_{}", of(&format!("c.part_{}", part.name)), part.name);
                text
            })
        };
        let on = match window_days(self.definition) {
            1 => "c.day = d.day".to_owned(),
            days => format!("c.day > d.day - INTERVAL '{days} days' AND c.day <= d.day"),
        };
        let group = |source: &str, value: &str, parts: &str| {
            format!(
                "{name} AS (\n  SELECT d.day, {value} AS value{parts}\n  FROM days d LEFT JOIN {source} c ON {on}\n  GROUP BY \
                 d.day\n)"
            )
        };
        match base.agg.unwrap_or(Agg::Count) {
            Agg::Count => {
                vec![group(&format!("{name}_counted"), "count(c.x)", &parts(|x| format!("count({x})")))]
            }
            Agg::Sum => vec![group(
                &format!("{name}_counted"),
                "coalesce(sum(c.x), 0)",
                &parts(|x| format!("coalesce(sum({x}), 0)")),
            )],
            Agg::CountDistinct if base.parts.is_empty() => vec![
                format!("{name}_distinct AS (SELECT DISTINCT day, x FROM {name}_counted)"),
                group(&format!("{name}_distinct"), "count(DISTINCT c.x)", ""),
            ],
            Agg::CountDistinct => vec![group(
                &format!("{name}_counted"),
                "count(DISTINCT c.x)",
                &parts(|x| format!("count(DISTINCT {x})")),
            )],
            Agg::Percentile => self.percentiles(base),
        }
    }

    /// Nearest rank: the smallest value that at least this part of all rows does not exceed. Rows that never
    /// reached a value rank last; where the rank falls among them, the percentile was not reached: null.
    fn percentiles(&self, base: &Definition) -> Vec<String> {
        let name = &base.name;
        let part = base.percentile.unwrap_or(0.5);
        let columns = std::iter::once(("x".to_owned(), "value".to_owned())).chain(
            base.parts.iter().map(|part| (format!("part_{}", part.name), format!("part_{}", part.name))),
        );
        let mut ranked = String::new();
        let mut picked = String::new();
        let mut outputs = String::new();
        for (column, output) in columns {
            let _ = write!(
                ranked,
                ", row_number() OVER (PARTITION BY day ORDER BY reached DESC, {column} ASC NULLS LAST, id) AS rank_{column}"
            );
            let _ = write!(outputs, ", p.{output}");
            let comma = if picked.is_empty() { "" } else { ", " };
            let _ = write!(
                picked,
                "{comma}max({column}) FILTER (WHERE reached AND rank_{column} = CAST(ceil({part} * n - 0.000001) AS BIGINT)) AS {output}"
            );
        }
        vec![
            format!(
                "{name}_ranked AS (\n  SELECT *, count(*) OVER (PARTITION BY day) AS n{ranked}\n  FROM {name}_counted\n  \
                 WHERE x IS NOT NULL OR NOT reached\n)"
            ),
            format!("{name}_picked AS (SELECT day, {picked} FROM {name}_ranked GROUP BY day)"),
            format!(
                "{name} AS (SELECT d.day{outputs} FROM days d LEFT JOIN {name}_picked p ON p.day = d.day)"
            ),
        ]
    }

    /// The last relations and the columns of the answer.
    fn select(&self, grain: Grain) -> (Vec<String>, String) {
        let definition = self.definition;
        let name = &definition.name;
        let input = |field: &Option<String>| field.clone().unwrap_or_default();
        let (mut relations, columns, from) = match definition.metric_type {
            MetricType::Simple => {
                let parts: String =
                    definition.parts.iter().map(|part| format!(", v.part_{}", part.name)).collect();
                (vec![], format!("v.day, v.value{parts}"), format!("{name} v"))
            }
            MetricType::Cumulative => {
                let of = definition.input_metrics.first().cloned().unwrap_or_default();
                (vec![], "v.day, v.value".to_owned(), format!("{of} v"))
            }
            MetricType::Ratio => {
                let (top, bottom) = (input(&definition.numerator), input(&definition.denominator));
                let columns = "v.day, CASE WHEN b.value = 0 THEN NULL ELSE CAST(v.value AS DOUBLE) / CAST(b.value AS \
                               DOUBLE) END AS value, v.value AS numerator, b.value AS denominator";
                (vec![], columns.to_owned(), format!("{top} v JOIN {bottom} b ON b.day = v.day"))
            }
            MetricType::Derived => {
                let mut names = definition.input_metrics.iter();
                let first = names.next().cloned().unwrap_or_default();
                let joins = names.fold(first.clone(), |text, name| {
                    format!("{text} JOIN {name} ON {name}.day = {first}.day")
                });
                let values = definition
                    .input_metrics
                    .iter()
                    .map(|name| format!("{name}.value AS {name}"))
                    .collect::<Vec<_>>()
                    .join(", ");
                let expr = self.fill(definition.expr.as_deref().unwrap_or("NULL"));
                let relation = format!(
                    "{name} AS (\n  SELECT day, ({expr}) AS value\n  FROM (SELECT {first}.day AS day, {values} FROM {joins})\n)"
                );
                (vec![relation], "v.day, v.value".to_owned(), format!("{name} v"))
            }
            MetricType::Conversion => {
                let columns = "v.day, CASE WHEN v.denominator = 0 THEN NULL ELSE CAST(v.numerator AS DOUBLE) / \
                               CAST(v.denominator AS DOUBLE) END AS value, v.numerator, v.denominator";
                (self.cohorts(), columns.to_owned(), format!("{name} v"))
            }
        };
        let (apart, apart_columns, apart_join) = self.apart(grain);
        relations.extend(apart);
        (relations, format!("SELECT {columns}{apart_columns}\nFROM {from}{apart_join}\nORDER BY v.day"))
    }

    /// A person enters the cohort of the day of their first event ever, and is retained by an event of the
    /// conversion metric exactly N days later.
    fn cohorts(&self) -> Vec<String> {
        let definition = self.definition;
        let name = &definition.name;
        let base = definition.base_metric.clone().unwrap_or_default();
        let conversion = definition.conversion_metric.clone().unwrap_or_default();
        let days = lag_days(definition);
        vec![
            format!("first_days AS (SELECT x, min(day) AS cohort FROM {base}_counted GROUP BY x)"),
            format!("active_days AS (SELECT DISTINCT x, day FROM {conversion}_counted)"),
            format!(
                "{name} AS (\n  SELECT d.day, count(f.x) AS denominator, count(a.x) AS numerator\n  FROM days d\n  LEFT JOIN \
                 first_days f ON f.cohort = d.day\n  LEFT JOIN active_days a ON a.x = f.x AND a.day = f.cohort + INTERVAL \
                 '{days} days'\n  GROUP BY d.day\n)"
            ),
        ]
    }

    /// What is shown beside and not counted, among those who are not left out.
    fn apart(&self, grain: Grain) -> (Vec<String>, String, String) {
        if self.definition.apart.is_empty() {
            return (vec![], String::new(), String::new());
        }
        let base = &self.main_base().name;
        let day = match grain {
            Grain::Daily => "date".to_owned(),
            Grain::Total => format!("DATE '{}'", self.range.to),
        };
        let count = |named: &Named| {
            format!(
                ", count(*) FILTER (WHERE coalesce(({}), FALSE)) AS part_{}",
                self.fill(&named.expr),
                named.name
            )
        };
        let counts: String = self.definition.apart.iter().map(count).collect();
        let columns: String = self
            .definition
            .apart
            .iter()
            .map(|named| format!(", coalesce(p.part_{0}, 0) AS part_{0}", named.name))
            .collect();
        let relation = format!(
            "apart AS (\n  SELECT day{counts}\n  FROM (SELECT *, {day} AS day FROM {base}_judged WHERE NOT matches AND NOT is_staff \
             AND NOT is_service)\n  GROUP BY day\n)"
        );
        (vec![relation], columns, "\nLEFT JOIN apart p ON p.day = v.day".to_owned())
    }

    fn excluded(&self) -> String {
        let base = self.main_base();
        let mut relations: Vec<String> = self.people().into_iter().collect();
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
        let mut relations: Vec<String> = self.people().into_iter().collect();
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
