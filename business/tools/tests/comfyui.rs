//! A ComfyUI workflow becomes a tool, against the stand-in of ComfyUI's server (`sdk/python/tests/standin.py`).

mod world;

use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use backlot_business_tools::extensions::{FieldChoice, Import};
use backlot_business_tools::{Config, Order};
use backlot_foundation_errors::Problem;
use backlot_foundation_testkit::TestDb;
use serde_json::{Value, json};
use world::Stage;

fn python() -> PathBuf {
    std::env::var_os("BACKLOT_WORKERS_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from)
}

fn sdk() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/python/tests")
}

/// The stand-in as a process that ends with the test.
struct StandIn(Child, String);

impl StandIn {
    fn start() -> Self {
        let mut command = Command::new(python());
        command.arg("-B").arg(sdk().join("standin.py")).arg("0").stdout(Stdio::piped());
        let mut child = command.spawn().expect("Python starts");
        let mut address = String::new();
        let stdout = child.stdout.take().expect("a stream");
        std::io::BufReader::new(stdout).read_line(&mut address).expect("an address");
        Self(child, address.trim().to_owned())
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn workflow() -> Value {
    serde_json::from_str(&std::fs::read_to_string(sdk().join("workflow.json")).expect("the workflow"))
        .expect("JSON")
}

fn import(workflow: Value) -> Import {
    let (label, description, fields, price_micro) = (None, None, None, None);
    Import { name: "dusk".to_owned(), workflow, label, description, fields, price_micro }
}

async fn stage(url: &str, root: &Path) -> Stage {
    let mut config = Config::default();
    config.extensions.published = root.to_owned();
    config.extensions.python = python();
    url.clone_into(&mut config.extensions.comfyui_url);
    Stage::configured(TestDb::sqlite("business").await, config).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_is_proposed_chosen_and_run() {
    let (comfy, root) = (StandIn::start(), tempfile::tempdir().unwrap());
    let stage = stage(&comfy.1, root.path()).await;
    let proposal = stage.service.propose_workflow(&import(workflow())).await.unwrap();
    assert!(proposal.missing_nodes.is_empty() && proposal.missing_models.is_empty(), "{proposal:?}");
    assert!(proposal.fields.iter().any(|field| field["name"] == "text" && field["chosen"] == true));

    let field = |node: &str, input: &str, name: &str| FieldChoice {
        node: node.to_owned(),
        input: input.to_owned(),
        name: Some(name.to_owned()),
        title: None,
    };
    let mut chosen = import(workflow());
    chosen.fields = Some(vec![field("6", "text", "prompt"), field("3", "steps", "steps")]);
    chosen.price_micro = Some(70_000);
    let tool = stage.service.import_workflow(&chosen).await.unwrap();
    assert_eq!(
        (tool.manifest.version.as_str(), tool.manifest.model.name.as_str()),
        ("1.0.0", "comfyui/dusk")
    );
    let folder = root.path().join(&tool.manifest.model.worker);
    assert!(folder.join("worker.toml").is_file() && folder.join("backlot/comfyui.py").is_file());
    let order = Order { tool: "dusk".to_owned(), input: json!({ "prompt": "a rocket" }), ..Order::default() };
    let row = stage.service.submit(&stage.actor, &order, None).await.unwrap();
    assert_eq!((row.stage.as_str(), row.price_micro), ("submitted", 70_000));
    let listed = stage.service.listed();
    assert!(listed.iter().any(|tool| tool.manifest.name == "dusk"), "it is found like any other");

    // What was published runs on the server, as an agent starts it.
    let out = tempfile::tempdir().unwrap();
    let request =
        json!({ "input": { "prompt": "a rocket", "steps": 3 }, "output_dir": out.path() }).to_string();
    let mut command = Command::new(python());
    command.arg("-B").arg(folder.join("backlot_serve.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), request.as_bytes()).unwrap();
    let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(last["output"][0]["content_type"], "image/png", "{said}");

    // Another choice is the next version.
    chosen.price_micro = Some(80_000);
    chosen.fields = Some(vec![field("6", "text", "prompt")]);
    assert_eq!(stage.service.import_workflow(&chosen).await.unwrap().manifest.version, "1.0.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_lacks_is_listed_and_nothing_is_published() {
    let (comfy, root) = (StandIn::start(), tempfile::tempdir().unwrap());
    let stage = stage(&comfy.1, root.path()).await;
    let mut broken = workflow();
    broken["4"]["inputs"]["ckpt_name"] = json!("flux.safetensors");
    broken["10"] = json!({ "class_type": "FaceDetailer", "inputs": {} });
    let proposal = stage.service.propose_workflow(&import(broken.clone())).await.unwrap();
    assert_eq!(proposal.missing_nodes[0]["class_type"], "FaceDetailer");
    assert_eq!(proposal.missing_models[0]["model"], "flux.safetensors");
    let editor = json!({ "nodes": [], "links": [] });
    for workflow in [broken, editor, json!([]), json!({ "1": 5 })] {
        let refused = stage.service.import_workflow(&import(workflow)).await.map(|_| ()).unwrap_err();
        assert_eq!(Problem::from(refused).code, "workflow_refused");
    }
    let taken = Import { name: "upscale".to_owned(), ..import(workflow()) };
    assert!(stage.service.import_workflow(&taken).await.is_err(), "a tool that ships keeps its name");
    assert!(stage.service.catalogue().newest("dusk").is_none());
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0, "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_it_says_so() {
    let root = tempfile::tempdir().unwrap();
    for url in ["", "http://127.0.0.1:9"] {
        let stage = stage(url, root.path()).await;
        let refused = stage.service.propose_workflow(&import(workflow())).await.map(|_| ()).unwrap_err();
        assert_eq!(Problem::from(refused).code, "comfyui_unavailable", "{url}");
    }
}
