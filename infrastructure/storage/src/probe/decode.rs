//! Runs inside the child only.

use std::io::{BufReader, Cursor};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use serde::Deserialize;

use super::{Facts, Refusal, Request};
use crate::media::{Class, Media};

/// Longest side of a picture, whatever its area.
const SIDE_PX_MAX: u32 = 32_768;
/// Quality of a JPEG preview.
const PREVIEW_QUALITY: u8 = 82;

pub(super) fn look_at(request: &Request) -> Result<Facts, Refusal> {
    match request.media.class() {
        Class::Image => picture(request),
        Class::Video | Class::Audio => timed(request),
    }
}

fn unreadable(what: impl std::fmt::Display) -> Refusal {
    Refusal::Unreadable(what.to_string())
}

fn format_of(media: Media) -> Option<ImageFormat> {
    match media {
        Media::Png => Some(ImageFormat::Png),
        Media::Jpeg => Some(ImageFormat::Jpeg),
        Media::Webp => Some(ImageFormat::WebP),
        Media::Gif => Some(ImageFormat::Gif),
        Media::Mp4
        | Media::Quicktime
        | Media::Webm
        | Media::Wav
        | Media::Mp3
        | Media::Ogg
        | Media::Flac
        | Media::M4a => None,
    }
}

/// Decodes the whole picture, because a truncated one is unreadable to the tools, too.
fn picture(request: &Request) -> Result<Facts, Refusal> {
    let file = std::fs::File::open(&request.path).map_err(unreadable)?;
    let format = format_of(request.media).ok_or_else(|| unreadable("not a picture"))?;
    let mut reader = ImageReader::with_format(BufReader::new(file), format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_PX_MAX);
    limits.max_image_height = Some(SIDE_PX_MAX);
    limits.max_alloc = Some(request.memory_bytes / 2);
    // The header may promise more than is taken: look at it before anything is allocated for it.
    reader.no_limits();
    let mut decoder = reader.into_decoder().map_err(unreadable)?;
    let (width, height) = decoder.dimensions();
    check_pixels(u64::from(width), u64::from(height), request.pixels_max)?;
    decoder.set_limits(limits).map_err(unreadable)?;
    let orientation = decoder.orientation().map_err(unreadable)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(unreadable)?;
    if image.width() > request.preview_px || image.height() > request.preview_px {
        image = image.thumbnail(request.preview_px, request.preview_px);
    }
    image.apply_orientation(orientation);
    let (bytes, preview_type) = encode_preview(&image)?;
    Ok(Facts {
        width_px: i32::try_from(width).ok(),
        height_px: i32::try_from(height).ok(),
        preview: Some(STANDARD.encode(bytes)),
        preview_type: Some(preview_type.to_owned()),
        ..Facts::default()
    })
}

fn check_pixels(width: u64, height: u64, max: u64) -> Result<(), Refusal> {
    let side_max = u64::from(SIDE_PX_MAX);
    if width > side_max || height > side_max || width.saturating_mul(height) > max {
        return Err(Refusal::TooManyPixels { width, height, max });
    }
    if width == 0 || height == 0 {
        return Err(unreadable("the picture has no pixels"));
    }
    Ok(())
}

/// WebP where there is transparency, JPEG else.
fn encode_preview(image: &DynamicImage) -> Result<(Vec<u8>, &'static str), Refusal> {
    let mut bytes = Cursor::new(Vec::new());
    if image.color().has_alpha() {
        image.to_rgba8().write_to(&mut bytes, ImageFormat::WebP).map_err(unreadable)?;
        return Ok((bytes.into_inner(), "image/webp"));
    }
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, PREVIEW_QUALITY);
    image.to_rgb8().write_with_encoder(encoder).map_err(unreadable)?;
    Ok((bytes.into_inner(), "image/jpeg"))
}

#[derive(Deserialize, Default)]
struct Probed {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Container,
}

#[derive(Deserialize)]
struct Stream {
    #[serde(default)]
    codec_type: String,
    width: Option<u64>,
    height: Option<u64>,
    duration: Option<String>,
}

#[derive(Deserialize, Default)]
struct Container {
    duration: Option<String>,
}

/// Video and sound, by ffprobe where the machine has it; without, only the type is known.
fn timed(request: &Request) -> Result<Facts, Refusal> {
    let Some(ffprobe) = &request.ffprobe else { return Ok(Facts::default()) };
    let output = decoder(ffprobe, request)
        .args(["-show_entries", "format=duration:stream=codec_type,width,height,duration", "-of", "json"])
        .arg(format!("file:{}", request.path))
        .output()
        .map_err(unreadable)?;
    if !output.status.success() {
        return Err(unreadable("the file cannot be demultiplexed"));
    }
    let probed: Probed = serde_json::from_slice(&output.stdout).map_err(unreadable)?;
    let wanted = if request.media.class() == Class::Video { "video" } else { "audio" };
    let stream = probed
        .streams
        .iter()
        .find(|stream| stream.codec_type == wanted)
        .ok_or_else(|| unreadable(format!("the file has no {wanted} in it")))?;
    let mut facts = Facts {
        duration_ms: milliseconds(probed.format.duration.as_deref())
            .or_else(|| milliseconds(stream.duration.as_deref())),
        ..Facts::default()
    };
    if request.media.class() == Class::Audio {
        return Ok(facts);
    }
    let (width, height) = (stream.width.unwrap_or(0), stream.height.unwrap_or(0));
    check_pixels(width, height, request.pixels_max)?;
    facts.width_px = i32::try_from(width).ok();
    facts.height_px = i32::try_from(height).ok();
    if let Some(ffmpeg) = &request.ffmpeg {
        let frame = first_frame(ffmpeg, request)?;
        facts.preview = Some(STANDARD.encode(frame));
        facts.preview_type = Some("image/jpeg".to_owned());
    }
    Ok(facts)
}

/// A decoder that reads this file and nothing else, whatever the file asks it to open.
fn decoder(program: &str, request: &Request) -> Command {
    let mut command = Command::new(program);
    command
        .args(["-v", "error", "-protocol_whitelist", "file,pipe", "-f", request.media.demuxer()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .env_clear();
    command
}

fn first_frame(ffmpeg: &str, request: &Request) -> Result<Vec<u8>, Refusal> {
    let side = request.preview_px;
    let output = decoder(ffmpeg, request)
        .args(["-nostdin", "-threads", "1", "-i"])
        .arg(format!("file:{}", request.path))
        .args(["-map", "0:v:0", "-frames:v", "1", "-threads", "1", "-vf"])
        .arg(format!("scale='min({side},iw)':'min({side},ih)':force_original_aspect_ratio=decrease"))
        .args(["-c:v", "mjpeg", "-q:v", "4", "-pix_fmt", "yuvj420p", "-f", "image2pipe", "pipe:1"])
        .output()
        .map_err(unreadable)?;
    if !output.status.success() || output.stdout.is_empty() {
        return Err(unreadable("no frame of the video can be decoded"));
    }
    Ok(output.stdout)
}

/// ffprobe's seconds ("3.040000", or "N/A") as milliseconds.
fn milliseconds(seconds: Option<&str>) -> Option<i64> {
    const LONGEST_S: f64 = 1e9;
    let seconds: f64 = seconds?.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
    (seconds.is_finite() && (0.0..LONGEST_S).contains(&seconds)).then(|| (seconds * 1_000.0).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_care() {
        assert_eq!(milliseconds(Some("3.040000")), Some(3_040));
        for odd in ["N/A", "-1", "inf", "nan", "1e300", ""] {
            assert_eq!(milliseconds(Some(odd)), None, "{odd}");
        }
    }

    #[test]
    fn the_area_is_limited_as_well_as_the_sides() {
        assert!(check_pixels(10_000, 10_000, 100_000_000).is_ok());
        assert!(check_pixels(10_001, 10_000, 100_000_000).is_err());
        assert!(check_pixels(40_000, 1, 100_000_000).is_err());
        assert!(check_pixels(0, 1, 100_000_000).is_err());
    }
}
