//! What is refused at the door, and how.

use backlot_foundation_errors::Problem;
use backlot_inference_api::v1;
use backlot_inference_control::Scope;
use backlot_inference_control::model::{ModelSpec, RuntimeKind};

use crate::lab::{echo, hello, on_every_database, submission, succeeded};

fn code(status: tonic::Status) -> String {
    Problem::from(status).code
}

#[test]
fn an_idempotency_key_stands_for_one_request() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let (mut agent, _) = process.join(hello("a"));
        let id = "0198c0de-0000-7000-8000-000000000001";
        let job = process.submit(id);
        assert_eq!(job.id, id, "a key that is a UUID names the job");
        let spaced = v1::SubmitRequest { input_json: r#"{ "text": "hello" }"#.to_owned(), ..submission(id) };
        assert_eq!(process.try_submit(spaced).unwrap().id, id);
        let assign = process.assigned(&mut agent);
        process.finish(&mut agent, succeeded(&assign));
        assert_eq!(process.submit(id).state(), v1::JobState::Succeeded);

        let other = v1::SubmitRequest { input_json: r#"{"text":"other"}"#.to_owned(), ..submission(id) };
        let refused = process.try_submit(other).unwrap_err();
        assert_eq!(
            (refused.code(), code(refused)),
            (tonic::Code::AlreadyExists, "idempotency_key_reused".to_owned())
        );
        assert_eq!(process.count("SELECT count(*) FROM jobs"), 1);

        process.execute("DELETE FROM jobs");
        let gone = Problem::from(process.try_submit(submission(id)).unwrap_err());
        assert_eq!((gone.code.as_str(), gone.status), ("job_deleted", 410));
        assert_eq!(gone.extra["job_id"], id);
    });
}

#[test]
fn the_same_key_twice_in_one_commit_makes_one_job() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let (mut one, mut two) = (process.control(), process.control());
        let both = async { tokio::join!(one.submit(submission("k")), two.submit(submission("k"))) };
        let (first, second) = process.run(both);
        assert_eq!(first.unwrap().into_inner().id, second.unwrap().into_inner().id);
        assert_eq!(process.count("SELECT count(*) FROM jobs"), 1);
    });
}

#[test]
fn input_is_checked_before_anything_is_queued() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let with_input = |input: &str| v1::SubmitRequest { input_json: input.to_owned(), ..submission("k") };
        let wrong = Problem::from(process.try_submit(with_input(r#"{"text":7}"#)).unwrap_err());
        assert_eq!((wrong.code.as_str(), wrong.errors[0].pointer.as_str()), ("job_input_invalid", "/text"));
        assert_eq!(code(process.try_submit(with_input("not json")).unwrap_err()), "job_input_invalid");
        let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(300_000));
        assert_eq!(code(process.try_submit(with_input(&large)).unwrap_err()), "job_input_too_large");
        let unknown = v1::SubmitRequest { model_version: "9".to_owned(), ..submission("k") };
        assert_eq!(code(process.try_submit(unknown).unwrap_err()), "model_unknown");
        let nobody = v1::SubmitRequest { tenant: String::new(), ..submission("k") };
        assert_eq!(code(process.try_submit(nobody).unwrap_err()), "invalid_fields");
        let for_ever = v1::SubmitRequest { ttl_ms: i64::MAX, ..submission("k") };
        assert_eq!(code(process.try_submit(for_ever).unwrap_err()), "invalid_fields");
        assert_eq!(process.count("SELECT count(*) FROM jobs"), 0);
        assert_eq!(process.count("SELECT count(*) FROM idempotency_keys"), 0);
    });
}

#[test]
fn a_tenant_has_a_limit_and_an_older_version_changes_nothing() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let put = |max_queued, version| {
            let request = v1::PutTenantRequest {
                tenant: "t1".to_owned(),
                weight: 2.0,
                max_queued,
                regions: Vec::new(),
                version,
            };
            process.run(process.control().put_tenant(request)).unwrap().into_inner()
        };
        assert_eq!(put(2, 5).max_queued, 2);
        assert_eq!(put(50, 4).max_queued, 2);
        process.submit("1");
        process.submit("2");
        let refused = process.try_submit(submission("3")).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        let problem = Problem::from(refused);
        assert_eq!((problem.code.as_str(), problem.status), ("queue_full", 429));
        assert_eq!(problem.extra["queued_max"], 2);
    });
    // The limit holds after a restart.
    on_every_database(|world| {
        let request = v1::PutTenantRequest {
            tenant: "t1".to_owned(),
            weight: 1.0,
            max_queued: 1,
            regions: Vec::new(),
            version: 1,
        };
        {
            let process = world.start();
            echo(&process);
            process.run(process.control().put_tenant(request)).unwrap();
            process.submit("1");
        }
        let process = world.start();
        assert_eq!(code(process.try_submit(submission("2")).unwrap_err()), "queue_full");
    });
}

#[test]
fn a_model_version_never_changes() {
    on_every_database(|world| {
        let process = world.start();
        process.put_model("backlot/echo", r#"{"type":"object"}"#);
        process.put_model("backlot/echo", r#"{"type":"object"}"#);
        let put = |name: &str, schema: &str| {
            let spec = v1::ModelSpec {
                name: name.to_owned(),
                version: "1".to_owned(),
                runtime: v1::RuntimeKind::Echo.into(),
                input_schema_json: schema.to_owned(),
                run_ms: 10,
                timeout_ms: 60_000,
                ..v1::ModelSpec::default()
            };
            process.run(process.control().put_model(v1::PutModelRequest { spec: Some(spec) })).map(|_| ())
        };
        assert_eq!(code(put("backlot/echo", r#"{"type":"string"}"#).unwrap_err()), "model_immutable");
        assert_eq!(code(put("nameless", "{}").unwrap_err()), "model_invalid");
        assert_eq!(code(put("a/b", "{").unwrap_err()), "model_invalid");
        assert_eq!(code(put("a/b", r#"{"$ref":"http://127.0.0.1:1/x.json"}"#).unwrap_err()), "model_invalid");
        let listed =
            process.run(process.control().list_models(v1::ListModelsRequest {})).unwrap().into_inner();
        assert_eq!(listed.models.len(), 1);
    });
}

#[test]
fn an_estimate_is_honest() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let ask = || {
            let request = v1::EstimateRequest {
                tenant: "t1".to_owned(),
                model: "backlot/echo".to_owned(),
                model_version: "1".to_owned(),
                predicted_ms: 5_000,
                ..v1::EstimateRequest::default()
            };
            process.run(process.control().estimate(request)).unwrap().into_inner()
        };
        let nobody = ask();
        assert!(!nobody.possible && nobody.impossible_because.contains("no worker"));
        let (mut agent, _) = process.join(hello("a"));
        assert_eq!((ask().possible, ask().position, ask().start_p50_ms), (true, 0, 0));
        let long = v1::SubmitRequest { predicted_ms: 60_000, ..submission("1") };
        process.try_submit(long).unwrap();
        process.assigned(&mut agent);
        process.submit("2");
        let busy = ask();
        assert_eq!(busy.position, 1);
        assert!(busy.start_p50_ms >= 60_000 && busy.start_p90_ms > busy.start_p50_ms && busy.run_ms == 5_000);
    });
}

#[test]
fn another_namespace_sees_nothing() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let job = process.submit("k");
        let id = backlot_inference_api::JobId::parse(&job.id).unwrap();
        let elsewhere = backlot_inference_control::Scope { namespace: "elsewhere".to_owned(), tenant: None };
        let neighbour = backlot_inference_control::Scope {
            namespace: "studio".to_owned(),
            tenant: Some("t2".to_owned()),
        };
        for scope in [elsewhere, neighbour] {
            process.run(async {
                assert!(process.service.get(&scope, id).await.is_err());
                assert!(process.service.cancel(&scope, id).await.is_err());
                assert!(process.service.watch(&scope, id).await.is_err());
                assert!(
                    process
                        .service
                        .list(&scope, Some("t1".to_owned()), None, 10, None)
                        .await
                        .unwrap()
                        .is_empty()
                );
            });
        }
        assert_eq!(process.job(&job.id).state(), v1::JobState::Queued);
    });
}

#[test]
fn a_model_and_its_owners_names_are_one_namespaces() {
    on_every_database(|world| {
        let scope = |namespace: &str| Scope { namespace: namespace.to_owned(), tenant: None };
        let (studio, acme) = (scope("studio"), scope("acme"));
        let spec = |name: &str| ModelSpec {
            name: name.to_owned(),
            version: "1".to_owned(),
            runtime: RuntimeKind::Echo,
            worker: String::new(),
            input_schema: serde_json::json!({}),
            load_ms: 0,
            run_ms: 0,
            memory_mib: 0,
            gpus: 0,
            timeout_ms: 0,
            pausing: None,
            batching: None,
        };
        let refused = |process: &crate::lab::Process, scope: &Scope, name: &str| {
            let put = process.run(process.service.put_model(scope, spec(name)));
            put.err().map(|error| Problem::from(error).code)
        };
        {
            let process = world.start();
            echo(&process);
            let taken = Some("model_name_taken".to_owned());
            assert_eq!(refused(&process, &acme, "backlot/echo"), taken);
            assert_eq!(refused(&process, &acme, "backlot/something-else"), taken);
            assert_eq!(refused(&process, &acme, "acme/echo"), None);
            assert_eq!(refused(&process, &studio, "acme/echo"), taken);
        }
        // After a restart it is the same.
        let process = world.start();
        assert_eq!(refused(&process, &acme, "backlot/echo"), Some("model_name_taken".to_owned()));
        let names = |scope: &Scope| {
            let models = process.service.models(scope);
            models.into_iter().map(|model| model.spec.name).collect::<Vec<_>>()
        };
        assert_eq!(
            (names(&studio), names(&acme)),
            (vec!["backlot/echo".to_owned()], vec!["acme/echo".to_owned()])
        );
        for version in ["1", ""] {
            let foreign = v1::SubmitRequest {
                model: "acme/echo".to_owned(),
                model_version: version.to_owned(),
                ..submission("k")
            };
            assert_eq!(code(process.try_submit(foreign).unwrap_err()), "model_unknown");
            let question = v1::EstimateRequest {
                tenant: "t1".to_owned(),
                model: "acme/echo".to_owned(),
                model_version: version.to_owned(),
                ..v1::EstimateRequest::default()
            };
            let answer = process.run(process.control().estimate(question));
            assert_eq!(code(answer.unwrap_err()), "model_unknown");
        }
    });
}

#[test]
fn without_a_version_the_newest_model_runs() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        world.clock.advance(std::time::Duration::from_secs(1));
        let spec = v1::ModelSpec {
            name: "backlot/echo".to_owned(),
            version: "0.9".to_owned(),
            runtime: v1::RuntimeKind::Echo.into(),
            ..v1::ModelSpec::default()
        };
        let newest = || v1::SubmitRequest { model_version: String::new(), ..submission("k") };
        let first = process.try_submit(newest()).unwrap();
        process.run(process.control().put_model(v1::PutModelRequest { spec: Some(spec) })).unwrap();
        assert_eq!((first.model_version.as_str(), process.try_submit(newest()).unwrap().id), ("1", first.id));
        let later = v1::SubmitRequest { idempotency_key: String::new(), ..newest() };
        assert_eq!(process.try_submit(later).unwrap().model_version, "0.9");
    });
}
