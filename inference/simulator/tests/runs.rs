//! Whole runs of every policy on a small workload.

use backlot_inference_simulator::{
    baselines,
    engine::{self, setup::SLO, setup::Setup},
    loads::{Loads, Quantiles},
    measure,
    outcome::Ending,
    rng::Rng,
    workload::{Request, Task, Workload},
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
