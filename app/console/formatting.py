"""Values, paths and moments as text. Pure; templates call this module ``show``."""

from __future__ import annotations

import re
from datetime import date, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import msgspec
from markupsafe import Markup

from app.assistants.setting_labels import labels, words
from app.console import periods
from app.console.texts import Assistant, Values
from app.escaping import printable, printable_lines
from events.pointers import same, split
from events.secrets.masks import MASK
from events.shape import SETTINGS

_BELOW = Values.below
_SHORT = 120
_NUMBER = re.compile(r"-?(\d+(\.\d+)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_REWRITTEN = re.compile(r"[%\r\n]")


def place(path: str) -> str:
    """A JSON Pointer in words; names that operators gave stay as they are."""
    tokens = split(path)
    if not tokens:
        return Values.everything
    return _BELOW.join(labels(tokens) if tokens[0] in SETTINGS.members else map(words, tokens))


def is_same(left: Any, right: Any) -> bool:
    """JSON equality: 1 is 1.0, and not true."""
    return same(left, right)


def encode_path(path: str) -> str:
    """A path for a form, without line ends: browsers rewrite them, and a name may hold one."""
    return _REWRITTEN.sub(lambda match: f"%{ord(match[0]):02X}", path)


def decode_path(text: str) -> str:
    """The path that ``encode_path`` made a text from."""
    return unquote(text)


def day(text: str) -> str:
    """A day of the API in words: "Saturday, October 31, 2026"."""
    found = date.fromisoformat(text)
    return f"{found:%A, %B} {found.day}, {found.year}"


@lru_cache(1024)  # a page shows the same change beside many settings
def utc(moment: str) -> str:
    """A moment of the API as text, in UTC."""
    return f"{msgspec.convert(moment, datetime):%Y-%m-%d %H:%M:%S} UTC"


name = printable
"""A name, with its invisible characters escaped: it cannot imitate another name or the page."""

text = printable_lines
"""A text with its line ends, and its invisible characters escaped."""


is_date = periods.is_date
"""Whether a text is a date alone."""


def moment(text: str) -> str:
    """A moment of the API as HTML takes it: in milliseconds."""
    return f"{msgspec.convert(text, datetime).isoformat(timespec='milliseconds')[:23]}Z"


@lru_cache(1024)
def moment_short(text: str) -> Markup:
    """A moment where space is scarce: its date; a script makes it the distance."""
    exact = utc(text)
    return Markup('<time datetime="{}" title="{}" data-short>{}</time>').format(
        moment(text), exact, exact[:10]
    )


def bounds(field: Any) -> str:
    """The bounds of a number: "0 to 1"."""
    low, high = field.minimum, field.maximum
    if low is None:
        return "" if high is None else Assistant.at_most.format(high=plain(high))
    if high is None:
        return Assistant.at_least.format(low=plain(low))
    return Assistant.bounds.format(low=plain(low), high=plain(high))


def is_number(text: str) -> bool:
    """Whether a text is a number in HTML: an input for numbers shows nothing else."""
    return _NUMBER.fullmatch(text) is not None


def short(value: Any) -> str:
    """A value as text, cut after 120 characters."""
    text = plain(value)
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}…"


def brief(value: Any) -> str:
    """A value as text on one line, cut after 120 characters; an object as its members."""
    if isinstance(value, dict) and value and not any(map(_is_nested, value.values())):
        members = (f"{name}: {plain(member)}" for name, member in value.items())
        return short(" ".join(", ".join(members).split()))
    return short(" ".join(plain(value).split()))


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict | list)


def plain(value: Any) -> str:
    """A value as text, with its invisible characters escaped."""
    return printable_lines(_plain(value))


def _plain(value: Any) -> str:
    match value:
        case None:
            return Values.not_set
        case bool():
            return Values.on if value else Values.off
        case "":
            return Values.empty
        case str():
            return Values.hidden if value == MASK else value
        case int() | float():
            return f"{value:,}" if isinstance(value, int) else f"{value}"
        case [] | {} if not value:  # the pattern {} is any object
            return Values.none
        case list() if all(isinstance(item, str) for item in value):
            return ", ".join(value)
        case _:
            return msgspec.json.format(msgspec.json.encode(value)).decode()


def error(rule: dict[str, Any]) -> str:
    """A broken rule of the API as a sentence, after the place where it is broken."""
    steps = [words(str(token)) for token in rule["loc"][1:]]
    return f"{_BELOW.join(steps)}: {rule['msg']}" if steps else rule["msg"]


def counted(number: int, singular: str, plural: str = "") -> str:
    """A number with its noun."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def cause(source: dict[str, Any]) -> str:
    """What kind of change it was, such as "undid version 3"."""
    verb = Values.causes.get(source["type"], str(source["type"]))
    if "to_version" in source:
        return Values.to_version.format(verb=verb, version=source["to_version"])
    if "undoes" in source:
        return Values.undid_version.format(verb=verb, version=source["undoes"])
    return verb


def is_rotated(change: dict[str, Any]) -> bool:
    """Whether another secret replaced a secret: both are shown as the mask."""
    return change.get("before") == change.get("after") == MASK
