//! Names of objects in the store.
//!
//! An [`ObjectKey`] can only be made from ids or by [`ObjectKey::parse`], which takes nothing that a file
//! system could read as a way out of its folder.

use backlot_infrastructure_api::{AssetId, OrganisationId};

/// Longest key.
const KEY_CHARS_MAX: usize = 512;
/// Longest fence in a key.
pub(crate) const FENCE_CHARS_MAX: usize = 64;

/// What an object is for; the first part of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Area {
    /// What a person sends, before it is verified.
    Uploads,
    /// What a job writes, before it is verified.
    Outputs,
    /// Verified media.
    Assets,
    /// Small pictures of verified media.
    Previews,
}

impl Area {
    pub(crate) const ALL: [Self; 4] = [Self::Uploads, Self::Outputs, Self::Assets, Self::Previews];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Uploads => "uploads",
            Self::Outputs => "outputs",
            Self::Assets => "assets",
            Self::Previews => "previews",
        }
    }
}

/// A key without any surprise in it: segments of `[A-Za-z0-9._-]`, none of them dots alone, the first an
/// area's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ObjectKey(String);

impl ObjectKey {
    pub(crate) fn upload(organisation: OrganisationId, asset: AssetId) -> Self {
        Self(format!("uploads/{organisation}/{asset}"))
    }

    pub(crate) fn asset(organisation: OrganisationId, asset: AssetId) -> Self {
        Self(format!("assets/{organisation}/{asset}"))
    }

    pub(crate) fn preview(organisation: OrganisationId, asset: AssetId) -> Self {
        Self(format!("previews/{organisation}/{asset}"))
    }

    /// `None` where job or fence could not be one segment.
    pub(crate) fn output(job: &str, fence: &str, n: i32) -> Option<Self> {
        Self::parse(&format!("outputs/{job}/{fence}/{n}"))
    }

    /// `None` where the text is no key.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut segments = text.split('/');
        let area = segments.next()?;
        let in_area = Area::ALL.iter().any(|known| known.as_str() == area);
        let rest_is_plain = text.len() > area.len() && segments.all(is_plain_segment);
        (in_area && rest_is_plain && text.len() <= KEY_CHARS_MAX).then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn area(&self) -> Area {
        let name = self.0.split('/').next().unwrap_or_default();
        Area::ALL.into_iter().find(|area| area.as_str() == name).unwrap_or(Area::Uploads)
    }

    /// The last segment.
    pub(crate) fn last(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The segment at `index`, the area being 0.
    pub(crate) fn segment(&self, index: usize) -> Option<&str> {
        self.0.split('/').nth(index)
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whether the text is one harmless segment.
pub(crate) fn is_plain_segment(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !text.is_empty() && text.chars().all(plain) && text.chars().any(|c| c != '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_never_leaves_its_folder() {
        for bad in [
            "",
            "/",
            "uploads",
            "uploads/",
            "/uploads/a",
            "uploads/../assets/x",
            "uploads/./a",
            "uploads//a",
            "uploads/a/..",
            "uploads/a\\..\\b",
            "uploads/a\0b",
            "uploads/%2e%2e/x",
            "etc/passwd",
            "uploads/ä",
            "../uploads/a",
            "uploads/a b",
            "uploadsx/a",
        ] {
            assert_eq!(ObjectKey::parse(bad), None, "{bad:?}");
        }
        assert_eq!(ObjectKey::parse(&format!("uploads/{}", "a".repeat(KEY_CHARS_MAX))), None);
        assert!(ObjectKey::parse("outputs/j/1-2/0").is_some());
        assert_eq!(ObjectKey::output("j", "../../x", 0), None);
        assert_eq!(ObjectKey::output("..", "1", 0), None);
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_taken_stays_in_its_area(text in "(uploads|assets|x)?[a-z./%\\\\\u{0}-\u{2f}é]{0,40}") {
            if let Some(key) = ObjectKey::parse(&text) {
                assert!(key.as_str().split('/').all(|part| !part.is_empty() && part != "." && part != ".."));
                assert!(key.as_str().starts_with(key.area().as_str()));
                assert!(!key.as_str().contains(['\\', '\0', '%']));
            }
        }
    }
}
