//! A plan is credits and space: both come when its invoice is paid, and the space goes with it.

use backlot_tests_end_to_end::{Account, Studio};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_plans_space_comes_and_goes_with_it() {
    let studio = Studio::start().await;
    // The first account of a fresh studio is its staff.
    let staff = Account::sign_up(studio.url(), "Staff").await;
    let owner = Account::sign_up(studio.url(), "Owner").await;
    let session = &owner.session;
    let quota = async || session.get("/v1/assets/usage").await.body["quota_bytes"].clone();
    let everybodys = quota().await;
    let asked = session.post("/v1/billing/subscription", &json!({ "plan": "studio" })).await;
    assert_eq!(quota().await, everybodys, "not before it is paid");
    let paid = format!("/v1/billing/invoices/{}/mark-paid", asked.text("/invoice/id"));
    assert!(staff.session.post(&paid, &json!({})).await.status.is_success());
    assert_eq!(quota().await, json!(100_i64 << 30));
    session.post("/v1/billing/subscription", &json!({ "plan": "free" })).await;
    assert_eq!(quota().await, everybodys);
    studio.process.terminate().await;
}
