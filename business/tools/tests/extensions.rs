//! Folders of Python that become tools while business runs: published, changed, broken, removed, and there again
//! after a restart. Needs a Python of 3.10 or later, the workers' or `python3`.

mod world;

use std::path::Path;
use std::time::{Duration, Instant};

use backlot_business_tools::{Config, Order};
use backlot_foundation_runtime::Tasks;
use backlot_foundation_testkit::TestDb;
use serde_json::json;
use world::Stage;

const TOOL: &str = r#"from backlot import Choice, Number, Picture, Text, progress, tool


@tool(label="Grain", price=[{"label": "Run", "amount": 5000}, {"label": "Strength", "amount": 1000,
                                                             "times": [{"number": "strength"}]}])
def grain(picture: Picture(), strength: Number(0, 10) = 2, film: Choice("fine", "coarse") = "fine"):
    "Adds grain."
    progress(0.5)
    return picture
"#;

fn write(folder: &Path, code: &str) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("grain.py"), code).unwrap();
    std::fs::write(folder.join("backlot.toml"), "[tool]\nfile = \"grain.py\"\n").unwrap();
}

/// Waits for what the watcher does, in real time.
async fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> (T, Duration) {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return (found, began.elapsed());
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_file_is_a_tool_and_a_broken_one_keeps_the_last_good_version() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("extensions/grain");
    let mut config = Config::default();
    config.moderation.media = false;
    config.extensions.folder = root.path().join("extensions");
    config.extensions.published = root.path().join("published");
    if let Some(python) = std::env::var_os("BACKLOT_WORKERS_PYTHON") {
        config.extensions.python = python.into();
    }
    let mut stage = Stage::configured(TestDb::sqlite("business").await, config).await;
    let tasks = Tasks::new();
    stage.service.tasks(&tasks, &stage.infrastructure, &stage.inference);

    write(&folder, TOOL);
    let service = stage.service.clone();
    let newest = |name: &'static str| {
        let service = service.clone();
        move || {
            let tool = service.listed().into_iter().find(|tool| tool.manifest.name == name)?;
            Some((tool.manifest.version.clone(), tool.manifest.model.worker.clone()))
        }
    };
    let ((version, worker), took) = until("it is published", newest("grain")).await;
    assert_eq!(version, "1.0.0");
    eprintln!("live after {took:?}");
    let published = root.path().join("published").join(&worker);
    assert!(published.join("worker.toml").is_file() && published.join("backlot/__init__.py").is_file());

    // Form, price and run follow from the file.
    let input = json!({ "picture": stage.image.to_string(), "strength": 4 });
    let order = Order { tool: "grain".to_owned(), input, ..Order::default() };
    let quote = stage.service.quote(&stage.actor, &order).await.unwrap();
    assert_eq!((quote.price_micro, quote.lines.len()), (9_000, 2));
    let row = stage.service.submit(&stage.actor, &order, None).await.unwrap();
    assert_eq!(row.stage, "submitted");
    let job_input = stage.world.state.lock().inputs[&row.id.to_string()].clone();
    assert_eq!((&job_input["film"], &job_input["strength"]), (&json!("fine"), &json!(4)));
    assert!(job_input["picture"]["$file"].is_string());
    let bad = Order { input: json!({ "picture": stage.image.to_string(), "strength": 40 }), ..order.clone() };
    assert!(stage.service.submit(&stage.actor, &bad, None).await.is_err());

    // A change is the next version; the one before stays.
    write(&folder, &TOOL.replace("0, 10", "0, 50"));
    until("the change is published", || newest("grain")().filter(|(version, _)| version == "1.0.1")).await;
    stage.service.submit(&stage.actor, &bad, None).await.unwrap();
    let old = Order { version: Some("1.0.0".to_owned()), ..bad.clone() };
    assert!(stage.service.submit(&stage.actor, &old, None).await.is_err(), "1.0.0 is what it was");

    // What is broken says where, and the last good version goes on.
    let client = http_view(&stage);
    write(&folder, &TOOL.replace("return picture", "return picture +"));
    let (problem, _) = until("the error is shown", || client.problem()).await;
    assert_eq!((problem["file"].as_str(), problem["line"].as_u64()), (Some("grain.py"), Some(9)));
    assert!(problem["message"].as_str().unwrap().contains("SyntaxError"), "{problem}");
    stage.service.submit(&stage.actor, &bad, None).await.unwrap();

    // A restart finds what was published, and publishes nothing twice.
    write(&folder, &TOOL.replace("0, 10", "0, 50"));
    assert_eq!(tasks.shutdown(Duration::from_secs(5)).await, 0);
    stage.crash().await;
    let tasks = Tasks::new();
    stage.service.tasks(&tasks, &stage.infrastructure, &stage.inference);
    let service = stage.service.clone();
    until("it is listed again", || service.listed().iter().any(|t| t.manifest.name == "grain").then_some(()))
        .await;
    assert_eq!(service.catalogue().versions("grain"), ["1.0.0", "1.0.1"]);

    // Without its folder it is not offered any more.
    std::fs::remove_dir_all(&folder).unwrap();
    until("it is gone", || (!service.listed().iter().any(|t| t.manifest.name == "grain")).then_some(()))
        .await;
    assert_eq!(tasks.shutdown(Duration::from_secs(5)).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_cannot_take_the_name_of_a_tool_that_ships() {
    let root = tempfile::tempdir().unwrap();
    write(&root.path().join("extensions/upscale"), TOOL);
    let mut config = Config::default();
    config.extensions.folder = root.path().join("extensions");
    config.extensions.published = root.path().join("published");
    let stage = Stage::configured(TestDb::sqlite("business").await, config).await;
    let tasks = Tasks::new();
    stage.service.tasks(&tasks, &stage.infrastructure, &stage.inference);
    let client = http_view(&stage);
    let (problem, _) = until("it is refused", || client.problem()).await;
    assert!(problem["message"].as_str().unwrap().contains("ships"), "{problem}");
    assert_eq!(tasks.shutdown(Duration::from_secs(5)).await, 0);
}

struct View(backlot_business_tools::Service);

fn http_view(stage: &Stage) -> View {
    View(stage.service.clone())
}

impl View {
    fn problem(&self) -> Option<serde_json::Value> {
        let problem = self.0.extension_views().into_iter().find_map(|view| view.problem)?;
        Some(serde_json::to_value(problem).unwrap())
    }
}
