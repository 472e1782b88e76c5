//! One OpenAPI document out of the systems' fragments.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use backlot_foundation_errors::{Problem, codes};
use http_body_util::{BodyExt as _, Limited};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::proxy::Upstream;

/// Largest fragment that is read from a system that runs apart.
const FRAGMENT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long a merged document with fetched fragments is kept.
const KEPT: Duration = Duration::from_secs(60);

/// A merged document and when it was merged.
type Merged = (Instant, Arc<Value>);

/// The fragments. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Documents {
    local: Vec<(&'static str, Value)>,
    remote: Vec<(&'static str, Upstream)>,
    merged: Arc<Mutex<Option<Merged>>>,
}

impl Documents {
    /// A system in this process.
    pub(crate) fn add_local(&mut self, name: &'static str, document: &utoipa::openapi::OpenApi) {
        self.local.push((name, serde_json::to_value(document).unwrap_or_default()));
    }

    /// A system that runs apart: its fragment is fetched from its `/openapi.json`.
    pub(super) fn add_remote(&mut self, name: &'static str, upstream: Upstream) {
        self.remote.push((name, upstream));
    }

    /// `/openapi.json`.
    pub(crate) fn router(self) -> Router {
        Router::new().route("/openapi.json", get(serve)).with_state(self)
    }

    async fn document(&self) -> Result<Arc<Value>, Problem> {
        if let Some((at, document)) = &*self.merged.lock()
            && at.elapsed() < KEPT
        {
            return Ok(document.clone());
        }
        let mut fragments = self.local.clone();
        for (name, upstream) in &self.remote {
            // The whole document or none: a client that is generated from half of it would be broken.
            fragments.push((name, fetch(upstream).await?));
        }
        let document = Arc::new(merge(fragments));
        *self.merged.lock() = Some((Instant::now(), document.clone()));
        Ok(document)
    }
}

async fn serve(State(documents): State<Documents>) -> Result<Json<Value>, Problem> {
    Ok(Json((*documents.document().await?).clone()))
}

async fn fetch(upstream: &Upstream) -> Result<Value, Problem> {
    let broken = || {
        Problem::new(&codes::UNAVAILABLE, "A system's part of the document cannot be read now. Try again.")
    };
    let request = Request::get("/openapi.json").body(Body::empty()).map_err(|_| broken())?;
    let response = upstream.send(request).await?;
    if response.status() != StatusCode::OK {
        return Err(broken());
    }
    let body =
        Limited::new(response.into_body(), FRAGMENT_BYTES_MAX).collect().await.map_err(|_| broken())?;
    serde_json::from_slice(&body.to_bytes()).map_err(|_| broken())
}

/// Merges fragments: paths side by side, components by name. Where two systems mean different things by
/// one name, the later one's gets its system's name before it, and every reference follows.
pub(super) fn merge(fragments: Vec<(&'static str, Value)>) -> Value {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for (name, mut fragment) in fragments {
        rename_collisions(&schemas, name, &mut fragment);
        if let Some(Value::Object(found)) = fragment.pointer_mut("/components/schemas").map(Value::take) {
            schemas.extend(found);
        }
        if let Some(Value::Object(found)) = fragment.get_mut("paths").map(Value::take) {
            paths.extend(found);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Backlot",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The public API. Sign in for a session cookie, or send an API key as \
                \"Authorization: Bearer blk_…\". Errors are problem documents; each code has its page under \
                /docs/errors/.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "security": [{ "api_key": [] }, { "session": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "api_key": { "type": "http", "scheme": "bearer", "bearerFormat": "blk_…" },
                "session": { "type": "apiKey", "in": "cookie", "name": "backlot_session" },
            },
        },
    })
}

fn rename_collisions(taken: &Map<String, Value>, system: &str, fragment: &mut Value) {
    let Some(Value::Object(own)) = fragment.pointer("/components/schemas") else { return };
    let colliding: Vec<(String, String)> = own
        .iter()
        .filter(|(name, schema)| taken.get(*name).is_some_and(|other| other != *schema))
        .map(|(name, _)| (name.clone(), format!("{system}_{name}")))
        .collect();
    for (old, new) in colliding {
        if let Some(Value::Object(own)) = fragment.pointer_mut("/components/schemas")
            && let Some(schema) = own.remove(&old)
        {
            own.insert(new.clone(), schema);
        }
        redirect(fragment, &format!("#/components/schemas/{old}"), &format!("#/components/schemas/{new}"));
    }
}

fn redirect(value: &mut Value, old: &str, new: &str) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get_mut("$ref")
                && reference == old
            {
                new.clone_into(reference);
            }
            map.values_mut().for_each(|value| redirect(value, old, new));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| redirect(value, old, new)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(path: &str, schema: &Value) -> Value {
        json!({
            "paths": { path: { "get": { "x": { "$ref": "#/components/schemas/Thing" } } } },
            "components": { "schemas": { "Thing": schema, "Problem": { "type": "object" } } },
        })
    }

    #[test]
    fn two_meanings_of_one_name_stay_two() {
        let merged = merge(vec![
            ("infrastructure", fragment("/v1/a", &json!({ "type": "string" }))),
            ("business", fragment("/v1/b", &json!({ "type": "integer" }))),
            ("data", fragment("/v1/c", &json!({ "type": "string" }))),
        ]);
        let reference = |path: &str| merged["paths"][path]["get"]["x"]["$ref"].clone();
        assert_eq!(reference("/v1/a"), "#/components/schemas/Thing");
        assert_eq!(reference("/v1/b"), "#/components/schemas/business_Thing");
        assert_eq!(reference("/v1/c"), "#/components/schemas/Thing");
        let names: Vec<&String> = merged["components"]["schemas"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["Thing", "Problem", "business_Thing"]);
    }
}
