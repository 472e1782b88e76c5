"""A photograph becomes a clip with a camera move: H.264, 24 frames a second.

Speaks the command protocol (workers/README.md): one JSON object on standard input, JSON lines on standard
output. Each frame is cut from the photograph at fractions of a pixel and resampled, which moves smoothly;
ffmpeg's own zoompan rounds to whole pixels and jitters. ffmpeg encodes.
"""

import json
import math
import subprocess
import sys

from PIL import Image, ImageOps, UnidentifiedImageError

FRAMES_PER_SECOND = 24
SECONDS_MIN, SECONDS_MAX = 1, 8
LONG_SIDE_PX = 1280
SIZES = {"16:9": (1280, 720), "9:16": (720, 1280), "1:1": (960, 960)}
MOVES = ("zoom_in", "zoom_out", "pan_left", "pan_right")
# How much closer the camera comes, and how close it stays while it pans.
ZOOM = 1.22
PAN_ZOOM = 1.12
# A pan covers at most this share of the frame's width in a second: faster is hard to watch.
PAN_SPEED_MAX = 0.2
# Where cuts sit between top (0) and bottom (1). A picture that is too high for the frame is cut mostly from
# below, and the camera comes closer towards the upper half: there the faces are.
CROP_ANCHOR_Y = 0.15
ZOOM_ANCHOR_Y = 0.35
SOURCE_SIDE_PX_MIN = 16
SOURCE_PIXELS_MAX = 120_000_000
# Beyond this the frame of "original" would be a strip.
ASPECT_MAX = 4.0
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
ERROR_CHARS_MAX = 600


class Failure(Exception):
    """What ends the job: `message` is for people, `kind` is the failure class."""

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


def main() -> int:
    try:
        request = json.load(sys.stdin)
        output = animate(request.get("input") or {}, request["output_dir"])
    except Failure as failure:
        say({"error": str(failure), "class": failure.kind})
        return 1
    say({"output": [output]})
    return 0


def say(message: dict) -> None:
    print(json.dumps(message), flush=True)


def animate(request: dict, folder: str) -> dict:
    move, aspect, seconds = checked(request)
    picture = read(request.get("image"))
    size = frame_size(picture, aspect)
    frames = round(seconds * FRAMES_PER_SECOND)
    picture = shrink(picture, size)
    say({"log": f"{move}, {frames} frames of {size[0]}x{size[1]}"})
    path = f"{folder}/clip.mp4"
    encode(picture, size, frames, move, seconds, path)
    return {"name": "clip.mp4", "path": path, "content_type": "video/mp4"}


def checked(request: dict):
    move = request.get("move", "zoom_in")
    aspect = request.get("aspect", "16:9")
    seconds = request.get("seconds", 3)
    if move not in MOVES:
        raise Failure("invalid_input", f"move is one of {', '.join(MOVES)}")
    if aspect != "original" and aspect not in SIZES:
        raise Failure("invalid_input", f"aspect is one of {', '.join(SIZES)}, original")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not SECONDS_MIN <= seconds <= SECONDS_MAX:
        raise Failure("invalid_input", f"seconds is between {SECONDS_MIN} and {SECONDS_MAX}")
    return move, aspect, seconds


def read(path) -> Image.Image:
    """The picture upright, on white where it is transparent."""
    if not isinstance(path, str):
        raise Failure("invalid_input", "image is missing")
    try:
        picture = Image.open(path, formats=FORMATS)
        if picture.width * picture.height > SOURCE_PIXELS_MAX:
            raise Failure("invalid_input", f"the picture has more than {SOURCE_PIXELS_MAX // 1_000_000} megapixels")
        picture = ImageOps.exif_transpose(picture)
        if "A" in picture.getbands() or "transparency" in picture.info:
            picture = picture.convert("RGBA")
            white = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(white, picture)
        picture = picture.convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Failure(
            "invalid_input", "the file is not a JPEG, PNG, WebP or GIF picture, or it is damaged"
        ) from error
    if min(picture.size) < SOURCE_SIDE_PX_MIN:
        raise Failure("invalid_input", f"the picture is smaller than {SOURCE_SIDE_PX_MIN} pixels on one side")
    return picture


def frame_size(picture: Image.Image, aspect: str) -> tuple[int, int]:
    """Even, as H.264 with 4:2:0 colour needs."""
    if aspect in SIZES:
        return SIZES[aspect]
    ratio = picture.width / picture.height
    if not 1 / ASPECT_MAX <= ratio <= ASPECT_MAX:
        raise Failure("invalid_input", f"the picture is more than {ASPECT_MAX:g} times as long as wide: choose an aspect")
    width = LONG_SIDE_PX if ratio >= 1 else LONG_SIDE_PX * ratio
    height = LONG_SIDE_PX if ratio <= 1 else LONG_SIDE_PX / ratio
    return round(width / 2) * 2, round(height / 2) * 2


def shrink(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Once, with the best filter, to what the closest frame needs: then every frame is cheap."""
    factor = max(size[0] / picture.width, size[1] / picture.height) * ZOOM
    if factor >= 1:
        return picture
    shrunk = (math.ceil(picture.width * factor), math.ceil(picture.height * factor))
    return picture.resize(shrunk, Image.Resampling.LANCZOS, reducing_gap=3.0)


def camera(picture: Image.Image, size: tuple[int, int], move: str, seconds: float, at: float):
    """The cut of the picture that the frame shows at `at` (0 to 1): left, top, right, bottom."""
    eased = 0.5 - 0.5 * math.cos(math.pi * at)
    ratio = size[0] / size[1]
    wide = min(picture.width, picture.height * ratio)
    high = wide / ratio
    crop_top = (picture.height - high) * CROP_ANCHOR_Y
    if move in ("zoom_in", "zoom_out"):
        # By powers: to the eye the speed stays the same.
        close = ZOOM ** (eased if move == "zoom_in" else 1 - eased)
        width = wide / close
        left = (picture.width - width) / 2
    else:
        width = wide / PAN_ZOOM
        travel = min(picture.width - width, PAN_SPEED_MAX * seconds * width)
        start = (picture.width - width - travel) / 2
        left = start + travel * (eased if move == "pan_right" else 1 - eased)
    height = width / ratio
    top = crop_top + (high - height) * ZOOM_ANCHOR_Y
    # Rounding may lead out of the picture by less than a millionth of a pixel, which resampling refuses.
    left, top = max(left, 0.0), max(top, 0.0)
    return left, top, min(left + width, picture.width), min(top + height, picture.height)


def encode(picture, size, frames: int, move: str, seconds: float, path: str) -> None:
    command = [
        "ffmpeg", "-v", "error", "-nostdin", "-y",
        "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", str(FRAMES_PER_SECOND),
        "-i", "pipe:0",
        "-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p",
        "-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709",
        "-c:v", "libx264", "-preset", "medium", "-crf", "18", "-movflags", "+faststart", path,
    ]  # fmt: skip
    try:
        encoder = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    except FileNotFoundError as error:
        raise Failure("model_error", "ffmpeg is not installed on this machine") from error
    try:
        for frame in range(frames):
            box = camera(picture, size, move, seconds, frame / max(frames - 1, 1))
            cut = picture.resize(size, Image.Resampling.BICUBIC, box=box)
            encoder.stdin.write(cut.tobytes())
            if frame % (FRAMES_PER_SECOND // 4) == 0:
                say({"progress": round(0.98 * frame / frames, 3), "note": f"frame {frame + 1} of {frames}"})
    except BrokenPipeError:
        pass  # Why the encoder left is what it says below.
    _, errors = encoder.communicate()
    if encoder.returncode != 0:
        raise Failure("model_error", f"the encoder failed: {errors.decode(errors='replace')[-ERROR_CHARS_MAX:]}")


if __name__ == "__main__":
    sys.exit(main())
