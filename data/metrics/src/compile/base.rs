//! The chain of relations of one simple metric: seen, judged, counted, aggregated.

use std::fmt::Write as _;

use backlot_data_api::{Agg, Definition, Exclusion, MetricType};

use super::{Compiler, Grain, quoted};
use crate::rules::window_days;

/// What says whose a device is.
pub(super) const BELONGINGS: &str = "type IN ('client.identified', 'client.aliased')";
/// The device that an event of the tracking protocol names.
const DEVICE: &str = "json_str(data_json, 'anonymous_id')";

impl Compiler<'_> {
    /// Whether a metric counts the devices of people who had not signed in yet, too.
    pub(super) fn is_of_visitors(base: &Definition) -> bool {
        base.entity.as_deref() == Some("visitor")
    }

    /// Whose each device is, where it is asked: the first person whom it was ever said to belong to. Found out later,
    /// it holds for the past, too: the visits before a sign-up are the person's.
    pub(super) fn devices(&self) -> Option<String> {
        self.bases().into_iter().any(Self::is_of_visitors).then(|| {
            format!(
                "devices AS (\n  SELECT device, first_value(actor ORDER BY time_us, id) AS owner\n  FROM (SELECT \
                 coalesce(json_str(data_json, 'previous_id'), {DEVICE}) AS device, actor, time_us, id FROM events WHERE \
                 {BELONGINGS} AND actor <> '')\n  WHERE device <> ''\n  GROUP BY device\n)"
            )
        })
    }

    /// Who is to be left out, where anybody is.
    pub(super) fn people(&self) -> Option<String> {
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

    pub(super) fn base_relations(&self, base: &Definition, grain: Grain) -> Vec<String> {
        let mut relations = Vec::new();
        relations.push(self.seen(base));
        relations.push(self.judged(base));
        relations.push(self.counted(base, grain));
        relations.extend(self.aggregated(base));
        relations
    }

    /// Which events a base metric looks at.
    pub(super) fn event_condition(&self, base: &Definition) -> String {
        let (from, to) = self.event_days(base);
        let mut conditions = Vec::new();
        if base.events.iter().all(|name| name != "*") {
            conditions.push(format!("type IN ({})", quoted(&base.events)));
        }
        if let Some(from) = from {
            conditions.push(format!("date >= DATE '{from}'"));
        }
        conditions.push(format!("date <= DATE '{to}'"));
        conditions.join(" AND ")
    }

    /// The events of the definition's types, with the person, and whether they fulfil the filter.
    fn seen(&self, base: &Definition) -> String {
        let conditions = self.event_condition(base);
        let matches = self.fill(base.filter.as_deref().unwrap_or("TRUE"));
        let (mut person, mut join) = (format!("({})", base.actor), String::new());
        if Self::is_of_visitors(base) {
            person = format!("coalesce(nullif({person}, ''), owner, 'device:' || nullif({DEVICE}, ''), '')");
            join = format!(" LEFT JOIN devices ON device = {DEVICE}");
        }
        format!(
            "{name}_seen AS (\n  SELECT events.*, {person} AS person, coalesce(({matches}), FALSE) AS matches\n  FROM \
             events{join}\n  WHERE {conditions}\n)",
            name = base.name,
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
        let nobody = if base.entity.is_some() { " AND person <> ''" } else { "" };
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
}
