//! What people write: cleaned once at the edge, and the words by which it is found.

use std::collections::BTreeSet;

use crate::limits::{QUERY_WORDS_MAX, TAG_CHARS_MAX, TAG_CHARS_MIN, TAGS_MAX, WORDS_MAX};

/// A text that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TextError {
    /// Nothing that can be read.
    #[error("write something")]
    Empty,
    /// Too long.
    #[error("must have at most {0} characters")]
    TooLong(usize),
    /// Control characters, or such that turn the direction of what follows.
    #[error("holds characters that cannot be shown")]
    Unprintable,
}

/// A text in one line.
pub(crate) fn line(text: &str, chars_max: usize) -> Result<String, TextError> {
    clean(text, chars_max, false)
}

/// A text in several lines.
pub(crate) fn lines(text: &str, chars_max: usize) -> Result<String, TextError> {
    clean(text, chars_max, true)
}

/// An empty text is an error of its own kind, so that the caller decides whether it is one.
fn clean(text: &str, chars_max: usize, many: bool) -> Result<String, TextError> {
    let text = text.replace("\r\n", "\n");
    let text = text.trim();
    if text.chars().count() > chars_max {
        return Err(TextError::TooLong(chars_max));
    }
    let shown = |c: char| !is_hostile(c) && (!c.is_control() || (many && matches!(c, '\n' | '\t')));
    if !text.chars().all(shown) {
        return Err(TextError::Unprintable);
    }
    if !text.chars().any(|c| !c.is_whitespace() && !is_invisible(c)) {
        return Err(TextError::Empty);
    }
    Ok(text.to_owned())
}

/// Overrides of the direction of text, by which one text can be made to look like another.
fn is_hostile(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{0}' | '\u{fffe}' | '\u{ffff}')
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{ad}' | '\u{3164}')
}

/// A tag in its one form: lower case, without `#`.
pub(crate) fn tag(text: &str) -> Option<String> {
    let tag: String = text.trim().trim_start_matches('#').chars().flat_map(char::to_lowercase).collect();
    let length = tag.chars().count();
    let plain = tag.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
    let named = tag.chars().any(char::is_alphanumeric);
    ((TAG_CHARS_MIN..=TAG_CHARS_MAX).contains(&length) && plain && named).then_some(tag)
}

/// The tags of a post, each once, in the order given; `Err` names the first that is none.
pub(crate) fn tags(texts: &[String]) -> Result<Vec<String>, String> {
    let mut found: Vec<String> = Vec::new();
    for text in texts.iter().take(TAGS_MAX + 1) {
        let one = tag(text).ok_or_else(|| text.chars().take(TAG_CHARS_MAX).collect::<String>())?;
        if !found.contains(&one) {
            found.push(one);
        }
    }
    Ok(found)
}

fn split(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric())
        .map(|word| word.chars().flat_map(char::to_lowercase).take(TAG_CHARS_MAX).collect::<String>())
        .filter(|word| word.chars().count() >= 2)
}

/// The words by which a post is found, each once: of its tags and title first, then of its text.
pub(crate) fn words(title: &str, tags: &[String], text: &str) -> BTreeSet<String> {
    let all = tags.iter().flat_map(|tag| split(tag)).chain(split(title)).chain(split(text));
    let mut found = BTreeSet::new();
    for word in all {
        if found.len() >= WORDS_MAX {
            break;
        }
        found.insert(word);
    }
    found
}

/// A search: every word must be in the post, the last one as a beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Search {
    /// Whole words.
    pub(crate) whole: Vec<String>,
    /// The beginning of a word.
    pub(crate) beginning: String,
}

impl Search {
    /// `None` where there is no word to look for.
    pub(crate) fn parse(query: &str) -> Option<Self> {
        let mut whole: Vec<String> = split(query).take(QUERY_WORDS_MAX).collect();
        let beginning = whole.pop()?;
        Some(Self { whole, beginning })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_trimmed_and_bounded() {
        assert_eq!(line("  A film \r\n", 10), Ok("A film".to_owned()));
        assert_eq!(line("a\nb", 10), Err(TextError::Unprintable));
        assert_eq!(lines("a\r\nb", 10), Ok("a\nb".to_owned()));
        assert_eq!(line(&"x".repeat(11), 10), Err(TextError::TooLong(10)));
        for empty in ["", "   ", "\u{200b}\u{200b}", "\u{feff}"] {
            assert_eq!(line(empty, 10), Err(TextError::Empty), "{empty:?}");
        }
        for hostile in ["a\u{202e}b", "a\u{0}b", "a\u{7}b", "\u{2067}a"] {
            assert_eq!(line(hostile, 10), Err(TextError::Unprintable), "{hostile:?}");
        }
    }

    #[test]
    fn tags_have_one_form() {
        let check = |text: &str| tags(&[text.to_owned()]);
        assert_eq!(check("#Sunset"), Ok(vec!["sunset".to_owned()]));
        assert_eq!(check("stop-motion"), Ok(vec!["stop-motion".to_owned()]));
        assert_eq!(check("日本"), Ok(vec!["日本".to_owned()]));
        for wrong in ["", "#", "a", "two words", "--", "a'b", &"x".repeat(33)] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
        assert_eq!(tags(&["a1".to_owned(), "#A1".to_owned()]).unwrap().len(), 1);
    }

    #[test]
    fn a_search_is_whole_words_and_the_beginning_of_the_last() {
        let parsed = |query| Search::parse(query).map(|search| (search.whole.join(" "), search.beginning));
        let of = |whole: &str, beginning: &str| Some((whole.to_owned(), beginning.to_owned()));
        assert_eq!(parsed("sun"), of("", "sun"));
        assert_eq!(parsed("Golden-hour  SUN"), of("golden hour", "sun"));
        assert_eq!(parsed("a b - x"), None, "a letter is no word");
        assert_eq!(parsed("a1 b2 c3 d4 e5 f6 g7"), of("a1 b2 c3 d4 e5", "f6"));
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_written_nothing_breaks(text: String, query: String) {
            let found = words(&text, &[], &text);
            assert!(found.len() <= WORDS_MAX);
            let _ = Search::parse(&query);
            let _ = (line(&text, 20), lines(&text, 20), tag(&text));
        }
    }
}
