//! Logs, traces and metrics of one process.
//!
//! Logs go to standard error, as text or JSON. Traces follow a request across systems by W3C trace
//! context and are sent by OTLP where an endpoint is configured. Metrics are Prometheus's.

use std::collections::HashMap;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::{Deserialize, Serialize};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

/// Form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For collectors: one JSON object a line.
    Json,
}

/// What is observed, and where it goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// Filter in `tracing`'s syntax, for example `info,backlot_inference_control=debug`.
    pub log: String,
    /// Form of a log line.
    pub log_format: LogFormat,
    /// OTLP endpoint for traces (gRPC), for example `http://collector:4317`. Empty: traces are not sent.
    pub otlp_endpoint: String,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            log: "info,sea_orm_migration=warn,deltalake_core=warn,buoyant_kernel=off".to_owned(),
            log_format: LogFormat::Text,
            otlp_endpoint: String::new(),
        }
    }
}

/// Telemetry that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("telemetry.log is not a filter")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// The exporter cannot be built.
    #[error("telemetry.otlp_endpoint cannot be used")]
    Exporter(#[source] opentelemetry_otlp::ExporterBuildError),
    /// Something else in this process already observes.
    #[error("telemetry is already set up")]
    AlreadySet,
}

/// Keeps telemetry alive; flushes when it is dropped.
pub struct Telemetry {
    provider: SdkTracerProvider,
    prometheus: PrometheusHandle,
}

impl Telemetry {
    /// Sets up logs, traces and metrics for this process, once.
    pub fn install(config: &TelemetryConfig, service: &str) -> Result<Self, TelemetryError> {
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        let mut provider = SdkTracerProvider::builder()
            .with_resource(Resource::builder().with_service_name(service.to_owned()).build());
        if !config.otlp_endpoint.is_empty() {
            let exporter = opentelemetry_otlp::SpanExporter::builder()
                .with_tonic()
                .with_endpoint(&config.otlp_endpoint)
                .build()
                .map_err(TelemetryError::Exporter)?;
            provider = provider.with_batch_exporter(exporter);
        }
        let provider = provider.build();
        let filter = EnvFilter::try_new(&config.log).map_err(TelemetryError::Filter)?;
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(true);
        let lines = match config.log_format {
            LogFormat::Text => lines.boxed(),
            LogFormat::Json => lines.json().boxed(),
        };
        let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer("backlot"));
        tracing_subscriber::registry()
            .with(lines.with_filter(filter))
            .with(traces.with_filter(tracing_subscriber::filter::LevelFilter::INFO))
            .try_init()
            .map_err(|_| TelemetryError::AlreadySet)?;
        let prometheus = PrometheusBuilder::new()
            .set_buckets(&[0.000_1, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0])
            .and_then(PrometheusBuilder::install_recorder)
            .map_err(|_| TelemetryError::AlreadySet)?;
        Ok(Self { provider, prometheus })
    }

    /// Renders all metrics in Prometheus's text format; cheap to clone.
    #[must_use]
    pub fn prometheus(&self) -> PrometheusHandle {
        self.prometheus.clone()
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        // Best effort: the process ends either way.
        let _ = self.provider.shutdown();
    }
}

/// The W3C `traceparent` of the current span; empty where nothing observes.
#[must_use]
pub fn traceparent() -> String {
    let context = tracing::Span::current().context();
    let mut carrier = HashMap::new();
    opentelemetry::global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut carrier)
    });
    carrier.remove("traceparent").unwrap_or_default()
}

/// Makes `traceparent` (W3C, may be empty) the parent of `span`.
pub fn continue_trace(span: &tracing::Span, traceparent: &str) {
    if traceparent.is_empty() {
        return;
    }
    let carrier = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
    let parent = opentelemetry::global::get_text_map_propagator(|propagator| propagator.extract(&carrier));
    // An error only says that nothing observes.
    let _ = span.set_parent(parent);
}
