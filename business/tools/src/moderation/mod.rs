//! Moderation: what people write, put in and get out is looked at before anything is delivered.
//!
//! Texts are judged at the door by a list of words (`prompts`). Pictures and clips are judged by a model, as
//! jobs of inference that the studio pays (`looks`); a run waits for them as for its own job, and every wait
//! is a row. What is in doubt waits for a person (`reviews`).

mod http;
mod looks;
pub mod prompts;
mod reviews;
mod store;

use serde::{Deserialize, Serialize};

pub(crate) use http::routes;
pub(crate) use looks::phase_of;
pub use reviews::{Decision, ReviewFilter, ReviewState, ReviewView};
pub(crate) use store::{NewReview, insert_review, run_of_look};

use crate::manifest;

/// Parts per million in one.
const PPM: i64 = 1_000_000;

/// Settings of moderation. A tool's manifest may name other thresholds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether texts are judged by the word list.
    pub prompts: bool,
    /// Whether pictures and clips are looked at.
    pub media: bool,
    /// From this score on, an output waits for a person; parts per million.
    pub review_ppm: i64,
    /// From this score on, a picture is refused; parts per million.
    pub refuse_ppm: i64,
    /// Whether people see how a picture looks so far, before it has passed.
    pub previews: bool,
    /// After how long an output that nobody judged is refused, in hours.
    pub review_h: u32,
    /// The model that looks.
    pub model: String,
    /// Its version.
    pub model_version: String,
}

impl Default for Config {
    /// The model's authors call 0.2 to 0.8 undecided. Refused is what is above; a person sees the upper half of
    /// what is undecided.
    fn default() -> Self {
        Self {
            prompts: true,
            media: true,
            review_ppm: 500_000,
            refuse_ppm: 800_000,
            previews: false,
            review_h: 72,
            model: "backlot/moderate".to_owned(),
            model_version: "1".to_owned(),
        }
    }
}

impl Config {
    pub(crate) fn review_time(&self) -> std::time::Duration {
        std::time::Duration::from_secs(u64::from(self.review_h) * 3_600)
    }
}

/// Which side of a run something is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// What a person put in.
    Input,
    /// What came out.
    Output,
}

impl Side {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

/// What follows from the scores of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passes,
    Doubtful,
    Refused,
}

/// The verdict over everything that was looked at; `None` is a medium that could not be judged. An input that is
/// in doubt passes, because what is made of it is looked at, too; one that cannot be judged does not.
pub(crate) fn verdict(
    side: Side,
    scores: &[Option<i64>],
    config: &Config,
    of_tool: &manifest::Moderation,
) -> Verdict {
    let refuse = of_tool.refuse_ppm.unwrap_or(config.refuse_ppm);
    let review = of_tool.review_ppm.unwrap_or(config.review_ppm).min(refuse);
    let highest = scores.iter().flatten().copied().max().unwrap_or(0);
    let is_unjudged = scores.iter().any(Option::is_none);
    match side {
        _ if highest >= refuse => Verdict::Refused,
        Side::Input if is_unjudged => Verdict::Refused,
        Side::Input => Verdict::Passes,
        Side::Output if is_unjudged || highest >= review => Verdict::Doubtful,
        Side::Output => Verdict::Passes,
    }
}

/// Whether a medium of this type can be looked at. A sound or a text cannot; what is not known is.
pub(crate) fn is_seen(content_type: &str) -> bool {
    let unseen = ["audio/", "text/", "application/json", "font/"];
    !unseen.iter().any(|prefix| content_type.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_score_decides_and_what_cannot_be_judged_is_never_passed_on() {
        let config = Config::default();
        let usual = manifest::Moderation::default();
        let of = |side, scores: &[Option<i64>]| verdict(side, scores, &config, &usual);
        assert_eq!(of(Side::Output, &[Some(1_000), Some(499_999)]), Verdict::Passes);
        assert_eq!(of(Side::Output, &[Some(1_000), Some(500_000)]), Verdict::Doubtful);
        assert_eq!(of(Side::Output, &[Some(800_000), None]), Verdict::Refused);
        assert_eq!(of(Side::Output, &[None]), Verdict::Doubtful);
        assert_eq!(of(Side::Input, &[Some(799_999)]), Verdict::Passes);
        assert_eq!(of(Side::Input, &[Some(PPM)]), Verdict::Refused);
        assert_eq!(of(Side::Input, &[None]), Verdict::Refused);
    }

    #[test]
    fn a_tool_may_be_stricter() {
        let strict = manifest::Moderation { refuse_ppm: Some(100_000), ..manifest::Moderation::default() };
        let of = |score| verdict(Side::Output, &[Some(score)], &Config::default(), &strict);
        assert_eq!((of(99_999), of(100_000)), (Verdict::Passes, Verdict::Refused));
    }
}
