"""Clips, stills and sounds become one film: H.264 and AAC in an MP4.

Speaks the command protocol (workers/README.md). Each clip is first made alike (size, frame rate, pixels,
sound) at its exact number of frames; then all are joined, with cross-fades where the cut asks for them, the
sounds are mixed, and the whole is brought to one loudness. Times are counted in whole frames: a place is
rounded once, and a length is the difference of two places.
"""

import json
import os
import subprocess
import sys

CLIPS_MAX = 64
SIDE_PX_MIN, SIDE_PX_MAX = 16, 3840
FPS_MIN, FPS_MAX = 12, 60
SAMPLE_RATE = 48_000
TRUE_PEAK_DB = -1.5
LOUDNESS_RANGE = 11
ERROR_CHARS_MAX = 600
# Most of the work is done before the last pass.
SHARE_OF_CLIPS = 0.7
# Files on this machine and nothing else: a playlist must not make us fetch anything.
PROTOCOLS = ["-protocol_whitelist", "file,pipe"]
QUIET = ["ffmpeg", "-v", "error", "-nostdin", "-y"]


class Failure(Exception):
    """What ends the job: `message` is for people, `kind` is the failure class."""

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


def main() -> int:
    try:
        request = json.load(sys.stdin)
        output = film(request.get("input") or {}, request["output_dir"])
    except Failure as failure:
        say({"error": str(failure), "class": failure.kind})
        return 1
    say({"output": [output]})
    return 0


def say(message: dict) -> None:
    print(json.dumps(message), flush=True)


def film(request: dict, folder: str) -> dict:
    cut = checked(request)
    work = os.path.join(folder, "work")
    os.makedirs(work, exist_ok=True)
    for n, clip in enumerate(cut["clips"]):
        say({"progress": round(SHARE_OF_CLIPS * n / len(cut["clips"]), 3), "note": f"clip {n + 1} of {len(cut['clips'])}"})
        make_alike(clip, cut, os.path.join(work, f"{n}.mkv"))
    say({"progress": SHARE_OF_CLIPS, "note": "joining"})
    path = os.path.join(folder, "film.mp4")
    join(cut, path)
    for clip in cut["clips"]:
        os.remove(clip["file"])
    os.rmdir(work)
    return {"name": "film.mp4", "path": path, "content_type": "video/mp4"}


def whole(request: dict, name: str, least: int, most: int) -> int:
    value = request.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Failure("invalid_input", f"{name} is a whole number between {least} and {most}")
    return value


def checked(request: dict) -> dict:
    fps = whole(request, "fps", FPS_MIN, FPS_MAX)
    width = whole(request, "width", SIDE_PX_MIN, SIDE_PX_MAX) // 2 * 2
    height = whole(request, "height", SIDE_PX_MIN, SIDE_PX_MAX) // 2 * 2
    seconds = whole(request, "seconds", 1, 600)
    loudness = request.get("loudness_lufs", -16)
    if isinstance(loudness, bool) or not isinstance(loudness, (int, float)) or not -40 <= loudness <= -5:
        raise Failure("invalid_input", "loudness_lufs is between -40 and -5")
    assets = request.get("assets")
    clips = request.get("clips")
    if not isinstance(assets, list) or not isinstance(clips, list) or not 1 <= len(clips) <= CLIPS_MAX:
        raise Failure("invalid_input", f"a film has 1 to {CLIPS_MAX} clips")
    clips = [clip_of(clip, assets, fps) for clip in clips]
    pictures = [clip for clip in clips if clip["kind"] == "video"]
    if not pictures:
        raise Failure("invalid_input", "a film has at least one clip with a picture")
    frames = max(clip["at"] + clip["frames"] for clip in pictures)
    # What was paid for is what may be made.
    if frames > (seconds + 1) * fps:
        raise Failure("invalid_input", f"the film is longer than {seconds} s")
    return {"fps": fps, "width": width, "height": height, "loudness": loudness, "clips": clips, "frames": frames}


def clip_of(clip: dict, assets: list, fps: int) -> dict:
    def ms(name: str) -> int:
        value = clip.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 14_400_000:
            raise Failure("invalid_input", f"{name} of a clip is a whole number of milliseconds")
        return value

    def frame(at_ms: int) -> int:
        return (at_ms * fps + 500) // 1000

    place = clip.get("asset")
    if not isinstance(place, int) or not 0 <= place < len(assets) or not isinstance(assets[place], str):
        raise Failure("invalid_input", "a clip names no file")
    start, end, at = ms("in_ms"), ms("out_ms"), ms("at_ms")
    return {
        "source": assets[place],
        "kind": "audio" if clip.get("kind") == "audio" else "video",
        "track": ms("track"),
        "still": clip.get("still") is True,
        "start": start / 1000,
        "at": frame(at),
        "frames": max(frame(at + end - start) - frame(at), 1),
        "fade": frame(ms("fade_ms")),
    }


def probe(path: str) -> set:
    command = ["ffprobe", "-v", "error", *PROTOCOLS, "-show_entries", "stream=codec_type", "-of", "json", path]
    try:
        found = subprocess.run(command, capture_output=True, timeout=60, check=False)
    except FileNotFoundError as error:
        raise Failure("model_error", "ffmpeg is not installed on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise Failure("invalid_input", "a file takes too long to be looked at") from error
    if found.returncode != 0:
        raise Failure("invalid_input", "a file is no picture, clip or sound, or it is damaged")
    return {stream.get("codec_type") for stream in json.loads(found.stdout).get("streams", [])}


def make_alike(clip: dict, cut: dict, path: str) -> None:
    """The clip at the film's size, rate and sound, at exactly its number of frames."""
    streams = probe(clip["source"])
    fps, length = cut["fps"], clip["frames"] / cut["fps"]
    clip["file"], clip["sounds"] = path, "audio" in streams and not clip["still"]
    wants_picture = clip["kind"] == "video"
    if wants_picture and "video" not in streams:
        raise Failure("invalid_input", "a file on the picture's track has no picture")
    command = [*QUIET]
    if clip["still"]:
        command += ["-loop", "1", "-framerate", str(fps), "-t", f"{length:.6f}"]
    else:
        command += ["-ss", f"{clip['start']:.6f}"]
    command += [*PROTOCOLS, "-i", clip["source"]]
    if not clip["sounds"]:
        command += ["-f", "lavfi", "-i", f"anullsrc=r={SAMPLE_RATE}:cl=stereo"]
    sound = "0:a:0" if clip["sounds"] else "1:a:0"
    graph = [
        f"[{sound}]aresample={SAMPLE_RATE},aformat=sample_fmts=s16:channel_layouts=stereo,"
        f"asetpts=PTS-STARTPTS,apad,atrim=0:{length:.6f}[a]"
    ]
    maps = ["-map", "[a]", "-c:a", "pcm_s16le"]
    if wants_picture:
        width, height = cut["width"], cut["height"]
        graph.append(
            f"[0:v:0]setpts=PTS-STARTPTS,fps={fps},"
            f"scale={width}:{height}:force_original_aspect_ratio=decrease:flags=lanczos,"
            f"pad={width}:{height}:(ow-iw)/2:(oh-ih)/2:black,setsar=1,format=yuv420p,"
            f"tpad=stop_mode=clone:stop=-1[v]"
        )
        maps = ["-map", "[v]", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "12",
                "-frames:v", str(clip["frames"])] + maps  # fmt: skip
    run([*command, "-filter_complex", ";".join(graph), *maps, "-t", f"{length:.6f}", path], "a clip cannot be read")


def join(cut: dict, path: str) -> None:
    """All clips of a track one after another; then the sounds of all tracks on top of each other."""
    fps, clips = cut["fps"], cut["clips"]
    command = [*QUIET, "-progress", "pipe:1"]
    graph = []
    for n, clip in enumerate(clips):
        command += [*PROTOCOLS, "-i", clip["file"]]
        if clip["kind"] == "video":
            graph.append(f"[{n}:v:0]settb=1/{fps}[v{n}]")
        graph.append(f"[{n}:a:0]asettb=1/{SAMPLE_RATE}[a{n}]")
    tracks: dict = {}
    for n, clip in enumerate(clips):
        tracks.setdefault((clip["kind"] != "video", clip["track"]), []).append(n)
    sounds = []
    for name, ((is_sound, _), members) in enumerate(sorted(tracks.items())):
        first, rest = members[0], members[1:]
        picture, sound, frames = f"v{first}", f"a{first}", clips[first]["frames"]
        for n in rest:
            fade = min(clips[n]["fade"], clips[n]["frames"], frames)
            if fade > 0:
                if not is_sound:
                    offset = (frames - fade) / fps
                    graph.append(
                        f"[{picture}][v{n}]xfade=transition=fade:duration={fade / fps:.6f}:offset={offset:.6f},"
                        f"settb=1/{fps}[x{n}]"
                    )
                graph.append(f"[{sound}][a{n}]acrossfade=d={fade / fps:.6f}:c1=tri:c2=tri[y{n}]")
            else:
                if not is_sound:
                    graph.append(f"[{picture}][v{n}]concat=n=2:v=1:a=0,settb=1/{fps}[x{n}]")
                graph.append(f"[{sound}][a{n}]concat=n=2:v=0:a=1[y{n}]")
            picture, sound = f"x{n}", f"y{n}"
            frames += clips[n]["frames"] - fade
        if not is_sound and not sounds:
            graph.append(f"[{picture}]null[picture]")
        elif not is_sound:
            raise Failure("invalid_input", "a film has one track of pictures")
        sounds.append(f"[{sound}]")
    length = cut["frames"] / fps
    mix = "".join(sounds)
    graph.append(
        f"{mix}amix=inputs={len(sounds)}:duration=longest:normalize=0,apad,atrim=0:{length:.6f}[mixed]"
    )
    if any(clip["sounds"] for clip in clips):
        graph.append(
            f"[mixed]loudnorm=I={cut['loudness']}:TP={TRUE_PEAK_DB}:LRA={LOUDNESS_RANGE},"
            f"aresample={SAMPLE_RATE},aformat=channel_layouts=stereo[sound]"
        )
    else:
        # Silence has no loudness that could be raised.
        graph.append("[mixed]aformat=channel_layouts=stereo[sound]")
    command += [
        "-filter_complex", ";".join(graph), "-map", "[picture]", "-map", "[sound]",
        "-r", str(fps), "-frames:v", str(cut["frames"]), "-t", f"{length:.6f}",
        "-c:v", "libx264", "-preset", "medium", "-crf", "19", "-pix_fmt", "yuv420p",
        "-c:a", "aac", "-b:a", "192k", "-movflags", "+faststart", path,
    ]  # fmt: skip
    encode(command, cut["frames"])


def encode(command: list, frames: int) -> None:
    """Runs the last pass and tells how far it is."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as encoder:
        for line in encoder.stdout:
            name, _, value = line.strip().partition("=")
            if name == "frame" and value.isdigit():
                done = min(int(value) / frames, 1)
                say({"progress": round(SHARE_OF_CLIPS + (0.99 - SHARE_OF_CLIPS) * done, 3), "note": "encoding"})
        errors = encoder.stderr.read()
    if encoder.returncode != 0:
        raise Failure("model_error", f"the encoder failed: {errors[-ERROR_CHARS_MAX:]}")


def run(command: list, what: str) -> None:
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        raise Failure("invalid_input", f"{what}: {done.stderr.decode(errors='replace')[-ERROR_CHARS_MAX:]}")


if __name__ == "__main__":
    sys.exit(main())
