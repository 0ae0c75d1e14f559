"""Conditional requests (RFC 9110, section 13): what a caller holds to be current."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from msgspec import Struct

from events.errors import FieldError, InvalidSettings, Refusal

if TYPE_CHECKING:
    from litestar.datastructures import Headers

# What a list holds between two commas may be nothing (RFC 9110, section 5.6.1.2).
_TAG = re.compile(r'[\s,]*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*(?:,[\s,]*|$)')
_MOST_TAGS = 100


class Tags(Struct, frozen=True, kw_only=True):
    """The entity tags of a condition; weak ones apart, or any at all."""

    strong: tuple[str, ...] = ()
    weak: tuple[str, ...] = ()
    any: bool = False

    def match_strongly(self, tag: str) -> bool:
        """Whether a current tag is among them; a weak one never is."""
        return self.any or tag in self.strong

    def match(self, tag: str) -> bool:
        """Whether a current tag is among them, weak ones included."""
        return self.match_strongly(tag) or tag in self.weak


class Condition(Struct, frozen=True, kw_only=True):
    """What must hold of an assistant for a request to be carried out."""

    if_match: Tags | None = None
    if_none_match: Tags | None = None

    @property
    def names_a_state(self) -> bool:
        """Whether it says over which state a write is to be made: ``*`` means any."""
        return self.if_match is not None and bool(self.if_match.strong)

    def holds(self, tag: str) -> bool:
        """Whether a write may go on, over the state with this tag."""
        if self.if_match is not None and not self.if_match.match_strongly(tag):
            return False
        return self.if_none_match is None or not self.if_none_match.match(tag)


NONE = Condition()


class Moved(Refusal):
    """What has no version of its own is not as the caller holds it to be."""

    def __init__(self, tag: str) -> None:
        super().__init__(tag)
        self.tag = tag


def etag(tag: str | int) -> str:
    """A tag as the header ``ETag`` has it: a strong validator."""
    return f'"{tag}"'


def digest(body: bytes) -> str:
    """A tag of what has no version: of the bytes that are shown."""
    return hashlib.sha256(body).hexdigest()[:32]


def read_condition(headers: Headers) -> Condition:
    """The conditions of a request; raises ``InvalidSettings`` for what is no list of tags."""
    return Condition(
        if_match=_tags(headers, "If-Match"), if_none_match=_tags(headers, "If-None-Match")
    )


def _tags(headers: Headers, name: str) -> Tags | None:
    lines = headers.getall(name.lower(), [])
    text = ",".join(line for line in lines if line.strip())
    if not lines:
        return None
    if text.strip() == "*":
        return Tags(any=True)
    strong: list[str] = []
    weak: list[str] = []
    at = 0
    while at < len(text):
        found = _TAG.match(text, at)
        if found is None or len(strong) + len(weak) == _MOST_TAGS:
            raise _invalid(name)
        (weak if found[1] else strong).append(found[2])
        at = found.end()
    if not strong and not weak:
        raise _invalid(name)
    return Tags(strong=tuple(strong), weak=tuple(weak))


def _invalid(name: str) -> InvalidSettings:
    message = 'Input should be entity tags, such as "7", or *'
    return InvalidSettings((FieldError(loc=("header", name), msg=message, type="entity_tag"),))
