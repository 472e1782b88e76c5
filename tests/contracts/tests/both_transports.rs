//! The contracts behave the same in process and over a socket.

use std::time::Duration;

use backlot_foundation_errors::{Problem, codes};
use backlot_foundation_events::v1::TailRequest;
use backlot_foundation_events::v1::events_client::EventsClient;
use backlot_foundation_events::v1::tail_response::Item;
use backlot_inference_api::v1::control_client::ControlClient;
use backlot_inference_api::v1::{
    CancelJobRequest, GetJobRequest, InlineTarget, JobState, ModelSpec, OutputTarget, PutModelRequest,
    RuntimeKind, SubmitRequest, output_target,
};
use backlot_infrastructure_api::v1::billing_client::BillingClient;
use backlot_infrastructure_api::v1::identity_client::IdentityClient;
use backlot_infrastructure_api::v1::{
    AuthenticateRequest, GetHoldRequest, VoidRequest, authenticate_request,
};
use backlot_tests_contracts::Served;
use tonic::{Code, Request};

fn problem(status: tonic::Status) -> Problem {
    Problem::from(status)
}

#[tokio::test]
async fn a_stranger_is_refused_and_a_problem_arrives_whole() {
    let served = Served::infrastructure().await;
    let mut refusals = Vec::new();
    for (name, trusted, stranger) in served.transports() {
        let unknown = GetHoldRequest { run_id: "019298e4-7c1e-7b6a-9a55-0d2f4d3c2b1a".to_owned() };
        let refused = BillingClient::new(stranger).get_hold(unknown.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{name}");
        assert!(problem(refused).is(&codes::UNAUTHENTICATED), "{name}");

        let missing = problem(BillingClient::new(trusted.clone()).get_hold(unknown).await.unwrap_err());
        let credential = authenticate_request::Credential::ApiKey("blk_nonsense".to_owned());
        let request = AuthenticateRequest { credential: Some(credential) };
        let unknown_key = problem(IdentityClient::new(trusted).authenticate(request).await.unwrap_err());
        refusals.push((missing, unknown_key));
    }
    assert_eq!(refusals[0], refusals[1], "the same problem document on both transports");
    assert!(!refusals[0].0.title.is_empty());
}

#[tokio::test]
async fn a_deadline_that_passes_ends_the_call() {
    let served = Served::infrastructure().await;
    // Nobody else can write while this transaction is open.
    let _writer = served.test_db.db.begin_write().await.unwrap();
    for (name, trusted, _) in served.transports() {
        let run_id = uuid::Uuid::now_v7().to_string();
        let mut request = Request::new(VoidRequest { run_id, ..VoidRequest::default() });
        request.set_timeout(Duration::from_millis(100));
        let error = BillingClient::new(trusted).void(request).await.unwrap_err();
        assert!(matches!(error.code(), Code::DeadlineExceeded | Code::Cancelled), "{name}: {error:?}");
    }
}

#[tokio::test]
async fn a_tail_beats_when_nothing_happens() {
    let served = Served::infrastructure().await;
    for (name, trusted, _) in served.transports() {
        let mut stream = EventsClient::new(trusted).tail(TailRequest::default()).await.unwrap().into_inner();
        let first = tokio::time::timeout(Duration::from_secs(2), stream.message()).await;
        let item = first.expect("a beat within 2 s").unwrap().expect("an item").item;
        assert!(matches!(item, Some(Item::Heartbeat(_))), "{name}: {item:?}");
    }
}

fn echo() -> ModelSpec {
    ModelSpec {
        name: "backlot/echo".to_owned(),
        version: "1".to_owned(),
        runtime: RuntimeKind::Echo.into(),
        input_schema_json: "{\"type\":\"object\"}".to_owned(),
        ..ModelSpec::default()
    }
}

fn job(key: &str, input: &str) -> SubmitRequest {
    SubmitRequest {
        idempotency_key: key.to_owned(),
        tenant: "t1".to_owned(),
        model: "backlot/echo".to_owned(),
        model_version: "1".to_owned(),
        input_json: input.to_owned(),
        output: Some(OutputTarget { target: Some(output_target::Target::Inline(InlineTarget {})) }),
        ..SubmitRequest::default()
    }
}

#[tokio::test]
async fn a_job_is_accepted_once_watched_and_canceled() {
    let served = Served::inference().await;
    for (name, trusted, _) in served.transports() {
        let mut control = ControlClient::new(trusted);
        control.put_model(PutModelRequest { spec: Some(echo()) }).await.unwrap();
        let key = uuid::Uuid::now_v7().to_string();
        let accepted = control.submit(job(&key, "{\"n\":1}")).await.unwrap().into_inner();
        let again = control.submit(job(&key, "{\"n\":1}")).await.unwrap().into_inner();
        assert_eq!(accepted.id, again.id, "{name}: the same key and body is the same job");
        let other = problem(control.submit(job(&key, "{\"n\":2}")).await.unwrap_err());
        assert_eq!(other.code, "idempotency_key_reused", "{name}");

        let watch = GetJobRequest { job_id: accepted.id.clone() };
        let mut stream = control.watch_job(watch).await.unwrap().into_inner();
        let now = stream.message().await.unwrap().expect("the job now");
        assert_eq!(now.state(), JobState::Queued, "{name}");
        control.cancel_job(CancelJobRequest { job_id: accepted.id.clone() }).await.unwrap();
        let mut last = now;
        while let Some(next) = stream.message().await.unwrap() {
            last = next;
        }
        assert_eq!(last.state(), JobState::Canceled, "{name}: the stream ends with the job");
    }
}
