//! Computes a metric when it is asked for, with everything that it rests on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use backlot_data_api::{
    Definition, Excluded, Metric, MetricList, MetricRows, MetricSummary, MetricType, Named, OrganisationBurn,
    Part, Point, Reconciliation, Total,
};
use backlot_data_lake::{Lake, MICROS_PER_DAY, View, WaitingSource};
use backlot_foundation_time::{SharedClock, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};
use tokio::sync::Semaphore;

use crate::compile::{self, Range};
use crate::definitions::{Catalogue, Document};
use crate::{Day, Error, rules};

/// Days of a question that names none.
const RANGE_DAYS_DEFAULT: i32 = 30;
/// Most days of a question.
const RANGE_DAYS_MAX: i32 = 400;
/// Rows behind a number that are shown where nothing else is asked.
pub(crate) const ROWS_DEFAULT: usize = 100;
/// Most rows behind a number that are shown.
const ROWS_MAX: usize = 5_000;
/// Most organisations that are reconciled at once.
const ORGANISATIONS_MAX: usize = 1_000_000;
/// Events that are held in memory for the statements of one metric; with more, each reads the table.
const ROWS_IN_MEMORY_MAX: usize = 50_000;
/// Metrics computed at the same time; the others wait.
const QUERIES_AT_ONCE: usize = 2;
/// Longest computation.
const QUERY_SECONDS_MAX: u64 = 60;

/// Configuration of the metrics.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// A folder of more definitions; one with the name of a metric that ships takes its place.
    pub definitions: Option<PathBuf>,
    /// Values that definitions use by name.
    pub parameters: BTreeMap<String, f64>,
}

impl Default for Config {
    fn default() -> Self {
        // What a millisecond of compute costs us, in micro-credits: one credit buys 100 s.
        let parameters = BTreeMap::from([("compute_micro_per_ms".to_owned(), 10.0)]);
        Self { definitions: None, parameters }
    }
}

/// The metrics. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

struct Inner {
    catalogue: Catalogue,
    config: Config,
    lake: Lake,
    waiting: Arc<dyn WaitingSource>,
    clock: SharedClock,
    running: Semaphore,
}

impl Service {
    /// Reads and checks all definitions; where the operator has own ones, all SQL is checked, too.
    pub async fn new(
        lake: Lake,
        waiting: Arc<dyn WaitingSource>,
        clock: SharedClock,
        config: Config,
    ) -> Result<Self, Error> {
        let parameters = Config::default().parameters.into_iter().chain(config.parameters.clone()).collect();
        let catalogue = Catalogue::load(config.definitions.as_deref(), parameters)?;
        let inner =
            Inner { catalogue, config, lake, waiting, clock, running: Semaphore::new(QUERIES_AT_ONCE) };
        let service = Self { inner: Arc::new(inner) };
        if service.inner.config.definitions.is_some() {
            service.check_sql().await?;
        }
        Ok(service)
    }

    /// Plans the statements of all metrics without running them. An expression that is no SQL, or that names what
    /// is not there, is an error of its definition.
    pub async fn check_sql(&self) -> Result<(), Error> {
        let view = self.inner.lake.blank().await?;
        let today = Day::of(self.inner.clock.now());
        for document in self.inner.catalogue.documents() {
            let range = Range { from: today, to: today };
            let compiled = compile::compile(document, &self.inner.catalogue, range);
            for sql in [Some(&compiled.points), compiled.total.as_ref(), compiled.excluded.as_ref()]
                .into_iter()
                .flatten()
            {
                if let Err(error) = view.check(sql).await {
                    return Err(document.error_at("expr", error.to_string()).into());
                }
            }
        }
        Ok(())
    }

    /// The definitions.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.inner.catalogue
    }

    /// All metrics; those that are only inputs of others where asked.
    #[must_use]
    pub fn list(&self, components: bool) -> MetricList {
        let shown =
            self.inner.catalogue.documents().filter(|document| components || !document.definition.component);
        let items = shown
            .map(|Document { definition, .. }| MetricSummary {
                name: definition.name.clone(),
                label: definition.label.clone(),
                description: definition.description.clone(),
                metric_type: definition.metric_type,
                unit: definition.unit,
                version: definition.version,
            })
            .collect();
        MetricList { items, next: None }
    }

    /// One metric over a range of days; without dates, the last 30 days with today.
    pub async fn metric(&self, name: &str, from: Option<&str>, to: Option<&str>) -> Result<Metric, Error> {
        let document = self.document(name)?;
        let range = self.range(from, to)?;
        let compiled = compile::compile(document, &self.inner.catalogue, range);
        self.within_limits(async {
            let asked_at = self.inner.clock.now();
            let view = self.inner.lake.read(&*self.inner.waiting).await?;
            let view = view.narrowed(&compiled.needs, ROWS_IN_MEMORY_MAX).await?;
            let as_of = view.as_of_us().map_or(asked_at, Timestamp::from_micros);
            let points = self.points(&view, document, &compiled.points, as_of).await?;
            let (total, total_detail) = match &compiled.total {
                Some(sql) => self.total(&view, document, sql).await?,
                None if document.definition.metric_type == MetricType::Cumulative => last_window(&points),
                None => weighted_mean(&points),
            };
            let excluded = match &compiled.excluded {
                Some(sql) => excluded(&view, sql).await?,
                None => Excluded::default(),
            };
            Ok(self.answer(
                document,
                compiled.points.clone(),
                range,
                points,
                (total, total_detail),
                excluded,
                &view,
                as_of,
            ))
        })
        .await
    }

    /// The events behind one day of a metric, today's where none is named.
    pub async fn rows(
        &self,
        name: &str,
        date: Option<&str>,
        limit: Option<usize>,
    ) -> Result<MetricRows, Error> {
        let document = self.document(name)?;
        let day = self.range(date, date)?.to;
        let limit = limit.unwrap_or(ROWS_DEFAULT).clamp(1, ROWS_MAX);
        let sql = compile::compile_rows(document, &self.inner.catalogue, day, limit);
        self.within_limits(async {
            let view = self.inner.lake.read(&*self.inner.waiting).await?;
            let mut items = view.query(&sql, limit).await?;
            items.iter_mut().for_each(readable);
            Ok(MetricRows { items, next: None, sql: sql.clone() })
        })
        .await
    }

    /// What the lake knows of settled and refunded credits, with nobody left out, to be held against the
    /// ledger by whoever knows both.
    pub async fn reconciliation(
        &self,
        from: Option<&str>,
        to: Option<&str>,
    ) -> Result<Reconciliation, Error> {
        let range = self.range(from, to)?;
        let sql = compile::reconciliation(range);
        self.within_limits(async {
            let asked_at = self.inner.clock.now();
            let view = self.inner.lake.read(&*self.inner.waiting).await?;
            let rows = view.query(&sql, ORGANISATIONS_MAX).await?;
            let items = rows.iter().map(burn).collect::<Result<Vec<_>, _>>()?;
            let settled_micro = items.iter().map(|item| item.settled_micro).sum();
            let refunded_micro = items.iter().map(|item| item.refunded_micro).sum();
            Ok(Reconciliation {
                from: range.from.to_string(),
                to: range.to.to_string(),
                as_of: view.as_of_us().map_or(asked_at, Timestamp::from_micros),
                items,
                settled_micro,
                refunded_micro,
                burn_micro: settled_micro - refunded_micro,
                sql: sql.clone(),
            })
        })
        .await
    }

    fn document(&self, name: &str) -> Result<&Document, Error> {
        self.inner.catalogue.get(name).ok_or_else(|| Error::NotFound(name.chars().take(64).collect()))
    }

    fn range(&self, from: Option<&str>, to: Option<&str>) -> Result<Range, Error> {
        let day =
            |text: &str| Day::parse(text).ok_or_else(|| Error::NotADate(text.chars().take(64).collect()));
        let to = to.map_or_else(|| Ok(Day::of(self.inner.clock.now())), day)?;
        let from = from.map_or_else(|| Ok(to.plus(1 - RANGE_DAYS_DEFAULT)), day)?;
        let days = to.since(from).saturating_add(1);
        if !(1..=RANGE_DAYS_MAX).contains(&days) {
            return Err(Error::RangeLength { days, days_max: RANGE_DAYS_MAX });
        }
        Ok(Range { from, to })
    }

    async fn within_limits<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let limited = async {
            let _permit = self.inner.running.acquire().await.map_err(|_| Error::Closed)?;
            work.await
        };
        let limit = Duration::from_secs(QUERY_SECONDS_MAX);
        tokio::time::timeout(limit, limited).await.map_err(|_| Error::TooSlow(QUERY_SECONDS_MAX))?
    }

    async fn points(
        &self,
        view: &View,
        document: &Document,
        sql: &str,
        as_of: Timestamp,
    ) -> Result<Vec<Point>, Error> {
        let definition = &document.definition;
        let limit = usize::try_from(RANGE_DAYS_MAX).unwrap_or(usize::MAX);
        let rows = view.query(sql, limit).await?;
        let point = |row: &Map<String, Value>| {
            let date = row.get("day").and_then(Value::as_str).and_then(|text| text.get(0..10));
            let day = date.and_then(Day::parse).ok_or_else(|| Error::Answer("day".to_owned()))?;
            Ok(Point {
                date: day.to_string(),
                value: numeric(row, "value")?,
                numerator: numeric(row, "numerator")?,
                denominator: numeric(row, "denominator")?,
                parts: self.parts(definition, row)?,
                complete: complete_at(definition, day) <= as_of.micros(),
            })
        };
        rows.iter().map(point).collect()
    }

    fn parts(&self, definition: &Definition, row: &Map<String, Value>) -> Result<Vec<Part>, Error> {
        let named = definition.parts.iter().chain(&definition.apart);
        let part = |Named { name, label, .. }: &Named| {
            let value = numeric(row, &format!("part_{name}"))?;
            Ok(Part { name: name.clone(), label: label.clone(), value })
        };
        named.map(part).collect()
    }

    async fn total(
        &self,
        view: &View,
        document: &Document,
        sql: &str,
    ) -> Result<(Option<Number>, Total), Error> {
        let rows = view.query(sql, 1).await?;
        let row = rows.first().ok_or_else(|| Error::Answer("value".to_owned()))?;
        let meaning = match document.definition.metric_type {
            MetricType::Simple | MetricType::Derived => {
                "all days as one; not the sum of the points".to_owned()
            }
            MetricType::Ratio => "all days as one; not the mean of the points".to_owned(),
            MetricType::Cumulative | MetricType::Conversion => String::new(),
        };
        let detail = Total {
            numerator: numeric(row, "numerator")?,
            denominator: numeric(row, "denominator")?,
            parts: self.parts(&document.definition, row)?,
            meaning,
        };
        Ok((numeric(row, "value")?, detail))
    }

    #[expect(clippy::too_many_arguments, reason = "it only puts together what was computed")]
    fn answer(
        &self,
        document: &Document,
        sql: String,
        range: Range,
        points: Vec<Point>,
        (total, total_detail): (Option<Number>, Total),
        excluded: Excluded,
        view: &View,
        as_of: Timestamp,
    ) -> Metric {
        let catalogue = &self.inner.catalogue;
        let inputs: Vec<Definition> =
            catalogue.inputs(&document.definition).iter().map(|input| input.definition.clone()).collect();
        let used = inputs.iter().chain([&document.definition]).flat_map(|definition| &definition.parameters);
        let parameters = used
            .filter_map(|name| Some((name.clone(), Value::from(catalogue.parameter(name)?))))
            .collect::<BTreeMap<_, _>>();
        Metric {
            definition: document.definition.clone(),
            definition_yaml: document.text.clone(),
            inputs,
            parameters,
            sql,
            from: range.from.to_string(),
            to: range.to.to_string(),
            points,
            total,
            total_detail,
            excluded,
            as_of,
            lake_version: view.version(),
            events_waiting: view.waiting(),
            rows_url: format!("/v1/metrics/{}/rows?date={}", document.definition.name, range.to),
        }
    }

    /// The configuration that it runs with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.inner.config
    }
}

/// When the number of a day stops changing: its window is over, and late data has had its time.
fn complete_at(definition: &Definition, day: Day) -> i64 {
    let window_end = day.plus(compile::lag_days(definition) + 1).start_us();
    window_end + i64::from(rules::horizon_hours(definition)) * (MICROS_PER_DAY / 24)
}

/// The window that ends with the last day stands for the range.
fn last_window(points: &[Point]) -> (Option<Number>, Total) {
    let last = points.last();
    let detail = Total {
        numerator: None,
        denominator: None,
        parts: Vec::new(),
        meaning: format!("the window that ends with {}", last.map_or("", |point| &point.date)),
    };
    (last.and_then(|point| point.value.clone()), detail)
}

/// The mean of the complete days, each weighted by the size of its cohort.
fn weighted_mean(points: &[Point]) -> (Option<Number>, Total) {
    let complete: Vec<&Point> = points.iter().filter(|point| point.complete).collect();
    let sum = |pick: fn(&Point) -> &Option<Number>| {
        complete.iter().filter_map(|point| pick(point).as_ref().and_then(Number::as_i64)).sum::<i64>()
    };
    let (top, bottom) = (sum(|point| &point.numerator), sum(|point| &point.denominator));
    let value = (bottom > 0).then(|| Number::from_f64(top as f64 / bottom as f64)).flatten();
    let detail = Total {
        numerator: Some(top.into()),
        denominator: Some(bottom.into()),
        parts: Vec::new(),
        meaning: format!(
            "weighted mean of the {} complete days of {}; incomplete days are left out",
            complete.len(),
            points.len()
        ),
    };
    (value, detail)
}

async fn excluded(view: &View, sql: &str) -> Result<Excluded, Error> {
    let rows = view.query(sql, 1).await?;
    let row = rows.first().ok_or_else(|| Error::Answer("staff".to_owned()))?;
    Ok(Excluded {
        staff: whole(row, "staff")?,
        service: whole(row, "service")?,
        events: whole(row, "events")?,
    })
}

fn burn(row: &Map<String, Value>) -> Result<OrganisationBurn, Error> {
    let organisation = row.get("organisation").and_then(Value::as_str);
    Ok(OrganisationBurn {
        organisation: organisation.ok_or_else(|| Error::Answer("organisation".to_owned()))?.to_owned(),
        holds: whole(row, "holds")?,
        settled_micro: whole(row, "settled_micro")?,
        refunded_micro: whole(row, "refunded_micro")?,
    })
}

/// A number, null, or a column that is not there.
fn numeric(row: &Map<String, Value>, column: &str) -> Result<Option<Number>, Error> {
    match row.get(column) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => Ok(Some(number.clone())),
        Some(_) => Err(Error::Answer(column.to_owned())),
    }
}

fn whole(row: &Map<String, Value>, column: &str) -> Result<i64, Error> {
    row.get(column).and_then(Value::as_i64).ok_or_else(|| Error::Answer(column.to_owned()))
}

/// For people: the time as a text, the data as an object.
fn readable(row: &mut Map<String, Value>) {
    if let Some(time_us) = row.get("time_us").and_then(Value::as_i64) {
        row.insert("time".to_owned(), Value::from(Timestamp::from_micros(time_us).to_string()));
    }
    if let Some(Value::String(data)) = row.remove("data_json") {
        row.insert("data".to_owned(), serde_json::from_str(&data).unwrap_or(Value::String(data)));
    }
}
