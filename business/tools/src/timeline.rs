//! One timeline of a run across the systems: what happened when, what it cost us, who paid, why it failed.

use backlot_business_api::RunId;
use backlot_foundation_errors::Problem;
use backlot_foundation_time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::Error;
use crate::facts::{Hold, HoldState, Job};
use crate::order::Actor;
use crate::row::Model as Row;
use crate::service::Service;
use crate::view::Failure;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TimelineItem {
    /// When, by the clock of the system.
    pub at: Timestamp,
    /// `business`, `infrastructure` or `inference`.
    pub system: String,
    /// A few words.
    pub what: String,
    /// More, for people; may be empty.
    pub detail: String,
}

/// What a run cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TimelineCost {
    /// As quoted.
    pub price_micro: i64,
    /// What billing held.
    pub held_micro: i64,
    /// What was charged; 0 until that is decided.
    pub settled_micro: i64,
    /// Compute of all attempts.
    pub compute_ms: i64,
    /// What the compute cost us.
    pub cost_micro: i64,
    /// What the company posted as a loss.
    pub absorbed_micro: i64,
}

/// A run's timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Timeline {
    /// The run.
    pub run_id: RunId,
    /// In order of time.
    pub items: Vec<TimelineItem>,
    /// What it cost.
    pub cost: TimelineCost,
    /// A sentence.
    pub who_paid: String,
    /// A sentence; null where it succeeded or still moves.
    pub why_failed: Option<String>,
    /// The same for programs.
    pub failure: Option<Failure>,
    /// Systems that did not answer: their part is missing.
    pub missing: Vec<String>,
}

impl Service {
    /// The timeline of the organisation's run.
    pub async fn timeline(&self, actor: &Actor, id: RunId) -> Result<Timeline, Error> {
        let row = self.run(actor, id).await?;
        let lines = self.store().lines(id).await?;
        let (job, hold) = tokio::join!(self.systems().job(id), self.systems().get_hold(id));
        let mut missing = Vec::new();
        let job = job.unwrap_or_else(|problem| unanswered(&mut missing, "inference", &problem));
        let hold = match hold {
            Ok(hold) => Some(hold),
            // A run that was refused has no hold.
            Err(problem) if !problem.is_transient() => None,
            Err(problem) => unanswered(&mut missing, "infrastructure", &problem),
        };
        let mut items: Vec<TimelineItem> = lines
            .into_iter()
            .map(|line| TimelineItem {
                at: line.at,
                system: line.system,
                what: line.what,
                detail: line.detail,
            })
            .collect();
        items.extend(job.as_ref().into_iter().flat_map(job_items));
        items.extend(hold.as_ref().into_iter().flat_map(hold_items));
        items.sort_by_key(|item| item.at);
        let view = self.view(&row, None)?;
        Ok(Timeline {
            run_id: id,
            items,
            cost: TimelineCost {
                price_micro: row.price_micro,
                held_micro: row.held_micro,
                settled_micro: view.settled_micro.unwrap_or(0),
                compute_ms: row.compute_ms.max(job.map_or(0, |job| job.compute_ms)),
                cost_micro: row.cost_micro,
                absorbed_micro: row.absorbed_micro,
            },
            who_paid: who_paid(&row, hold.as_ref()),
            why_failed: view.failure.as_ref().map(why_failed),
            failure: view.failure,
            missing,
        })
    }
}

fn why_failed(failure: &Failure) -> String {
    let detail = if failure.detail.is_empty() { String::new() } else { format!(" ({})", failure.detail) };
    format!("{}: {}{detail} {}", failure.class, failure.message, failure.charged_because)
}

fn unanswered<T>(missing: &mut Vec<String>, system: &str, problem: &Problem) -> Option<T> {
    tracing::warn!(system, %problem, "a timeline lacks a system's part");
    missing.push(system.to_owned());
    None
}

fn item(at: Timestamp, system: &str, what: impl Into<String>, detail: impl Into<String>) -> TimelineItem {
    TimelineItem { at, system: system.to_owned(), what: what.into(), detail: detail.into() }
}

fn job_items(job: &Job) -> Vec<TimelineItem> {
    let mut items = Vec::new();
    for (n, attempt) in (1..).zip(&job.attempts) {
        items.push(item(attempt.assigned_at, "inference", format!("attempt {n} assigned"), &attempt.place));
        if let Some(at) = attempt.started_at {
            let detail = format!("model loaded in {} ms", attempt.load_ms);
            items.push(item(at, "inference", format!("attempt {n} computes"), detail));
        }
        if let Some(at) = attempt.ended_at {
            let mut detail = format!("{} ms of compute", attempt.compute_ms);
            if attempt.held_ms > 0 {
                detail = format!("{detail}; stood aside for {} ms", attempt.held_ms);
            }
            if !attempt.message.is_empty() {
                detail = format!("{detail}; {}", attempt.message);
            }
            items.push(item(at, "inference", format!("attempt {n} {}", attempt.outcome), detail));
        }
    }
    items.extend(job.cancel_requested_at.map(|at| item(at, "inference", "stop asked of the agent", "")));
    items
}

fn hold_items(hold: &Hold) -> Vec<TimelineItem> {
    let sources = format!(
        "{} micro-credits from {}, by {}",
        hold.held_micro,
        counted(hold.grants, "grant"),
        counted(hold.chain.len(), "mandate")
    );
    let mut items = vec![item(hold.created_at, "infrastructure", "hold posted", sources)];
    if let Some(at) = hold.ended_at {
        let returned = hold.held_micro - hold.settled_micro;
        let detail =
            format!("{} micro-credits charged, {returned} micro-credits returned", hold.settled_micro);
        items.push(item(at, "infrastructure", "hold ended", detail));
    }
    items
}

/// "1 grant", "2 grants".
fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn who_paid(row: &Row, hold: Option<&Hold>) -> String {
    let open = hold.is_some_and(|hold| hold.state == HoldState::Held);
    let mandate = if row.held_by_mandate.is_empty() { "the organisation" } else { &row.held_by_mandate };
    match row.charge_micro {
        None if row.refusal.is_some() => "Nobody: billing refused to hold the price.".to_owned(),
        None if open => {
            format!("Not decided yet: {} micro-credits are held under mandate {mandate}.", row.held_micro)
        }
        None => "Not decided yet.".to_owned(),
        Some(0) if row.absorbed_micro == 0 => "Nobody: the whole hold returned.".to_owned(),
        Some(0) => format!("The company: it posted {} micro-credits as a loss.", row.absorbed_micro),
        Some(paid) if row.absorbed_micro == 0 => format!("Mandate {mandate}: {paid} micro-credits."),
        Some(paid) => {
            format!("Mandate {mandate}: {paid} micro-credits; the company: {}.", row.absorbed_micro)
        }
    }
}
