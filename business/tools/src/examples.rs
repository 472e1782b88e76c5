//! The pictures of the catalogue's examples. They are the same for everyone and need no credential.

/// By file name: media type and bytes.
const FILES: &[(&str, &str, &[u8])] = &[
    ("animate-after.mp4", "video/mp4", include_bytes!("../catalogue/examples/animate-after.mp4")),
    ("animate-before.webp", "image/webp", include_bytes!("../catalogue/examples/animate-before.webp")),
    ("cutout-after.webp", "image/webp", include_bytes!("../catalogue/examples/cutout-after.webp")),
    ("cutout-before.webp", "image/webp", include_bytes!("../catalogue/examples/cutout-before.webp")),
    ("moderate-before.webp", "image/webp", include_bytes!("../catalogue/examples/moderate-before.webp")),
    ("narrate-after.mp3", "audio/mpeg", include_bytes!("../catalogue/examples/narrate-after.mp3")),
    ("upscale-after.webp", "image/webp", include_bytes!("../catalogue/examples/upscale-after.webp")),
    ("upscale-before.webp", "image/webp", include_bytes!("../catalogue/examples/upscale-before.webp")),
];

/// A picture or clip of a tool: media type and bytes.
pub(crate) fn example(tool: &str, file: &str) -> Option<(&'static str, &'static [u8])> {
    let belongs = file.strip_prefix(tool).is_some_and(|rest| rest.starts_with('-'));
    let found = FILES.iter().find(|(name, ..)| belongs && *name == file);
    found.map(|(_, media, bytes)| (*media, *bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;

    #[test]
    fn every_example_of_the_catalogue_can_be_seen() {
        for tool in Catalogue::shipped().unwrap().all() {
            let name = &tool.manifest.name;
            for example_of in &tool.manifest.examples {
                for path in [&example_of.before, &example_of.after].into_iter().flatten() {
                    let file = path.strip_prefix(&format!("/v1/tools/{name}/examples/")).unwrap();
                    assert!(example(name, file).is_some_and(|(_, bytes)| !bytes.is_empty()), "{path}");
                }
            }
        }
        assert!(
            example("upscale", "animate-after.mp4").is_none() && example("", "upscale-after.webp").is_none()
        );
    }
}
