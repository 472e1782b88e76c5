//! A long tool, in the Python that people write, stands aside between two of its steps: with the real scheduler, the real
//! agent and real processes.

use backlot_inference_api::v1::{CancelJobRequest, Job, JobState, Phase};

use crate::bench::Bench;
use crate::support::{eventually, read};

/// Works in steps until a file says that it is done.
const LONG: &str = r#"
import os, time
from backlot import *

@tool(makes="text/plain", pausable=True, seconds=60)
def long(folder: Text()):
    steps = 0
    while not os.path.exists(folder + "/done"):
        steps += 1
        progress(0.5, f"step {steps}")
        time.sleep(0.005)
        with open(folder + "/steps", "w") as file:
            file.write(str(steps))
    with open("made.txt", "w") as file:
        file.write("long")
    return "made.txt"
"#;

const WORKER: &str = "model = 'test/long'\nversion = '1'\nruntime = 'command'\n\
                      command = ['python', '-B', 'serve.py']\nrun_ms = 60000\npausable = true\n";

/// Waits for a file, and gives a word.
const SHORT: &str = "open(i['folder']+'/short','a').write('x')\nwhile not os.path.exists(i['folder']+'/go'): time.sleep(0.005)\n\
     open(out+'/a.txt','w').write('short'); say(output=[{'path':'a.txt'}])";

async fn bench() -> Bench {
    let bench = Bench::new("long", LONG, WORKER).await;
    bench.place.command("short", SHORT);
    bench
}

impl Bench {
    /// A long job that stands aside, and the short one that computes in its place.
    async fn held(&self) -> (Job, Job) {
        let long = self.submit("test/long").await;
        read(&self.place.root.path().join("steps")).await;
        let short = self.submit("test/short").await;
        let seen = self.until(&long, |job| job.phase() == Phase::Paused).await;
        assert_eq!(seen.state(), JobState::Running, "it holds its lease");
        let steps = self.steps();
        read(&self.place.root.path().join("short")).await;
        assert_eq!(self.steps(), steps, "nothing of it computes");
        (long, short)
    }

    fn steps(&self) -> String {
        std::fs::read_to_string(self.place.root.path().join("steps")).expect("steps")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_tool_stands_aside_for_a_short_job_and_goes_on() {
    let bench = bench().await;
    let running = bench.agent().await;
    let (long, short) = bench.held().await;
    let steps = bench.steps();
    bench.write("go");
    bench.succeeds(&short, "short").await;
    eventually("it goes on", || bench.steps() != steps).await;
    bench.until(&long, |job| job.phase() == Phase::Running).await;
    bench.write("done");
    let long = bench.succeeds(&long, "long").await;
    let [attempt] = &long.attempts[..] else { panic!("one attempt: {:?}", long.attempts) };
    assert!(attempt.held_ms > 0, "{attempt:?}");
    let lived_ms = (attempt.ended_at_us - attempt.assigned_at_us) / 1_000;
    assert!(attempt.compute_ms + attempt.held_ms <= lived_ms + 1, "a pause is no compute: {attempt:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_killed_in_the_pause_loses_both_and_neither_counts_twice() {
    let bench = bench().await;
    let running = bench.agent().await;
    let (long, short) = bench.held().await;
    running.kill().await;
    bench.write("go");
    bench.write("done");
    let running = bench.agent().await;
    let (long, short) = (bench.succeeds(&long, "long").await, bench.succeeds(&short, "short").await);
    for job in [long, short] {
        let outcomes: Vec<&str> = job.attempts.iter().map(|one| one.outcome.as_str()).collect();
        assert_eq!(outcomes, ["lost", "succeeded"]);
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_that_is_killed_in_the_pause_finds_it_again() {
    let mut bench = bench().await;
    let running = bench.agent().await;
    let (long, short) = bench.held().await;
    let steps = bench.steps();
    let port = bench.kill_control().await;
    bench.start_control(port).await;
    let seen = bench.until(&long, |job| job.phase() == Phase::Paused).await;
    assert_eq!(seen.state(), JobState::Running);
    assert_eq!(bench.steps(), steps, "it still stands aside");
    bench.write("go");
    let short = bench.succeeds(&short, "short").await;
    eventually("it goes on", || bench.steps() != steps).await;
    bench.write("done");
    let long = bench.succeeds(&long, "long").await;
    assert_eq!((long.attempts.len(), short.attempts.len()), (1, 1), "the leases outlived control");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_cut_off_in_the_pause_goes_on_by_itself() {
    let mut bench = bench().await;
    let running = bench.agent().await;
    let (long, short) = bench.held().await;
    let steps = bench.steps();
    let port = bench.kill_control().await;
    bench.write("go");
    eventually("it goes on although nobody tells it to", || bench.steps() != steps).await;
    bench.write("done");
    bench.start_control(port).await;
    bench.succeeds(&long, "long").await;
    bench.succeeds(&short, "short").await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_what_stands_aside() {
    let bench = bench().await;
    let running = bench.agent().await;
    let (long, short) = bench.held().await;
    bench.client().cancel_job(CancelJobRequest { job_id: long.id.clone() }).await.expect("asked");
    assert_eq!(bench.until(&long, |_| false).await.state(), JobState::Canceled);
    bench.write("go");
    bench.succeeds(&short, "short").await;
    running.stop().await;
}
