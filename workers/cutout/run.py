"""Cuts people out of a photograph: a PNG with a transparent background.

Speaks the command protocol (workers/README.md). The network is MediaPipe's selfie segmentation (Apache-2.0),
a file of 250 KB that scripts/setup-workers takes out of MediaPipe's wheel; OpenCV runs it. It sees the picture
at 256x256 pixels, so its mask is fitted to the edges of the full picture by a guided filter (He, Sun, Tang:
"Guided Image Filtering", 2010). It knows people and nothing else: a picture without any is refused.
"""

import json
import pathlib
import sys

import cv2
import numpy
from PIL import Image, ImageOps, UnidentifiedImageError

MODEL = pathlib.Path(sys.prefix) / "share" / "backlot" / "selfie_segmentation.tflite"
NETWORK_SIDE_PX = 256
SOURCE_SIDE_PX_MIN = 32
SOURCE_PIXELS_MAX = 50_000_000
# Radius of the guided filter as a share of the longer side: about two cells of the network's mask.
RADIUS_SHARE = 1 / 128
EPSILON = 1e-4
# What is below the first value is background, what is above the second is a person; between, it is mixed.
EDGES = {"soft": (0.15, 0.85), "crisp": (0.4, 0.6)}
# With fewer pixels than this share there is nobody in the picture.
PERSON_SHARE_MIN = 0.005
FORMATS = ("JPEG", "PNG", "WEBP")
PNG_COMPRESS_LEVEL = 3


class Failure(Exception):
    """What ends the job: `message` is for people, `kind` is the failure class."""

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


def main() -> int:
    try:
        request = json.load(sys.stdin)
        if "batch" in request:
            return cut_out_all(request["batch"])
        output = cut_out(request.get("input") or {}, request["output_dir"])
    except Failure as failure:
        say({"error": str(failure), "class": failure.kind})
        return 1
    say({"output": [output]})
    return 0


def cut_out_all(requests: list) -> int:
    """Several pictures in one process: what it takes to start one is most of a run."""
    for member, request in enumerate(requests):
        about = {"member": member}
        try:
            output = cut_out(request.get("input") or {}, request["output_dir"], about)
        except Failure as failure:
            say({"error": str(failure), "class": failure.kind, **about})
        else:
            say({"output": [output], **about})
    return 0


def say(message: dict) -> None:
    print(json.dumps(message), flush=True)


def cut_out(request: dict, folder: str, about: dict | None = None) -> dict:
    edge = request.get("edge", "soft")
    if edge not in EDGES:
        raise Failure("invalid_input", f"edge is one of {', '.join(EDGES)}")
    picture = read(request.get("image"))
    pixels = numpy.asarray(picture)
    about = about or {}
    say({"progress": 0.1, "note": "looking for people", **about})
    mask = person_mask(pixels)
    say({"progress": 0.4, "note": "fitting the edges", **about})
    alpha = sharpen(fit(mask, pixels), *EDGES[edge])
    if float((alpha > 0.5).mean()) < PERSON_SHARE_MIN:
        raise Failure("invalid_input", "no person was found in the picture; this tool cuts out people")
    say({"progress": 0.8, "note": "encoding", **about})
    picture.putalpha(Image.fromarray((alpha * 255).round().astype(numpy.uint8)))
    path = f"{folder}/cutout.png"
    picture.save(path, compress_level=PNG_COMPRESS_LEVEL)
    return {"name": "cutout.png", "path": path, "content_type": "image/png"}


def read(path) -> Image.Image:
    if not isinstance(path, str):
        raise Failure("invalid_input", "image is missing")
    try:
        picture = Image.open(path, formats=FORMATS)
        if picture.width * picture.height > SOURCE_PIXELS_MAX:
            raise Failure("invalid_input", f"the picture has more than {SOURCE_PIXELS_MAX // 1_000_000} megapixels")
        picture = ImageOps.exif_transpose(picture).convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Failure("invalid_input", "the file is not a JPEG, PNG or WebP picture, or it is damaged") from error
    if min(picture.size) < SOURCE_SIDE_PX_MIN:
        raise Failure("invalid_input", f"the picture is smaller than {SOURCE_SIDE_PX_MIN} pixels on one side")
    return picture


def person_mask(pixels):
    """The network's mask, 0 to 1, in the picture's own proportions and the network's resolution."""
    if not MODEL.is_file():
        raise Failure("model_error", f"{MODEL} is missing: run scripts/setup-workers")
    network = cv2.dnn.readNetFromTFLite(str(MODEL))
    height, width = pixels.shape[:2]
    scale = NETWORK_SIDE_PX / max(height, width)
    small_size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, small_size, interpolation=cv2.INTER_AREA)
    below, beside = NETWORK_SIDE_PX - small_size[1], NETWORK_SIDE_PX - small_size[0]
    square = cv2.copyMakeBorder(small, 0, below, 0, beside, cv2.BORDER_REPLICATE)
    network.setInput(cv2.dnn.blobFromImage(square, 1 / 255))
    mask = network.forward().reshape(NETWORK_SIDE_PX, NETWORK_SIDE_PX)
    return mask[: small_size[1], : small_size[0]]


def fit(mask, pixels):
    """The mask at the picture's size, with its edges where the picture's are."""
    height, width = pixels.shape[:2]
    large = cv2.resize(mask, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1).astype(numpy.float32)
    guide = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(numpy.float32) / 255
    side = 2 * max(2, round(max(height, width) * RADIUS_SHARE)) + 1

    def mean(values):
        return cv2.blur(values, (side, side))

    mean_guide, mean_mask = mean(guide), mean(large)
    slope = (mean(guide * large) - mean_guide * mean_mask) / (mean(guide * guide) - mean_guide**2 + EPSILON)
    return mean(slope) * guide + mean(mean_mask - slope * mean_guide)


def sharpen(mask, low: float, high: float):
    return ((mask - low) / (high - low)).clip(0, 1)


if __name__ == "__main__":
    sys.exit(main())
