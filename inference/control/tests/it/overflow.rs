//! A third party under a cap: charged before it works, across a kill.

use std::collections::BTreeSet;

use backlot_inference_api::v1;
use backlot_inference_control::{OverflowConfig, Scope};

use crate::lab::{Process, World, echo, ended, hello, on_every_database, running, submission, succeeded};

fn start(world: &World) -> Process {
    world.start_with(|config| {
        let third = OverflowConfig {
            price_micro_per_job: 400,
            slots: 4,
            cap_micro_per_day: 1_000,
            ..OverflowConfig::default()
        };
        config.overflow.insert("outside".to_owned(), third);
        config.check().unwrap();
    })
}

/// An agent that fronts the third party.
fn front() -> v1::Hello {
    let worker = v1::WorkerSpec {
        id: "api".to_owned(),
        models: vec!["backlot/echo".to_owned()],
        concurrency: 8,
        ..v1::WorkerSpec::default()
    };
    v1::Hello { pool: "outside".to_owned(), workers: vec![worker], ..hello("front") }
}

fn spent(process: &Process) -> (i64, i64) {
    let fleet = process.run(process.control().get_fleet(v1::GetFleetRequest {})).unwrap().into_inner();
    let rows = process.count("SELECT CAST(COALESCE(sum(micro), 0) AS BIGINT) FROM overflow_spent");
    (fleet.overflow[0].spent_today_micro, rows)
}

#[test]
fn what_a_third_party_costs_is_durable_before_it_works_and_never_above_the_cap() {
    on_every_database(|world| {
        let process = start(world);
        echo(&process);
        let (mut agent, _) = process.join(front());
        let bound = v1::SubmitRequest { regions: vec!["local".to_owned()], ..submission("bound") };
        let bound = process.try_submit(bound).unwrap();
        process.submit("a");
        process.wait_ms(1_000);
        let first = process.assigned(&mut agent);
        assert_ne!(first.job_id, bound.id);
        assert_eq!(spent(&process), (400, 400));
        drop(process);

        // Nothing was told and nothing flushed: the cap holds what was charged.
        let process = start(world);
        let (mut agent, _) = process.join(front_of_boot("another"));
        assert_eq!(spent(&process), (400, 400), "an agent that was started anew may have paid for it");
        let (second, third) = (process.submit("b"), process.submit("c"));
        process.wait_ms(1_000);
        let assign = process.assigned(&mut agent);
        assert_eq!((assign.job_id.as_str(), spent(&process)), (second.id.as_str(), (800, 800)));
        process.wait_ms(5_000);
        assert_eq!(process.job(&third.id).state(), v1::JobState::Queued, "a third job would pass the cap");
        // What the agent gives back unbegun costs nothing, and makes room.
        process.finish(&mut agent, ended(&assign, "canceled"));
        process.wait_ms(1_000);
        let next = process.assigned(&mut agent);
        assert_eq!((next.job_id.as_str(), spent(&process)), (third.id.as_str(), (800, 800)));
        process.finish(&mut agent, succeeded(&next));
        assert_eq!(process.job(&bound.id).attempts.len(), 0, "what is bound to a region stays");
    });
}

/// A third party that is paid by second, and a model that takes four seconds there at most: 0.1 + 4 × 0.1 of 1,000 units.
fn by_second(world: &World) -> Process {
    let process = world.start_with(|config| {
        let third = OverflowConfig {
            price_micro_per_job: 100,
            price_micro_per_second: 100,
            slots: 4,
            cap_micro_per_day: 1_000,
            ..OverflowConfig::default()
        };
        config.overflow.insert("outside".to_owned(), third);
    });
    let spec = v1::ModelSpec {
        name: "backlot/echo".to_owned(),
        version: "1".to_owned(),
        runtime: v1::RuntimeKind::Echo.into(),
        run_ms: 2_000,
        timeout_ms: 60_000,
        ..v1::ModelSpec::default()
    };
    process.run(process.control().put_model(v1::PutModelRequest { spec: Some(spec) })).unwrap();
    process
}

fn front_of_boot(boot_id: &str) -> v1::Hello {
    v1::Hello { boot_id: boot_id.to_owned(), ..front() }
}

#[test]
fn a_charge_is_settled_exactly_wherever_the_driver_was_killed() {
    on_every_database(|world| {
        // Between charge and assignment: the row is there, and the agent has heard of nothing.
        let process = by_second(world);
        let (_agent, _) = process.join(front_of_boot("first"));
        process.submit("a");
        process.wait_ms(1_000);
        assert_eq!(spent(&process), (500, 500));
        drop(process);
        let process = by_second(world);
        assert_eq!(spent(&process), (500, 500), "nobody has said yet what became of it");
        let (mut agent, _) = process.join(front_of_boot("first"));
        assert_eq!(spent(&process), (0, 0), "this very start of the agent never had it");

        // Between assignment and report: what the agent says later settles it.
        let job = process.submit("b");
        process.wait_ms(1_000);
        let assign = process.assigned(&mut agent);
        assert_eq!(
            (assign.job_id.as_str(), assign.timeout_ms, spent(&process)),
            (job.id.as_str(), 4_000, (500, 500))
        );
        drop(process);
        let process = by_second(world);
        let goes_on = v1::Hello { running: vec![running(&assign)], ..front_of_boot("first") };
        let (mut agent, welcome) = process.join(goes_on);
        assert_eq!(welcome.keep.len(), 1);
        let report = v1::AttemptFinished { compute_ms: 1_500, ..succeeded(&assign) };
        process.finish(&mut agent, report.clone());
        assert_eq!((process.job(&job.id).state(), spent(&process)), (v1::JobState::Succeeded, (300, 300)));
        drop(process);

        // Between report and answer: said again, it changes nothing.
        let process = by_second(world);
        let (mut agent, _) = process.join(v1::Hello { spooled: vec![report], ..front_of_boot("first") });
        process.acknowledged(&mut agent, &assign.fence);
        assert_eq!(spent(&process), (300, 300));

        // An agent that was started anew does not know what the one before it did: it stays charged, and the cap holds.
        process.submit("c");
        process.wait_ms(1_000);
        process.assigned(&mut agent);
        drop(process);
        let process = by_second(world);
        let (mut agent, _) = process.join(front_of_boot("second"));
        assert_eq!(spent(&process), (800, 800));
        let waits = process.submit("d");
        process.wait_ms(5_000);
        assert_eq!(process.job(&waits.id).attempts.len(), 0, "500 more would pass the cap");
        let report = v1::AttemptFinished { compute_ms: 1, ..ended(&assign, "canceled") };
        process.finish(&mut agent, report);
        assert_eq!(spent(&process), (800, 800), "a report of what is long settled");
    });
}

#[test]
fn what_is_cut_off_after_a_kill_is_tried_again_at_home() {
    on_every_database(|world| {
        let process = by_second(world);
        let (mut agent, _) = process.join(front_of_boot("first"));
        let job = process.submit("a");
        process.wait_ms(1_000);
        let assign = process.assigned(&mut agent);
        drop(process);
        let process = by_second(world);
        let goes_on = v1::Hello { running: vec![running(&assign)], ..front_of_boot("first") };
        let (mut agent, _) = process.join(goes_on);
        let cut = v1::AttemptFinished {
            compute_ms: 4_000,
            failure: v1::FailureClass::TimedOut.into(),
            ..ended(&assign, "failed")
        };
        process.finish(&mut agent, cut);
        assert_eq!((process.job(&job.id).state(), spent(&process)), (v1::JobState::Queued, (500, 500)));
    });
}

#[test]
fn the_batch_tier_stays_at_home_unless_the_operator_lets_it_go() {
    on_every_database(|world| {
        let batch = |key: &str| v1::SubmitRequest { tier: v1::Tier::Batch.into(), ..submission(key) };
        let process = start(world);
        echo(&process);
        let (_agent, _) = process.join(front());
        let job = process.try_submit(batch("a")).unwrap();
        let told = process.run(process.control().estimate(v1::EstimateRequest {
            tenant: "t1".to_owned(),
            model: "backlot/echo".to_owned(),
            tier: v1::Tier::Batch.into(),
            ..v1::EstimateRequest::default()
        }));
        assert!(!told.unwrap().into_inner().possible);
        process.wait_ms(5_000);
        assert_eq!(process.job(&job.id).attempts.len(), 0);
        drop(process);
        let process = world.start_with(|config| {
            let third: OverflowConfig = serde_json::from_str(
                r#"{"price_micro_per_job": 400, "slots": 4, "cap_micro_per_day": 1000, "tiers": ["batch"]}"#,
            )
            .unwrap();
            config.overflow.insert("outside".to_owned(), third);
            config.check().unwrap();
        });
        let (mut agent, _) = process.join(front());
        // It stands behind what somebody waits for: only what would be due at home goes out.
        process.wait_ms(120_000);
        process.wait_ms(1_000);
        assert_eq!(process.assigned(&mut agent).job_id, job.id);
    });
}

#[test]
fn a_third_party_that_is_not_configured_any_more_gets_nothing() {
    on_every_database(|world| {
        let process = world.start();
        echo(&process);
        let (_agent, _) = process.join(front());
        let job = process.submit("a");
        process.wait_ms(5_000);
        assert_eq!(process.job(&job.id).attempts.len(), 0, "what it would cost is bounded by nothing");
        let fleet = process.run(process.control().get_fleet(v1::GetFleetRequest {})).unwrap().into_inner();
        assert_eq!(fleet.agents[0].workers.len(), 0);
    });
}

#[test]
fn the_fleet_says_which_third_party_an_agent_speaks_for_and_whose_jobs_go_there_but_not_to_people() {
    on_every_database(|world| {
        let process = start(world);
        echo(&process);
        let (_front, _) = process.join(front());
        let (_own, _) = process.join(hello("own"));
        let fleet = process.run(process.control().get_fleet(v1::GetFleetRequest {})).unwrap().into_inner();
        let pools: Vec<(&str, &str)> =
            fleet.agents.iter().map(|agent| (agent.id.as_str(), agent.pool.as_str())).collect();
        assert_eq!(pools, [("front", "outside"), ("own", "")]);
        assert_eq!(fleet.overflow[0].tiers, [v1::Tier::Interactive as i32, v1::Tier::Standard as i32]);

        let person = Scope { namespace: "studio".to_owned(), tenant: Some("t1".to_owned()) };
        let seen = process.run(process.service.fleet(&person)).unwrap();
        assert!(seen.overflow.is_empty() && seen.agents.iter().all(|agent| agent.pool.is_none()));
    });
}

#[test]
fn an_overflow_that_cannot_be_names_itself() {
    let wrong = |third: OverflowConfig| {
        let mut config = backlot_inference_control::Config::default();
        config.overflow.insert("outside".to_owned(), third);
        config.check().map_err(|error| error.to_string())
    };
    let good = OverflowConfig { price_micro_per_job: 1, slots: 1, ..OverflowConfig::default() };
    assert_eq!(wrong(good.clone()), Ok(()));
    let free = wrong(OverflowConfig { price_micro_per_job: 0, ..good.clone() }).unwrap_err();
    assert!(free.starts_with("inference.control.overflow.outside: "), "{free}");
    assert!(wrong(OverflowConfig { slots: 0, ..good.clone() }).is_err());
    assert!(wrong(OverflowConfig { tiers: BTreeSet::new(), ..good.clone() }).is_err());
    assert!(wrong(OverflowConfig { cap_micro_per_day: -1, ..good }).is_err());
}
