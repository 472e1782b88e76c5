//! Looks: pictures and clips of a run, judged by a model as jobs of their own that the studio pays.
//!
//! A look is a row before it is asked for, and its job has the row's id; so a crash at any point asks again
//! and never twice. A job that was lost is asked for once more, as another row. The run waits in its stage;
//! the look's events wake its driver, and the poll does where an event is missing.

use backlot_business_api::RunId;
use backlot_foundation_errors::{Kind, Problem};
use backlot_infrastructure_api::AssetId;
use serde_json::{Value, json};

use super::reviews::ReviewState;
use super::store::{self, Look};
use super::{NewReview, Side, Verdict, is_seen, verdict};
use crate::facts::{Job, JobState};
use crate::machine::{Answer, Stage};
use crate::manifest;
use crate::row::Model as Row;
use crate::service::Service;
use crate::steps::StepError;
use crate::store::Change;
use crate::systems::Checks;
use crate::who_pays::FailureClass;

/// Times that a look is asked for before it counts as one that cannot be judged.
const TRIES_MAX: i32 = 3;
/// Seconds that a look may wait for a worker.
const TTL_S: u32 = 600;
/// Seconds that the URL of a medium lives: the wait and a few attempts.
const URL_S: i64 = 3_600;
/// Compute of a look as predicted, in milliseconds.
const PREDICTED_MS: i64 = 120;

impl Service {
    /// Has the pictures of the input looked at.
    pub(crate) async fn look_at_inputs(
        &self,
        row: &mut Row,
        change: &mut Change,
    ) -> Result<Option<Answer>, StepError> {
        let Some(scores) = self.scores(row, Side::Input).await? else { return Ok(None) };
        let judged: Vec<Option<i64>> = scores.iter().map(|(_, score)| *score).collect();
        if verdict(Side::Input, &judged, &self.config().moderation, &self.rules_of(row)) != Verdict::Refused {
            return Ok(Some(Answer::InputsPassed));
        }
        row.failure_detail = detail(&judged);
        change.review = Some(review(Side::Input, &scores, ReviewState::Open));
        Ok(Some(Answer::InputsRefused))
    }

    /// Has what was made looked at.
    pub(crate) async fn look_at_outputs(
        &self,
        row: &mut Row,
        change: &mut Change,
    ) -> Result<Option<Answer>, StepError> {
        let Some(scores) = self.scores(row, Side::Output).await? else { return Ok(None) };
        let judged: Vec<Option<i64>> = scores.iter().map(|(_, score)| *score).collect();
        Ok(Some(match verdict(Side::Output, &judged, &self.config().moderation, &self.rules_of(row)) {
            Verdict::Passes => Answer::OutputsPassed,
            Verdict::Doubtful => {
                change.review = Some(review(Side::Output, &scores, ReviewState::Open));
                Answer::OutputsDoubtful
            }
            Verdict::Refused => {
                row.failure_detail = detail(&judged);
                change.review = Some(review(Side::Output, &scores, ReviewState::Upheld));
                Answer::OutputsRefused
            }
        }))
    }

    /// Whether a person has decided about what was made, or the time for it is over.
    pub(crate) async fn await_review(&self, row: &mut Row) -> Result<Option<Answer>, StepError> {
        let db = self.store().db();
        let Some(review) = store::review_of(db, row.id, Side::Output).await? else {
            // It is written with the row that waits for it.
            tracing::error!(run = %row.id, "a run waits for a review that is not there; its outputs stay withheld");
            return Ok(Some(Answer::OutputsRefused));
        };
        let deadline = review.created_at.plus(self.config().moderation.review_time());
        match ReviewState::parse(&review.state) {
            Some(ReviewState::Released) => Ok(Some(Answer::OutputsPassed)),
            Some(ReviewState::Open) if self.now() < deadline => Ok(None),
            Some(ReviewState::Open) => {
                let (state, note) = (ReviewState::Expired, "nobody decided in time");
                if !store::decide(db, &review, state, "clock", note, self.now()).await? {
                    return Ok(None);
                }
                note.clone_into(&mut row.failure_detail);
                Ok(Some(Answer::OutputsRefused))
            }
            Some(ReviewState::Upheld | ReviewState::Expired) | None => {
                row.failure_detail = format!("a person refused it. {}", review.note).trim().to_owned();
                Ok(Some(Answer::OutputsRefused))
            }
        }
    }

    fn rules_of(&self, row: &Row) -> manifest::Moderation {
        let catalogue = self.catalogue();
        let tool = catalogue.version(&row.tool, &row.tool_version);
        tool.map(|tool| tool.manifest.moderation.clone()).unwrap_or_default()
    }

    /// Every medium of this side with its score; `None` while one of them is still looked at.
    async fn scores(&self, row: &Row, side: Side) -> Result<Option<Vec<(String, Option<i64>)>>, StepError> {
        let db = self.store().db();
        let subjects = self.subjects(row, side).await?;
        let mut looks = store::looks(db, row.id, side).await?;
        let first: Vec<(String, i32)> = subjects
            .iter()
            .filter(|subject| !looks.iter().any(|look| look.subject == **subject))
            .map(|subject| (subject.clone(), 0))
            .collect();
        if !first.is_empty() {
            store::ask(db, row.id, side, &first, self.now()).await?;
            looks = store::looks(db, row.id, side).await?;
        }
        let mut scores = Vec::with_capacity(subjects.len());
        let mut all_answered = true;
        for subject in subjects {
            let Some(look) = looks.iter().rfind(|look| look.subject == subject) else { continue };
            match self.follow(row, side, look).await? {
                Some(score) => scores.push((subject, score)),
                None => all_answered = false,
            }
        }
        Ok(all_answered.then_some(scores))
    }

    /// What has to be looked at: assets' ids, or objects' keys.
    async fn subjects(&self, row: &Row, side: Side) -> Result<Vec<String>, StepError> {
        if side == Side::Output {
            let outputs = row.job_outputs().into_iter();
            let seen =
                outputs.filter(|output| !output.object_key.is_empty() && is_seen(&output.content_type));
            return Ok(seen.map(|output| output.object_key).collect());
        }
        let mut subjects = Vec::new();
        for (_, id) in row.input_assets() {
            // One that is gone is refused when the job is made.
            let Some(asset) = self.systems().asset(row.organisation_id, id).await? else { continue };
            if is_seen(&asset.content_type) && !self.has_passed(row, id, &asset.run_id).await? {
                subjects.push(id.to_string());
            }
        }
        subjects.sort_unstable();
        subjects.dedup();
        Ok(subjects)
    }

    /// Whether this asset was looked at before: as an output of the run that made it, or by a person. Its bytes
    /// never change.
    async fn has_passed(&self, row: &Row, id: AssetId, made_by: &str) -> Result<bool, StepError> {
        if let Ok(made_by) = RunId::parse(made_by)
            && let Some(maker) = self.store().run_of(row.organisation_id, made_by).await?
            && maker.looks_at_outputs
            && maker.outputs_passed
        {
            return Ok(true);
        }
        Ok(store::is_released(self.store().db(), row.organisation_id, id).await?)
    }

    /// Brings one look on: its score where it has one, `Some(None)` where it cannot be judged.
    async fn follow(&self, row: &Row, side: Side, look: &Look) -> Result<Option<Option<i64>>, StepError> {
        match look.state.as_str() {
            "scored" => return Ok(Some(Some(look.score_ppm))),
            "unjudged" => return Ok(Some(None)),
            _ => (),
        }
        let job = match self.systems().job(look.job_id).await? {
            Some(job) => job,
            None => match self.ask_for(row, side, look).await? {
                Some(job) => job,
                None => return self.answered(row, side, look, "unjudged", 0).await,
            },
        };
        match job.state {
            JobState::Queued | JobState::Running => Ok(None),
            JobState::Succeeded => match score_of(&job) {
                Some(score) => self.answered(row, side, look, "scored", score).await,
                None => self.answered(row, side, look, "unjudged", 0).await,
            },
            JobState::Failed if job.failure == FailureClass::InvalidInput => {
                self.answered(row, side, look, "unjudged", 0).await
            }
            JobState::Failed | JobState::Canceled | JobState::Expired if look.r#try + 1 < TRIES_MAX => {
                tracing::warn!(run = %row.id, look = %look.job_id, message = job.message, "a look failed and is asked for again");
                let again = [(look.subject.clone(), look.r#try + 1)];
                store::ask(self.store().db(), row.id, side, &again, self.now()).await?;
                self.nudge([row.id]);
                Ok(None)
            }
            JobState::Failed | JobState::Canceled | JobState::Expired => {
                self.answered(row, side, look, "unjudged", 0).await
            }
        }
    }

    async fn answered(
        &self,
        row: &Row,
        side: Side,
        look: &Look,
        state: &str,
        score_ppm: i64,
    ) -> Result<Option<Option<i64>>, StepError> {
        let now = self.now();
        store::answer(self.store().db(), look.job_id, state, score_ppm, now).await?;
        metrics::counter!("backlot_looks", "side" => side.as_str(), "state" => state.to_owned()).increment(1);
        tracing::debug!(run = %row.id, side = side.as_str(), state, score_ppm, "a medium was looked at");
        Ok(Some((state == "scored").then_some(score_ppm)))
    }

    /// Gives the look to inference. `None` where the medium is gone or the model does not take it.
    async fn ask_for(&self, row: &Row, side: Side, look: &Look) -> Result<Option<Job>, StepError> {
        let url = match side {
            Side::Input => match AssetId::parse(&look.subject) {
                Ok(id) => self.systems().sign_download(row.organisation_id, id, URL_S).await,
                Err(_) => return Ok(None),
            },
            Side::Output => self.systems().sign_output(row.id, &look.subject, URL_S).await,
        };
        let url = match url {
            Ok(url) => url,
            Err(problem) if gone(&problem) => return Ok(None),
            Err(problem) => return Err(problem.into()),
        };
        let config = &self.config().moderation;
        let checks =
            Checks { model: &config.model, version: &config.model_version, predicted_ms: PREDICTED_MS };
        let input = json!({ "image": { "$file": url, "name": "medium" } });
        match self.systems().submit_look(look.job_id, &checks, &input, TTL_S).await {
            Ok(job) => Ok(Some(job)),
            Err(problem) if matches!(problem.kind, Kind::BadRequest | Kind::Unprocessable | Kind::Gone) => {
                Ok(None)
            }
            Err(problem) => Err(problem.into()),
        }
    }
}

/// Whether a run waits for a look or a person: then its driver has nothing to do until one of them answers.
pub(crate) fn phase_of(row: &Row, stage: Stage) -> Option<crate::view::Phase> {
    use crate::view::Phase;
    match stage {
        Stage::Held if row.looks_at_inputs && !row.inputs_passed => Some(Phase::Checking),
        Stage::Terminal if row.in_review => Some(Phase::Reviewing),
        Stage::Terminal if row.looks_at_outputs && !row.outputs_passed && row.has_outputs => {
            Some(Phase::Checking)
        }
        _ => None,
    }
}

fn gone(problem: &Problem) -> bool {
    matches!(problem.kind, Kind::NotFound | Kind::Gone | Kind::FailedPrecondition | Kind::Conflict)
}

fn score_of(job: &Job) -> Option<i64> {
    let value = job.outputs.iter().find_map(|output| output.value.as_ref())?;
    value.get("score_ppm").and_then(Value::as_i64).filter(|score| (0..=super::PPM).contains(score))
}

fn review(side: Side, scores: &[(String, Option<i64>)], state: ReviewState) -> NewReview {
    NewReview {
        side,
        subjects: scores.iter().map(|(subject, _)| subject.clone()).collect(),
        score_ppm: scores.iter().filter_map(|(_, score)| *score).max(),
        state,
    }
}

/// What people read beside the table's own sentence. The score itself is for staff.
fn detail(scores: &[Option<i64>]) -> String {
    let unjudged = scores.iter().filter(|score| score.is_none()).count();
    if unjudged > 0 { format!("{unjudged} of {} could not be judged", scores.len()) } else { String::new() }
}
