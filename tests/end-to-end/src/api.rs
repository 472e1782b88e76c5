//! A client of the public API that keeps whatever was answered, so that refusals can be looked at.

use std::time::Duration;

use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::eventually;

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The JSON document; null where there was none.
    pub body: Value,
    /// The headers.
    pub headers: HeaderMap,
}

impl Answer {
    /// The text at a JSON pointer.
    #[must_use]
    pub fn text(&self, pointer: &str) -> String {
        let found = self.body.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("no text at {pointer}: {self:?}")).to_owned()
    }

    /// The integer at a JSON pointer.
    #[must_use]
    pub fn integer(&self, pointer: &str) -> i64 {
        let found = self.body.pointer(pointer).and_then(Value::as_i64);
        found.unwrap_or_else(|| panic!("no integer at {pointer}: {self:?}"))
    }

    /// The problem's code; empty where it is none.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// Where it sends the client.
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        self.headers.get(LOCATION).and_then(|value| value.to_str().ok())
    }
}

/// One credential's view of a server.
#[derive(Clone)]
pub struct Api {
    /// The server's address.
    pub url: String,
    http: reqwest::Client,
    key: Option<String>,
}

impl Api {
    /// Nobody's view; a sign-up or sign-in keeps its cookie.
    #[must_use]
    pub fn anonymous(url: &str) -> Self {
        let http = reqwest::Client::builder()
            .cookie_store(true)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(60))
            .build()
            .expect("a client can be built");
        Self { url: url.to_owned(), http, key: None }
    }

    /// The view of an API key.
    #[must_use]
    pub fn with_key(url: &str, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..Self::anonymous(url) }
    }

    /// Any request with an optional JSON body and headers.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("{path}: {error}"));
        let (status, headers) = (answer.status(), answer.headers().clone());
        let bytes = answer.bytes().await.expect("the body arrives");
        Answer { status, headers, body: serde_json::from_slice(&bytes).unwrap_or_default() }
    }

    /// Reads.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, &[]).await
    }

    /// Sends a document.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(body), &[]).await
    }

    /// Downloads bytes, by way of the store where the answer sends there.
    pub async fn download(&self, path: &str) -> Vec<u8> {
        let mut request = self.http.get(format!("{}{path}", self.url));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let mut answer = request.send().await.expect("the server answers");
        if answer.status().is_redirection() {
            let there = answer.headers()[LOCATION].to_str().expect("an address");
            let there = answer.url().join(there).expect("an address");
            answer = reqwest::get(there).await.expect("the store answers");
        }
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.bytes().await.expect("the bytes arrive").to_vec()
    }

    /// Starts a run under a fresh idempotency key.
    pub async fn run(&self, tool: &str, input: Value) -> Answer {
        let key = uuid::Uuid::now_v7().to_string();
        let body = json!({ "tool": tool, "input": input });
        self.send(Method::POST, "/v1/runs", Some(&body), &[("idempotency-key", &key)]).await
    }

    /// Waits until a run has ended and its money is settled or returned.
    pub async fn ended(&self, run_id: &str) -> Answer {
        eventually(&format!("run {run_id} ends"), Duration::from_secs(120), || async {
            let run = self.get(&format!("/v1/runs/{run_id}")).await;
            let over = ["succeeded", "failed", "canceled", "expired", "refused"]
                .contains(&run.body["state"].as_str()?);
            let hold = self.get(&format!("/v1/billing/holds/{run_id}")).await;
            (over && hold.body["state"] != "held").then_some(run)
        })
        .await
    }
}

/// Somebody with an account.
pub struct Account {
    /// By session cookie.
    pub session: Api,
    /// By API key.
    pub api: Api,
    /// The key.
    pub key: String,
    /// The sign-up's answer: user, organisation, project.
    pub ids: Value,
    /// The account's e-mail.
    pub email: String,
    /// The account's password.
    pub password: String,
}

impl Account {
    /// Signs up under a fresh address and makes a key.
    pub async fn sign_up(url: &str, name: &str) -> Self {
        let session = Api::anonymous(url);
        let email = format!("{}@test.example", uuid::Uuid::now_v7().simple());
        let password = uuid::Uuid::new_v4().to_string();
        let body = json!({ "email": email, "password": password, "name": name });
        let answer = session.post("/v1/identity/sign-up", &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        let key = session.post("/v1/identity/api-keys", &json!({ "name": "test" })).await.text("/key");
        Self { api: Api::with_key(url, &key), session, key, ids: answer.body, email, password }
    }
}
