//! Attempts that compute in one call of their model. Each goes its own way, from its input files to its outputs; in between
//! they sit down together: when all are there that still can come, their model is loaded and computes them at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backlot_inference_runtimes::{Failure, Output, Reporter, Runtime, Work};
use futures::FutureExt as _;
use futures::future::select_all;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::gate::Gate;

/// What the call does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It waits for those that fetch their files.
    Gathers,
    /// It loads the model.
    Loads,
    /// It has loaded, and waits for what computes.
    Waits {
        /// How long the load took.
        load: Duration,
    },
    /// The model computes.
    Computes,
}

/// What the call says to one of its attempts.
pub(crate) struct Told {
    pub(crate) outputs: Result<Vec<Output>, Failure>,
    pub(crate) load: Duration,
    pub(crate) loaded: bool,
    /// Its part of the compute.
    pub(crate) compute: Duration,
    /// How many computed.
    pub(crate) batched: usize,
}

/// An attempt that is ready to compute.
struct Ready {
    work: Work,
    report: Reporter,
    cancel: CancellationToken,
    answer: oneshot::Sender<Told>,
}

/// The right to take part in a call. Who drops it does not come.
pub(crate) struct Seat {
    ready: mpsc::Sender<Ready>,
    stage: watch::Receiver<Stage>,
}

/// What loads, and what has to leave before.
pub(crate) struct Loads {
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) evict: Vec<Arc<dyn Runtime>>,
    /// Where the worker loads beside compute: the turns at it.
    pub(crate) gate: Option<Arc<Gate>>,
}

/// Taking part in a call.
pub(crate) struct Sitting {
    told: oneshot::Receiver<Told>,
    stage: watch::Receiver<Stage>,
    cancel: CancellationToken,
}

/// What one who takes part hears.
pub(crate) enum Heard {
    Stage(Stage),
    Told(Told),
}

fn gone() -> Failure {
    Failure::Lost("the call of several jobs ended without a word".to_owned())
}

impl Seat {
    /// Takes part. Who sits is counted by those who may still come.
    pub(crate) async fn sit(
        self,
        work: Work,
        report: Reporter,
        cancel: CancellationToken,
    ) -> Result<Sitting, Failure> {
        let (answer, told) = oneshot::channel();
        let ready = Ready { work, report, cancel: cancel.clone(), answer };
        self.ready.send(ready).await.map_err(|_| gone())?;
        Ok(Sitting { told, stage: self.stage, cancel })
    }
}

impl Sitting {
    /// What the call does next, up to its end.
    pub(crate) async fn next(&mut self) -> Result<Heard, Failure> {
        let gathers = *self.stage.borrow() == Stage::Gathers;
        tokio::select! {
            biased;
            told = &mut self.told => told.map(Heard::Told).map_err(|_| gone()),
            // Nothing of it runs yet.
            () = self.cancel.cancelled(), if gathers => Err(Failure::Canceled),
            Ok(()) = self.stage.changed() => Ok(Heard::Stage(*self.stage.borrow_and_update())),
            else => Err(gone()),
        }
    }
}

/// A call of so many attempts: their seats, and what runs it.
pub(crate) fn call(count: usize, loads: Loads) -> (Vec<Seat>, impl Future<Output = ()> + Send + 'static) {
    let (ready, guests) = mpsc::channel(count.max(1));
    let (stage, watcher) = watch::channel(Stage::Gathers);
    let seats = (0..count).map(|_| Seat { ready: ready.clone(), stage: watcher.clone() }).collect();
    (seats, hold(guests, stage, loads))
}

async fn hold(mut guests: mpsc::Receiver<Ready>, stage: watch::Sender<Stage>, loads: Loads) {
    let mut seated = Vec::new();
    while let Some(guest) = guests.recv().await {
        seated.push(guest);
    }
    seated.retain(|guest| !guest.cancel.is_cancelled());
    if seated.is_empty() {
        return;
    }
    let stop = CancellationToken::new();
    let loaded = loads.runtime.takes_room() && !loads.runtime.is_resident();
    if loaded {
        stage.send_replace(Stage::Loads);
    }
    let began = Instant::now();
    for runtime in &loads.evict {
        runtime.unload().await;
    }
    let ready = loads.runtime.load(&stop).await;
    let load = if loaded { began.elapsed() } else { Duration::ZERO };
    let count = seated.len();
    if let Err(failure) = ready {
        let why = failure.to_string();
        for guest in seated {
            let outputs = Err(Failure::Lost(why.clone()));
            let told = Told { outputs, load, loaded, compute: Duration::ZERO, batched: 1 };
            // Who is gone needs no answer.
            let _ = guest.answer.send(told);
        }
        return;
    }
    if loaded {
        stage.send_replace(Stage::Waits { load });
    }
    let _turn = match &loads.gate {
        Some(gate) => Some(gate.enter().await),
        None => None,
    };
    stage.send_replace(Stage::Computes);
    let (mut works, mut reports, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
    for Ready { work, report, cancel, answer } in seated {
        works.push(work);
        reports.push(report);
        waiting.push(Some((cancel, answer)));
    }
    let began = Instant::now();
    let tell = |at: usize, answer: oneshot::Sender<Told>, outputs| {
        let compute = began.elapsed() / u32::try_from(count).unwrap_or(u32::MAX);
        // The first one pays for the load.
        let (load, loaded) = if at == 0 { (load, loaded) } else { (Duration::ZERO, false) };
        let _ = answer.send(Told { outputs, load, loaded, compute, batched: count });
    };
    let mut running = loads.runtime.run_together(works, &reports, &stop);
    let results = loop {
        tokio::select! {
            results = &mut running => break results,
            at = canceled(&waiting), if !stop.is_cancelled() => {
                if waiting.iter().flatten().count() == 1 {
                    // Nobody else wants it: the model is stopped, and that is the answer.
                    stop.cancel();
                } else if let Some((_, answer)) = waiting[at].take() {
                    tell(at, answer, Err(Failure::Canceled));
                }
            }
        }
    };
    for (at, outputs) in results.into_iter().enumerate() {
        if let Some((cancel, answer)) = waiting.get_mut(at).and_then(Option::take) {
            // What a cancelled one made is not delivered.
            let outputs = if cancel.is_cancelled() { Err(Failure::Canceled) } else { outputs };
            tell(at, answer, outputs);
        }
    }
}

/// Waits until one of those that wait is cancelled; for ever where nobody waits.
async fn canceled(waiting: &[Option<(CancellationToken, oneshot::Sender<Told>)>]) -> usize {
    let tokens = waiting.iter().enumerate().filter_map(|(at, one)| Some((at, one.as_ref()?.0.clone())));
    let canceled = tokens.map(|(at, token)| {
        async move {
            token.cancelled().await;
            at
        }
        .boxed()
    });
    let canceled: Vec<_> = canceled.collect();
    if canceled.is_empty() {
        return std::future::pending().await;
    }
    select_all(canceled).await.0
}
