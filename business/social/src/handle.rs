//! Handles: the names by which people are found, each unlike every other.
//!
//! Only `a-z`, `0-9` and `_`, so that no letter of another alphabet can pass for one of these. What still looks
//! alike among them (0 and o, 1, l and i, rn and m, vv and w, underscores) shares one *skeleton*, and a skeleton
//! belongs to one person.

use crate::limits::{HANDLE_CHARS_MAX, HANDLE_CHARS_MIN};

/// Names that would speak for the studio, or that addresses need.
const RESERVED: &[&str] = &[
    "about",
    "abuse",
    "admin",
    "administrator",
    "all",
    "anonymous",
    "api",
    "backlot",
    "billing",
    "board",
    "boards",
    "community",
    "contact",
    "deleted",
    "docs",
    "everyone",
    "everybody",
    "explore",
    "feed",
    "film",
    "films",
    "following",
    "guest",
    "help",
    "here",
    "home",
    "hot",
    "info",
    "legal",
    "login",
    "mail",
    "me",
    "mod",
    "moderator",
    "moderators",
    "new",
    "news",
    "nobody",
    "notifications",
    "null",
    "official",
    "operator",
    "owner",
    "post",
    "posts",
    "privacy",
    "profile",
    "profiles",
    "root",
    "safety",
    "search",
    "security",
    "service",
    "settings",
    "signin",
    "signup",
    "somebody",
    "staff",
    "status",
    "studio",
    "support",
    "system",
    "tag",
    "tags",
    "team",
    "terms",
    "trust",
    "undefined",
    "user",
    "users",
    "verified",
    "webmaster",
    "www",
];

/// A text that is no handle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HandleError {
    /// Too short, too long, or with other characters.
    #[error("write {HANDLE_CHARS_MIN} to {HANDLE_CHARS_MAX} of a-z, 0-9 and _, beginning with a letter")]
    Form,
    /// It would speak for the studio.
    #[error("this name is kept free")]
    Reserved,
}

/// A well-formed handle in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Handle(String);

impl Handle {
    /// Reads a handle; upper case becomes lower case.
    pub(crate) fn parse(text: &str) -> Result<Self, HandleError> {
        let text = text.trim().trim_start_matches('@').to_ascii_lowercase();
        let length = text.chars().count();
        let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        let begins = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        if !(HANDLE_CHARS_MIN..=HANDLE_CHARS_MAX).contains(&length) || !plain || !begins {
            return Err(HandleError::Form);
        }
        let handle = Self(text);
        let own = handle.skeleton();
        if own.is_empty() || RESERVED.iter().any(|reserved| skeleton_of(reserved) == own) {
            return Err(HandleError::Reserved);
        }
        Ok(handle)
    }

    /// A handle for somebody who chose none: their name, told apart by `suffix`.
    pub(crate) fn suggest(name: &str, suffix: &str) -> Self {
        let mut slug = String::new();
        for c in name.chars().flat_map(char::to_lowercase) {
            if c.is_ascii_alphanumeric() {
                slug.push(c);
            } else if !slug.is_empty() && !slug.ends_with('_') {
                slug.push('_');
            }
        }
        let slug: String =
            slug.trim_start_matches(|c: char| !c.is_ascii_lowercase()).chars().take(20).collect();
        let slug = slug.trim_end_matches('_');
        let slug = if slug.len() < HANDLE_CHARS_MIN { "maker" } else { slug };
        let text = if suffix.is_empty() { slug.to_owned() } else { format!("{slug}_{suffix}") };
        Self::parse(&text).unwrap_or_else(|_| Self(format!("maker_{suffix}x")))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Equal for handles that look alike.
    pub(crate) fn skeleton(&self) -> String {
        skeleton_of(&self.0)
    }
}

fn skeleton_of(text: &str) -> String {
    let folded: String = text
        .chars()
        .filter(|c| *c != '_')
        .map(|c| match c {
            '0' => 'o',
            '1' | 'i' | 'j' => 'l',
            '5' => 's',
            '2' => 'z',
            '8' => 'b',
            c => c,
        })
        .collect();
    folded.replace("rn", "m").replace("vv", "w").replace("cl", "d")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<String, HandleError> {
        Handle::parse(text).map(|handle| handle.0)
    }

    #[test]
    fn only_plain_letters_make_a_handle() {
        assert_eq!(check("Ada_L"), Ok("ada_l".to_owned()));
        assert_eq!(check("@ada"), Ok("ada".to_owned()));
        for text in
            ["", "ab", "1ada", "_ada", "ada-l", "ada l", "аda", "ada\u{200b}", "ad\u{202e}a", &"a".repeat(31)]
        {
            assert_eq!(check(text), Err(HandleError::Form), "{text}");
        }
    }

    #[test]
    fn what_speaks_for_the_studio_is_kept_free_however_it_is_written() {
        for text in
            ["admin", "ADMIN", "adm1n", "ad_min", "adrnin", "backl0t", "rnoderator", "supp0rt", "staff"]
        {
            assert_eq!(check(text), Err(HandleError::Reserved), "{text}");
        }
    }

    #[test]
    fn what_looks_alike_has_one_skeleton() {
        let skeleton = |text| Handle::parse(text).unwrap().skeleton();
        assert_eq!(skeleton("lin_lead"), skeleton("l1nlead"));
        assert_eq!(skeleton("marnie"), skeleton("mamie"));
        assert_ne!(skeleton("lin"), skeleton("max"));
    }

    #[test]
    fn everybody_gets_a_handle_that_is_one() {
        for name in
            ["Ada Lovelace", "", "李白", "Admin", "1 2 3", "a", "___", "Ünïcödé Näme of great length, really"]
        {
            let suggested = Handle::suggest(name, "7f3a");
            assert_eq!(Handle::parse(suggested.as_str()), Ok(suggested.clone()), "{name}");
        }
        assert_eq!(Handle::suggest("Ada Lovelace", "").as_str(), "ada_lovelace");
    }
}
