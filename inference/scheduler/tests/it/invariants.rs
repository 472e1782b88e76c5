//! Whatever happens, in whatever order: the invariants hold, judged from outside by the effects alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::script::{Script, agent, job, worker};
use backlot_inference_scheduler::{
    AgentKey, AttemptEnd, AttemptOutcome, Effect, Event, FailureClass, Fence, JobKey, JobSpec, ModelKey,
    Phase, RunningAttempt, Tier, TimeUs, WorkerKey,
};
use proptest::prelude::*;

const AGENTS: [&str; 2] = ["a", "b"];
const WORKERS: [&str; 2] = ["w", "x"];
const MODELS: [&str; 7] =
    ["own/a:1", "own/b:1", "own/free:1", "own/long:1", "own/long:1", "own/many:1", "own/many:1"];

/// What may happen. Numbers choose among what exists.
#[derive(Clone, Debug)]
enum Step {
    Submit(u8, u8),
    Cancel(u8),
    Join(u8, bool),
    Lose(u8),
    Drain(u8),
    Heartbeat(u8, bool),
    Finish(u8, u8),
    Repeat(u8),
    Start(u8),
    Pause(u8, bool),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<u8>(), any::<u8>()).prop_map(|(model, tier)| Step::Submit(model, tier)),
        2 => any::<u8>().prop_map(Step::Cancel),
        3 => (any::<u8>(), any::<bool>()).prop_map(|(agent, keeps)| Step::Join(agent, keeps)),
        1 => any::<u8>().prop_map(Step::Lose),
        1 => any::<u8>().prop_map(Step::Drain),
        3 => (any::<u8>(), any::<bool>()).prop_map(|(agent, all)| Step::Heartbeat(agent, all)),
        6 => (any::<u8>(), any::<u8>()).prop_map(|(which, how)| Step::Finish(which, how)),
        1 => any::<u8>().prop_map(Step::Repeat),
        4 => any::<u8>().prop_map(Step::Start),
        4 => (any::<u8>(), any::<bool>()).prop_map(|(which, asked)| Step::Pause(which, asked)),
        3 => (0..40_000u16).prop_map(Step::Wait),
    ]
}

/// What an observer knows from events and effects alone.
#[derive(Default)]
struct World {
    submitted: BTreeSet<JobKey>,
    ended: BTreeSet<JobKey>,
    /// Attempts that an agent was told to run and has not reported.
    given: BTreeMap<Fence, (JobKey, WorkerKey)>,
    lease: BTreeMap<JobKey, Fence>,
    reported: Vec<(JobKey, Fence)>,
    fences: BTreeSet<Fence>,
    /// Attempts that were told to pause, and those that do.
    asked: BTreeSet<Fence>,
    held: BTreeSet<Fence>,
    /// Who computes in one call with others, by the fence of the first.
    batch: BTreeMap<Fence, Fence>,
    /// Jobs of which an attempt ended without a result.
    tried: BTreeSet<JobKey>,
    /// Jobs with a latest useful finish.
    deadlines: BTreeMap<JobKey, TimeUs>,
    /// What is the time.
    now: TimeUs,
    /// Connected agents and whether they take work.
    up: BTreeMap<AgentKey, bool>,
}

impl World {
    fn end(&mut self, job: JobKey) {
        assert!(self.submitted.contains(&job), "only what was accepted ends");
        assert!(self.ended.insert(job), "a job ends once");
        assert!(!self.lease.contains_key(&job), "no lease outlives its job");
    }

    fn see(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Assign(a) => {
                    let deadline = self.deadlines.get(&a.job);
                    assert!(deadline.is_none_or(|deadline| self.now <= *deadline), "too late to be of use");
                    assert!(self.fences.insert(a.fence), "a fence is never used twice");
                    assert!(!self.ended.contains(&a.job), "what ended is not assigned");
                    assert_eq!(
                        self.up.get(&a.worker.agent),
                        Some(&true),
                        "assigned to an agent that takes work"
                    );
                    let computes =
                        |fence: &Fence| !self.held.contains(fence) && self.given[fence].1 == a.worker;
                    let in_call =
                        |fence: &Fence| a.batch.is_some() && self.batch.get(fence) == a.batch.as_ref();
                    let busy = self.lease.values().any(|fence| computes(fence) && !in_call(fence));
                    assert!(!busy, "assigned to a full worker");
                    assert!(self.lease.insert(a.job, a.fence).is_none(), "one live lease at most");
                    if let Some(batch) = a.batch {
                        assert!(!self.tried.contains(&a.job), "what failed once goes alone");
                        self.batch.insert(a.fence, batch);
                    }
                    self.given.insert(a.fence, (a.job, a.worker.clone()));
                }
                Effect::Pause { job, fence, .. } => {
                    assert_eq!(self.lease.get(job), Some(fence), "only what holds a lease is paused");
                    assert!(!self.held.contains(fence), "what is paused is not paused again");
                    self.asked.insert(*fence);
                }
                Effect::Resume { job, fence, .. } => {
                    assert_eq!(self.lease.get(job), Some(fence), "only what holds a lease goes on");
                    self.asked.remove(fence);
                    self.held.remove(fence);
                    let own = &self.given[fence].1;
                    let computes = |one: &&Fence| !self.held.contains(*one) && self.given[*one].1 == *own;
                    let calls = self.lease.values().filter(computes);
                    let calls: BTreeSet<&Fence> =
                        calls.map(|fence| self.batch.get(fence).unwrap_or(fence)).collect();
                    assert_eq!(calls.len(), 1, "one computes at a time");
                }
                Effect::AttemptEnded { job, fence, end } => {
                    if *end != AttemptEnd::Succeeded {
                        self.tried.insert(*job);
                    }
                    assert_eq!(self.lease.remove(job), Some(*fence), "only the current lease ends");
                }
                Effect::Succeeded { job, .. }
                | Effect::Failed { job, .. }
                | Effect::Canceled { job }
                | Effect::Expired { job } => self.end(*job),
                Effect::LateReport { job, fence } => assert_ne!(self.lease.get(job), Some(fence)),
                Effect::Prefetch { .. }
                | Effect::Evict { .. }
                | Effect::Keep { .. }
                | Effect::StopAttempt { .. }
                | Effect::Requeue { .. }
                | Effect::Scale { .. }
                | Effect::Spent { .. }
                | Effect::Retire { .. }
                | Effect::AgentForgotten { .. } => {}
            }
        }
    }

    fn running_on(&self, agent: &AgentKey) -> Vec<RunningAttempt> {
        let on_agent = self.given.iter().filter(|(_, (_, worker))| worker.agent == *agent);
        on_agent
            .map(|(fence, (job, key))| RunningAttempt {
                job: *job,
                fence: *fence,
                worker: key.worker.clone(),
                paused: self.held.contains(fence),
                held_ms: 0,
                batch: self.batch.get(fence).copied(),
            })
            .collect()
    }
}

fn outcome(how: u8) -> AttemptOutcome {
    match how % 4 {
        0 | 1 => AttemptOutcome::Succeeded,
        2 => AttemptOutcome::Canceled,
        _ => AttemptOutcome::Failed { class: FailureClass::ModelError, retryable: how % 8 == 3 },
    }
}

fn pick<T: Clone>(from: impl IntoIterator<Item = T>, which: u8) -> Option<T> {
    let all: Vec<T> = from.into_iter().collect();
    if all.is_empty() { None } else { all.get(usize::from(which) % all.len()).cloned() }
}

fn agent_of(which: u8) -> AgentKey {
    AgentKey::from(AGENTS[usize::from(which) % AGENTS.len()])
}

fn event_of(step: &Step, script: &mut Script, world: &mut World) -> Option<Event> {
    Some(match step {
        Step::Submit(model, tier) => {
            let urgent = tier.wrapping_mul(31);
            let tier = [Tier::Interactive, Tier::Standard, Tier::Batch][usize::from(*tier) % 3];
            let model = ModelKey::from(MODELS[usize::from(*model) % MODELS.len()]);
            let id = world.submitted.len() as u128 + 1;
            world.submitted.insert(JobKey(id));
            // Some are of use for a while only.
            let until = script.now.plus_ms(i64::from(urgent) * 1_000);
            let deadline = (urgent % 3 == 0).then_some(until);
            world.deadlines.extend(deadline.map(|deadline| (JobKey(id), deadline)));
            let created_at = script.now;
            Event::Submitted(JobSpec { created_at, model, tier, ttl_ms: 120_000, deadline, ..job(id) })
        }
        Step::Cancel(which) => Event::CancelRequested { job: pick(world.submitted.clone(), *which)? },
        Step::Join(which, keeps) => {
            let key = agent_of(*which);
            if !keeps {
                world.given.retain(|_, (_, worker)| worker.agent != key);
            }
            // A wish that was on its way is lost with the stream.
            world.asked.clear();
            world.up.insert(key.clone(), true);
            agent(key.as_str(), WORKERS.map(worker).to_vec(), world.running_on(&key))
        }
        Step::Lose(which) => {
            world.up.remove(&agent_of(*which));
            Event::AgentLost { agent: agent_of(*which) }
        }
        Step::Drain(which) => {
            world.up.entry(agent_of(*which)).and_modify(|takes| *takes = false);
            Event::AgentDraining { agent: agent_of(*which) }
        }
        Step::Heartbeat(which, all) => {
            let agent = agent_of(*which);
            let running = if *all { world.running_on(&agent) } else { Vec::new() };
            Event::Heartbeat { agent, running }
        }
        Step::Finish(which, how) => {
            let fence = pick(world.given.keys().copied(), *which)?;
            let (job, _) = world.given[&fence].clone();
            world.reported.push((job, fence));
            Event::Finished {
                job,
                fence,
                outcome: outcome(*how),
                load_ms: 0,
                compute_ms: 5,
                batched: u32::from(how % 5),
            }
        }
        Step::Repeat(which) => {
            let (job, fence) = pick(world.reported.clone(), *which)?;
            Event::Finished {
                job,
                fence,
                outcome: AttemptOutcome::Succeeded,
                load_ms: 0,
                compute_ms: 5,
                batched: 2,
            }
        }
        Step::Start(which) => {
            let fence = pick(world.given.keys().copied(), *which)?;
            let (job, _) = world.given[&fence].clone();
            Event::AttemptStarted { job, fence }
        }
        Step::Pause(which, asked) => {
            // An agent that was asked, or one that only thinks so.
            let of = if *asked { world.asked.clone() } else { world.given.keys().copied().collect() };
            let fence = pick(of, *which).filter(|fence| world.given.contains_key(fence))?;
            if world.batch.contains_key(&fence) {
                return None;
            }
            let (job, worker) = world.given[&fence].clone();
            if !world.up.contains_key(&worker.agent) {
                return None;
            }
            world.asked.remove(&fence);
            world.held.insert(fence);
            Event::Progress { job, fence, phase: Phase::Paused, done_permille: 100 }
        }
        Step::Wait(ms) => {
            script.now = script.now.plus_ms(i64::from(*ms));
            Event::Tick
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_doubled_or_misplaced(steps in proptest::collection::vec(step(), 1..120)) {
        let (mut script, mut world) = (Script::new(), World::default());
        for step in &steps {
            let Some(event) = event_of(step, &mut script, &mut world) else { continue };
            let reported = match &event {
                Event::Finished { fence, .. } => Some(*fence),
                _ => None,
            };
            let effects = script.apply(event);
            world.now = script.now;
            world.see(&effects);
            if let Some(fence) = reported {
                world.given.remove(&fence);
            }
        }
        // Whatever is left ends by time alone: nothing stays for ever.
        for _ in 0..4000 {
            let Some(at) = script.scheduler.next_wakeup() else { break };
            script.now = script.now.max(at);
            let effects = script.apply(Event::Tick);
            world.now = script.now;
            world.see(&effects);
        }
        prop_assert_eq!(&world.ended, &world.submitted);
    }

    #[test]
    fn the_same_events_give_the_same_effects(steps in proptest::collection::vec(step(), 1..60)) {
        let run = || {
            let (mut script, mut world) = (Script::new(), World::default());
            let mut all = Vec::new();
            for step in &steps {
                let Some(event) = event_of(step, &mut script, &mut world) else { continue };
                let effects = script.apply(event);
                world.now = script.now;
                world.see(&effects);
                all.extend(effects);
            }
            all
        };
        prop_assert_eq!(run(), run());
    }
}
