//! The checked-in OpenAPI document is what the code says.

use backlot_tests_end_to_end::{binary, root};
use serde_json::Value;

#[tokio::test]
async fn the_checked_in_document_is_up_to_date() {
    let output =
        tokio::process::Command::new(binary("backlot")).arg("openapi").output().await.expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let code: Value = serde_json::from_slice(&output.stdout).expect("a document");
    let checked_in = std::fs::read(root().join("openapi.json")).expect("openapi.json is checked in");
    let checked_in: Value = serde_json::from_slice(&checked_in).expect("a document");
    assert!(code == checked_in, "openapi.json is out of date: run scripts/openapi and review the change");
}

#[tokio::test]
async fn every_reference_in_the_document_leads_somewhere() {
    let checked_in = std::fs::read(root().join("openapi.json")).expect("openapi.json is checked in");
    let document: Value = serde_json::from_slice(&checked_in).expect("a document");
    let mut dangling = Vec::new();
    walk(&document, &document, &mut dangling);
    assert!(dangling.is_empty(), "references that lead nowhere: {dangling:?}");
}

fn walk(document: &Value, part: &Value, dangling: &mut Vec<String>) {
    match part {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                let found = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
                if found.is_none() {
                    dangling.push(reference.to_owned());
                }
            }
            fields.values().for_each(|value| walk(document, value, dangling));
        }
        Value::Array(items) => items.iter().for_each(|value| walk(document, value, dangling)),
        _ => (),
    }
}
