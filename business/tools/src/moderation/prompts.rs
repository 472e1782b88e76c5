//! Texts by a list of words and phrases: `catalogue/prompts.yaml`. Pure.
//!
//! It is asked at the door, before anything is written or held, so a refused text leaves nothing behind.

use std::collections::BTreeMap;

use serde::Deserialize;

const LIST: &str = include_str!("../../catalogue/prompts.yaml");

/// The list, ready to be asked.
#[derive(Debug)]
pub struct PromptList {
    categories: Vec<Category>,
}

#[derive(Debug)]
struct Category {
    name: String,
    message: String,
    groups: Vec<Vec<Term>>,
}

/// Words that follow each other; of the last, perhaps only the beginning.
#[derive(Debug)]
struct Term {
    words: Vec<String>,
    is_prefix: bool,
}

/// Which rule a text breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Stable name of the category.
    pub category: String,
    /// For people.
    pub message: String,
}

/// Why a list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PromptListError {
    /// Not YAML of the right shape.
    #[error("the list of refused words cannot be read")]
    Yaml(#[from] serde_yaml_ng::Error),
    /// A category would match everything, or nothing.
    #[error("category \"{0}\" has an empty group or term")]
    Empty(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "version")]
    _version: u32,
    categories: BTreeMap<String, FileCategory>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileCategory {
    message: String,
    groups: Vec<Vec<String>>,
}

impl PromptList {
    /// The list that ships.
    pub fn shipped() -> Result<Self, PromptListError> {
        Self::parse(LIST)
    }

    /// Reads a list.
    pub fn parse(yaml: &str) -> Result<Self, PromptListError> {
        let file: File = serde_yaml_ng::from_str(yaml)?;
        let mut categories = Vec::new();
        for (name, category) in file.categories {
            let groups: Vec<Vec<Term>> =
                category.groups.iter().map(|group| group.iter().map(|text| term(text)).collect()).collect();
            let is_empty = |group: &Vec<Term>| group.is_empty() || group.iter().any(|t| t.words.is_empty());
            if groups.is_empty() || groups.iter().any(is_empty) {
                return Err(PromptListError::Empty(name));
            }
            categories.push(Category { name, message: category.message, groups });
        }
        Ok(Self { categories })
    }

    /// The first category that the text meets.
    #[must_use]
    pub fn judge(&self, text: &str) -> Option<Match> {
        let words = words_of(text);
        let met = |category: &&Category| {
            category.groups.iter().all(|group| group.iter().any(|term| term.stands_in(&words)))
        };
        let category = self.categories.iter().find(met)?;
        Some(Match { category: category.name.clone(), message: category.message.clone() })
    }
}

fn term(text: &str) -> Term {
    let is_prefix = text.ends_with('*');
    Term { words: words_of(text.trim_end_matches('*')), is_prefix }
}

impl Term {
    fn stands_in(&self, words: &[String]) -> bool {
        let Some((last, before)) = self.words.split_last() else { return false };
        words.windows(self.words.len()).any(|window| {
            let Some((at_end, first)) = window.split_last() else { return false };
            let ends = if self.is_prefix { at_end.starts_with(last) } else { at_end == last };
            ends && first == before
        })
    }
}

/// Lower-case words without what only hides them.
fn words_of(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for char in text.chars().filter(|char| !is_invisible(*char)).map(plain_width) {
        if char.is_alphanumeric() {
            word.extend(char.to_lowercase());
        } else if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Characters that are not seen and would split a word.
const fn is_invisible(char: char) -> bool {
    matches!(char, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// The full-width forms of ASCII are ASCII.
fn plain_width(char: char) -> char {
    match char {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(char) - 0xfee0).unwrap_or(char),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn category(text: &str) -> Option<String> {
        PromptList::shipped().unwrap().judge(text).map(|found| found.category)
    }

    #[test]
    fn what_no_context_excuses_is_refused_however_it_is_written() {
        for text in [
            "CHILD-PORN",
            "child\u{200b} porn",
            "ｃｈｉｌｄ ｐｏｒｎ",
            "a naked, smiling child",
            "Kids. Nude!",
        ] {
            assert!(category(text).is_some_and(|name| name.starts_with("minors")), "{text}");
        }
        assert_eq!(category("she is raped").as_deref(), Some("sexual_violence"));
        assert_eq!(category("hardcore  sex").as_deref(), Some("pornography"));
    }

    #[test]
    fn words_that_only_look_alike_pass() {
        let harmless = [
            "a child builds a sandcastle",
            "grapes and a therapist, in the county of Essex",
            "a nude statue in the museum at dusk",
            "the sexton rings the bell",
            "kidney beans, mining, minority report",
            "",
        ];
        for text in harmless {
            assert_eq!(category(text), None, "{text}");
        }
    }

    #[test]
    fn a_long_text_is_judged_within_a_moment() {
        let text = "a quiet street at dusk ".repeat(5_000);
        let list = PromptList::shipped().unwrap();
        let began = std::time::Instant::now();
        assert_eq!(list.judge(&text), None);
        assert!(began.elapsed() < std::time::Duration::from_secs(2), "{:?}", began.elapsed());
    }

    #[test]
    fn an_empty_term_is_refused_because_it_would_match_everything() {
        let list = "version: 1\ncategories: { a: { message: m, groups: [['*']] } }";
        assert!(matches!(PromptList::parse(list), Err(PromptListError::Empty(_))));
    }

    proptest! {
        #[test]
        fn any_text_is_judged(text in "\\PC{0,200}") {
            let list = PromptList::shipped().unwrap();
            let around = list.judge(&format!("{text} child porn {text}"));
            prop_assert!(around.is_some());
            let _ = list.judge(&text);
        }
    }
}
