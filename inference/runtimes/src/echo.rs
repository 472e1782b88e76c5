//! Gives its input back: for measuring everything around a model, and for tests.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::{Body, Failure, Output, Reporter, Runtime, Work};

/// Longest pause that an input may ask for.
const SLEEP_MS_MAX: u64 = 600_000;
/// Reports progress this often while it sleeps.
const STEP: Duration = Duration::from_millis(100);

/// The built-in echo. The input's `sleep_ms` makes it wait first, its `fail` makes it fail with
/// `invalid_input`, `model_error` or `lost_worker`.
#[derive(Debug, Default)]
pub struct EchoRuntime;

#[async_trait]
impl Runtime for EchoRuntime {
    async fn load(&self, _: &CancellationToken) -> Result<(), Failure> {
        Ok(())
    }

    async fn run(
        &self,
        work: Work,
        report: &Reporter,
        cancel: &CancellationToken,
    ) -> Result<Vec<Output>, Failure> {
        let sleep_ms = work.input.get("sleep_ms").and_then(serde_json::Value::as_u64).unwrap_or(0);
        if sleep_ms > 0 {
            sleep(Duration::from_millis(sleep_ms.min(SLEEP_MS_MAX)), work.timeout, report, cancel).await?;
        }
        match work.input.get("fail").and_then(serde_json::Value::as_str) {
            Some("invalid_input") => {
                return Err(Failure::InvalidInput("the input asked for this failure".to_owned()));
            }
            Some("model_error") => return Err(Failure::Model("the input asked for this failure".to_owned())),
            Some("lost_worker") => return Err(Failure::Lost("the input asked for this failure".to_owned())),
            Some(_) | None => (),
        }
        let body = Bytes::from(work.input.to_string());
        Ok(vec![Output {
            name: "output.json".to_owned(),
            content_type: "application/json".to_owned(),
            body: Body::Bytes(body),
        }])
    }

    async fn unload(&self) {}

    fn takes_room(&self) -> bool {
        false
    }

    fn is_resident(&self) -> bool {
        false
    }
}

async fn sleep(
    duration: Duration,
    timeout: Duration,
    report: &Reporter,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let started = tokio::time::Instant::now();
    loop {
        let slept = started.elapsed();
        if slept >= duration {
            return Ok(());
        }
        if slept >= timeout {
            return Err(Failure::TimedOut { limit: timeout });
        }
        report.progress(slept.as_secs_f64() / duration.as_secs_f64(), "sleeping");
        tokio::select! {
            () = cancel.cancelled() => return Err(Failure::Canceled),
            () = tokio::time::sleep(STEP.min(duration - slept)) => (),
        }
    }
}
