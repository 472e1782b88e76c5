//! What control asks of an agent: attempts begin, stop, stand still and go on; models come and go.

use backlot_inference_api::v1::agent_message::Message as FromAgent;
use backlot_inference_api::v1::{
    Assign, AssignBatch, AttemptFinished, CancelAttempt, Evict, LoadFinished, Prefetch,
};
use backlot_inference_runtimes::{HoldControl, Reporter};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::{Event, NAMED_MAX, Run, Running};
use crate::attempt::{Attempt, refusal};
use crate::call::{Loads, Seat, call};
use crate::models::key;
use crate::spool::AttemptKey;
use crate::worker::Taken;

impl Run<'_> {
    pub(super) fn assigned(&mut self, assign: Assign) {
        if self.is_new(&assign)
            && let Err(why) = self.start(&assign)
        {
            self.refuse(&assign, &why);
        }
    }

    /// Several for one call. Those that run here already, or have ended, are answered for by what runs.
    pub(super) fn batch_assigned(&mut self, batch: AssignBatch) {
        let mut assigns = batch.assigns;
        assigns.truncate(NAMED_MAX);
        assigns.retain(|assign| self.is_new(assign));
        let Some(first) = assigns.first().cloned() else { return };
        let alike = |one: &Assign| one.worker_id == first.worker_id && one.model == first.model;
        if !assigns.iter().all(alike) {
            assigns.iter().for_each(|assign| self.refuse(assign, "a batch of two models or workers"));
            return;
        }
        let mut taken = Vec::new();
        for assign in &assigns {
            match self.take(assign) {
                Ok((one, model)) => taken.push((assign, one, model)),
                Err(why) => self.refuse(assign, &why),
            }
        }
        let Some((_, one, _)) = taken.first_mut() else { return };
        let (runtime, gate) = (one.runtime.clone(), one.gate.clone());
        let loads = Loads { runtime, evict: std::mem::take(&mut one.evict), gate };
        let (seats, call) = call(taken.len(), loads);
        for ((assign, one, model), seat) in taken.into_iter().zip(seats) {
            self.run(assign, one, &model, Some((seat, &first.fence)));
        }
        self.tasks.spawn(call);
    }

    /// Whether the attempt neither runs here nor has ended here; what is older of its job goes.
    fn is_new(&mut self, assign: &Assign) -> bool {
        let key = (assign.job_id.clone(), assign.fence.clone());
        if self.attempts.contains_key(&key) {
            return false;
        }
        if let Some(report) = self.reports.get(&key) {
            self.link.send(FromAgent::Finished(report));
            return false;
        }
        // A newer fence of the same job: what the older one does or did counts no more.
        let older: Vec<AttemptKey> = self
            .attempts
            .keys()
            .chain(self.reports.keys())
            .filter(|(job, fence)| *job == key.0 && *fence != key.1)
            .cloned()
            .collect();
        for older in &older {
            self.drop_attempt(older);
            self.forget(older);
        }
        true
    }

    fn refuse(&mut self, assign: &Assign, why: &str) {
        tracing::warn!(job_id = assign.job_id, why, "an attempt is refused");
        self.keep(refusal(assign, why));
    }

    fn start(&mut self, assign: &Assign) -> Result<(), String> {
        let (taken, model) = self.take(assign)?;
        self.run(assign, taken, &model, None);
        Ok(())
    }

    /// Takes an attempt's model into use.
    fn take(&mut self, assign: &Assign) -> Result<(Taken, String), String> {
        if self.is_draining {
            return Err("the agent is stopping".to_owned());
        }
        let model = assign.model.as_ref().ok_or("the assignment names no model")?;
        let worker = self
            .workers
            .get_mut(&assign.worker_id)
            .ok_or_else(|| format!("no worker \"{}\"", assign.worker_id))?;
        Ok((worker.take(model, &self.agent.maker)?, key(model)))
    }

    fn run(&mut self, assign: &Assign, taken: Taken, model: &str, seat: Option<(Seat, &String)>) {
        let cancel = CancellationToken::new();
        let (hold_control, hold) = HoldControl::new();
        let (report, reader) = Reporter::new();
        let (seat, batch) = seat.map_or((None, String::new()), |(seat, batch)| (Some(seat), batch.clone()));
        let leads = batch.is_empty() || batch == assign.fence;
        let running = Running {
            worker_id: assign.worker_id.clone(),
            model: model.to_owned(),
            cancel: cancel.clone(),
            hold: hold_control,
            snapshot: reader.clone(),
            batch,
            is_stale: false,
            is_evicted: false,
            phase: None,
        };
        self.attempts.insert((assign.job_id.clone(), assign.fence.clone()), running);
        let attempt = Attempt {
            assign: assign.clone(),
            runtime: taken.runtime,
            seat,
            evict: taken.evict,
            gate: taken.gate,
            leads,
            cancel,
            hold,
            report,
            reader,
            events: self.sender.clone(),
            http: self.agent.http.clone(),
            folder: self.agent.attempts.clone(),
        };
        let span = tracing::info_span!(
            "attempt",
            job_id = assign.job_id,
            fence = assign.fence,
            worker = assign.worker_id,
            model
        );
        backlot_foundation_telemetry::continue_trace(&span, &assign.traceparent);
        let running = AbortOnDropHandle::new(tokio::spawn(attempt.run().instrument(span)));
        let (sender, assign) = (self.sender.clone(), assign.clone());
        self.tasks.spawn(async move {
            let report = running.await.unwrap_or_else(|error| {
                tracing::error!(%error, "an attempt's task failed");
                refusal(&assign, "the agent failed while it ran this")
            });
            // Nobody listens only where the agent ends.
            let _ = sender.send(Event::Finished(Box::new(report))).await;
        });
    }

    pub(super) fn cancel(&mut self, cancel: CancelAttempt) {
        let key = (cancel.job_id, cancel.fence);
        if let Some(running) = self.attempts.get(&key) {
            running.cancel.cancel();
            return;
        }
        // Nothing of it runs here, which is what a canceled attempt's report says.
        let report = self.reports.get(&key).unwrap_or_else(|| AttemptFinished {
            job_id: key.0,
            fence: key.1,
            outcome: "canceled".to_owned(),
            ..AttemptFinished::default()
        });
        self.link.send(FromAgent::Finished(report));
    }

    /// An attempt stands still after the step that it computes, or goes on. One that has ended has said so.
    pub(super) fn hold(&mut self, job_id: String, fence: String, wanted: bool) {
        if let Some(running) = self.attempts.get(&(job_id, fence)) {
            running.hold.set(wanted);
        }
    }

    /// Where control cannot be asked, what stands still goes on as soon as nothing else runs on its worker.
    pub(super) fn go_on_alone(&self) {
        if self.link.is_welcome() {
            return;
        }
        for running in self.attempts.values().filter(|running| running.hold.is_wanted()) {
            let on_worker =
                |other: &&Running| other.worker_id == running.worker_id && !other.hold.is_wanted();
            if self.attempts.values().find(on_worker).is_none() {
                running.hold.set(false);
            }
        }
    }

    pub(super) fn evict(&mut self, evict: &Evict) {
        let Some(runtime) =
            self.workers.get_mut(&evict.worker_id).and_then(|worker| worker.evict(&evict.model))
        else {
            return;
        };
        let sender = self.sender.clone();
        self.tasks.spawn(async move {
            runtime.unload().await;
            let _ = sender.send(Event::Unloaded).await;
        });
        self.report_residency();
    }

    pub(super) fn prefetch(&mut self, prefetch: Prefetch) {
        let Some(model) = prefetch.model else {
            return;
        };
        let model_key = key(&model);
        let taken = match self.workers.get_mut(&prefetch.worker_id) {
            Some(worker) if !self.is_draining => worker.take(&model, &self.agent.maker),
            Some(_) | None => Err("the worker is not there".to_owned()),
        };
        let mut report =
            LoadFinished { worker_id: prefetch.worker_id, model: model_key, load_ms: 0, loaded: false };
        match taken {
            Ok(taken) => {
                let sender = self.sender.clone();
                self.tasks.spawn(async move {
                    let started = Instant::now();
                    for runtime in &taken.evict {
                        runtime.unload().await;
                    }
                    let loaded = taken.runtime.load(&CancellationToken::new()).await;
                    if let Err(error) = &loaded {
                        tracing::warn!(%error, model = report.model, "a model could not be loaded ahead");
                    }
                    report.loaded = loaded.is_ok();
                    report.load_ms = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
                    let _ = sender.send(Event::Loaded(report)).await;
                });
            }
            Err(why) => {
                tracing::warn!(why, model = report.model, "a model cannot be loaded ahead");
                self.link.send(FromAgent::Loaded(report));
            }
        }
    }
}
