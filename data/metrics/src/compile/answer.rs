//! The last relations of a statement and the columns of its answer.

use backlot_data_api::{MetricType, Named};

use super::{Compiler, Grain, lag_days};

impl Compiler<'_> {
    /// The last relations and the columns of the answer.
    pub(super) fn select(&self, grain: Grain) -> (Vec<String>, String) {
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
}
