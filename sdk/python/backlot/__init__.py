"""A tool for Backlot in a dozen lines of Python.

    from backlot import Number, Picture, preview, progress, tool
    from PIL import Image, ImageOps

    @tool(label="Sepia", price=20_000)
    def sepia(picture: Picture(), strength: Number(0, 1) = 0.8):
        "Makes a photograph look old."
        photo = Image.open(picture).convert("RGB")
        old = ImageOps.colorize(ImageOps.grayscale(photo), "#2b1a0c", "#f5e6c8")
        progress(0.5, "toning")
        preview(old)
        return Image.blend(photo, old, strength)

    if __name__ == "__main__":
        sepia.main()

The annotations are the form, the price is what a person pays, and the returned picture or path is the result.
`python sepia.py --picture photo.jpg --strength 0.5` runs it here, where this library is on Python's path; saved in a
studio's extensions folder, the same file is a tool of the studio. Nothing but the standard library is needed, and Pillow where pictures are returned.
"""

from __future__ import annotations

import argparse
import base64
import inspect
import io
import json
import math
import mimetypes
import os
import pathlib
import select
import shutil
import sys
import threading
import traceback
import types

from .fields import Asset, Choice, Clip, Number, Parameter, Picture, Sound, Switch, Text, Whole, parameter_of

__all__ = [
    "Asset", "Choice", "Clip", "InvalidInput", "Number", "Picture", "Sound", "Switch", "Text", "Tool", "Whole",
    "preview", "progress", "tool",
]  # fmt: skip
__version__ = "0.1.0"

# Longest side of a preview and its largest size: it travels with the progress of a job.
PREVIEW_SIDE_PX = 256
PREVIEW_BYTES_MAX = 24_000
# Longest texts that are said: a line of the protocol has at most 64 KiB, a longer one is no message.
NOTE_CHARS_MAX = 200
ERROR_CHARS_MAX = 2_000


class InvalidInput(ValueError):
    """The caller's mistake: the message is shown to them, and nothing is charged."""


class Tool:
    """A function that is a tool."""

    def __init__(self, function, **facts):
        self.function, self.facts = function, facts
        self.pausable = bool(facts.get("pausable"))
        self.batch = facts.get("batch")
        self.many = None
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            raise TypeError("a tool is a plain function: not async, and it returns its result")
        self.name = function.__name__.replace("_", "-")
        self.parameters: dict[str, Parameter] = {}
        self.defaults: dict[str, object] = {}
        signature = inspect.signature(function, eval_str=True)
        for name, parameter in signature.parameters.items():
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise TypeError(f'parameter "{name}": a tool takes named parameters only')
            self.parameters[name] = field = parameter_of(name, parameter.annotation)
            try:
                field.check()
            except TypeError as error:
                raise TypeError(f'parameter "{name}": {error}') from None
            if parameter.default is not parameter.empty:
                self.defaults[name] = parameter.default
                wrong = parameter.default is not None and field.wrong(parameter.default)
                if wrong:
                    raise TypeError(f'parameter "{name}": its default {parameter.default!r} {wrong}')

    def __call__(self, *arguments, **named):
        return self.function(*arguments, **named)

    def together(self, function):
        """Makes a function the one that runs several jobs in one call: it takes a list of inputs, each with the tool's
        parameters as attributes, and returns a list of results in their order. A result that is an exception is that
        job's failure; the others keep theirs."""
        if not self.batch:
            raise TypeError(f"{self.name}: say how many it takes, @tool(batch=4)")
        self.many = function
        return function

    def check(self) -> None:
        """Raises what is wrong with how it takes several jobs in one call."""
        if not self.batch:
            return
        if self.many is None:
            raise TypeError(f"@tool(batch=...) needs @{self.function.__name__}.together on a function of a list of inputs")
        unknown = [name for name in self.batch["key"] if name not in self.parameters]
        if unknown:
            raise TypeError(f'batch_key names "{unknown[0]}", which is no parameter')

    def schema(self) -> dict:
        """JSON Schema of the input, with the form's hints."""
        properties = {}
        for order, (name, parameter) in enumerate(self.parameters.items(), 1):
            schema = parameter.schema()
            schema["x-ui"]["order"] = order
            schema["title"] = parameter.title or name.replace("_", " ").capitalize()
            if parameter.help:
                schema["description"] = parameter.help
            # None is how the function says that nothing was given; a form has no word for it.
            if self.defaults.get(name) is not None:
                schema["default"] = parameter.said(self.defaults[name])
            properties[name] = schema
        required = [name for name in self.parameters if name not in self.defaults]
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "additionalProperties": False,
            "required": required,
            "properties": properties,
        }

    def manifest(self) -> dict:
        """What a studio needs to know about it."""
        facts = dict(self.facts)
        price = facts.pop("price")
        lines = [{"label": "Run", "amount": price}] if isinstance(price, int) else price
        makes = facts.pop("makes")
        if not self.batch:
            facts.pop("batch", None)
        return {
            "name": self.name,
            "label": facts.pop("label") or self.name.replace("-", " ").capitalize(),
            "description": inspect.getdoc(self.function) or "",
            "category": facts.pop("category") or makes[0].split("/")[0],
            "input": self.schema(),
            "makes": makes,
            "price": lines,
            **facts,
        }

    def main(self) -> None:
        """Runs it on this machine, with its parameters as options."""
        parser = argparse.ArgumentParser(description=inspect.getdoc(self.function), conflict_handler="resolve")
        parser.add_argument("--out", dest="_out", default=".", help="folder for the result (default: here)")
        parser.add_argument("--manifest", dest="_manifest", action="store_true", help="print the manifest and end")
        for name, parameter in self.parameters.items():
            option, help = f"--{name.replace('_', '-')}", parameter.help.replace("%", "%%") or None
            parser.add_argument(option, dest=name, type=parameter.read, help=help)
        options = vars(parser.parse_args())
        if options.pop("_manifest", False):
            print(json.dumps(self.manifest(), indent=2))
            return
        out = pathlib.Path(options.pop("_out", "."))
        out.mkdir(parents=True, exist_ok=True)
        given = {name: value for name, value in options.items() if value is not None}
        missing = [name for name in self.parameters if name not in given and name not in self.defaults]
        if missing:
            parser.error(f"needs {', '.join('--' + name.replace('_', '-') for name in missing)}")
        for name, value in given.items():
            wrong = self.parameters[name].wrong(value)
            if wrong:
                parser.error(f"--{name.replace('_', '-')} {wrong}")
        try:
            result = self.function(**given)
        except InvalidInput as error:
            parser.error(str(error))
        for output in collect(result, out, self.name, self.facts["makes"]):
            print(output["path"])


def tool(
    label: str = "",
    price=10_000,
    makes="image/png",
    category: str = "",
    seconds: float = 2.0,
    timeout: int = 600,
    memory_mib: int = 500,
    gpus: int = 0,
    max_outputs: int = 1,
    pausable: bool = False,
    batch: int = 1,
    batch_key=(),
    batch_memory_mib: int = 0,
    batch_more: float = 0.0,
):
    """Makes a function a tool.

    price: micro-credits of a run, or lines such as [{"label": "Pixels", "amount": 10000,
    "times": [{"megapixels": "picture"}]}]. makes: media type of the result, or several. seconds: how long a typical
    run takes; the studio learns the real time. timeout: seconds after which a run is stopped. pausable: each call of
    progress() is a step after which the tool may be held, its memory kept, while its machine runs something short. batch:
    how many jobs it takes in one call, by the function with @NAME.together. batch_key: parameters that must be equal in
    one call. batch_memory_mib: memory that each job after the first takes. batch_more: what each after the first adds to the
    time, as a share of what one takes; a first guess (0: not known), the studio learns the rest.
    """

    if callable(label):
        raise TypeError("write @tool(), with its brackets")
    lines = [{"amount": price}] if isinstance(price, int) else price
    amounts = [line.get("amount") if isinstance(line, dict) else None for line in lines] if isinstance(lines, list) else [None]
    if not amounts or not all(isinstance(amount, int) and not isinstance(amount, bool) for amount in amounts):
        raise TypeError("price is a whole number of micro-credits (20_000 is 0.02 credits), or a list of lines with an amount")
    kinds = [makes] if isinstance(makes, str) else list(makes)
    if not kinds or not all(isinstance(kind, str) and kind.count("/") == 1 for kind in kinds):
        raise TypeError('makes is a media type such as "image/png", or several')

    def decorate(function) -> Tool:
        return Tool(
            function,
            label=label,
            price=price,
            makes=kinds,
            category=category,
            seconds=float(seconds),
            timeout=int(timeout),
            memory_mib=int(memory_mib),
            gpus=int(gpus),
            max_outputs=int(max_outputs),
            pausable=bool(pausable),
            batch={"max": int(batch), "key": [str(name) for name in batch_key], "memory_mib": int(batch_memory_mib), "more_permille": round(1000 * batch_more)}
            if int(batch) > 1
            else None,
        )

    return decorate


# Where progress goes: JSON lines for a studio, words for a person.
_speaks_json = False


_stdout = sys.stdout
_saying = threading.Lock()


def _say(message: dict) -> None:
    # One line at once: a tool may have threads.
    with _saying:
        _stdout.write(json.dumps(message) + "\n")
        _stdout.flush()


def _text(words, chars_max: int) -> str:
    """Words that every reader of JSON takes, and not too many of them."""
    text = str(words).encode("utf-8", "replace").decode()
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"


def _misused(what: str, error: BaseException) -> None:
    print(f"backlot: {what} is left out: {type(error).__name__}: {error}", file=sys.stderr)


class _Studio:
    """What the studio says while a pausable tool runs: the lines that follow the request on standard input."""

    def __init__(self, rest: bytes, file: int = 0):
        self.rest, self.file, self.hold, self.ended = rest, file, False, False

    def listen(self, wait: bool) -> None:
        """Reads what was said; with wait, until something is."""
        while not self.ended and select.select([self.file], [], [], None if wait else 0)[0]:
            said = os.read(self.file, 4096)
            self.ended, self.rest, wait = not said, self.rest + said, False
        *lines, self.rest = self.rest.split(b"\n")
        for line in filter(None, lines):
            order = json.loads(line)
            self.hold = bool(order.get("pause")) if "pause" in order or "resume" in order else self.hold
        # Nobody is left who could say that it goes on.
        self.hold = self.hold and not self.ended

    def stand_aside(self) -> None:
        """Holds the tool for as long as the studio wants."""
        self.listen(wait=False)
        if not self.hold:
            return
        _say({"paused": True})
        while self.hold:
            self.listen(wait=True)
        _say({"paused": False})


_studio: _Studio | None = None


def _request() -> tuple[dict, bytes]:
    """The request on standard input, and what was read behind it: a line where the input stays open, else all of it."""
    text = b""
    while b"\n" not in text:
        more = os.read(0, 65_536)
        if not more:
            break
        text += more
    line, _, rest = text.partition(b"\n")
    return json.loads(line), rest


def progress(fraction: float, note: str = "", member: int | None = None) -> None:
    """Says how much is done, from 0 to 1, and what is being done. A pausable tool may be held here for a while.

    member: which job of a call of several, counted from 0; without it, all of them.
    """
    try:
        done, said = float(fraction), _of(member)
        if not math.isfinite(done):
            raise ValueError(f"{fraction} is not from 0 to 1")
    except (TypeError, ValueError) as error:
        # What only shows how it goes costs nobody the result.
        return _misused("progress", error)
    if _speaks_json:
        _say({"progress": min(max(done, 0.0), 1.0), "note": _text(note, NOTE_CHARS_MAX), **said})
        if _studio is not None:
            _studio.stand_aside()
    else:
        print(f"{done:4.0%} {note}", file=sys.stderr)


def _of(member: int | None) -> dict:
    return {} if member is None else {"member": int(member)}


def preview(picture, member: int | None = None) -> None:
    """Shows how the picture looks so far: a Pillow picture, small enough to travel with the progress."""
    try:
        if not hasattr(picture, "convert") or not hasattr(picture, "thumbnail"):
            raise TypeError(f"{type(picture).__name__} is no Pillow picture")
        if _speaks_json:
            _show(picture, _of(member))
        else:
            print(f"     preview of {picture.width}x{picture.height}", file=sys.stderr)
    except Exception as error:  # noqa: BLE001 - what only shows how it goes costs nobody the result
        _misused("a preview", error)


def _show(picture, of: dict) -> None:
    small = picture.convert("RGB")
    small.thumbnail((PREVIEW_SIDE_PX, PREVIEW_SIDE_PX))
    for quality in (75, 50, 25):
        buffer = io.BytesIO()
        small.save(buffer, format="JPEG", quality=quality)
        if buffer.tell() <= PREVIEW_BYTES_MAX:
            encoded = base64.b64encode(buffer.getvalue()).decode()
            _say({"preview": f"data:image/jpeg;base64,{encoded}", **of})
            return


# How a returned picture is written, by what the tool makes.
FORMATS = {"image/png": (".png", None), "image/jpeg": (".jpg", "RGB"), "image/webp": (".webp", None)}


def collect(result, folder: pathlib.Path, name: str, makes=()) -> list[dict]:
    """The files of a result: a Pillow picture, a path, or a list of them."""
    ending, mode = next((FORMATS[kind] for kind in makes if kind in FORMATS), FORMATS["image/png"])
    results = list(result) if isinstance(result, (list, tuple)) else [result]
    if not results or any(one is None for one in results):
        raise TypeError("the tool returned nothing; return a picture or the path of a file")
    outputs = []
    for n, one in enumerate(results):
        suffix = f"-{n + 1}" if len(results) > 1 else ""
        if hasattr(one, "save") and hasattr(one, "size"):
            path = folder / f"{name}{suffix}{ending}"
            (one.convert(mode) if mode and one.mode != mode else one).save(path)
        elif isinstance(one, (str, os.PathLike)):
            source = pathlib.Path(one)
            path = folder / f"{name}{suffix}{source.suffix}"
            if source.resolve() != path.resolve():
                shutil.copyfile(source, path)
        else:
            raise TypeError(f"the tool returned {type(one).__name__}; return a picture or the path of a file")
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        outputs.append({"name": path.name, "path": str(path), "content_type": kind})
    return outputs


def load(file: str) -> Tool:
    """The one tool of a Python file."""
    import importlib.util

    path = pathlib.Path(file).resolve()
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(f"backlot_tool_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    tools = {id(value): value for value in vars(module).values() if isinstance(value, Tool)}
    # One that it imports from another file is that file's.
    tools = {key: value for key, value in tools.items() if value.function.__module__ == spec.name} or tools
    if len(tools) != 1:
        raise TypeError(f"{path.name} has {len(tools)} functions with @tool; it needs exactly one")
    one = next(iter(tools.values()))
    one.check()
    return one


def describe(file: str) -> int:
    """Prints the manifest of a file's tool as JSON, or what is wrong with the file and in which line."""
    try:
        # What the file prints while it is loaded is not the manifest.
        sys.stdout = sys.stderr
        manifest = load(file).manifest()
        text = json.dumps({"manifest": manifest})
    except BaseException as error:  # noqa: BLE001 - whatever a person's file raises is theirs to read
        print(json.dumps({"error": _text(words(error), ERROR_CHARS_MAX), "line": line_of(error, file)}), file=_stdout)
        return 1
    print(text, file=_stdout)
    return 0


def words(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    return f"{type(error).__name__}: {error}"


def line_of(error: BaseException, file: str):
    """The last line of the person's own file that the error passed through."""
    path = pathlib.Path(file).resolve()
    if isinstance(error, SyntaxError) and error.filename and pathlib.Path(error.filename).resolve() == path:
        return error.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if pathlib.Path(frame.filename) == path]
    return lines[-1] if lines else None


def _given(one: Tool, request: dict) -> dict:
    """What of a request's input the tool takes."""
    given = {name: value for name, value in (request.get("input") or {}).items() if name in one.parameters}
    return {name: one.parameters[name].given(value) for name, value in given.items()}


def _failure(error: BaseException, file: str) -> dict:
    if isinstance(error, InvalidInput):
        return {"error": _text(error, ERROR_CHARS_MAX) or "The tool does not take this input.", "class": "invalid_input"}
    traceback.print_exception(error)
    line = line_of(error, file)
    where = f" ({pathlib.Path(file).name}, line {line})" if line else ""
    return {"error": _text(words(error), ERROR_CHARS_MAX) + where, "class": "model_error"}


def _serve_together(one: Tool, requests: list, file: str) -> None:
    """Several jobs in one call; each has its own last word."""
    inputs = [types.SimpleNamespace(**{**one.defaults, **_given(one, request)}) for request in requests]
    results = list(one.many(inputs))
    if len(results) != len(requests):
        raise TypeError(f"the tool returned {len(results)} results for {len(requests)} jobs")
    for member, (request, result) in enumerate(zip(requests, results)):
        try:
            if isinstance(result, BaseException):
                raise result
            said = {"output": collect(result, pathlib.Path(request["output_dir"]), one.name, one.facts["makes"])}
        except Exception as error:  # noqa: BLE001 - the job fails with what the tool gave for it
            said = _failure(error, file)
        _say({**said, "member": member})


def serve(file: str) -> int:
    """Runs one job, or several in one call, by the command protocol of a studio's workers: JSON on standard input, JSON
    lines back."""
    global _speaks_json, _studio, _stdout
    _speaks_json = True
    # What the tool prints is its log, not the protocol; so is what programs print that it starts, which know nothing of Python's
    # streams: half a line of theirs would spoil the next line of the protocol.
    _stdout = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    try:
        request, rest = _request()
        # What is said from now on is for us: a program that reads its input would take it away.
        said = os.dup(0)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        one = load(file)
        if "batch" in request:
            _serve_together(one, request["batch"], file)
            return 0
        _studio = _Studio(rest, said) if one.pausable else None
        given = _given(one, request)
        outputs = collect(one.function(**given), pathlib.Path(request["output_dir"]), one.name, one.facts["makes"])
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the job fails with what the tool raised
        _say(_failure(error, file))
        return 1
    _say({"output": outputs})
    return 0
