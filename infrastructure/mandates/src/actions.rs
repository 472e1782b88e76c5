//! Names of actions and the patterns that allow them.

use serde::{Deserialize, Serialize};

/// Longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 64;

/// A text that is no pattern of actions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no action: write \"tools.run\", \"assets.*\" or \"*\"")]
pub struct PatternError(pub String);

/// `*` (everything), `assets.*` (everything below `assets`) or one action such as `tools.run`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ActionPattern(String);

impl ActionPattern {
    /// Everything.
    #[must_use]
    pub fn everything() -> Self {
        Self("*".to_owned())
    }

    /// Reads a pattern; an error where it is empty, too long, or has a `*` anywhere but at the end.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let refused = || PatternError(text.chars().take(PATTERN_BYTES_MAX).collect());
        if text.is_empty() || text.len() > PATTERN_BYTES_MAX {
            return Err(refused());
        }
        let mut segments = text.split('.').peekable();
        while let Some(segment) = segments.next() {
            let is_last = segments.peek().is_none();
            let is_name = !segment.is_empty()
                && segment
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
            if !(is_name || (is_last && segment == "*")) {
                return Err(refused());
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it allows this one action.
    #[must_use]
    pub fn allows(&self, action: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => action.len() > prefix.len() && action.starts_with(prefix),
            None => self.0 == action,
        }
    }

    /// Whether everything that `narrower` allows, it allows too.
    #[must_use]
    pub fn covers(&self, narrower: &Self) -> bool {
        match (self.0.strip_suffix('*'), narrower.0.strip_suffix('*')) {
            (Some(wide), Some(narrow)) => narrow.starts_with(wide),
            (Some(_), None) => self.allows(&narrower.0),
            (None, Some(_)) => false,
            (None, None) => self.0 == narrower.0,
        }
    }
}

impl TryFrom<String> for ActionPattern {
    type Error = PatternError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<ActionPattern> for String {
    fn from(pattern: ActionPattern) -> Self {
        pattern.0
    }
}

impl std::fmt::Display for ActionPattern {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, action: &str, allowed: bool) {
        assert_eq!(ActionPattern::parse(pattern).unwrap().allows(action), allowed, "{pattern} {action}");
    }

    #[test]
    fn a_star_allows_what_is_below_it_and_not_the_thing_itself() {
        check("*", "tools.run", true);
        check("tools.*", "tools.run", true);
        check("tools.*", "tools.run.dry", true);
        check("tools.*", "tools", false);
        check("tools.*", "toolsmith.run", false);
        check("tools.run", "tools.run", true);
        check("tools.run", "tools.runs", false);
    }

    #[test]
    fn nonsense_is_no_pattern() {
        for text in ["", ".", "tools.", "*.run", "tools.*.x", "Tools.run", "tools run", "tools.r*"] {
            assert!(ActionPattern::parse(text).is_err(), "{text}");
        }
    }
}
