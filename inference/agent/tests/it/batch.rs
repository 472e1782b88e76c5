//! Several jobs of a tool, in the Python that people write, compute in one call: with the real scheduler, the real agent and
//! real processes.

use std::collections::BTreeSet;

use backlot_inference_api::v1::{CancelJobRequest, Job, JobState};
use serde_json::json;

use crate::bench::Bench;
use crate::support::{eventually, read};

/// Alone it waits for the file `alone`, several wait for `together`. A word fails every call that it is in.
const MANY: &str = r#"
import os, time
from backlot import *

def wait(folder, name):
    while not os.path.exists(folder + "/" + name):
        time.sleep(0.005)

def make(one):
    name = one.word + ".txt"
    with open(name, "w") as file:
        file.write(one.word)
    return name

@tool(makes="text/plain", batch=4, batch_key=["kind"], seconds=5)
def many(folder: Text(), word: Text(), kind: Text() = "a"):
    with open(folder + "/began-" + word, "w") as file:
        file.write("x")
    if word == "poison":
        raise InvalidInput("poison")
    wait(folder, "alone")
    with open("alone.txt", "w") as file:
        file.write(word)
    return "alone.txt"

@many.together
def several(inputs):
    folder = inputs[0].folder
    with open(folder + "/several", "a") as file:
        file.write(" ".join(one.word for one in inputs) + "\n")
    for at, one in enumerate(inputs):
        progress(0.5, one.word, member=at)
    wait(folder, "together")
    if any(one.word == "poison" for one in inputs):
        raise RuntimeError("one of you is poison")
    return [InvalidInput("bad") if one.word == "bad" else make(one) for one in inputs]
"#;
const WORKER: &str = "model = 'test/many'\nversion = '1'\nruntime = 'command'\n\
                      command = ['python', '-B', 'serve.py']\nrun_ms = 5000\nbatch = 4\nbatch_key = ['kind']\nbatch_more_permille = 200\n";

async fn bench() -> Bench {
    Bench::new("many", MANY, WORKER).await
}

impl Bench {
    async fn word(&self, word: &str, kind: &str) -> Job {
        let input = json!({"folder": self.place.root.path(), "word": word, "kind": kind});
        self.submit_with("test/many", input).await
    }

    fn several(&self) -> String {
        std::fs::read_to_string(self.place.root.path().join("several")).unwrap_or_default()
    }

    /// One that computes alone, those that waited behind it, and their call, which computes.
    async fn gathered(&self, words: &[(&str, &str)]) -> Vec<Job> {
        let first = self.word("first", "a").await;
        read(&self.place.root.path().join("began-first")).await;
        let mut jobs = Vec::new();
        for (word, kind) in words {
            jobs.push(self.word(word, kind).await);
        }
        self.write("alone");
        self.succeeds(&first, "first").await;
        eventually("several compute in one call", || self.several().ends_with('\n')).await;
        jobs
    }
}

fn outcomes(job: &Job) -> Vec<&str> {
    job.attempts.iter().map(|one| one.outcome.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_computes_in_one_call_and_each_has_its_own_end() {
    let bench = bench().await;
    let running = bench.agent().await;
    let jobs = bench.gathered(&[("one", "a"), ("other", "b"), ("bad", "a"), ("two", "a")]).await;
    // In which order they sit down is a race of their downloads.
    let several = bench.several();
    let together: BTreeSet<&str> = several.split_whitespace().collect();
    assert_eq!(together, BTreeSet::from(["bad", "one", "two"]), "and what is of another kind waits");
    let seen = bench.until(&jobs[3], |job| job.progress_note == "two").await;
    assert_eq!(seen.state(), JobState::Running, "each says how far it is");
    bench.write("together");
    let (one, two) = (bench.succeeds(&jobs[0], "one").await, bench.succeeds(&jobs[3], "two").await);
    let bad = bench.until(&jobs[2], |_| false).await;
    assert_eq!((bad.state(), bad.message.as_str(), bad.attempts.len()), (JobState::Failed, "bad", 1));
    bench.succeeds(&jobs[1], "other").await;
    let [first, second] = [&one, &two].map(|job| &job.attempts[0]);
    assert!(!first.batch.is_empty() && first.batch == second.batch, "{first:?} {second:?}");
    assert_eq!((first.batched, second.batched), (3, 3));
    let lived_ms = (second.ended_at_us - second.assigned_at_us) / 1_000;
    assert!(second.compute_ms * 3 <= lived_ms + 3, "a third of the call each: {second:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_its_call_fails_no_other_for_good() {
    let bench = bench().await;
    let running = bench.agent().await;
    let jobs = bench.gathered(&[("one", "a"), ("poison", "a"), ("two", "a")]).await;
    bench.write("together");
    for (job, word) in [(&jobs[0], "one"), (&jobs[2], "two")] {
        let job = bench.succeeds(job, word).await;
        assert_eq!(outcomes(&job), ["failed", "succeeded"]);
        assert!(job.attempts[0].message.contains("one of you is poison"), "{:?}", job.attempts);
        assert_eq!((job.attempts[1].batch.as_str(), job.attempts[1].batched), ("", 1), "alone");
    }
    let poison = bench.until(&jobs[1], |_| false).await;
    assert_eq!((poison.state(), poison.message.as_str()), (JobState::Failed, "poison"));
    assert_eq!(bench.several().lines().count(), 1);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_one_leaves_and_the_others_go_on() {
    let bench = bench().await;
    let running = bench.agent().await;
    let jobs = bench.gathered(&[("one", "a"), ("two", "a"), ("three", "a")]).await;
    bench.client().cancel_job(CancelJobRequest { job_id: jobs[0].id.clone() }).await.expect("asked");
    assert_eq!(bench.until(&jobs[0], |_| false).await.state(), JobState::Canceled);
    bench.write("together");
    bench.succeeds(&jobs[1], "two").await;
    bench.succeeds(&jobs[2], "three").await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_are_cancelled_nothing_runs_on() {
    let bench = bench().await;
    let running = bench.agent().await;
    let jobs = bench.gathered(&[("one", "a"), ("two", "a")]).await;
    for job in &jobs {
        bench.client().cancel_job(CancelJobRequest { job_id: job.id.clone() }).await.expect("asked");
    }
    for job in &jobs {
        assert_eq!(bench.until(job, |_| false).await.state(), JobState::Canceled);
    }
    // The worker has room again.
    let next = bench.word("next", "a").await;
    bench.succeeds(&next, "next").await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_killed_agent_each_comes_back_by_itself() {
    let bench = bench().await;
    let running = bench.agent().await;
    let jobs = bench.gathered(&[("one", "a"), ("two", "a")]).await;
    running.kill().await;
    bench.write("together");
    let running = bench.agent().await;
    for (job, word) in jobs.iter().zip(["one", "two"]) {
        let job = bench.succeeds(job, word).await;
        assert_eq!(outcomes(&job), ["lost", "succeeded"]);
        assert!(!job.attempts[0].batch.is_empty() && job.attempts[1].batch.is_empty(), "{:?}", job.attempts);
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_control_finds_the_call_again() {
    let mut bench = bench().await;
    let running = bench.agent().await;
    let jobs = bench.gathered(&[("one", "a"), ("two", "a")]).await;
    let port = bench.kill_control().await;
    bench.start_control(port).await;
    let next = bench.word("next", "a").await;
    bench.write("together");
    for (job, word) in jobs.iter().zip(["one", "two"]) {
        let job = bench.succeeds(job, word).await;
        assert_eq!(
            (outcomes(&job), job.attempts[0].batched),
            (vec!["succeeded"], 2),
            "its lease outlived control"
        );
    }
    bench.succeeds(&next, "next").await;
    running.stop().await;
}
