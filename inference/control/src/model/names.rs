//! Small sets of names: in the database, in JSON and in events alike.

use backlot_inference_scheduler as scheduler;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// Its name in the database, in JSON and in events.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// Reads its name.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

text_enum!(
    /// Where a job stands.
    JobState {
        /// It waits.
        Queued = "queued",
        /// An attempt is leased.
        Running = "running",
        /// It has its result.
        Succeeded = "succeeded",
        /// It failed for good.
        Failed = "failed",
        /// It was canceled, and nothing of it runs.
        Canceled = "canceled",
        /// It waited too long.
        Expired = "expired",
    }
);
text_enum!(
    /// What a job is doing.
    Phase {
        /// Waiting.
        Queued = "queued",
        /// Input files are downloaded.
        Fetching = "fetching",
        /// The model is loaded.
        Loading = "loading",
        /// The model computes.
        Running = "running",
        /// It is held between two steps while its worker runs something short.
        Paused = "paused",
        /// Outputs are uploaded.
        Uploading = "uploading",
    }
);
text_enum!(
    /// Why a job failed.
    Failure {
        /// The input is not what the model takes.
        InvalidInput = "invalid_input",
        /// The model failed.
        ModelError = "model_error",
        /// The worker was lost, more often than a job may be tried.
        LostWorker = "lost_worker",
        /// An attempt took longer than it may.
        TimedOut = "timed_out",
        /// The outputs' target refused them.
        OutputRefused = "output_refused",
    }
);
text_enum!(
    /// How soon somebody needs the result.
    Tier {
        /// A person waits.
        Interactive = "interactive",
        /// Soon.
        Standard = "standard",
        /// Whenever it is cheap.
        Batch = "batch",
    }
);
text_enum!(
    /// How an attempt ended.
    AttemptOutcome {
        /// With the result that counts.
        Succeeded = "succeeded",
        /// It failed.
        Failed = "failed",
        /// It was stopped on request.
        Canceled = "canceled",
        /// Nobody answered for it any more.
        Lost = "lost",
    }
);
text_enum!(
    /// How a model is run.
    RuntimeKind {
        /// Gives its input back: for measuring.
        Echo = "echo",
        /// One process a job.
        Command = "command",
        /// A Cog predictor server, kept warm.
        Cog = "cog",
    }
);

impl JobState {
    /// Whether nothing changes any more.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Succeeded | Self::Failed | Self::Canceled | Self::Expired => true,
        }
    }
}

impl From<scheduler::FailureClass> for Failure {
    fn from(class: scheduler::FailureClass) -> Self {
        match class {
            scheduler::FailureClass::InvalidInput => Self::InvalidInput,
            scheduler::FailureClass::ModelError => Self::ModelError,
            scheduler::FailureClass::LostWorker => Self::LostWorker,
            scheduler::FailureClass::TimedOut => Self::TimedOut,
            scheduler::FailureClass::OutputRefused => Self::OutputRefused,
        }
    }
}

impl From<Tier> for scheduler::Tier {
    fn from(tier: Tier) -> Self {
        match tier {
            Tier::Interactive => Self::Interactive,
            Tier::Standard => Self::Standard,
            Tier::Batch => Self::Batch,
        }
    }
}
