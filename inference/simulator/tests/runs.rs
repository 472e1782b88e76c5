//! Whole runs of every policy on a small workload.

use clap::{Args as _, FromArgMatches as _};

use backlot_inference_simulator::{
    baselines,
    cli::{SimulateArgs, simulate},
    engine::{self, outside::OutsideSetup, setup::SLO, setup::Setup},
    fairness,
    loads::{Loads, Quantiles},
    measure,
    outcome::Ending,
    rng::Rng,
    scenario::Stage,
    search::Question,
    stress::Case,
    workload::{RECIPE, Recipe, Request, Task, Workload, generate, synthetic_loads},
};

fn loads() -> Loads {
    let quantiles = |pairs: &[(f64, f64)]| Quantiles::new(pairs.to_vec()).expect("ascending");
    Loads {
        base: quantiles(&[(0.0, 1_300.0), (0.3, 3_500.0), (0.4, 20_000.0), (1.0, 60_000.0)]),
        lora: quantiles(&[(0.0, 600.0), (1.0, 8_000.0)]),
    }
}

fn workload(requests: usize) -> Workload {
    let mut rng = Rng::new(3);
    let mut at_us = 0.0;
    let requests = (0..requests).map(|_| {
        at_us += rng.exponential(5e6);
        let model = (rng.unit().powi(3) * 8.0) as u32;
        Request {
            arrival_us: at_us as i64,
            tenant: rng.below(20) as u32,
            task: Task::TextToImage,
            model,
            adapters: if rng.below(6) == 0 { vec![rng.below(10) as u32, 10] } else { Vec::new() },
            images: 1,
            steps: 30,
            warm_us: 5_000_000 + rng.below(20_000_000) as i64,
            region: 0,
        }
    });
    Workload {
        requests: requests.collect(),
        tenants: (0..20).map(|at| format!("t{at}").into()).collect(),
        models: (0..8).map(|at| format!("m{at}").into()).collect(),
        adapters: (0..11).map(|at| format!("a{at}").into()).collect(),
    }
}

#[test]
fn every_policy_finishes_every_job() {
    let (workload, loads) = (workload(120), loads());
    for name in baselines::NAMES {
        for slots in [1, 2] {
            let mut policy = baselines::policy(name, 1).expect("the policy exists");
            let setup = Setup::uniform(1, 6, slots, false);
            let run = engine::run(&setup, &workload, &loads, policy.as_mut()).expect(name);
            let figures = measure::figures(&run, &workload, SLO);
            assert_eq!(run.ended().filter(|(_, job)| job.ending == Ending::Succeeded).count(), 120, "{name}");
            assert!((0.0..=1.0).contains(&figures.jain), "{name}: {figures:?}");
            assert!(figures.busy_gpu_hours <= figures.billed_gpu_hours, "{name}: {figures:?}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let (workload, loads) = (workload(80), loads());
    for name in baselines::NAMES {
        let run = || {
            let mut setup = Setup::uniform(5, 4, 2, false);
            setup.record = true;
            let mut policy = baselines::policy(name, 5).expect("the policy exists");
            engine::run(&setup, &workload, &loads, policy.as_mut()).expect(name)
        };
        assert_eq!(run().decisions, run().decisions, "{name}");
    }
}

#[test]
fn cases_with_faults_hold_under_every_seed() {
    for name in ["backlot", "b1-fifo-warm"] {
        if let Some(failure) = backlot_inference_simulator::stress::stress(name, 0..60, || {}) {
            panic!("{}", failure.text());
        }
    }
}

/// Scale from nothing, spot that is taken away, and back: no more than the synthetic market's prices say, and in time.
#[test]
fn pools_hold_the_promise_in_a_market_that_takes_machines_away() {
    let (workload, loads) = (workload(1_500), loads());
    let market = backlot_inference_simulator::regions::Market::synthetic(3);
    let regions = backlot_inference_simulator::regions::Regions {
        workload: &workload,
        loads: &loads,
        market: &market,
        fold_s: 86_400,
        slots: 2,
        seed: 3,
    };
    let mut rows = Vec::new();
    regions.run(|row| rows.push(row));
    let of = |policy: &'static str| rows.iter().filter(move |row| row["policy"] == policy);
    for ours in of("backlot") {
        assert!(ours["error"].is_null(), "{ours}");
        assert!(ours["dollars"].as_f64().is_some_and(|dollars| dollars > 0.0), "{ours}");
    }
    let boots: Vec<f64> = of("program").filter_map(|row| row["dollars"].as_f64()).collect();
    assert!(boots.len() == 3 && boots.is_sorted(), "longer boots cost more: {boots:?}");
    let floor = of("floor").filter_map(|row| row["dollars"].as_f64()).next();
    assert!(floor.is_some_and(|floor| floor < boots[0]), "{floor:?} {boots:?}");
}

/// The checker is a script that shares no line with the engine.
#[test]
fn an_independent_checker_agrees_with_the_engine() {
    let (workload, loads) = (workload(120), loads());
    let folder = tempfile::tempdir().expect("a folder");
    for (name, overlap) in [("backlot", false), ("b6-scorers", false), ("backlot", true)] {
        let mut setup = Setup::uniform(2, 5, 2, overlap);
        setup.record = true;
        let mut policy = baselines::policy(name, 2).expect("the policy exists");
        let run = engine::run(&setup, &workload, &loads, policy.as_mut()).expect(name);
        let lines: Vec<String> =
            run.decisions.iter().map(|line| serde_json::to_string(line).expect("a line")).collect();
        let path = folder.path().join("decisions.jsonl");
        std::fs::write(&path, lines.join("\n")).expect("the file is written");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/check_decisions.py");
        let mut command = std::process::Command::new("python3");
        command.arg(script).arg(&path).args(["--slots", "2", "--requests", "120"]);
        if overlap {
            command.arg("--overlap");
        }
        let output = command.output().expect("python3 runs");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let sums: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one object");
        let figures = measure::figures(&run, &workload, SLO);
        assert_eq!(sums["base_loads"], run.tally.base_loads, "{name}");
        assert_eq!(sums["adapter_loads"], run.tally.adapter_loads, "{name}");
        assert_eq!(sums["wait_p99_s"], figures.wait_p99_s, "{name}");
        assert_eq!(sums["wait_max_s"], figures.wait_max_s, "{name}");
    }
}

#[test]
fn a_broken_row_is_an_error_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("requests.csv");
    let head = "arrival_s,tenant,task,model,adapter,images,steps,warm_ms\n";
    let good = "1,t,TXT_2_IMG,m,,1,30,1000\n";
    let broken = [
        ("1,t,TXT_2_IMG,m,,1,30\n", "line 3: 7 fields"),
        ("x,t,TXT_2_IMG,m,,1,30,1000\n", "line 3: arrival_s"),
        ("1,t,SONG,m,,1,30,1000\n", "line 3: the task"),
        ("1,t,TXT_2_IMG,,,1,30,1000\n", "line 3: model is empty"),
        ("1,t,TXT_2_IMG,m,,-1,30,1000\n", "line 3: images"),
        ("1,t,TXT_2_IMG,m,,1,30,0\n", "line 3: warm_ms"),
        ("1,t,TXT_2_IMG,m,,1,30,NaN\n", "line 3: warm_ms"),
    ];
    for (row, says) in broken {
        std::fs::write(&path, format!("{head}{good}{row}")).expect("the file is written");
        let error = backlot_inference_simulator::workload::read_requests(&path).expect_err(row).to_string();
        assert!(error.contains(says), "{row:?} gave {error:?}");
    }
}

/// The real trace is read only where `BACKLOT_TRACES` names its folder; it is never part of the project.
#[test]
fn where_the_real_trace_is_named_baselines_stand_where_others_measured_them() {
    let Some(folder) = std::env::var_os("BACKLOT_TRACES").map(std::path::PathBuf::from) else { return };
    let requests = backlot_inference_simulator::workload::read_requests(&folder.join("gentd26_requests.csv"));
    let loads = backlot_inference_simulator::workload::read_loads(&folder.join("gentd26_load_quantiles.csv"));
    let (requests, loads) = (requests.expect("requests"), loads.expect("loads"));
    let folded = requests.folded(Some(43_200), 1);
    assert_eq!(backlot_inference_simulator::bounds::pooled_gpus(&folded, SLO), 12);
    let question = Question::new("b10-affinity", 1);
    let run = question.smallest(&folded, &loads, SLO, 40).expect("a run");
    assert_eq!(run.gpus, 20);
    assert!((run.swaps_per_request(&folded) - 0.28).abs() < 0.01, "{}", run.swaps_per_request(&folded));
}

#[test]
fn nobody_lags_behind_its_fair_share_up_to_the_capacity() {
    fairness::sweep("backlot", 3, 1, &loads(), |row| assert!(row.holds, "{row:?}")).expect("runs");
}

/// Fairness costs loads, loads cost capacity: where that is not weighed, the line of whoever asks for most grows all day
/// although the fleet could serve all (an hour's wait after twelve hours at 85 %).
#[test]
fn no_line_grows_for_ever_while_the_fleet_could_serve_all() {
    for (load, most_s) in [((850, 16, 12), 120.0), ((850, 32, 12), 400.0), ((950, 16, 12), 1_200.0)] {
        let row = fairness::one("backlot", load, 1, &loads()).expect("a run");
        assert!(row.holds && row.busiest_late_s < most_s, "{row:?}");
    }
}

#[test]
fn pausing_clips_helps_pictures_and_costs_clips_little() {
    let recipe = Recipe { requests: 3_400, video_share: 0.3, ..RECIPE };
    let (workload, loads) = (generate(&recipe), synthetic_loads());
    let stage = Stage { workload: &workload, loads: &loads, policies: &["backlot"], seed: 1 };
    let mut gains = Vec::new();
    stage.video_folded(16, 43_200, |row| gains.extend((row["gain"] == true).then_some(row))).expect("runs");
    let gain = |name: &str| gains[0][name].as_f64().expect("a number");
    assert!(gain("pictures_wait_mean") < 0.85, "{gains:?}");
    assert!(gain("pictures_slo_k5") > 0.005, "{gains:?}");
    assert!(gain("clips_flow_mean") < 1.1 && gain("clips_slo_k5") > -0.02, "{gains:?}");
}

#[test]
fn runs_with_faults_pause_and_go_on() {
    let cases = (1..=240).map(|seed| Case::new("backlot", seed).run().expect("holds"));
    let pauses: u64 = cases.map(|run| run.tally.pauses).sum();
    assert!(pauses > 20, "{pauses} pauses");
}

#[test]
fn calls_of_several_jobs_help_when_many_wait_and_cost_nothing_when_few_do() {
    let workload = generate(&Recipe { requests: 3_400, ..RECIPE }).folded(Some(10_800), 1);
    let question = |batching| Question { batching, ..Question::new("backlot", 1) };
    let batching = backlot_inference_simulator::engine::setup::BatchingSetup { max: 8, more_permille: 300 };
    let figures = |gpus: u32, batching| {
        let run = question(batching).run(gpus, &workload, &loads(), None).expect("a run");
        measure::figures(&run, &workload, SLO)
    };
    let (without, with) = (figures(8, None), figures(8, Some(batching)));
    assert!(with.wait_mean_s < 0.9 * without.wait_mean_s, "{} {}", with.wait_mean_s, without.wait_mean_s);
    assert!(with.batch_size.expect("batches") > 2.0 && without.batch_size.is_none());
    let (without, with) = (figures(40, None), figures(40, Some(batching)));
    assert!(with.flow_mean_s < 1.02 * without.flow_mean_s, "{} {}", with.flow_mean_s, without.flow_mean_s);
}

#[test]
fn runs_with_faults_compute_several_jobs_in_one_call() {
    let cases = (1..=120).map(|seed| Case::new("backlot", seed).run().expect("holds"));
    let batches: u64 = cases.map(|run| run.tally.batches).sum();
    assert!(batches > 20, "{batches} batches");
}

#[test]
fn a_smaller_fleet_holds_with_a_third_party_what_it_does_not_hold_alone() {
    let (workload, loads) = (generate(&RECIPE).folded(Some(43_200), 1), synthetic_loads());
    let question = |outside| Question { outside, ..Question::new("backlot", 1) };
    let third = OutsideSetup {
        price_micro_per_job: 1_000,
        price_micro_per_second: 1_000,
        slots: 64,
        cap_micro_per_day: 1_000_000_000,
        tenant_cap_micro_per_day: None,
        latency_us: 2_000_000,
        fail_permille: 20,
        speed_milli: 1_000,
    };
    let run = |gpus, outside| question(outside).run(gpus, &workload, &loads, None).expect("a run");
    // Alone it takes 22: `simulate --scenario overflow --fold 43200`.
    let (small, alone) = (20, 22);
    let (without, with) = (run(small, None), run(small, Some(third)));
    let slo60 = |run| measure::figures(run, &workload, SLO).slo60;
    assert!(slo60(&without) < 0.95 && slo60(&with) >= 0.95, "{} {}", slo60(&without), slo60(&with));
    let bill = with.outside.as_ref().expect("a bill");
    assert!(without.outside.is_none() && bill.attempts > 0 && bill.failed > 0, "{bill:?}");
    assert!(bill.billed_micro > 0 && bill.billed_micro <= bill.charged_micro, "{bill:?}");
    // A cap of a tenth of that buys a tenth, and the engine sees that it is never passed.
    let cap_micro_per_day = bill.charged_micro / 10;
    let capped = run(small, Some(OutsideSetup { cap_micro_per_day, ..third }));
    let bill = capped.outside.as_ref().expect("a bill");
    assert!(bill.charged_micro <= cap_micro_per_day && bill.attempts > 0, "{bill:?}");
    // A fleet that never breaks its promise pays nothing.
    let large = run(alone + 20, Some(third)).outside.expect("a bill");
    assert!(large.attempts * 200 < workload.requests.len() as u64, "{large:?}");
}

#[test]
fn runs_with_faults_use_third_parties_and_pass_no_cap() {
    let cases = (1..=120).map(|seed| Case::new("backlot", seed).run().expect("holds"));
    let bills: Vec<_> = cases.filter_map(|run| run.outside).collect();
    assert!(bills.iter().map(|bill| bill.attempts).sum::<u64>() > 50, "{bills:?}");
    assert!(bills.iter().all(|bill| bill.billed_micro <= bill.charged_micro), "{bills:?}");
}

#[test]
fn who_is_told_of_deadlines_meets_more_of_them_and_computes_less_for_nothing() {
    let workload = generate(&Recipe { requests: 3_400, ..RECIPE }).folded(Some(10_800), 1);
    let figures = |told: bool| {
        let deadlines =
            Some(backlot_inference_simulator::engine::setup::DeadlineSetup { permille: 300, told });
        let question = Question { deadlines, ..Question::new("backlot", 1) };
        let run = question.run(9, &workload, &loads(), None).expect("a run");
        measure::figures(&run, &workload, SLO).deadlines.expect("deadlines")
    };
    let (untold, told) = (figures(false), figures(true));
    assert!(told.useless_gpu_hours < 0.5 * untold.useless_gpu_hours, "{told:?} {untold:?}");
    assert!(
        told.met > untold.met && told.others_wait_mean_s < untold.others_wait_mean_s,
        "{told:?} {untold:?}"
    );
}

#[test]
fn the_synthetic_loads_lie_where_the_help_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let day = folder.path().join("day.csv");
    let command = SimulateArgs::augment_args(clap::Command::new("simulate"));
    let help = command.clone().render_long_help().to_string();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("for day.csv in day.loads.csv"), "{help}");
    let words = ["simulate", "--generate", day.to_str().expect("text"), "--generate-requests", "10"];
    let args = SimulateArgs::from_arg_matches(&command.get_matches_from(words)).expect("arguments");
    simulate(&args, &mut Vec::new()).expect("written");
    assert!(day.is_file() && folder.path().join("day.loads.csv").is_file());
}
