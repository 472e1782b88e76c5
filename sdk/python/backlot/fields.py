"""Fields of a tool's form: what the annotations of its function mean."""

from __future__ import annotations

import enum
import inspect
import math
import types
import typing

PICTURES = ("image/png", "image/jpeg", "image/webp")
CLIPS = ("video/mp4", "video/webm", "video/quicktime")
SOUNDS = ("audio/wav", "audio/mpeg", "audio/ogg", "audio/flac", "audio/mp4")


class Parameter:
    """One field of the form."""

    def __init__(self, title: str = "", help: str = ""):
        self.title, self.help = title, help

    def schema(self) -> dict:
        raise NotImplementedError

    def read(self, text: str):
        """The value from a word of the command line."""
        return text

    def given(self, value):
        """What the function gets for a value of the form."""
        return value

    def said(self, default):
        """How a default stands in the form."""
        return default

    def wrong(self, value) -> str:
        """Why a value cannot be; nothing where it can."""
        return "" if isinstance(value, str) else "is no text"

    def check(self) -> None:
        """Raises what is wrong with the field itself."""
        if not isinstance(self.title, str) or not isinstance(self.help, str):
            raise TypeError("title and help are texts")


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


class Text(Parameter):
    """Free text."""

    def __init__(self, max: int = 2_000, min: int = 0, lines: bool = False, title: str = "", help: str = ""):
        super().__init__(title, help)
        self.min, self.max, self.lines = min, max, lines

    def schema(self) -> dict:
        limits = {"minLength": self.min} if self.min else {}
        widget = "textarea" if self.lines else "text"
        return {"type": "string", **limits, "maxLength": self.max, "x-ui": {"widget": widget}}

    def wrong(self, value) -> str:
        if not isinstance(value, str):
            return "is no text"
        return "" if self.min <= len(value) <= self.max else f"must have {self.min} to {self.max} characters"

    def check(self) -> None:
        super().check()
        if not all(isinstance(limit, int) for limit in (self.min, self.max)) or not 0 <= self.min <= self.max:
            raise TypeError("Text(max, min): whole numbers, and min is not more than max")


class Number(Parameter):
    """A number in a range."""

    kind, convert = "number", float

    def __init__(self, min=None, max=None, step=None, unit: str = "", title: str = "", help: str = ""):
        super().__init__(title, help)
        self.min, self.max, self.step, self.unit = min, max, step, unit

    def schema(self) -> dict:
        limits = {"minimum": self.min, "maximum": self.max, "multipleOf": self.step}
        limits = {name: value for name, value in limits.items() if value is not None}
        bounded = self.min is not None and self.max is not None
        ui = {"widget": "slider" if bounded else "number", **({"unit": self.unit} if self.unit else {})}
        return {"type": self.kind, **limits, "x-ui": ui}

    def read(self, text: str):
        return self.convert(text)

    def wrong(self, value) -> str:
        if not _is_number(value) or (self.kind == "integer" and value != int(value)):
            return f"is no {'whole ' if self.kind == 'integer' else ''}number"
        low, high = (self.min is not None and value < self.min), (self.max is not None and value > self.max)
        return f"must be at {'least' if low else 'most'} {self.min if low else self.max}" if low or high else ""

    def check(self) -> None:
        super().check()
        if not all(limit is None or _is_number(limit) for limit in (self.min, self.max, self.step)):
            raise TypeError(f"{type(self).__name__}(min, max, step): each a number, or left out; a name is title=")
        if (self.min is not None and self.max is not None and self.min > self.max) or (self.step is not None and self.step <= 0):
            raise TypeError(f"{type(self).__name__}(min, max, step): min is not more than max, step is more than 0")


class Whole(Number):
    """A whole number in a range."""

    kind, convert = "integer", int


class Switch(Parameter):
    """Yes or no."""

    def schema(self) -> dict:
        return {"type": "boolean", "x-ui": {"widget": "switch"}}

    def read(self, text: str):
        return text.lower() in ("1", "true", "yes", "on")

    def wrong(self, value) -> str:
        return "" if isinstance(value, bool) else "must be True or False"


class Choice(Parameter):
    """One of several. The form shows words; the function gets what stands here: a text, a number, a member of an Enum."""

    def __init__(self, *options, title: str = "", help: str = ""):
        super().__init__(title, help)
        if not options:
            raise TypeError("a Choice has at least one option")
        self.values = {str(one.value if isinstance(one, enum.Enum) else one): one for one in options}
        if len(self.values) != len(options):
            raise TypeError("the options of a Choice are different words")
        self.options = list(self.values)

    def schema(self) -> dict:
        return {"type": "string", "enum": self.options, "x-ui": {"widget": "choice"}}

    def given(self, value):
        return self.values.get(value, value)

    def read(self, text: str):
        return self.given(text)

    def said(self, default):
        return next((word for word, value in self.values.items() if value == default), default)

    def wrong(self, value) -> str:
        return "" if value in self.values.values() else f"must be one of {', '.join(self.options)}"


class Asset(Parameter):
    """A file of the studio; the function gets its path."""

    def __init__(self, *types: str, max_mb: int = 100, max_pixels: int | None = None, title: str = "", help: str = ""):
        super().__init__(title, help)
        self.types, self.max_mb, self.max_pixels = types, max_mb, max_pixels

    def schema(self) -> dict:
        limits = {"content_types": list(self.types), "max_bytes": self.max_mb * 1_000_000}
        if self.max_pixels:
            limits["max_pixels"] = self.max_pixels
        return {"type": "string", "format": "asset", "x-asset": limits, "x-ui": {"widget": "asset"}}


class Picture(Asset):
    """A picture: PNG, JPEG or WebP."""

    def __init__(self, max_mb: int = 40, max_pixels: int = 24_000_000, title: str = "", help: str = ""):
        super().__init__(*PICTURES, max_mb=max_mb, max_pixels=max_pixels, title=title, help=help)


class Clip(Asset):
    """A film clip."""

    def __init__(self, max_mb: int = 500, title: str = "", help: str = ""):
        super().__init__(*CLIPS, max_mb=max_mb, title=title, help=help)


class Sound(Asset):
    """A sound."""

    def __init__(self, max_mb: int = 100, title: str = "", help: str = ""):
        super().__init__(*SOUNDS, max_mb=max_mb, title=title, help=help)


PLAIN = {str: Text, float: Number, int: Whole, bool: Switch}


def parameter_of(name: str, annotation) -> Parameter:
    """The field of an annotation: a Parameter, its class, a plain type, a Literal or an Enum; each also with `| None`."""
    if isinstance(annotation, Parameter):
        return annotation
    if inspect.isclass(annotation) and issubclass(annotation, Parameter):
        return annotation()
    if inspect.isclass(annotation) and issubclass(annotation, enum.Enum):
        return Choice(*annotation)
    if inspect.isclass(annotation) and annotation in PLAIN:
        return PLAIN[annotation]()
    if typing.get_origin(annotation) is typing.Literal:
        return Choice(*typing.get_args(annotation))
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        others = [one for one in typing.get_args(annotation) if one is not type(None)]
        if len(others) == 1:
            return parameter_of(name, others[0])
    raise TypeError(f'parameter "{name}" needs a type, such as {name}: Picture() or {name}: Number(0, 1)')
