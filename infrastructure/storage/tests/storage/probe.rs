//! The child, with files and with children that misbehave.

use std::process::Command;

use crate::world::{World, encoded, png, probe_config, worlds_with};
use backlot_infrastructure_storage::ProbeConfig;

async fn world_with_child(script: &str) -> World {
    let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    let mut worlds = worlds_with(|config| {
        config.probe = ProbeConfig { command: command.clone(), timeout_s: 1, ..ProbeConfig::default() };
    })
    .await;
    worlds.swap_remove(0)
}

#[tokio::test]
async fn a_child_that_dies_hangs_or_lies_is_an_unreadable_file() {
    for script in [
        "kill -SEGV $$",
        "exit 1",
        "sleep 100",
        "cat /dev/zero",
        "echo nonsense",
        "echo '{\"facts\":{}}'",
        "(sleep 100 & ) ; sleep 100",
    ] {
        let world = world_with_child(script).await;
        let answer = world.upload("a.png", "image/png", &png(8, 8)).await;
        assert_eq!(answer.code(), "asset_unreadable", "{script}");
        world.assert_nothing_kept(script).await;
    }
}

#[tokio::test]
async fn the_child_sees_no_environment() {
    let world = world_with_child(
        "if [ -z \"$HOME$CARGO_MANIFEST_DIR$BACKLOT_TEST_S3\" ]; then \
        echo '{\"refused\":{\"unreadable\":\"nothing seen\"}}'; fi",
    )
    .await;
    let answer = world.upload("a.png", "image/png", &png(8, 8)).await;
    assert!(answer.body["detail"].as_str().unwrap().contains("nothing seen"), "{answer:?}");
}

#[tokio::test]
async fn a_child_that_cannot_be_started_is_our_fault_and_the_upload_lives_on() {
    let mut worlds = worlds_with(|config| config.probe.command = vec!["/nowhere/at-all".to_owned()]).await;
    let world = worlds.swap_remove(0);
    let answer = world.upload("a.png", "image/png", &png(8, 8)).await;
    assert_eq!(answer.code(), "unavailable");
    let page = world.get("/v1/assets").await.ok();
    assert_eq!(page["items"][0]["state"], "uploading");
}

#[tokio::test]
async fn memory_has_an_end() {
    let mut worlds = worlds_with(|config| {
        config.probe = ProbeConfig { memory_bytes: 96 << 20, ..probe_config() };
    })
    .await;
    let world = worlds.swap_remove(0);
    let answer =
        world.upload("big.png", "image/png", &encoded(6_000, 6_000, image::ImageFormat::Png)[..]).await;
    let code = answer.code();
    assert!(code == "asset_unreadable" || code == "quota_exceeded", "{answer:?}");
}

/// Runs the child as the server does, from inside a plain process.
#[test]
fn the_child_writes_no_file_and_answers_one_line() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    std::fs::write(&path, png(1_000, 500)).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_backlot-probe-child"))
        .env_clear()
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let request = serde_json::json!({ "path": path, "media": "png", "cpu_s": 10, "memory_bytes": 1_u64 << 30,
        "pixels_max": 1_000_000, "preview_px": 640, "ffprobe": null, "ffmpeg": null });
    child.stdin.take().unwrap().write_all(request.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["facts"]["width_px"], 1_000, "{answer}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// What `ffmpeg` makes.
fn ffmpeg(arguments: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin"])
        .args(arguments.split_whitespace())
        .arg(&path)
        .status()
        .expect(
            "ffmpeg, with ffprobe beside it, measures video and sound and is missing here: scripts/setup-workers \
             installs it as root, elsewhere apt-get install ffmpeg does",
        );
    assert!(made.success(), "{arguments}: {made}");
    std::fs::read(path).unwrap()
}

#[tokio::test]
async fn video_and_sound_are_measured() {
    let clip = "-f lavfi -i testsrc=duration=2:size=320x180:rate=10 -c:v libx264 -pix_fmt yuv420p -f mp4";
    let clip = ffmpeg(clip);
    let tone = ffmpeg("-f lavfi -i sine=duration=1.5 -f wav");
    for world in worlds_with(|_| ()).await {
        let video = world.upload("clip.mp4", "video/mp4", &clip).await.ok();
        assert_eq!(
            (video["width"].as_i64(), video["height"].as_i64()),
            (Some(320), Some(180)),
            "{}",
            world.name
        );
        assert_eq!(video["duration_ms"], 2_000);
        assert!(video["preview_url"].is_string());
        let sound = world.upload("tone.wav", "audio/wav", &tone).await.ok();
        assert_eq!(sound["duration_ms"], 1_500);
        assert!(sound["preview_url"].is_null() && sound["width"].is_null());
        let cut = world.upload("cut.mp4", "video/mp4", &clip[..clip.len() / 3]).await;
        assert_eq!(cut.code(), "asset_unreadable");
    }
}
