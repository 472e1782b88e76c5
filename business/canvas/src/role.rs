//! What somebody is to a board.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A role, each of which may what the one before may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Comments.
    Commenter,
    /// Changes and runs.
    Editor,
    /// Decides who may.
    Owner,
}

impl Role {
    /// The stable text of this role.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Commenter => "commenter",
            Self::Editor => "editor",
            Self::Owner => "owner",
        }
    }

    /// Reads the stable text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Viewer, Self::Commenter, Self::Editor, Self::Owner]
            .into_iter()
            .find(|role| role.as_str() == text)
    }

    /// For people.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Viewer => "a viewer",
            Self::Commenter => "a commenter",
            Self::Editor => "an editor",
            Self::Owner => "an owner",
        }
    }
}
