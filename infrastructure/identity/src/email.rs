//! E-mail addresses: checked once, compared in one normal form.

/// Longest address that is accepted (RFC 5321's path limit).
const EMAIL_CHARS_MAX: usize = 254;
/// Longest part before the `@`.
const LOCAL_CHARS_MAX: usize = 64;

/// An address that was checked. `written` is what the person typed, `normalised` is what is unique:
/// trimmed and lower case. Dots and `+tags` stay, because only the receiving server knows what they mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Email {
    written: String,
    normalised: String,
}

/// The text is no e-mail address that we accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not an e-mail address")]
pub struct InvalidEmail;

impl Email {
    /// Checks and normalises.
    ///
    /// # Errors
    /// Where the text has no `@`, an empty or too long part, white space, control characters or a
    /// domain without a dot-separated label.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidEmail> {
        let written = text.trim();
        let (local, domain) = written.rsplit_once('@').ok_or(InvalidEmail)?;
        let local_fits = !local.is_empty() && local.len() <= LOCAL_CHARS_MAX && !local.contains('@');
        let printable =
            written.chars().all(|c| !c.is_whitespace() && !c.is_control() && !"<>()[],;:\"\\".contains(c));
        let labels_fit = domain.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_alphanumeric() || c == '-')
        });
        if written.len() > EMAIL_CHARS_MAX || !local_fits || !printable || !labels_fit {
            return Err(InvalidEmail);
        }
        Ok(Self { normalised: written.to_lowercase(), written: written.to_owned() })
    }

    /// As the person typed it, without surrounding space.
    pub(crate) fn written(&self) -> &str {
        &self.written
    }

    /// The form that is unique among accounts.
    pub(crate) fn normalised(&self) -> &str {
        &self.normalised
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let parsed = Email::parse(text).ok();
        assert_eq!(parsed.as_ref().map(Email::normalised), expected, "{text:?}");
    }

    #[test]
    fn addresses_are_trimmed_and_lowered() {
        check("  Ada@Example.COM ", Some("ada@example.com"));
        check("a.b+tag@sub.example.org", Some("a.b+tag@sub.example.org"));
        check("dev@localhost", Some("dev@localhost"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", "ada", "@example.com", "ada@", "a b@example.com", "ada@ex..com", "a@b@c.com", "a@-x.com"]
        {
            check(text, None);
        }
        check(&format!("{}@example.com", "a".repeat(65)), None);
        check("eve\n@example.com", None);
    }
}
