//! What is forgotten, and when.

use backlot_foundation_errors::Problem;
use backlot_inference_api::v1;
use backlot_inference_control::Forgotten;

use crate::lab::{Process, World, echo, hello, on_every_database, submission, succeeded};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const KEY: &str = "0198c0de-0000-7000-8000-000000000001";

/// A job that ran to its end, and one that waits.
fn one_done_one_waiting(world: &World) -> Process {
    let process = world.start();
    echo(&process);
    let (mut agent, _) = process.join(hello("a"));
    process.submit(KEY);
    let assign = process.assigned(&mut agent);
    process.finish(&mut agent, succeeded(&assign));
    drop(agent);
    process
}

fn after_days(process: &Process, days: u64) -> Forgotten {
    process.wait_ms(days * DAY_MS);
    process.run(process.service.prune()).unwrap()
}

#[test]
fn inputs_go_after_30_days_jobs_after_60_keys_after_90() {
    on_every_database(|world| {
        let process = one_done_one_waiting(world);
        let counts = |process: &Process| {
            [
                "SELECT count(*) FROM jobs WHERE input <> ''",
                "SELECT count(*) FROM jobs",
                "SELECT count(*) FROM attempts",
                "SELECT count(*) FROM idempotency_keys",
            ]
            .map(|sql| process.count(sql))
        };
        assert_eq!(after_days(&process, 29), Forgotten::default());
        assert_eq!(counts(&process), [1, 1, 1, 1]);
        assert_eq!(after_days(&process, 2), Forgotten { inputs: 1, ..Forgotten::default() });
        assert_eq!(counts(&process), [0, 1, 1, 1]);
        assert_eq!(process.submit(KEY).state(), v1::JobState::Succeeded, "what came of it is still known");

        assert_eq!(after_days(&process, 30), Forgotten { jobs: 1, ..Forgotten::default() });
        assert_eq!(counts(&process), [0, 0, 0, 1]);
        let gone = Problem::from(process.try_submit(submission(KEY)).unwrap_err());
        assert_eq!((gone.code.as_str(), gone.status), ("job_deleted", 410));
        assert_eq!(gone.extra["job_id"], KEY);

        assert_eq!(after_days(&process, 30), Forgotten { keys: 1, ..Forgotten::default() });
        assert_eq!(process.submit(KEY).state(), v1::JobState::Queued, "a new job");
    });
}

#[test]
fn what_lives_is_kept_however_old() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let week = 7 * i64::try_from(DAY_MS).unwrap();
        process.try_submit(v1::SubmitRequest { ttl_ms: week, ..submission(KEY) }).unwrap();
        process.execute("UPDATE jobs SET created_at = 0, queued_at = 0");
        assert_eq!(after_days(&process, 6), Forgotten::default());
        assert_eq!(process.count("SELECT count(*) FROM jobs WHERE input <> ''"), 1);
    });
}

#[test]
fn keys_outlive_their_jobs_whatever_is_configured() {
    on_every_database(|world| {
        let process = world.start_with(|config| {
            config.keep.jobs_days = 10;
            config.keep.keys_days = 1;
        });
        echo(&process);
        let (mut agent, _) = process.join(hello("a"));
        process.submit(KEY);
        let assign = process.assigned(&mut agent);
        process.finish(&mut agent, succeeded(&assign));
        assert_eq!(after_days(&process, 5), Forgotten::default());
        assert_eq!(process.submit(KEY).state(), v1::JobState::Succeeded);
    });
}
