//! Names of files, as people gave them and as they are given back. Pure.

use crate::media::Media;

/// Longest name of an asset, in characters.
pub(crate) const NAME_CHARS_MAX: usize = 255;

/// A name to show: its last part, without what a terminal or a header could stumble over.
pub(crate) fn clean_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = last.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
    if clean.trim().is_empty() { "untitled".to_owned() } else { clean }
}

/// The name to save a download as, with the ending of what it really is.
pub(crate) fn download_name(name: &str, content_type: &str) -> String {
    let Some(media) = Media::parse(content_type) else { return name.to_owned() };
    let extension = media.extension();
    let lower = name.to_ascii_lowercase();
    let fits =
        lower.ends_with(&format!(".{extension}")) || (media == Media::Jpeg && lower.ends_with(".jpeg"));
    if fits { name.to_owned() } else { format!("{name}.{extension}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_harmless() {
        for (given, kept) in [
            ("photo.png", "photo.png"),
            ("../../etc/passwd", "passwd"),
            ("C:\\x\\y.jpg", "y.jpg"),
            ("a\r\nSet-Cookie: x", "aSet-Cookie: x"),
            ("..//", "untitled"),
            ("Größe 4.png", "Größe 4.png"),
        ] {
            assert_eq!(clean_name(given), kept);
        }
        assert_eq!(download_name("x.exe", "image/png"), "x.exe.png");
        assert_eq!(download_name("x.JPEG", "image/jpeg"), "x.JPEG");
    }
}
