//! Where the lake is and how much it may use.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::Error;

/// Configuration of the lake.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the table `events` is: the path of a folder, `file:///…`, or `s3://BUCKET/PREFIX`.
    pub url: String,
    /// How to reach S3; only read where `url` says `s3://`.
    pub s3: S3,
    /// Most memory that one query may use before it spills to disk, in MiB.
    pub query_memory_mib: usize,
    /// Most threads that one query uses.
    pub query_threads: usize,
    /// Rows that DataFusion handles at a time.
    pub query_batch_rows: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: String::new(),
            s3: S3::default(),
            query_memory_mib: 256,
            query_threads: 2,
            query_batch_rows: 4_096,
        }
    }
}

impl Config {
    /// A lake in a folder.
    #[must_use]
    pub fn folder(path: &std::path::Path) -> Self {
        Self { url: path.display().to_string(), ..Self::default() }
    }

    /// The table's address, always with a scheme.
    pub(crate) fn location(&self) -> Result<Url, Error> {
        let bad = |reason: String| Error::Location { url: self.url.clone(), reason };
        if self.url.starts_with("s3://") || self.url.starts_with("file://") {
            return Url::parse(&self.url).map_err(|error| bad(error.to_string()));
        }
        if self.url.is_empty() || self.url.contains("://") {
            return Err(bad("give a folder, file:///… or s3://BUCKET/PREFIX".to_owned()));
        }
        let path = std::path::absolute(&self.url).map_err(|error| bad(error.to_string()))?;
        Url::from_directory_path(&path).map_err(|()| bad("it is not an absolute path".to_owned()))
    }

    /// What the object store is told.
    pub(crate) fn storage_options(&self) -> HashMap<String, String> {
        if !self.url.starts_with("s3://") {
            return HashMap::new();
        }
        let mut options = HashMap::new();
        let mut put = |key: &str, value: &str| {
            if !value.is_empty() {
                options.insert(key.to_owned(), value.to_owned());
            }
        };
        put("AWS_ENDPOINT_URL", &self.s3.endpoint);
        put("AWS_REGION", &self.s3.region);
        put("AWS_ACCESS_KEY_ID", &self.s3.access_key);
        put("AWS_SECRET_ACCESS_KEY", &self.s3.secret_key);
        if self.s3.endpoint.starts_with("http://") {
            put("AWS_ALLOW_HTTP", "true");
        }
        // A store that is down is told in seconds: the loader tries again by itself, and readers wait for an answer.
        put("connect_timeout", "2s");
        put("timeout", "30s");
        put("max_retries", "3");
        put("retry_timeout", "10s");
        // Two writers never both win a version: the store itself refuses the second (If-None-Match).
        put("AWS_CONDITIONAL_PUT", "etag");
        options
    }
}

/// How to reach an S3-compatible store.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct S3 {
    /// Address of the store; empty: AWS's own.
    pub endpoint: String,
    /// Region name.
    pub region: String,
    /// Access key; empty: from the environment, as AWS tools do.
    pub access_key: String,
    /// Secret key.
    pub secret_key: String,
}

impl Default for S3 {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            region: "us-east-1".to_owned(),
            access_key: String::new(),
            secret_key: String::new(),
        }
    }
}

/// Without the secret.
impl std::fmt::Debug for S3 {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("S3")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}
