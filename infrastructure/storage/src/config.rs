//! What an operator may set about storage.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

/// Settings of storage. Every field has a default; a wrong name is an error.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where this server is reached from outside, without a trailing slash: `http://127.0.0.1:7000`.
    /// The composition root sets it once the port is bound, where it is empty here.
    pub public_base_url: String,
    /// Local folder: the media themselves with `store.kind = "folder"`, scratch files always.
    pub folder: PathBuf,
    /// Where media are kept.
    pub store: StoreConfig,
    /// Secret that signs the folder store's URLs and the issuer's capabilities. Several replicas need the same one.
    /// Empty: on SQLite, whose one process owns its folder, a random one is made and kept there; on PostgreSQL the
    /// start is refused.
    pub signing_secret: String,
    /// Secrets that verify beside it, and sign nothing: while one is exchanged for another, the other one. What was
    /// signed with a secret that is in neither place is worth nothing. One text stands for a list of one.
    #[serde(deserialize_with = "one_or_many")]
    pub signing_secrets_accepted: Vec<String>,
    /// Bytes that an organisation may keep, uploads in progress included.
    pub quota_bytes: i64,
    /// Largest upload, in bytes.
    pub upload_bytes_max: i64,
    /// Uploads that an organisation may have in progress.
    pub uploads_open_max: u64,
    /// Seconds in which an upload must be completed; after that it is removed and its quota returned.
    pub upload_ttl_s: u64,
    /// Seconds that a download URL is good for.
    pub download_ttl_s: u64,
    /// Seconds between two runs of the task that removes what crashes and abandoned uploads left.
    pub reconcile_every_s: u64,
    /// The sandboxed child that looks at media.
    pub probe: ProbeConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            public_base_url: String::new(),
            folder: PathBuf::from("media"),
            store: StoreConfig::Folder,
            signing_secret: String::new(),
            signing_secrets_accepted: Vec::new(),
            quota_bytes: 1 << 30,
            upload_bytes_max: 2 << 30,
            uploads_open_max: 500,
            upload_ttl_s: 3_600,
            download_ttl_s: 3_600,
            reconcile_every_s: 30,
            probe: ProbeConfig::default(),
        }
    }
}

/// Variables of an environment hold one text far more often than a list.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a text or a list of texts")]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(text) => vec![text],
        OneOrMany::Many(texts) => texts,
    })
}

/// Where media are kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum StoreConfig {
    /// In `folder`, with signed URLs that this server answers.
    #[default]
    Folder,
    /// In a bucket of any store that speaks the S3 protocol, with URLs that the store answers.
    S3(S3Config),
}

/// A bucket.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct S3Config {
    /// `https://HOST[:PORT]`, as this server reaches it. Empty: AWS.
    pub endpoint: String,
    /// The same as browsers and agents reach it. Empty: as this server does.
    pub public_endpoint: String,
    /// Region in signatures. Empty: `us-east-1`.
    pub region: String,
    /// Name of the bucket, which exists.
    pub bucket: String,
    /// What all keys begin with; may be empty.
    pub prefix: String,
    /// Access key.
    pub access_key: String,
    /// Secret key.
    pub secret_key: String,
}

impl S3Config {
    /// The region that signatures name.
    pub(crate) fn signing_region(&self) -> &str {
        if self.region.is_empty() { "us-east-1" } else { &self.region }
    }
}

/// The sandboxed child.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProbeConfig {
    /// Program and arguments. Empty: this binary with `probe-child`.
    pub command: Vec<String>,
    /// Children at once.
    pub concurrency: usize,
    /// Seconds of wall clock after which a child is killed.
    pub timeout_s: u64,
    /// Seconds of processor time that a child gets.
    pub cpu_s: u64,
    /// Bytes of address space that a child gets.
    pub memory_bytes: u64,
    /// Most pixels of one picture or frame.
    pub pixels_max: u64,
    /// Longest side of a preview, in pixels.
    pub preview_px: u32,
}

impl Default for ProbeConfig {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            concurrency: 2,
            timeout_s: 60,
            cpu_s: 40,
            memory_bytes: 2 << 30,
            pixels_max: 100_000_000,
            preview_px: 640,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_accepted_secret_needs_no_list() {
        let read = |value| {
            serde_json::from_value::<Config>(serde_json::json!({ "signing_secrets_accepted": value }))
        };
        assert_eq!(read(serde_json::json!("a")).unwrap().signing_secrets_accepted, ["a"]);
        assert_eq!(read(serde_json::json!(["a", "b"])).unwrap().signing_secrets_accepted, ["a", "b"]);
        assert!(read(serde_json::json!({ "a": 1 })).unwrap_err().to_string().contains("a list of texts"));
    }

    #[test]
    fn a_bucket_is_configured_by_kind_and_a_wrong_key_is_named() {
        let bucket =
            serde_json::json!({ "store": { "kind": "s3", "bucket": "media", "endpoint": "http://s3" } });
        let config: Config = serde_json::from_value(bucket).unwrap();
        assert!(matches!(config.store, StoreConfig::S3(ref s3) if s3.bucket == "media"));
        let folder: Config =
            serde_json::from_value(serde_json::json!({ "store": { "kind": "folder" } })).unwrap();
        assert!(matches!(folder.store, StoreConfig::Folder));
        for (wrong, key) in [
            (serde_json::json!({ "quota": 1 }), "quota"),
            (serde_json::json!({ "store": { "kind": "s3", "buket": "media" } }), "buket"),
            (serde_json::json!({ "store": { "kind": "tape" } }), "tape"),
            (serde_json::json!({ "probe": { "cpu": 1 } }), "cpu"),
        ] {
            let error = serde_json::from_value::<Config>(wrong).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
