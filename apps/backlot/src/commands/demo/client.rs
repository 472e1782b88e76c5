//! A caller of the public API, as any user's program would be.

use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::StreamExt as _;
use reqwest::{Method, StatusCode};
use serde_json::Value;

/// Longest wait for one answer; runs are watched by events and not bounded by it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// One account's view of a server: by session cookie, or by API key.
pub(super) struct Client {
    base: String,
    http: reqwest::Client,
    key: Option<String>,
}

impl Client {
    /// Somebody whom the server does not know yet.
    pub(super) fn new(base: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().cookie_store(true).build()?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), http, key: None })
    }

    /// The same server, with an API key instead of a session.
    pub(super) fn with_key(&self, key: &str) -> anyhow::Result<Self> {
        Ok(Self { key: Some(key.to_owned()), ..Self::new(&self.base)? })
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        request
    }

    /// Reads a document.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.request(Method::GET, path).timeout(REQUEST_TIMEOUT).send().await;
        document(path, answer).await
    }

    /// Sends a document and reads the answer.
    pub(super) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self.request(Method::POST, path).timeout(REQUEST_TIMEOUT).json(body).send().await;
        document(path, answer).await
    }

    /// The same, safe to repeat under `key`.
    pub(super) async fn post_once(&self, path: &str, key: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.request(Method::POST, path).header("idempotency-key", key).json(body);
        document(path, request.timeout(REQUEST_TIMEOUT).send().await).await
    }

    /// Makes something so, however often.
    pub(super) async fn put(&self, path: &str) -> anyhow::Result<Value> {
        document(path, self.request(Method::PUT, path).timeout(REQUEST_TIMEOUT).send().await).await
    }

    /// Sends bytes where the server said that they go.
    pub(super) async fn upload(&self, upload: &Value, bytes: Vec<u8>) -> anyhow::Result<()> {
        let url = text(upload, "/url")?;
        let method: Method = text(upload, "/method")?.parse()?;
        // Straight to the store: the signature is in the address, no credential of ours goes along.
        let mut request = reqwest::Client::new().request(method, &url).body(bytes);
        for (name, value) in upload["headers"].as_object().into_iter().flatten() {
            request = request.header(name, value.as_str().unwrap_or_default());
        }
        let answer = request.send().await.with_context(|| format!("the store at {url} does not answer"))?;
        if !answer.status().is_success() {
            bail!(
                "the store refused the upload: {} {}",
                answer.status(),
                answer.text().await.unwrap_or_default()
            );
        }
        Ok(())
    }

    /// Downloads bytes.
    pub(super) async fn download(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let answer = self.request(Method::GET, path).send().await?.error_for_status()?;
        Ok(answer.bytes().await?.to_vec())
    }

    /// Follows a run's events until the stream ends, and returns its last state.
    pub(super) async fn follow(&self, run_id: &str, mut seen: impl FnMut(&Value)) -> anyhow::Result<Value> {
        let path = format!("/v1/runs/{run_id}/events");
        let answer = self.request(Method::GET, &path).send().await?.error_for_status()?;
        let mut stream = answer.bytes_stream();
        let mut buffer = String::new();
        while let Some(chunk) = stream.next().await {
            let Ok(chunk) = chunk else { break };
            buffer.push_str(&String::from_utf8_lossy(&chunk));
            while let Some(end) = buffer.find("\n\n") {
                let block: String = buffer.drain(..end + 2).collect();
                let data: String = block.lines().filter_map(|line| line.strip_prefix("data:")).collect();
                if let Ok(run) = serde_json::from_str::<Value>(data.trim()) {
                    seen(&run);
                }
            }
        }
        // What the stream said is a hint; the row is the truth.
        self.get(&format!("/v1/runs/{run_id}")).await
    }
}

async fn document(path: &str, answer: reqwest::Result<reqwest::Response>) -> anyhow::Result<Value> {
    let answer = answer.with_context(|| format!("{path}: the server does not answer"))?;
    let status = answer.status();
    let bytes = answer.bytes().await?;
    if status == StatusCode::NO_CONTENT || (status.is_success() && bytes.is_empty()) {
        return Ok(Value::Null);
    }
    let value: Value = serde_json::from_slice(&bytes)
        .with_context(|| format!("{path}: {status}, and no JSON: {}", String::from_utf8_lossy(&bytes)))?;
    if !status.is_success() {
        bail!("{path}: {status} {}: {} {}", value["code"], value["detail"], value["errors"]);
    }
    Ok(value)
}

/// The text at a JSON pointer.
pub(super) fn text(value: &Value, pointer: &str) -> anyhow::Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).with_context(|| format!("the answer has no text at {pointer}: {value}"))
}

/// The integer at a JSON pointer.
pub(super) fn integer(value: &Value, pointer: &str) -> anyhow::Result<i64> {
    let found = value.pointer(pointer).and_then(Value::as_i64);
    found.with_context(|| format!("the answer has no integer at {pointer}: {value}"))
}
