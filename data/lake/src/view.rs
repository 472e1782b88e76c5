//! SQL over the table and what waits for it, at one moment.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::datasource::MemTable;
use datafusion::execution::SessionState;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use deltalake::arrow::array::RecordBatch;
use deltalake::arrow::json::WriterBuilder;
use deltalake::arrow::json::writer::JsonArray;
use deltalake::delta_datafusion::DeltaSessionContext;
use serde_json::{Map, Value};

use crate::{Config, Error, EventRow, json_functions};

/// Columns of `events`.
const COLUMNS: &str =
    "id, type, version, source, subject, organisation, actor, time_us, date, data_json, received_us";
/// Rounds of the optimizer. Its default of three doubles the time of planning and changed no plan of ours.
const OPTIMIZER_PASSES: usize = 1;

/// An accepted event that is not in the table yet.
#[derive(Debug, Clone)]
pub struct WaitingEvent {
    /// Its position in the order in which events are delivered to the table, from 1.
    pub position: i64,
    /// The event.
    pub row: EventRow,
}

/// All accepted events that may not be in the table yet.
#[derive(Debug, Clone, Default)]
pub struct Waiting {
    /// Under which name they will be delivered.
    pub application: String,
    /// In the order of their positions.
    pub events: Vec<WaitingEvent>,
    /// Everything that happened before is either waiting or delivered, Unix microseconds; `None`: not known.
    pub as_of_us: Option<i64>,
}

/// Who knows what waits for the table.
#[async_trait]
pub trait WaitingSource: Send + Sync {
    /// Everything accepted that is not known to be in the table.
    async fn waiting(&self) -> Result<Waiting, Box<dyn std::error::Error + Send + Sync>>;
}

/// Nothing waits: the table as it is.
#[async_trait]
impl WaitingSource for () {
    async fn waiting(&self) -> Result<Waiting, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Waiting::default())
    }
}

/// All events at one moment, as the SQL relation `events`. Several queries on one view agree.
pub struct View {
    context: SessionContext,
    version: Option<u64>,
    waiting: usize,
    as_of_us: Option<i64>,
}

impl View {
    pub(crate) async fn new(
        context: SessionContext,
        version: Option<u64>,
        waiting: usize,
        as_of_us: Option<i64>,
    ) -> Result<Self, Error> {
        // A side without rows is left out: planning is most of the time of a small query.
        let sides = match (version, waiting) {
            (Some(_), 0) => format!("SELECT {COLUMNS} FROM lake"),
            (None, _) => format!("SELECT {COLUMNS} FROM waiting"),
            (Some(_), _) => format!("SELECT {COLUMNS} FROM lake UNION ALL SELECT {COLUMNS} FROM waiting"),
        };
        context.sql(&format!("CREATE VIEW events AS {sides}")).await?;
        Ok(Self { context, version, waiting, as_of_us })
    }

    /// Everything that happened before is in this view, Unix microseconds; `None`: not known.
    #[must_use]
    pub fn as_of_us(&self) -> Option<i64> {
        self.as_of_us
    }

    /// Version of the Delta table; `None` where there is no table yet.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        self.version
    }

    /// How many of the events were not in the table yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// A view of the events that fulfil `condition` alone, held in memory, so that several statements read the
    /// table once; itself where those are more than `rows_max`. Statements that look at no other events say the
    /// same on both.
    pub async fn narrowed(self, condition: &str, rows_max: usize) -> Result<Self, Error> {
        let sql = format!("SELECT {COLUMNS} FROM events WHERE {condition} LIMIT {}", rows_max + 1);
        let selected = self.context.sql(&sql).await?;
        let schema = Arc::new(selected.schema().as_arrow().clone());
        let batches = selected.collect().await?;
        if batches.iter().map(RecordBatch::num_rows).sum::<usize>() > rows_max {
            return Ok(self);
        }
        self.context.deregister_table("events")?;
        self.context.register_table("events", Arc::new(MemTable::try_new(schema, vec![batches])?))?;
        Ok(self)
    }

    /// Runs one SELECT. Rows as JSON objects, nulls explicit. More than `rows_max` rows are an error.
    pub async fn query(&self, sql: &str, rows_max: usize) -> Result<Vec<Map<String, Value>>, Error> {
        let read_only =
            SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let batches = self.context.sql_with_options(sql, read_only).await?.collect().await?;
        if batches.iter().map(RecordBatch::num_rows).sum::<usize>() > rows_max {
            return Err(Error::TooManyRows { limit: rows_max });
        }
        to_json(&batches)
    }

    /// Checks one SELECT and its names and types, without running it.
    pub async fn check(&self, sql: &str) -> Result<(), Error> {
        self.context.sql(sql).await?.create_physical_plan().await?;
        Ok(())
    }

    /// How the engine would run it, for people.
    pub async fn explain(&self, sql: &str) -> Result<String, Error> {
        let rows = self.query_any(&format!("EXPLAIN {sql}")).await?;
        let lines =
            rows.iter().map(|row| row.values().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"));
        Ok(lines.collect::<Vec<_>>().join("\n"))
    }

    async fn query_any(&self, sql: &str) -> Result<Vec<Map<String, Value>>, Error> {
        to_json(&self.context.sql(sql).await?.collect().await?)
    }
}

/// A session that writes: Delta's own planner, this lake's size.
pub(crate) fn writing_session(config: &Config) -> Result<SessionState, Error> {
    let overrides = HashMap::from([
        ("datafusion.execution.target_partitions".to_owned(), "1".to_owned()),
        ("datafusion.execution.batch_size".to_owned(), config.query_batch_rows.max(64).to_string()),
    ]);
    Ok(DeltaSessionContext::new_with_session_overrides(&overrides)?.state())
}

/// A session that reads, of this lake's size.
pub(crate) fn context(config: &Config) -> Result<SessionContext, Error> {
    let mut session = SessionConfig::new()
        .with_target_partitions(config.query_threads.max(1))
        .with_batch_size(config.query_batch_rows.max(64))
        .with_information_schema(false);
    session.options_mut().optimizer.max_passes = OPTIMIZER_PASSES;
    let runtime =
        RuntimeEnvBuilder::new().with_memory_limit(config.query_memory_mib.max(16) << 20, 1.0).build_arc()?;
    Ok(SessionContext::new_with_config_rt(session, runtime))
}

pub(crate) fn register_functions(context: &SessionContext) {
    for function in json_functions::all() {
        context.register_udf(function);
    }
}

fn to_json(batches: &[RecordBatch]) -> Result<Vec<Map<String, Value>>, Error> {
    let batches: Vec<&RecordBatch> = batches.iter().filter(|batch| batch.num_rows() > 0).collect();
    if batches.is_empty() {
        return Ok(Vec::new());
    }
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
    writer.write_batches(&batches)?;
    writer.finish()?;
    Ok(serde_json::from_slice(&writer.into_inner())?)
}

/// For tests and for callers that hold a shared source.
#[async_trait]
impl<T: WaitingSource + ?Sized> WaitingSource for Arc<T> {
    async fn waiting(&self) -> Result<Waiting, Box<dyn std::error::Error + Send + Sync>> {
        (**self).waiting().await
    }
}
