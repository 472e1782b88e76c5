//! Runs with a deadline, through the whole studio: refused where it cannot be met, expired where it no longer can be, and
//! otherwise a run like any other. Only that one costs anything.

use std::time::Duration;

use backlot_foundation_time::{Clock as _, SystemClock};
use backlot_tests_end_to_end::{Account, Answer, Api, Launch, Process, Studio, WITHOUT_AGENT};
use reqwest::Method;
use serde_json::json;

/// Opens control's door to the agent.
const JOIN_TOKEN: &str = "a token of this test's";
/// How far away the deadline of a run that is to expire is at first. It is doubled where the machine is so busy that the
/// moment is over before the run is accepted.
const SOON: Duration = Duration::from_secs(4);
const SOON_MAX: Duration = Duration::from_secs(64);
const LATE: Duration = Duration::from_secs(3_600);

/// A studio without an agent, so that what is accepted waits.
async fn without_agent() -> Studio {
    Studio::start_with(|launch| {
        let arguments = ["serve"].iter().chain(WITHOUT_AGENT).map(|&text| text.to_owned()).collect();
        Launch { arguments, ..launch }.with("inference.control.join_token", JOIN_TOKEN)
    })
    .await
}

async fn agent(studio: &Studio) -> Process {
    let launch = Launch::serve(&studio.folder.path().join("agent"), &[])
        .with("rpc.inference", &format!("{}/inference", studio.process.rpc))
        .with("agent.join_token", JOIN_TOKEN);
    Launch { arguments: vec!["agent".to_owned()], ..launch }.start().await
}

/// Starts an echo that is of use for so long from now on.
async fn echo(api: &Api, useful: Duration) -> Answer {
    let deadline = SystemClock.now().plus(useful);
    let body = json!({ "tool": "echo", "input": { "text": "in time" }, "deadline": deadline });
    let key = uuid::Uuid::now_v7().to_string();
    api.send(Method::POST, "/v1/runs", Some(&body), &[("idempotency-key", &key)]).await
}

/// What can be spent, and how many holds are open; the books are in order.
async fn money(api: &Api) -> (i64, i64) {
    let check = api.get("/v1/billing/ledger-check").await;
    assert_eq!(check.body["balanced"], json!(true), "{check:?}");
    (api.get("/v1/billing/balance").await.integer("/available_micro"), check.integer("/open_holds"))
}

/// A run that is accepted and has its deadline soon.
async fn soon(api: &Api) -> Answer {
    let mut useful = SOON;
    loop {
        let run = echo(api, useful).await;
        if run.status.is_success() {
            return run;
        }
        assert!(run.code() == "deadline_impossible" && useful < SOON_MAX, "{run:?}");
        useful *= 2;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_run_that_meets_its_deadline_costs_anything() {
    let studio = without_agent().await;
    let account = Account::sign_up(studio.url(), "Punctual").await;
    let api = &account.api;
    let (before, _) = money(api).await;

    let refused = echo(api, Duration::ZERO).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (422, "deadline_impossible"), "{refused:?}");
    assert_eq!(money(api).await, (before, 0), "nothing is held for what was refused");
    assert_eq!(api.get("/v1/runs").await.body["items"], json!([]), "and there is no run");

    let waiting = soon(api).await;
    let expired = api.ended(&waiting.text("/id")).await;
    assert_eq!(expired.body["state"], "expired", "{expired:?}");
    assert_eq!(expired.body["deadline"], waiting.body["deadline"]);
    assert_eq!(expired.integer("/settled_micro"), 0);
    assert_eq!(money(api).await, (before, 0), "nothing is charged for what expired");

    let agent = agent(&studio).await;
    let started = echo(api, LATE).await;
    let met = api.ended(&started.text("/id")).await;
    assert_eq!(met.body["state"], "succeeded", "{met:?}");
    let price = met.integer("/price_micro");
    assert!(price > 0);
    assert_eq!(money(api).await, (before - price, 0));
    agent.terminate().await;
    studio.process.terminate().await;
}
