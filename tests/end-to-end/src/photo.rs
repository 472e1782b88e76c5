//! A real photograph, uploaded as any client would.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::api::{Answer, Api};

/// The demo's photograph: 256 × 256, JPEG.
pub const PHOTO: &[u8] = include_bytes!("../../../apps/backlot/assets/photo.jpg");

/// Uploads the photograph and returns its asset id.
pub async fn upload_photo(api: &Api) -> String {
    let answer = upload(api, "photo.jpg", "image/jpeg", PHOTO).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.text("/id")
}

/// Begins an upload, sends the bytes to the store, completes it; answers the last or the first refused step.
pub async fn upload(api: &Api, name: &str, content_type: &str, bytes: &[u8]) -> Answer {
    let body = json!({ "name": name, "content_type": content_type, "size_bytes": bytes.len() });
    let created = api.post("/v1/assets", &body).await;
    if !created.status.is_success() {
        return created;
    }
    put(&created.body["upload"], bytes).await;
    api.post(&format!("/v1/assets/{}/complete", created.text("/asset/id")), &json!({})).await
}

/// Sends bytes to a signed address.
pub async fn put(upload: &Value, bytes: &[u8]) -> StatusCode {
    let method: Method = upload["method"].as_str().expect("a method").parse().expect("a method");
    let mut request = reqwest::Client::new().request(method, upload["url"].as_str().expect("an address"));
    for (name, value) in upload["headers"].as_object().into_iter().flatten() {
        request = request.header(name, value.as_str().expect("a header's text"));
    }
    request.body(bytes.to_vec()).send().await.expect("the store answers").status()
}
