//! A third party under a cap: charged before it works, across a kill.

use backlot_inference_api::v1;
use backlot_inference_control::OverflowConfig;

use crate::lab::{Process, World, echo, ended, hello, on_every_database, submission, succeeded};

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
        let (mut agent, _) = process.join(front());
        assert_eq!(spent(&process), (400, 400));
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
    assert!(wrong(OverflowConfig { cap_micro_per_day: -1, ..good }).is_err());
}
