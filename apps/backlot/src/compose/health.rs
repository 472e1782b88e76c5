//! Alive, ready, and Prometheus's numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use backlot_foundation_db::Db;
use backlot_foundation_errors::{Problem, codes};

use super::System;

/// Renders the metrics.
pub(crate) type Prometheus = Arc<dyn Fn() -> String + Send + Sync>;

/// What the health routes read. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Health(Arc<Inner>);

struct Inner {
    databases: Vec<(&'static str, Db)>,
    prometheus: Option<Prometheus>,
    draining: AtomicBool,
}

impl Health {
    pub(crate) fn new(systems: &[System], prometheus: Option<Prometheus>) -> Self {
        let databases = systems.iter().map(|system| (system.name, system.db.clone())).collect();
        Self(Arc::new(Inner { databases, prometheus, draining: AtomicBool::new(false) }))
    }

    /// From now on not ready: load balancers look elsewhere while the last answers go out.
    pub(crate) fn drain(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    /// `/healthz`, `/readyz` and `/metrics`.
    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/healthz", get(|| async { "alive" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(self.clone())
    }
}

async fn ready(State(health): State<Health>) -> Result<&'static str, Problem> {
    if health.0.draining.load(Ordering::Relaxed) {
        return Err(Problem::new(&codes::UNAVAILABLE, "This process is stopping."));
    }
    for (name, db) in &health.0.databases {
        db.ping().await.map_err(|error| {
            tracing::warn!(system = name, %error, "not ready");
            Problem::new(&codes::UNAVAILABLE, format!("The database of {name} does not answer."))
        })?;
    }
    Ok("ready")
}

async fn metrics(State(health): State<Health>) -> impl IntoResponse {
    let text = health.0.prometheus.as_ref().map(|render| render()).unwrap_or_default();
    ([(axum::http::header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}
