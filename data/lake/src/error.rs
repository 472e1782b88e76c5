//! What can go wrong in the lake.

/// A failure of the lake. Nothing is half-written: an append is one commit of the Delta log, or nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configured address cannot be used.
    #[error("the lake's address \"{url}\" cannot be used: {reason}")]
    Location {
        /// As configured.
        url: String,
        /// Why.
        reason: String,
    },
    /// The folder of the lake cannot be made.
    #[error("cannot create the lake's folder {path}")]
    Folder {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The Delta table cannot be read or written.
    #[error("the lake's table failed: {0}")]
    Table(#[from] deltalake::DeltaTableError),
    /// A query is wrong or failed.
    #[error("a query on the lake failed: {0}")]
    Query(#[from] datafusion::error::DataFusionError),
    /// Rows could not become columns, or columns rows.
    #[error("rows could not be converted: {0}")]
    Rows(#[from] deltalake::arrow::error::ArrowError),
    /// A result is not JSON: a fault of this crate.
    #[error("a result could not be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A query gave more rows than its caller takes.
    #[error("the result has more than {limit} rows")]
    TooManyRows {
        /// The caller's limit.
        limit: usize,
    },
    /// The events that wait for the lake cannot be read.
    #[error("the events that wait for the lake cannot be read")]
    Waiting(#[source] Box<dyn std::error::Error + Send + Sync>),
}
