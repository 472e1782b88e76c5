//! What kinds of media are taken, and what a file really is.
//!
//! Pure: bytes in, a verdict out. Nothing here decodes; that happens in the sandboxed child.

use serde::{Deserialize, Serialize};

/// How many bytes at the beginning of a file decide its type.
pub(crate) const HEAD_BYTES: usize = 4_096;
/// How many bytes at the end are searched for a second kind of file: the longest ZIP trailer.
pub(crate) const TAIL_BYTES: usize = 65_557;
/// "Find out what it is": a claim that claims nothing.
const UNDECLARED: &str = "application/octet-stream";

/// What a medium is to a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A still or animated picture.
    Image,
    /// Moving pictures.
    Video,
    /// Sound alone.
    Audio,
}

impl Class {
    /// Snake case, as in events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
        }
    }
}

/// A kind of media that is taken. Everything else is refused, SVG and HTML above all: they carry scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Media {
    /// `image/png`
    Png,
    /// `image/jpeg`
    Jpeg,
    /// `image/webp`
    Webp,
    /// `image/gif`
    Gif,
    /// `video/mp4`
    Mp4,
    /// `video/quicktime`
    Quicktime,
    /// `video/webm`
    Webm,
    /// `audio/wav`
    Wav,
    /// `audio/mpeg`
    Mp3,
    /// `audio/ogg`
    Ogg,
    /// `audio/flac`
    Flac,
    /// `audio/mp4`
    M4a,
}

impl Media {
    /// All kinds, for messages.
    pub const ALL: [Self; 12] = [
        Self::Png,
        Self::Jpeg,
        Self::Webp,
        Self::Gif,
        Self::Mp4,
        Self::Quicktime,
        Self::Webm,
        Self::Wav,
        Self::Mp3,
        Self::Ogg,
        Self::Flac,
        Self::M4a,
    ];

    /// Reads a media type, with the names that clients use for the same thing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "image/png" => Some(Self::Png),
            "image/jpeg" | "image/jpg" | "image/pjpeg" => Some(Self::Jpeg),
            "image/webp" => Some(Self::Webp),
            "image/gif" => Some(Self::Gif),
            "video/mp4" | "video/x-m4v" => Some(Self::Mp4),
            "video/quicktime" => Some(Self::Quicktime),
            "video/webm" | "video/x-matroska" => Some(Self::Webm),
            "audio/wav" | "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => Some(Self::Wav),
            "audio/mpeg" | "audio/mp3" => Some(Self::Mp3),
            "audio/ogg" | "audio/opus" | "application/ogg" => Some(Self::Ogg),
            "audio/flac" | "audio/x-flac" => Some(Self::Flac),
            "audio/mp4" | "audio/m4a" | "audio/x-m4a" => Some(Self::M4a),
            _ => None,
        }
    }

    /// The media type.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
            Self::Gif => "image/gif",
            Self::Mp4 => "video/mp4",
            Self::Quicktime => "video/quicktime",
            Self::Webm => "video/webm",
            Self::Wav => "audio/wav",
            Self::Mp3 => "audio/mpeg",
            Self::Ogg => "audio/ogg",
            Self::Flac => "audio/flac",
            Self::M4a => "audio/mp4",
        }
    }

    /// What it is to a person.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::Png | Self::Jpeg | Self::Webp | Self::Gif => Class::Image,
            Self::Mp4 | Self::Quicktime | Self::Webm => Class::Video,
            Self::Wav | Self::Mp3 | Self::Ogg | Self::Flac | Self::M4a => Class::Audio,
        }
    }

    /// The demuxer that ffmpeg is told to use, so that it never guesses from hostile bytes.
    pub(crate) const fn demuxer(self) -> &'static str {
        match self {
            Self::Mp4 | Self::Quicktime | Self::M4a => "mov",
            Self::Webm => "matroska",
            Self::Wav => "wav",
            Self::Mp3 => "mp3",
            Self::Ogg => "ogg",
            Self::Flac => "flac",
            Self::Png | Self::Jpeg | Self::Webp | Self::Gif => "image2",
        }
    }

    /// The ending that a downloaded file gets where its name has none.
    pub(crate) const fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Webp => "webp",
            Self::Gif => "gif",
            Self::Mp4 => "mp4",
            Self::Quicktime => "mov",
            Self::Webm => "webm",
            Self::Wav => "wav",
            Self::Mp3 => "mp3",
            Self::Ogg => "ogg",
            Self::Flac => "flac",
            Self::M4a => "m4a",
        }
    }

    /// The kinds that are taken, as a sentence's part.
    #[must_use]
    pub fn taken() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }
}

/// What somebody says that a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Nothing: we find out.
    Unknown,
    /// One of the kinds that are taken.
    Known(Media),
    /// Something that is not taken.
    Unsupported,
}

impl Claim {
    pub(crate) fn parse(content_type: &str) -> Self {
        match Media::parse(content_type) {
            Some(media) => Self::Known(media),
            None if content_type.is_empty() || content_type == UNDECLARED => Self::Unknown,
            None => Self::Unsupported,
        }
    }
}

/// Why a file is refused before anything decodes it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SniffError {
    #[error("the file is {found}, not {claimed}")]
    Mismatch { claimed: String, found: String },
    #[error("the file is {found}")]
    Unsupported { found: String },
    #[error("the file is {media} and {hidden} at once")]
    Polyglot { media: &'static str, hidden: &'static str },
}

/// How strictly the claim is held against the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// The claim must be exactly right: a person's upload.
    Exact,
    /// Only the class must be right: a model that calls a WebP a PNG has not lied to anybody.
    SameClass,
}

/// What the file is, by its first and last bytes.
pub(crate) fn sniff(
    head: &[u8],
    tail: &[u8],
    claim: Claim,
    strictness: Strictness,
) -> Result<Media, SniffError> {
    let found = infer::get(head).map_or("something unknown", |kind| kind.mime_type());
    let media = Media::parse(found).and_then(|media| refine(media, head));
    let media = match (media, claim) {
        (Some(media), Claim::Unknown) => media,
        (Some(media), Claim::Known(claimed)) if media == claimed => media,
        (Some(media), Claim::Known(claimed))
            if strictness == Strictness::SameClass && media.class() == claimed.class() =>
        {
            media
        }
        // The same container either way: which of the two it is, is a matter of its brand.
        (Some(Media::Mp4), Claim::Known(claimed @ (Media::Quicktime | Media::M4a)))
        | (Some(Media::Quicktime), Claim::Known(claimed @ Media::Mp4)) => claimed,
        (found_media, Claim::Known(claimed)) => {
            return Err(SniffError::Mismatch {
                claimed: claimed.as_str().to_owned(),
                found: found_media.map_or(found, Media::as_str).to_owned(),
            });
        }
        (_, Claim::Unknown | Claim::Unsupported) => {
            return Err(SniffError::Unsupported { found: found.to_owned() });
        }
    };
    match hidden_kind(media, head, tail) {
        Some(hidden) => Err(SniffError::Polyglot { media: media.as_str(), hidden }),
        None => Ok(media),
    }
}

/// What the library's coarse answer leaves open: Matroska is taken only where it says that it is WebM, and
/// the brand "qt  " is a QuickTime file to everyone.
fn refine(media: Media, head: &[u8]) -> Option<Media> {
    match media {
        Media::Webm => contains_any(&head[..head.len().min(64)], &[b"webm"]).then_some(media),
        Media::Mp4 if head.get(8..12) == Some(b"qt  ") => Some(Media::Quicktime),
        _ => Some(media),
    }
}

/// A second kind of file inside the first: bytes that a picture viewer skips and a browser, a reader or
/// an archiver would run. Media that a camera or a model writes never contain them in these places.
fn hidden_kind(media: Media, head: &[u8], tail: &[u8]) -> Option<&'static str> {
    const MARKUP_BYTES: usize = 1_500;
    let start = &head[..head.len().min(MARKUP_BYTES)];
    if contains_any(start, &[b"<html", b"<script", b"<!doctype", b"<svg", b"<iframe", b"<body"]) {
        return Some("a web page");
    }
    if contains_any(start, &[b"<?php"]) {
        return Some("a script");
    }
    if contains_any(&start[..start.len().min(1_024)], &[b"%pdf-"]) {
        return Some("a PDF document");
    }
    if zip_ends(tail) {
        return Some("a ZIP archive");
    }
    if media.class() == Class::Image && contains_any(tail, &[b"<script", b"<?php", b"<html", b"<svg"]) {
        return Some("a script");
    }
    None
}

/// Whether the bytes end with the record that makes a file a ZIP archive: its signature, with a comment
/// whose stated length reaches exactly the end.
fn zip_ends(tail: &[u8]) -> bool {
    const RECORD_BYTES: usize = 22;
    if tail.len() < RECORD_BYTES {
        return false;
    }
    (0..=tail.len() - RECORD_BYTES).any(|at| {
        let record = &tail[at..];
        record.starts_with(b"PK\x05\x06")
            && RECORD_BYTES + usize::from(u16::from_le_bytes([record[20], record[21]])) == record.len()
    })
}

fn contains_any(bytes: &[u8], needles: &[&[u8]]) -> bool {
    needles.iter().any(|needle| bytes.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0";

    fn check(head: &[u8], tail: &[u8], claim: &str) -> String {
        match sniff(head, tail, Claim::parse(claim), Strictness::Exact) {
            Ok(media) => media.as_str().to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_bytes_decide_and_the_claim_must_agree() {
        assert_eq!(check(PNG, b"", "image/png"), "image/png");
        assert_eq!(check(JPEG, b"", "image/jpg"), "image/jpeg");
        assert_eq!(check(PNG, b"", ""), "image/png");
        assert_eq!(check(JPEG, b"", "image/png"), "the file is image/jpeg, not image/png");
        assert_eq!(check(b"hello", b"", "image/png"), "the file is something unknown, not image/png");
        assert_eq!(
            check(b"MZ\x90\0", b"", "application/octet-stream"),
            "the file is application/vnd.microsoft.portable-executable"
        );
    }

    #[test]
    fn a_model_may_name_another_picture_format_but_no_other_class() {
        let lenient = |head| sniff(head, b"", Claim::Known(Media::Png), Strictness::SameClass);
        assert_eq!(lenient(JPEG), Ok(Media::Jpeg));
        assert!(lenient(b"RIFF\x24\0\0\0WAVEfmt ").is_err());
    }

    #[test]
    fn svg_and_html_are_never_media() {
        for text in ["<svg xmlns='http://www.w3.org/2000/svg'/>", "<?xml version='1.0'?><svg/>", "<html>"] {
            assert!(check(text.as_bytes(), b"", "").starts_with("the file is "), "{text}");
        }
        assert_eq!(Claim::parse("image/svg+xml"), Claim::Unsupported);
        assert_eq!(Claim::parse("text/html"), Claim::Unsupported);
    }

    #[test]
    fn a_picture_that_is_also_something_else_is_refused() {
        let page = [b"GIF89a/*".as_slice(), b"*/=1;</script><html><script>alert(1)</script>"].concat();
        assert_eq!(check(&page, b"", "image/gif"), "the file is image/gif and a web page at once");
        let mut zip = b"....PK\x05\x06".to_vec();
        zip.extend([0; 16]);
        zip.extend([3, 0]);
        zip.extend(b"abc");
        assert_eq!(check(PNG, &zip, "image/png"), "the file is image/png and a ZIP archive at once");
        zip.push(b'x');
        assert_eq!(check(PNG, &zip, "image/png"), "image/png", "a signature by chance is no archive");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_it(head: Vec<u8>, tail: Vec<u8>, claim: String) {
            let _ = sniff(&head, &tail, Claim::parse(&claim), Strictness::Exact);
        }

        #[test]
        fn what_looks_like_a_picture_and_goes_on_anyhow_is_that_picture_or_nothing(rest: Vec<u8>) {
            let bytes = [PNG, &rest].concat();
            if let Ok(media) = sniff(&bytes, &rest, Claim::Unknown, Strictness::Exact) {
                assert_eq!(media, Media::Png);
            }
        }
    }
}
