//! A tool in a dozen lines of Python, written while the studio runs: it appears, runs, changes, breaks and goes.

use std::path::Path;
use std::time::{Duration, Instant};

use backlot_tests_end_to_end::{
    Account, Api, Launch, Studio, binary, eventually, root, upload_photo, workers_python,
};
use serde_json::{Value, json};

/// Longest from saving a file to its effect. It is well below a second on an idle machine.
const LIVE: Duration = Duration::from_secs(30);

async fn tool(api: &Api, version: &str) -> (Value, Duration) {
    let began = Instant::now();
    let found = eventually(&format!("version {version} is live"), LIVE, || async {
        let tool = api.get("/v1/tools/old-film").await.body;
        (tool["version"] == version).then_some(tool)
    })
    .await;
    (found, began.elapsed())
}

fn change(file: &Path, from: &str, to: &str) {
    let code = std::fs::read_to_string(file).expect("readable");
    assert!(code.contains(from), "{code}");
    std::fs::write(file, code.replace(from, to)).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_is_written_run_changed_and_broken_while_the_studio_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let extensions = folder.path().join("extensions").display().to_string();
    let studio = Studio::start_with(|mut launch: Launch| {
        launch.arguments.extend(["--extensions".to_owned(), extensions.clone()]);
        launch
    })
    .await;
    let account = Account::sign_up(studio.url(), "Maker").await;
    let api = &account.api;
    let photo = upload_photo(api).await;

    // Written: by the command that the documentation names.
    let made = std::process::Command::new(binary("backlot"))
        .args(["tool", "new", "old-film", "--extensions", &extensions])
        .status()
        .expect("the binary starts");
    assert!(made.success());
    let (first, took) = tool(api, "1.0.0").await;
    eprintln!("a new tool is live after {took:?}");
    assert_eq!((&first["source"], &first["label"]), (&json!("extension"), &json!("Old film")));
    let listed = api.get("/v1/tools").await.body;
    assert!(
        listed["items"].as_array().is_some_and(|items| items.iter().any(|item| item["name"] == "old-film"))
    );

    // Run: form, price and output follow from the file.
    let input = json!({ "picture": photo, "strength": 0.9 });
    let quote = api.post("/v1/tools/old-film/quote", &json!({ "input": input })).await;
    assert_eq!(quote.integer("/price_micro"), 20_000);
    let run = api.run("old-film", input.clone()).await;
    let run = api.ended(&run.text("/id")).await;
    assert_eq!(run.body["state"], "succeeded", "{run:?}");
    assert_eq!((run.integer("/outputs/0/width"), run.integer("/settled_micro")), (256, 20_000));
    let picture = api.download(&format!("/v1/assets/{}/content", run.text("/outputs/0/id"))).await;
    assert!(picture.starts_with(b"\x89PNG"), "it is the picture that the function returned");

    // Changed: the next version; the one before stays what it was.
    let file = folder.path().join("extensions/old-film/old_film.py");
    change(&file, "price=20_000", "price=30_000");
    let (second, took) = tool(api, "1.0.1").await;
    eprintln!("a change is live after {took:?}");
    assert_eq!(second["versions"], json!(["1.0.0", "1.0.1"]));
    let before = api.get("/v1/tools/old-film/versions/1.0.0").await.body;
    assert_eq!(before["manifest_hash"], first["manifest_hash"]);
    let run = api.run("old-film", input.clone()).await;
    assert_eq!(api.ended(&run.text("/id")).await.integer("/settled_micro"), 30_000);

    // Broken: shown with its line, and the last good version runs on.
    change(&file, "return Image.blend", "return return Image.blend");
    let problem = eventually("the error is shown", LIVE, || async {
        let problem = api.get("/v1/tools/old-film").await.body["problem"].clone();
        problem.is_object().then_some(problem)
    })
    .await;
    assert_eq!((&problem["file"], &problem["line"]), (&json!("old_film.py"), &json!(13)), "{problem}");
    let run = api.run("old-film", input.clone()).await;
    assert_eq!(api.ended(&run.text("/id")).await.body["state"], "succeeded");

    // After kill -9 everything is there again, and nothing is published twice.
    let studio = studio.kill_and_restart().await;
    let (found, _) = tool(api, "1.0.1").await;
    assert_eq!(found["versions"], json!(["1.0.0", "1.0.1"]));
    let run = api.run("old-film", input).await;
    assert_eq!(api.ended(&run.text("/id")).await.body["state"], "succeeded");

    // Gone: not offered any more.
    std::fs::remove_dir_all(folder.path().join("extensions/old-film")).expect("removed");
    eventually("it is not offered", LIVE, || async {
        let listed = api.get("/v1/tools").await.body;
        let gone = listed["items"].as_array()?.iter().all(|item| item["name"] != "old-film");
        gone.then_some(())
    })
    .await;
    studio.process.terminate().await;
}

/// A stand-in for ComfyUI's server, which ends with the test.
struct ComfyUi(std::process::Child, String);

impl ComfyUi {
    fn start() -> Self {
        use std::io::BufRead as _;
        let script = root().join("sdk/python/tests/standin.py");
        let mut command = std::process::Command::new(workers_python());
        command.arg("-B").arg(script).arg("0").stdout(std::process::Stdio::piped());
        let mut child = command.spawn().expect("Python starts");
        let mut address = String::new();
        let stdout = child.stdout.take().expect("a stream");
        std::io::BufReader::new(stdout).read_line(&mut address).expect("an address");
        Self(child, address.trim().to_owned())
    }
}

impl Drop for ComfyUi {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comfyui_workflow_is_imported_run_and_canceled() {
    let comfy = ComfyUi::start();
    let studio =
        Studio::start_with(|launch| launch.with("business.tools.extensions.comfyui_url", &comfy.1)).await;
    // The first account of a fresh studio is its staff; others import nothing.
    let staff = Account::sign_up(studio.url(), "Staff").await;
    let other = Account::sign_up(studio.url(), "Other").await;
    let text = std::fs::read_to_string(root().join("sdk/python/tests/workflow.json")).expect("the workflow");
    let workflow: Value = serde_json::from_str(&text).expect("JSON");
    let body = json!({ "name": "dusk", "workflow": workflow, "price_micro": 70_000 });
    assert_eq!(other.session.post("/v1/tools/import/comfyui", &body).await.code(), "forbidden");
    let proposal = staff.session.post("/v1/tools/import/comfyui", &body).await;
    assert_eq!(proposal.body["missing_nodes"], json!([]), "{proposal:?}");
    let made = staff.session.post("/v1/tools/import/comfyui/confirm", &body).await;
    assert_eq!(made.text("/version"), "1.0.0");

    let run = other.api.run("dusk", json!({ "text": "a rocket at dusk", "steps": 4 })).await;
    let run = other.api.ended(&run.text("/id")).await;
    assert_eq!(run.body["state"], "succeeded", "{run:?}");
    assert_eq!((run.integer("/outputs/0/width"), run.integer("/settled_micro")), (64, 70_000));

    // A cancel is confirmed when the prompt has left the server.
    let run = other.api.run("dusk", json!({ "steps": 9_000 })).await.text("/id");
    eventually("it computes", Duration::from_secs(60), || async {
        let run = other.api.get(&format!("/v1/runs/{run}")).await.body;
        run["progress_note"].as_str().is_some_and(|note| note.contains("step")).then_some(())
    })
    .await;
    other.api.post(&format!("/v1/runs/{run}/cancel"), &json!({})).await;
    assert_eq!(other.api.ended(&run).await.body["state"], "canceled");
    let queue = Api::anonymous(&comfy.1).get("/queue").await.body;
    assert_eq!(queue["queue_running"], json!([]), "{queue}");
    studio.process.terminate().await;
}
