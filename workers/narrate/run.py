"""English text becomes speech: a WAV file, one channel, 24 kHz, 16 bits.

Speaks the command protocol (workers/README.md). hibari-tts ships one voice inside its package, "heart"
(American English); its other voices would be downloaded, which a worker never does.
"""

import json
import sys
import unicodedata
import wave

import numpy

VOICES = ("heart",)
TEXT_CHARS_MAX = 5_000
SPEED_MIN, SPEED_MAX = 0.5, 2.0
# The noise in the voice is drawn from this seed, so that the same text is the same sound.
SEED = 7
# Silence after a sentence, as a reader breathes.
PAUSE_S = 0.18
# The loudest sample, so that nothing clips when a film is mixed.
PEAK = 0.89


class Failure(Exception):
    """What ends the job: `message` is for people, `kind` is the failure class."""

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


def main() -> int:
    try:
        request = json.load(sys.stdin)
        output = narrate(request.get("input") or {}, request["output_dir"])
    except Failure as failure:
        say({"error": str(failure), "class": failure.kind})
        return 1
    say({"output": [output]})
    return 0


def say(message: dict) -> None:
    print(json.dumps(message), flush=True)


def narrate(request: dict, folder: str) -> dict:
    text, voice, speed = checked(request)
    # Imported late: a refused input does not wait for the libraries.
    from hibari import Hibari

    speaker = Hibari(voice=voice)
    sentences = speaker.phonemize(text)
    if not sentences:
        raise Failure("invalid_input", "the text has no words that can be read aloud")
    noise = numpy.random.default_rng(SEED)
    pause = numpy.zeros(round(PAUSE_S * speaker.sample_rate), numpy.float32)
    parts = []
    for done, phonemes in enumerate(sentences):
        say({"progress": round(0.95 * done / len(sentences), 3), "note": f"sentence {done + 1} of {len(sentences)}"})
        parts += [speaker.from_ids(speaker.ids(phonemes), speed, noise), pause]
    path = f"{folder}/narration.wav"
    seconds = write(path, numpy.concatenate(parts), speaker.sample_rate)
    say({"log": f"{len(sentences)} sentences, {seconds:.1f} s of speech"})
    return {"name": "narration.wav", "path": path, "content_type": "audio/wav"}


def checked(request: dict):
    text = request.get("text")
    voice = request.get("voice", "heart")
    speed = request.get("speed", 1)
    if not isinstance(text, str) or not text.strip():
        raise Failure("invalid_input", "text is missing")
    if len(text) > TEXT_CHARS_MAX:
        raise Failure("invalid_input", f"text has at most {TEXT_CHARS_MAX} characters")
    if voice not in VOICES:
        raise Failure("invalid_input", f"voice is one of {', '.join(VOICES)}")
    if isinstance(speed, bool) or not isinstance(speed, (int, float)) or not SPEED_MIN <= speed <= SPEED_MAX:
        raise Failure("invalid_input", f"speed is between {SPEED_MIN} and {SPEED_MAX}")
    text = unicodedata.normalize("NFKC", text)
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text), voice, speed


def write(path: str, sound, rate: int) -> float:
    loudest = float(numpy.abs(sound).max(initial=0.0))
    if not loudest > 0.0:
        raise Failure("model_error", "the voice gave no sound for this text")
    samples = (sound * (PEAK / loudest) * 32767).astype("<i2")
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return len(samples) / rate


if __name__ == "__main__":
    sys.exit(main())
