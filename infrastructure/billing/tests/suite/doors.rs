//! The HTTP API and the contract, as others see them.

use axum::body::Body;
use axum::middleware::from_fn_with_state;
use backlot_foundation_rpc::http::authenticate;
use backlot_foundation_testkit::Trust;
use backlot_foundation_time::Clock as _;
use backlot_foundation_tokens::{Claims, audience};
use backlot_infrastructure_api::v1;
use backlot_infrastructure_api::v1::billing_client::BillingClient;
use backlot_infrastructure_api::v1::mandates_client::MandatesClient;
use backlot_infrastructure_api::{HoldId, MandateId, OrganisationId, UserId};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::common::{CREDIT, Studio, studios};

/// The HTTP API with somebody in front of it.
pub(crate) struct Door<'a> {
    studio: &'a Studio,
    trust: Trust,
    router: axum::Router,
}

impl<'a> Door<'a> {
    pub(crate) fn new(studio: &'a Studio) -> Self {
        let trust = Trust::with_clock("edge", audience::INFRASTRUCTURE, studio.clock.clone());
        let (router, _) = studio.service.http().split_for_parts();
        let router = router.layer(from_fn_with_state(trust.verifier.clone(), authenticate));
        Self { studio, trust, router }
    }

    pub(crate) fn claims(&self, user: UserId, organisation: OrganisationId) -> Claims {
        let now = self.studio.clock.now();
        Claims::person(audience::INFRASTRUCTURE, &user.to_string(), &organisation.to_string(), now)
    }

    pub(crate) fn token(&self, claims: &Claims) -> String {
        self.trust.signer.sign(claims).unwrap()
    }

    async fn call(&self, claims: &Claims, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let token = self.token(claims);
        self.send(Some(&token), method, path, body).await
    }

    async fn send(&self, token: Option<&str>, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.send_with_key(token, method, path, body, None).await
    }

    pub(crate) async fn send_with_key(
        &self,
        token: Option<&str>,
        method: &str,
        path: &str,
        body: Option<Value>,
        key: Option<&str>,
    ) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = request.header(header::CONTENT_TYPE, "application/json").body(body).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status.as_u16(), serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }
}

fn give_body(parent: MandateId, grantee: UserId) -> Value {
    json!({
        "parent_id": parent, "grantee_id": grantee, "actions": ["tools.run"], "depth_max": 1,
        "envelope": {"mode": "transfer", "amount_micro": 100 * CREDIT}, "purpose": "the second act",
    })
}

#[tokio::test]
async fn a_mandate_is_given_on_shown_and_taken_back() {
    for studio in studios().await {
        let door = Door::new(&studio);
        let owner = door.claims(studio.owner, studio.organisation);
        let (lead, artist) = (UserId::generate(), UserId::generate());
        let (status, first) =
            door.call(&owner, "POST", "/v1/mandates", Some(give_body(studio.root, lead))).await;
        assert_eq!(status, 201, "{first}");
        let id = MandateId::parse(first["id"].as_str().unwrap()).unwrap();
        let mut on = give_body(id, artist);
        on["envelope"] = json!({"mode": "cap", "amount_micro": 40 * CREDIT, "period": "month"});
        on["depth_max"] = json!(0);
        let lead_claims = door.claims(lead, studio.organisation);
        let (status, second) = door.call(&lead_claims, "POST", "/v1/mandates", Some(on)).await;
        assert_eq!((status, &second["envelope"]["paid_by"]), (201, &json!(id)), "{second}");

        studio.hold(artist, 15).await;
        let (_, list) = door.call(&owner, "GET", "/v1/mandates", None).await;
        let shown: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| &item["depth"]).collect();
        assert_eq!(shown, [0, 1, 2]);
        assert_eq!(list["items"][2]["envelope"]["left_micro"], 25 * CREDIT);
        assert_eq!(list["items"][1]["envelope"]["left_micro"], 85 * CREDIT);

        let path = format!("/v1/mandates/{id}/revoke");
        let (status, revoked) = door.call(&owner, "POST", &path, None).await;
        assert_eq!((status, &revoked["state"]), (200, &json!("revoked")));
        let (_, below) =
            door.call(&owner, "GET", &format!("/v1/mandates/{}", second["id"].as_str().unwrap()), None).await;
        assert_eq!(below["state"], "revoked");
    }
}

#[tokio::test]
async fn another_tenant_finds_nothing_and_nobody_reads_without_a_token() {
    for studio in studios().await {
        let door = Door::new(&studio);
        let hold = studio.hold(studio.owner, 5).await;
        let (organisation, neighbour) = studio.neighbour().await;
        let stranger = door.claims(neighbour, organisation);
        let (mandate, run) = (studio.root, hold.run);
        let routes = [
            ("GET", format!("/v1/mandates/{mandate}"), None),
            ("POST", format!("/v1/mandates/{mandate}/revoke"), None),
            ("POST", "/v1/mandates".to_owned(), Some(give_body(mandate, UserId::generate()))),
            ("GET", format!("/v1/billing/holds/{run}"), None),
            ("GET", "/v1/mandates/nonsense".to_owned(), None),
            ("GET", "/v1/billing/holds/nonsense".to_owned(), None),
        ];
        for (method, path, body) in routes {
            let (status, answer) = door.call(&stranger, method, &path, body.clone()).await;
            assert_eq!(status, 404, "{method} {path}: {answer}");
            assert_eq!(door.send(None, method, &path, body).await.0, 401);
        }
        let (_, journal) = door.call(&stranger, "GET", "/v1/billing/transactions", None).await;
        assert_eq!(journal["items"].as_array().unwrap().len(), 1, "only their own sign-up credits");
        let owner = door.claims(studio.owner, studio.organisation);
        let (status, shown) = door.call(&owner, "GET", &format!("/v1/billing/holds/{run}"), None).await;
        assert_eq!((status, &shown["parts"][0]["held_micro"]), (200, &json!(5 * CREDIT)));
    }
}

#[tokio::test]
async fn scopes_staff_and_bad_input_are_refused_by_name() {
    for studio in studios().await {
        let door = Door::new(&studio);
        let owner = door.claims(studio.owner, studio.organisation);
        let key = Claims { scopes: vec!["tools:run".to_owned()], ..owner.clone() };
        let refused = door.call(&key, "GET", "/v1/billing/balance", None).await;
        assert_eq!((refused.0, &refused.1["code"]), (403, &json!("scope_missing")));
        let reader = Claims { scopes: vec!["billing:read".to_owned()], ..owner.clone() };
        assert_eq!(door.call(&reader, "GET", "/v1/billing/balance", None).await.0, 200);
        let subscribe = Some(json!({"plan": "studio"}));
        assert_eq!(door.call(&reader, "POST", "/v1/billing/subscription", subscribe).await.0, 403);

        let grant = json!({"organisation_id": studio.organisation, "amount_micro": 5, "reason": "sorry"});
        assert_eq!(door.call(&owner, "POST", "/v1/billing/grants", Some(grant.clone())).await.0, 403);
        assert_eq!(door.call(&owner, "GET", "/v1/billing/ledger-check?all=true", None).await.0, 403);
        let staff = Claims { staff: true, ..owner.clone() };
        assert_eq!(door.call(&staff, "POST", "/v1/billing/grants", Some(grant)).await.0, 201);

        let base = give_body(studio.root, UserId::generate());
        let broken = [
            (json!({"actions": ["TOOLS"]}), "/actions"),
            (json!({"envelope": {"mode": "cap"}}), "/envelope/amount_micro"),
            (
                json!({"envelope": {"mode": "transfer", "amount_micro": 5, "period": "day"}}),
                "/envelope/period",
            ),
            (json!({"purpose": "x".repeat(201)}), "/purpose"),
            (json!({"tools": []}), "/tools"),
        ];
        for (change, pointer) in broken {
            let mut body = base.clone();
            body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let (status, problem) = door.call(&owner, "POST", "/v1/mandates", Some(body)).await;
            assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!(pointer)), "{problem}");
        }
        let (status, problem) = door.call(&owner, "POST", "/v1/mandates", Some(json!({"nonsense": 1}))).await;
        assert_eq!((status, &problem["code"]), (422, &json!("invalid_fields")));
    }
}

#[tokio::test]
async fn a_key_gives_a_mandate_and_refunds_a_charge_once() {
    for studio in studios().await {
        let door = Door::new(&studio);
        let owner = door.claims(studio.owner, studio.organisation);
        let staff = Claims { staff: true, ..owner.clone() };
        let token = door.trust.signer.sign(&staff).unwrap();
        let post = async |path: &str, body: &Value, key: &str| {
            door.send_with_key(Some(&token), "POST", path, Some(body.clone()), Some(key)).await
        };
        let mut body = give_body(studio.root, UserId::generate());
        body["envelope"] = json!({"mode": "transfer", "amount_micro": 20 * CREDIT});
        let before = studio.service.mandates(studio.organisation).await.unwrap().len();
        let (status, given) = post("/v1/mandates", &body, "k").await;
        assert_eq!(status, 201, "{given}");
        let (status, again) = post("/v1/mandates", &body, "k").await;
        assert_eq!((status, &again["id"]), (201, &given["id"]));
        assert_eq!(studio.service.mandates(studio.organisation).await.unwrap().len(), before + 1);
        let mut other = body.clone();
        other["envelope"]["amount_micro"] = json!(21 * CREDIT);
        let (status, problem) = post("/v1/mandates", &other, "k").await;
        assert_eq!((status, &problem["code"]), (409, &json!("idempotency_key_reused")));

        let run = studio.hold(studio.owner, 10).await.run;
        studio.settle(run, 10).await;
        let path = format!("/v1/billing/holds/{run}/refund");
        let refund = |credits: i64| json!({"organisation_id": studio.organisation, "amount_micro": credits * CREDIT, "reason": "late"});
        for _ in 0..3 {
            // The same key as the mandate's: another kind of order.
            let (status, hold) = post(&path, &refund(4), "k").await;
            assert_eq!((status, &hold["refunded_micro"]), (200, &json!(4 * CREDIT)));
        }
        assert_eq!(post(&path, &refund(5), "k").await.1["code"], "idempotency_key_reused");
        let (_, hold) = post(&path, &refund(4), "next").await;
        assert_eq!(hold["refunded_micro"], json!(8 * CREDIT));
        // A repetition after everything was given back is still the same refund.
        post(&path, &refund(2), "last").await;
        assert_eq!(post(&path, &refund(4), "k").await.0, 200);
        studio.assert_sound().await;

        studio.clock.advance(std::time::Duration::from_secs(89 * 86_400));
        assert_eq!(studio.service.forget_keys(100).await.unwrap(), 0);
        studio.clock.advance(std::time::Duration::from_secs(2 * 86_400));
        assert_eq!(studio.service.forget_keys(100).await.unwrap(), 4);
    }
}

#[tokio::test]
async fn a_plan_begins_when_its_invoice_is_paid_and_its_credits_arrive_once() {
    for studio in studios().await {
        let door = Door::new(&studio);
        let owner = door.claims(studio.owner, studio.organisation);
        let staff = Claims { staff: true, ..door.claims(UserId::generate(), OrganisationId::generate()) };
        let subscribe = |plan: &str| Some(json!({ "plan": plan }));
        let (status, first) =
            door.call(&owner, "POST", "/v1/billing/subscription", subscribe("studio")).await;
        assert_eq!((status, &first["plan"], &first["pending_plan"]), (201, &json!("free"), &json!("studio")));
        let (_, again) = door.call(&owner, "POST", "/v1/billing/subscription", subscribe("studio")).await;
        assert_eq!(first["invoice"]["id"], again["invoice"]["id"]);
        assert_eq!(studio.balance().await, (500, 0), "nothing arrives before it is paid");

        let path = format!("/v1/billing/invoices/{}/mark-paid", first["invoice"]["id"].as_str().unwrap());
        assert_eq!(door.call(&owner, "POST", &path, None).await.0, 403);
        for _ in 0..2 {
            let (status, paid) = door.call(&staff, "POST", &path, None).await;
            assert_eq!((status, &paid["state"]), (200, &json!("paid")));
            assert_eq!(studio.balance().await, (5_500, 0));
        }
        let (_, now) = door.call(&owner, "GET", "/v1/billing/subscription", None).await;
        assert_eq!((&now["plan"], &now["pending_plan"]), (&json!("studio"), &Value::Null));

        let (_, open) = door.call(&owner, "POST", "/v1/billing/subscription", subscribe("studio")).await;
        door.call(&owner, "POST", "/v1/billing/subscription", subscribe("free")).await;
        let path = format!("/v1/billing/invoices/{}/mark-paid", open["invoice"]["id"].as_str().unwrap());
        let (status, problem) = door.call(&staff, "POST", &path, None).await;
        assert_eq!((status, &problem["code"]), (409, &json!("invoice_not_open")));
        let (status, problem) =
            door.call(&owner, "POST", "/v1/billing/subscription", subscribe("platinum")).await;
        assert_eq!((status, &problem["code"]), (422, &json!("plan_unknown")));
        studio.assert_sound().await;
    }
}

#[tokio::test]
async fn the_journal_is_paged_without_a_gap() {
    for studio in studios().await {
        let door = Door::new(&studio);
        let owner = door.claims(studio.owner, studio.organisation);
        for _ in 0..4 {
            studio.hold(studio.owner, 1).await;
        }
        let (mut numbers, mut path) = (Vec::new(), "/v1/billing/transactions?limit=2".to_owned());
        loop {
            let (_, page) = door.call(&owner, "GET", &path, None).await;
            numbers.extend(
                page["items"].as_array().unwrap().iter().map(|item| item["number"].as_i64().unwrap()),
            );
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/v1/billing/transactions?limit=2&before={next}");
        }
        assert_eq!(numbers, [5, 4, 3, 2, 1]);
        let (_, report) = door.call(&owner, "GET", "/v1/billing/ledger-check", None).await;
        assert_eq!((&report["balanced"], &report["open_holds"]), (&json!(true), &json!(4)));
    }
}

#[tokio::test]
async fn the_description_names_nothing_that_it_does_not_describe() {
    let studio = studios().await.remove(0);
    let (_, description) = studio.service.http().split_for_parts();
    let description = serde_json::to_value(&description).unwrap();
    let mut waiting = vec![&description];
    while let Some(value) = waiting.pop() {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            let pointer = reference.trim_start_matches('#');
            assert!(description.pointer(pointer).is_some(), "{reference} is described nowhere");
        }
        match value {
            Value::Object(map) => waiting.extend(map.values()),
            Value::Array(items) => waiting.extend(items),
            _ => {}
        }
    }
}

#[tokio::test]
async fn the_contract_holds_settles_and_refuses_with_whole_problems() {
    for studio in studios().await {
        let trust = Trust::with_clock("business", audience::INFRASTRUCTURE, studio.clock.clone());
        let mut routes = tonic::service::Routes::new(studio.service.billing_rpc());
        routes = routes.add_service(studio.service.mandates_rpc());
        let channel = trust.channel(routes, audience::INFRASTRUCTURE);
        let mut billing = BillingClient::new(channel.clone());
        let request = v1::HoldRequest {
            run_id: HoldId::generate().to_string(),
            organisation_id: studio.organisation.to_string(),
            actor_id: studio.owner.to_string(),
            action: "tools.run".to_owned(),
            tool: "upscale".to_owned(),
            amount_micro: 10 * CREDIT,
            ..v1::HoldRequest::default()
        };
        let held = billing.hold(request.clone()).await.unwrap().into_inner();
        assert_eq!((held.state(), held.mandate_chain.len()), (v1::HoldState::Held, 1));
        assert_eq!(billing.hold(request.clone()).await.unwrap().into_inner(), held);
        let other = v1::HoldRequest { amount_micro: 1, ..request.clone() };
        assert_eq!(billing.hold(other).await.unwrap_err().code(), tonic::Code::AlreadyExists);
        let run_id = held.run_id.clone();
        let settle = v1::SettleRequest { run_id, amount_micro: 4 * CREDIT, ..v1::SettleRequest::default() };
        let settled = billing.settle(settle).await.unwrap().into_inner();
        assert_eq!((settled.state(), settled.settled_micro), (v1::HoldState::Settled, 4 * CREDIT));
        let poor = v1::HoldRequest {
            run_id: HoldId::generate().to_string(),
            amount_micro: 900 * CREDIT,
            ..request.clone()
        };
        let problem = backlot_foundation_errors::Problem::from(billing.hold(poor).await.unwrap_err());
        assert_eq!((problem.code.as_str(), problem.status), ("insufficient_credits", 402));
        let nonsense = v1::HoldRequest { run_id: "x".to_owned(), ..request };
        assert_eq!(billing.hold(nonsense).await.unwrap_err().code(), tonic::Code::InvalidArgument);

        let check = v1::CheckRequest {
            organisation_id: studio.organisation.to_string(),
            actor_id: UserId::generate().to_string(),
            action: "tools.run".to_owned(),
            ..v1::CheckRequest::default()
        };
        let answer = MandatesClient::new(channel).check(check).await.unwrap().into_inner();
        assert_eq!((answer.allowed, answer.reason.as_str()), (false, "mandate_missing"));
        let report = billing.check_ledger(v1::CheckLedgerRequest::default()).await.unwrap().into_inner();
        assert!(report.balanced && report.open_holds == 0, "{report:?}");
    }
}

#[tokio::test]
async fn a_person_does_not_call_what_is_for_systems() {
    for studio in studios().await {
        let trust = Trust::with_clock("edge", audience::INFRASTRUCTURE, studio.clock.clone());
        let routes = tonic::service::Routes::new(studio.service.billing_rpc());
        let server = backlot_foundation_rpc::Server::new(trust.verifier.clone()).layer(routes);
        let claims = Claims::person(
            audience::INFRASTRUCTURE,
            &studio.owner.to_string(),
            &studio.organisation.to_string(),
            studio.clock.now(),
        );
        let token = trust.signer.sign(&claims).unwrap();
        let request = Request::post("/backlot.infrastructure.v1.Billing/Hold")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/grpc")
            .body(Body::from(vec![0_u8; 5]))
            .unwrap();
        let response = server.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["grpc-status"], (tonic::Code::PermissionDenied as i32).to_string());
    }
}
