"""How values, places and moments are put into words. Pure; templates call it ``show``."""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec

from app.escaping import printable, printable_lines
from events.pointers import same, split
from events.secrets.masks import MASK
from events.shape import SETTINGS, Listing, Mapping, Record, Shape

if TYPE_CHECKING:
    from collections.abc import Iterator

_CAPITALS = {
    "llm": "LLM", "stt": "STT", "tts": "TTS", "rag": "RAG", "url": "URL", "api": "API",
    "sms": "SMS", "id": "ID", "vad": "VAD", "ms": "(ms)", "ai": "AI", "dtmf": "DTMF", "eot": "EOT",
    "sid": "SID", "mip": "MIP",
}  # fmt: skip
_BELOW = " \u203a "
_SHORT = 120
_NUMBER = re.compile(r"-?(\d+(\.\d+)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_REWRITTEN = re.compile(r"[%\r\n]")


def words(member: str) -> str:
    """The name of a member as an operator reads it."""
    found = [_CAPITALS.get(word, word) for word in printable(member).split("_")]
    said = " ".join(found)
    return said[:1].upper() + said[1:]


def place(path: str) -> str:
    """A JSON Pointer as an operator reads it; names that people gave stand as they gave them."""
    tokens = split(path)
    if not tokens:
        return "Everything"
    return _BELOW.join(labels(tokens) if tokens[0] in SETTINGS.members else map(words, tokens))


def labels(tokens: tuple[str, ...]) -> Iterator[str]:
    """What each step of a place in the settings is called."""
    found: Shape | None = SETTINGS
    for token in tokens:
        match found:
            case Record(members=members) if token in members:
                found = members[token].shape
                yield members[token].label or words(token)
            case Listing(item=inner) | Mapping(value=inner):
                found = inner
                yield printable(token)
            case _:
                found = None
                yield printable(token)


def is_same(one: Any, other: Any) -> bool:
    """JSON equality."""
    return same(one, other)


def carried(path: str) -> str:
    """A path as a form carries it: browsers rewrite line ends, and a member's name may have one."""
    return _REWRITTEN.sub(lambda found: f"%{ord(found[0]):02X}", path)


def brought(text: str) -> str:
    """The path that a form carried."""
    return unquote(text)


@lru_cache(1024)  # a page shows the same change beside many settings
def utc(moment: str) -> str:
    """A moment that the API wrote, for everybody, whatever their zone."""
    return f"{msgspec.convert(moment, datetime):%Y-%m-%d %H:%M:%S} UTC"


name = printable
"""A name, so that it passes for no other one and for no text of the page."""

text = printable_lines
"""A text as it was written, in lines; what would not be seen in it is."""


def moment(text: str) -> str:
    """A moment that the API wrote, as HTML takes it: with no more than milliseconds."""
    return f"{msgspec.convert(text, datetime).isoformat(timespec='milliseconds')[:23]}Z"


def is_number(text: str) -> bool:
    """Whether HTML takes a text for a number: a control for numbers shows no other."""
    return _NUMBER.fullmatch(text) is not None


def short(value: Any) -> str:
    """A value in a few words."""
    found = plain(value)
    return found if len(found) <= _SHORT else f"{found[:_SHORT]}…"


def plain(value: Any) -> str:
    """A value in words; a text as it is, but that all of it is seen."""
    return printable_lines(_plain(value))


def _plain(value: Any) -> str:
    match value:
        case None:
            return "not set"
        case bool():
            return "on" if value else "off"
        case "":
            return "empty"
        case str():
            return "set (hidden)" if value == MASK else value
        case int() | float():
            return f"{value:,}" if isinstance(value, int) else f"{value}"
        case [] | {} if not value:  # the pattern {} is any object
            return "none"
        case list() if all(isinstance(one, str) for one in value):
            return ", ".join(value)
        case _:
            return msgspec.json.format(msgspec.json.encode(value)).decode()


def error(one: dict[str, Any]) -> str:
    """A broken rule, and where it is broken."""
    where = [str(token) for token in one["loc"][1:]]
    return f"{_BELOW.join(words(token) for token in where)}: {one['msg']}" if where else one["msg"]


def counted(number: int, singular: str, plural: str = "") -> str:
    """A number with its noun."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


_CAUSES = {
    "create": "created", "duplicate": "copied", "patch": "changed", "put": "changed",
    "status": "switched", "change_set": "changed with others", "rollback": "went back",
    "undo": "undid", "delete": "deleted", "restore": "restored", "erase": "erased secrets",
    "purge": "purged secrets",
}  # fmt: skip


def cause(one: dict[str, Any]) -> str:
    """By which wish a change came about."""
    said = _CAUSES.get(one["type"], str(one["type"]))
    if "to_version" in one:
        return f"{said} to version {one['to_version']}"
    if "undoes" in one:
        return f"{said} version {one['undoes']}"
    return said


def is_rotated(change: dict[str, Any]) -> bool:
    """Whether one hidden value took another's place."""
    return change.get("before") == change.get("after") == MASK
