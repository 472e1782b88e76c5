//! One event as a row of the lake.

use std::sync::{Arc, LazyLock};

use deltalake::arrow::array::{
    ArrayRef, Date32Builder, Int32Builder, Int64Builder, RecordBatch, StringBuilder,
};
use deltalake::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use deltalake::arrow::error::ArrowError;
use deltalake::kernel::{DataType as DeltaType, StructField};

/// Microseconds of a day, UTC.
pub const MICROS_PER_DAY: i64 = 86_400_000_000;

/// One accepted event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// UUIDv7, the key for duplicates.
    pub id: String,
    /// `system.thing.happened`.
    pub event_type: String,
    /// Of the schema.
    pub version: i32,
    /// The system that wrote it.
    pub source: String,
    /// Pseudonymous id of the thing.
    pub subject: String,
    /// Pseudonymous id of the tenant, may be empty.
    pub organisation: String,
    /// Pseudonymous id of the person or service, may be empty.
    pub actor: String,
    /// When it happened, Unix microseconds.
    pub time_us: i64,
    /// The event's data, a JSON object.
    pub data_json: String,
    /// When the collector accepted it, Unix microseconds.
    pub received_us: i64,
}

impl EventRow {
    /// The UTC date of the event as days since 1970-01-01: the table's partition.
    #[must_use]
    pub fn date_days(&self) -> i32 {
        i32::try_from(self.time_us.div_euclid(MICROS_PER_DAY)).unwrap_or(i32::MAX)
    }
}

/// Columns of the table, in order. Readers of other companies' engines rely on them: add, never change.
pub(crate) static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("type", DataType::Utf8, false),
        Field::new("version", DataType::Int32, false),
        Field::new("source", DataType::Utf8, false),
        Field::new("subject", DataType::Utf8, false),
        Field::new("organisation", DataType::Utf8, false),
        Field::new("actor", DataType::Utf8, false),
        Field::new("time_us", DataType::Int64, false),
        Field::new("date", DataType::Date32, false),
        Field::new("data_json", DataType::Utf8, false),
        Field::new("received_us", DataType::Int64, false),
    ]))
});

/// The same columns as Delta declares them.
pub(crate) fn delta_columns() -> Vec<StructField> {
    SCHEMA
        .fields()
        .iter()
        .map(|field| {
            let kind = match field.data_type() {
                DataType::Int32 => DeltaType::INTEGER,
                DataType::Int64 => DeltaType::LONG,
                DataType::Date32 => DeltaType::DATE,
                _ => DeltaType::STRING,
            };
            StructField::not_null(field.name().clone(), kind)
        })
        .collect()
}

/// Rows as columns.
pub(crate) fn to_batch(rows: &[&EventRow]) -> Result<RecordBatch, ArrowError> {
    let texts = |pick: fn(&EventRow) -> &str| -> ArrayRef {
        let mut builder =
            StringBuilder::with_capacity(rows.len(), rows.iter().map(|row| pick(row).len()).sum());
        for row in rows {
            builder.append_value(pick(row));
        }
        Arc::new(builder.finish())
    };
    let longs = |pick: fn(&EventRow) -> i64| -> ArrayRef {
        let mut builder = Int64Builder::with_capacity(rows.len());
        for row in rows {
            builder.append_value(pick(row));
        }
        Arc::new(builder.finish())
    };
    let mut versions = Int32Builder::with_capacity(rows.len());
    let mut dates = Date32Builder::with_capacity(rows.len());
    for row in rows {
        versions.append_value(row.version);
        dates.append_value(row.date_days());
    }
    let columns: Vec<ArrayRef> = vec![
        texts(|row| &row.id),
        texts(|row| &row.event_type),
        Arc::new(versions.finish()),
        texts(|row| &row.source),
        texts(|row| &row.subject),
        texts(|row| &row.organisation),
        texts(|row| &row.actor),
        longs(|row| row.time_us),
        Arc::new(dates.finish()),
        texts(|row| &row.data_json),
        longs(|row| row.received_us),
    ];
    RecordBatch::try_new(SCHEMA.clone(), columns)
}
