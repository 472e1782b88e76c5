//! The workers that ship, run by an agent on a real picture. Needs the workers' Python and ffmpeg
//! (`scripts/setup-workers`), named by `BACKLOT_WORKERS_PYTHON`; without it these tests fail and say how to get it.

use std::path::Path;

use crate::support::{Control, Place, Session, Store, assign, run, workers_python};
use backlot_inference_agent::Config;
use backlot_inference_api::v1::agent_message::Message as FromAgent;
use backlot_inference_api::v1::control_message::Message as FromControl;
use backlot_inference_api::v1::{FailureClass, ModelSpec, Phase};
use serde_json::{Value, json};

/// A picture whose size the results show: 64x48, a few shades of grey, as a PNG made by the workers' Python.
fn picture(python: &Path, path: &Path) {
    let script = "import sys\nfrom PIL import Image\nImage.effect_mandelbrot((64, 48), (-2, -1, 1, 1), 50).save(sys.argv[1])";
    let made = std::process::Command::new(python).args(["-c", script]).arg(path).status().expect("Python");
    assert!(made.success());
}

struct Stage {
    control: Control,
    place: Place,
    store: Store,
    config: Config,
}

impl Stage {
    async fn new() -> Self {
        let python = workers_python();
        let (control, place, store) = (Control::new(), Place::new(), Store::new().await);
        let path = place.root.path().join("picture.png");
        picture(&python, &path);
        let bytes = std::fs::read(path).expect("readable");
        store.state.inputs.lock().await.insert("picture".to_owned(), bytes.into());
        let workers_dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../workers");
        let config = Config { python, workers_dir, ..place.config() };
        Self { control, place, store, config }
    }

    fn file(&self) -> Value {
        json!({"$file": format!("{}/in/picture", self.store.base), "name": "picture.png"})
    }
}

async fn run_one(
    session: &mut Session,
    stage: &Stage,
    fence: &str,
    model: &ModelSpec,
    input: Value,
) -> (backlot_inference_api::v1::AttemptFinished, Vec<Phase>) {
    let mut one = assign("job", fence, "cpu-0", model.clone(), input);
    one.output = Some(stage.store.target());
    session.say(FromControl::Assign(one)).await;
    let mut phases = Vec::new();
    let report = session
        .until(|message| match message {
            FromAgent::Phase(phase) => {
                phases.push(phase.phase());
                None
            }
            FromAgent::Finished(report) => Some(report),
            _ => None,
        })
        .await;
    session.acknowledge(&report).await;
    phases.dedup();
    (report, phases)
}

#[tokio::test(flavor = "multi_thread")]
async fn upscale_and_animate_make_real_files() {
    let mut stage = Stage::new().await;
    let agent = stage.place.agent_with(stage.config.clone(), &stage.control);
    let models = agent.models();
    let model = |name: &str| models.iter().find(|model| model.name == name).expect("shipped").clone();
    let running = run(agent);
    let (mut session, _) = stage.control.welcomed().await;

    let (report, phases) = run_one(
        &mut session,
        &stage,
        "1-1",
        &model("backlot/upscale"),
        json!({"image": stage.file(), "scale": 2}),
    )
    .await;
    assert_eq!(report.outcome, "succeeded", "{} {}", report.message, report.log_tail);
    assert_eq!(phases, [Phase::Fetching, Phase::Loading, Phase::Running, Phase::Uploading]);
    assert!(report.loaded && report.load_ms > 0);
    assert_eq!(report.outputs[0].content_type, "image/png");
    let png = stage.store.state.objects.lock().await["job/1-1/0"].clone();
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().expect("four bytes"));
    assert_eq!((side(16), side(20)), (128, 96));

    // It is warm now, and says so.
    let (report, phases) = run_one(
        &mut session,
        &stage,
        "1-2",
        &model("backlot/upscale"),
        json!({"image": stage.file(), "scale": 4}),
    )
    .await;
    assert_eq!((report.outcome.as_str(), report.loaded, report.load_ms), ("succeeded", false, 0));
    assert!(!phases.contains(&Phase::Loading));
    let (report, _) = run_one(
        &mut session,
        &stage,
        "1-3",
        &model("backlot/upscale"),
        json!({"image": stage.file(), "scale": 3}),
    )
    .await;
    assert_eq!(report.failure(), FailureClass::InvalidInput);

    let input = json!({"image": stage.file(), "move": "pan_left", "seconds": 1, "aspect": "1:1"});
    let (report, _) = run_one(&mut session, &stage, "1-4", &model("backlot/animate"), input).await;
    assert_eq!(report.outcome, "succeeded", "{} {}", report.message, report.log_tail);
    assert_eq!(
        (report.outputs[0].name.as_str(), report.outputs[0].content_type.as_str()),
        ("clip.mp4", "video/mp4")
    );
    let clip = stage.store.state.objects.lock().await["job/1-4/0"].clone();
    assert_eq!(&clip[4..8], b"ftyp");
    let (report, _) =
        run_one(&mut session, &stage, "1-5", &model("backlot/animate"), json!({"image": "/etc/passwd"}))
            .await;
    assert_eq!(report.failure(), FailureClass::InvalidInput);
    running.stop().await;
    assert_eq!(stage.place.private_folders(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn narrate_speaks_moderate_scores_and_cutout_finds_nobody_in_a_fractal() {
    let mut stage = Stage::new().await;
    let agent = stage.place.agent_with(stage.config.clone(), &stage.control);
    let models = agent.models();
    let model = |name: &str| models.iter().find(|model| model.name == name).expect("shipped").clone();
    let running = run(agent);
    let (mut session, _) = stage.control.welcomed().await;

    let input = json!({"text": "Dr. Smith paid $3.50 at 7:30 pm. Nobody spoke.", "speed": 1.5});
    let (report, _) = run_one(&mut session, &stage, "3-1", &model("backlot/narrate"), input).await;
    assert_eq!(report.outcome, "succeeded", "{} {}", report.message, report.log_tail);
    assert_eq!(report.outputs[0].content_type, "audio/wav");
    let wav = stage.store.state.objects.lock().await["job/3-1/0"].clone();
    assert_eq!((&wav[..4], &wav[8..12]), (&b"RIFF"[..], &b"WAVE"[..]));
    // More than a second of 24,000 samples of two bytes, and not silence.
    assert!(wav.len() > 48_000, "{}", wav.len());
    assert!(
        wav[44..].chunks_exact(2).any(|two| i16::from_le_bytes([two[0], two[1]]).unsigned_abs() > 10_000)
    );

    for (n, text) in ["…", "   ", "日本語"].into_iter().enumerate() {
        let input = json!({ "text": text });
        let (report, _) =
            run_one(&mut session, &stage, &format!("4-{n}"), &model("backlot/narrate"), input).await;
        assert_ne!(report.failure(), FailureClass::ModelError, "{text}: {}", report.message);
    }

    let input = json!({"image": stage.file()});
    let (report, _) = run_one(&mut session, &stage, "5-1", &model("backlot/moderate"), input.clone()).await;
    assert_eq!(report.outcome, "succeeded", "{} {}", report.message, report.log_tail);
    let json = stage.store.state.objects.lock().await["job/5-1/0"].clone();
    let answer: Value = serde_json::from_slice(&json).expect("JSON");
    assert!(answer["score_ppm"].as_i64().is_some_and(|score| (0..500_000).contains(&score)), "{answer}");

    let (report, _) = run_one(&mut session, &stage, "6-1", &model("backlot/cutout"), input).await;
    assert_eq!(report.failure(), FailureClass::InvalidInput);
    assert!(report.message.contains("no person"), "{}", report.message);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_no_pictures_are_the_callers_mistake() {
    let mut stage = Stage::new().await;
    let picture = stage.store.state.inputs.lock().await["picture"].clone();
    let bad = [
        ("text", axum::body::Bytes::from_static(b"<html>not a picture</html>")),
        ("empty", axum::body::Bytes::new()),
        ("cut", picture.slice(..picture.len() / 2)),
    ];
    let agent = stage.place.agent_with(stage.config.clone(), &stage.control);
    let models = agent.models();
    let running = run(agent);
    let (mut session, _) = stage.control.welcomed().await;
    let mut n = 0;
    for (name, bytes) in bad {
        stage.store.state.inputs.lock().await.insert("picture".to_owned(), bytes);
        let takes_none = [backlot_inference_agent::ECHO_MODEL, "backlot/film", "backlot/narrate"];
        for model in models.iter().filter(|model| !takes_none.contains(&model.name.as_str())) {
            n += 1;
            let input = json!({"image": stage.file()});
            let (report, _) = run_one(&mut session, &stage, &format!("2-{n}"), model, input).await;
            assert_eq!(
                report.failure(),
                FailureClass::InvalidInput,
                "{name} {}: {}",
                model.name,
                report.message
            );
            assert!(report.message.contains("picture"), "{}", report.message);
        }
    }
    running.stop().await;
}

/// Every frame of every move is cut from inside the picture, in the frame's shape, and the camera never jumps.
const CAMERA: &str = r#"
import random, sys
sys.path.insert(0, sys.argv[1])
import run
from PIL import Image
random.seed(1)
for _ in range(60):
    picture = Image.new("L", (random.randint(16, 3000), random.randint(16, 3000)))
    for aspect in [*run.SIZES, "original"]:
        try:
            size = run.frame_size(picture, aspect)
        except run.Failure:
            continue
        assert size[0] % 2 == 0 and size[1] % 2 == 0 and max(size) <= 1280, size
        for move in run.MOVES:
            before = None
            for frame in range(73):
                left, top, right, bottom = run.camera(picture, size, move, 3, frame / 72)
                assert 0 <= left < right <= picture.width and 0 <= top < bottom <= picture.height
                assert abs((right - left) / (bottom - top) / (size[0] / size[1]) - 1) < 0.01
                if before is not None:
                    assert abs(left - before) <= 0.03 * picture.width + 1, (move, aspect, picture.size)
                before = left
print("ok")
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_camera_stays_inside_the_picture() {
    let stage = Stage::new().await;
    let folder = stage.config.workers_dir.join("animate");
    let ran = std::process::Command::new(&stage.config.python)
        .args(["-c", CAMERA])
        .arg(folder)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("Python");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}
