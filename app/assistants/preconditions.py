"""Conditional requests (RFC 9110, section 13): what a caller holds to be current.

A tag fits one representation of one resource of one organization. An assistant's begins with a part
that fits its state, however that is shown: to write, that part is enough, since another release may
have shown it, with other settings. To write, a caller may also name the bare version, ``"12"``: it
can only be meant of the assistant that the request is about. To read, neither says anything.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from events.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Iterable

_DIGITS = 32
_STATE_DIGITS = 16  # of these, where a tag is of an assistant
_OF_STATE = re.compile(r"([0-9]+-[0-9a-f]{16})[0-9a-f]{16}")
_LONGEST_VERSION = 15  # digits


class Tags(Struct, frozen=True, kw_only=True):
    """The entity tags of a condition; weak ones apart, or any at all."""

    strong: tuple[str, ...] = ()
    weak: tuple[str, ...] = ()
    any: bool = False

    def match_strongly(self, names: Iterable[str]) -> bool:
        """Whether a name of what is current is among them; a weak one never is."""
        return self.any or not _with_states(self.strong).isdisjoint(names)

    def match(self, names: Iterable[str]) -> bool:
        """Whether a name of what is current is among them, weak ones included."""
        return self.match_strongly(names) or not _with_states(self.weak).isdisjoint(names)


class Condition(Struct, frozen=True, kw_only=True):
    """What must hold of an assistant for a request to be carried out."""

    if_match: Tags | None = None
    if_none_match: Tags | None = None

    @property
    def names_a_state(self) -> bool:
        """Whether it says over which state a write is to be made: ``*`` means any."""
        return self.if_match is not None and bool(self.if_match.strong)

    def holds(self, tag: str, version: int | None = None) -> bool:
        """Whether a write may go on, over the state with this tag; its version names it, too."""
        if not self.matches(tag, version):
            return False
        return self.if_none_match is None or not self.if_none_match.match(_names(tag, version))

    def matches(self, tag: str, version: int | None = None) -> bool:
        """Whether ``If-Match`` holds of the state with this tag."""
        return self.if_match is None or self.if_match.match_strongly(_names(tag, version))

    def has(self, tag: str) -> bool:
        """Whether a reader has the representation with this tag."""
        return self.if_none_match is not None and self.if_none_match.match((tag,))


NONE = Condition()


class StaleTag(DomainError):
    """What has no version of its own is not as the caller holds it to be."""

    def __init__(self, tag: str) -> None:
        super().__init__(tag)
        self.tag = tag


def etag(tag: str) -> str:
    """A tag as the header ``ETag`` has it: a strong validator."""
    return f'"{tag}"'


def tag_of(
    organization_id: int, resource: str, body: bytes, stamp: tuple[int, int] | None = None
) -> str:
    """The tag of the bytes that show a resource of an organization: a digest.

    That of an assistant, whose state has a stamp, is ``12-`` and two digests: of the state, and of
    the bytes. Where a resource has several forms (a moment, a media type), ``resource`` names the
    form, too.
    """
    place = msgspec.json.encode((organization_id, resource))
    digest = hashlib.sha256(place + b"\n" + body).hexdigest()[:_DIGITS]
    if stamp is None:
        return digest
    state = hashlib.sha256(msgspec.json.encode((organization_id, resource, *stamp))).hexdigest()
    return f"{stamp[0]}-{state[:_STATE_DIGITS]}{digest[: _DIGITS - _STATE_DIGITS]}"


def _names(tag: str, version: int | None) -> set[str]:
    """What names the state with this tag, to who writes over it."""
    return _with_states((tag,)) | (set() if version is None else {str(version)})


def _with_states(tags: Iterable[str]) -> set[str]:
    """The tags, and of those of assistants the part that is of the state."""
    found = set(tags)
    return found | {of_state[1] for tag in found if (of_state := _OF_STATE.fullmatch(tag))}


def version_in(tag: str) -> int | None:
    """The version that a tag begins with, or is; None where it names none."""
    text = tag.partition("-")[0]
    return int(text) if text.isdecimal() and len(text) <= _LONGEST_VERSION else None
