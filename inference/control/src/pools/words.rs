//! What a program or an agent wrote last, as it may be kept and shown: its end, without secrets, on which no screen and no
//! database chokes.

use std::collections::BTreeSet;

use crate::limits;

/// What stands where a secret stood.
const HIDDEN: &str = "[hidden]";
/// Variables whose names contain one of these are taken for secrets.
const SECRET_NAMES: [&str; 6] = ["TOKEN", "SECRET", "PASSW", "CREDENTIAL", "_KEY", "APIKEY"];

/// What must never be shown: values, each long enough that hiding it hides nothing else.
#[derive(Clone, Default)]
pub(crate) struct Secrets(BTreeSet<String>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

impl Secrets {
    /// The token with which machines join, and what the service's environment calls a secret: programs inherit it.
    pub(crate) fn of(join_token: &str, environment: impl Iterator<Item = (String, String)>) -> Self {
        let secret = |name: &str| {
            let name = name.to_ascii_uppercase();
            SECRET_NAMES.iter().any(|part| name.contains(part))
        };
        let named = environment.filter(|(name, _)| secret(name)).map(|(_, value)| value);
        let all = named.chain([join_token.to_owned()]).map(|value| value.trim().to_owned());
        Self(all.filter(|value| value.len() >= limits::SECRET_BYTES_MIN).collect())
    }

    /// The end of what was written: without secrets, and without what moves a cursor or turns text around.
    pub(crate) fn end_of(&self, written: &[u8]) -> String {
        let mut text = String::from_utf8_lossy(written).into_owned();
        // The longest first: one may be part of another.
        let mut secrets: Vec<&String> = self.0.iter().collect();
        secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        for secret in secrets {
            text = text.replace(secret.as_str(), HIDDEN);
        }
        let plain: Vec<char> = text.trim().chars().flat_map(plain).collect();
        let from = plain.len().saturating_sub(limits::MACHINE_MESSAGE_CHARS_MAX);
        plain[from..].iter().collect()
    }
}

/// A character as it is shown: controls and the marks that turn the direction of text are written out.
fn plain(c: char) -> Vec<char> {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    match c {
        '\n' => vec!['\n'],
        '\t' => vec![' '],
        '\r' => Vec::new(),
        _ if c.is_control() || turns => c.escape_unicode().collect(),
        _ => vec![c],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        let of = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let environment = [
            ("CLOUD_SECRET_ACCESS_KEY", "abcdefghij"),
            ("HOME", "/home/somebody"),
            ("SHORT_TOKEN", "abc"),
            ("OTHER_TOKEN", "abcdefghijklmnop"),
        ];
        Secrets::of("a fleet's secret", environment.into_iter().map(of))
    }

    #[test]
    fn secrets_are_hidden_before_anything_is_cut() {
        let said =
            secrets().end_of(b"key abcdefghij, abcdefghijklmnop of /home/somebody, abc, a fleet's secret\n");
        assert_eq!(said, "key [hidden], [hidden] of /home/somebody, abc, [hidden]");
        let mut long = b"a fleet's secret".to_vec();
        long.extend(vec![b'x'; limits::MACHINE_MESSAGE_CHARS_MAX - 5]);
        let said = secrets().end_of(&long);
        assert!(said.starts_with("dden]x"), "nothing of the secret is left at the cut: {said}");
        assert!(!format!("{:?}", secrets()).contains("fleet"));
    }

    #[test]
    fn what_no_screen_and_no_database_takes_is_written_out() {
        let said = secrets().end_of("\0\u{1b}[31mred\r\n\u{202e}back\tb \u{e9}".as_bytes());
        assert_eq!(said, "\\u{0}\\u{1b}[31mred\n\\u{202e}back b \u{e9}");
        assert_eq!(secrets().end_of(&[0xff, b'a']), "\u{fffd}a");
        let said = secrets().end_of("x".repeat(2_000).as_bytes());
        assert_eq!(said.len(), limits::MACHINE_MESSAGE_CHARS_MAX);
    }
}
