//! The same demo with every system in a process of its own, on PostgreSQL and S3: four systems, an edge, an agent.

use backlot_tests_end_to_end::{Account, Launch, Process, binary, connect, demo, hears};
use reqwest::Method;
use serde_json::{Value, json};

/// One PostgreSQL for all, a schema and so a world of its own for each system.
fn database(launch: Launch, system: &str, postgres: &str, world: &str) -> Launch {
    let key = |name: &str| format!("{system}.db.{name}");
    launch.with(&key("url"), postgres).with(&key("schema"), &format!("{system}_{world}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn four_systems_an_edge_and_an_agent_run_the_demo_on_postgresql_and_s3() {
    let service = |name: &str| {
        std::env::var(name).unwrap_or_else(|_| {
            panic!(
                "{name} names what this needs; `scripts/test-services run COMMAND` starts it around COMMAND"
            )
        })
    };
    let (postgres, s3) = (service("BACKLOT_TEST_POSTGRES"), service("BACKLOT_TEST_S3"));
    let s3 = url::Url::parse(&s3).expect("an address of S3");
    let world = uuid::Uuid::now_v7().simple().to_string();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let keys = folder.path().join("keys");
    let made =
        tokio::process::Command::new(binary("backlot")).args(["admin", "keys", "--out"]).arg(&keys).output();
    assert!(made.await.expect("keys are made").status.success());
    let serve = |role: &str| {
        Launch::serve(&folder.path().join(role), &[role]).with("tokens.keys_dir", &keys.display().to_string())
    };

    // The edge's address must be known first: media links carry it.
    let bucket = s3.path().trim_matches('/').to_owned();
    let endpoint = format!("http://{}:{}", s3.host_str().expect("a host"), s3.port().expect("a port"));
    let infrastructure = database(serve("infrastructure"), "infrastructure", &postgres, &world)
        .with("infrastructure.storage.signing_secret", "one for all replicas")
        .with("infrastructure.storage.store.kind", "s3")
        .with("infrastructure.storage.store.endpoint", &endpoint)
        .with("infrastructure.storage.store.bucket", &bucket)
        .with("infrastructure.storage.store.access_key", s3.username())
        .with("infrastructure.storage.store.secret_key", s3.password().unwrap_or_default())
        .start()
        .await;
    let inference = database(serve("inference"), "inference", &postgres, &world)
        .with("inference.control.join_token", "a token of this test's")
        .start()
        .await;
    let business = database(serve("business"), "business", &postgres, &world)
        .with("rpc.infrastructure", &infrastructure.rpc)
        .with("rpc.inference", &inference.rpc)
        .start()
        .await;
    let data = database(serve("data"), "data", &postgres, &world)
        .with("rpc.infrastructure", &infrastructure.rpc)
        .with("rpc.inference", &inference.rpc)
        .with("rpc.business", &business.rpc)
        .start()
        .await;
    let edge = serve("edge")
        .with("rpc.infrastructure", &infrastructure.rpc)
        .with("edge.systems.infrastructure", &infrastructure.url)
        .with("edge.systems.business", &business.url)
        .with("edge.systems.inference", &inference.url)
        .with("edge.systems.data", &data.url)
        .start()
        .await;
    let agent =
        Launch { arguments: vec!["agent".to_owned()], ..Launch::serve(&folder.path().join("agent"), &[]) }
            .with("rpc.inference", &inference.rpc)
            .with("agent.join_token", "a token of this test's")
            .start()
            .await;

    let staff = Account::sign_up(&edge.url, "Staff").await;
    let lines = demo(&edge.url, &["--staff-email", &staff.email, "--staff-password", &staff.password]).await;
    let summary = lines.last().expect("a summary");
    assert_eq!(summary["ledger_balanced"], Value::Bool(true), "{summary}");
    assert!(summary["dau"].as_f64().is_some_and(|dau| dau >= 1.0), "{summary}");
    for key in ["film_asset", "post_id", "remix_board_id"] {
        assert!(summary[key].is_string(), "{key}: {summary}");
    }
    assert!(summary["film_seconds"].as_f64().is_some_and(|seconds| seconds > 3.0), "{summary}");

    // A board's live connection goes through the edge to a system that runs apart, and ends at the edge.
    let board = staff.api.post("/v1/boards", &json!({ "title": "Apart" })).await.text("/id");
    let mut socket = connect(&edge.url, &board, &staff.key, None).await.expect("a connection");
    assert_eq!(hears(&mut socket, "role").await.expect("a role")["may_edit"], true);
    let keys = staff.session.get("/v1/identity/api-keys").await.text("/items/0/id");
    staff.session.send(Method::DELETE, &format!("/v1/identity/api-keys/{keys}"), None, &[]).await;
    assert!(hears(&mut socket, "never").await.is_err(), "a revoked key ends its connection");

    let all: [Process; 6] = [agent, edge, data, business, inference, infrastructure];
    for process in all {
        process.terminate().await;
    }
}
