"""Conditions on requests (RFC 9110, section 13), and the tags that they name.

A tag belongs to one representation of one resource of one organization. The tag of an assistant
begins with a part for its state. A write needs only that part to match, since another release may
have shown the same state with other settings. A write may also name the bare version, ``"12"``,
which can only mean the assistant that the request is about. A read needs the whole tag to match.
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
    """The entity tags of a condition, strong and weak; ``any`` for ``*``."""

    strong: tuple[str, ...] = ()
    weak: tuple[str, ...] = ()
    any: bool = False

    def match_strongly(self, names: Iterable[str]) -> bool:
        """Whether a strong tag is a name of the current state."""
        return self.any or not _with_states(self.strong).isdisjoint(names)

    def match(self, names: Iterable[str]) -> bool:
        """Whether a tag, strong or weak, is a name of the current state."""
        return self.match_strongly(names) or not _with_states(self.weak).isdisjoint(names)


class Condition(Struct, frozen=True, kw_only=True):
    """What must hold of a resource for a request to be carried out."""

    if_match: Tags | None = None
    if_none_match: Tags | None = None

    @property
    def names_a_state(self) -> bool:
        """Whether ``If-Match`` names a state; ``*`` does not."""
        return self.if_match is not None and bool(self.if_match.strong)

    def holds(self, tag: str, version: int | None = None) -> bool:
        """Whether a write of the state with this tag, or of this version, may go on."""
        if not self.matches(tag, version):
            return False
        return self.if_none_match is None or not self.if_none_match.match(_names(tag, version))

    def matches(self, tag: str, version: int | None = None) -> bool:
        """Whether ``If-Match`` holds for the state with this tag, or of this version."""
        return self.if_match is None or self.if_match.match_strongly(_names(tag, version))

    def has(self, tag: str) -> bool:
        """Whether a reader already has the representation with this tag."""
        return self.if_none_match is not None and self.if_none_match.match((tag,))


NONE = Condition()


class StaleTag(DomainError):
    """A resource without a version, such as the policy, has another tag than the request names."""

    def __init__(self, tag: str) -> None:
        super().__init__(tag)
        self.tag = tag


def tag_of(
    organization_id: int, resource: str, body: bytes, stamp: tuple[int, int] | None = None
) -> str:
    """The tag of the bytes that show a resource of an organization: a digest.

    The tag of an assistant, whose state has a ``stamp``, is its version and two digests, of the
    state and of the bytes: ``12-...``. ``resource`` also names the form, if there are several.
    """
    place = msgspec.json.encode((organization_id, resource))
    digest = hashlib.sha256(place + b"\n" + body).hexdigest()[:_DIGITS]
    if stamp is None:
        return digest
    state = hashlib.sha256(msgspec.json.encode((organization_id, resource, *stamp))).hexdigest()
    return f"{stamp[0]}-{state[:_STATE_DIGITS]}{digest[: _DIGITS - _STATE_DIGITS]}"


def _names(tag: str, version: int | None) -> set[str]:
    """The names by which a write may call the state with this tag."""
    return _with_states((tag,)) | (set() if version is None else {str(version)})


def _with_states(tags: Iterable[str]) -> set[str]:
    """The tags, and the part for the state of each tag of an assistant."""
    found = set(tags)
    return found | {of_state[1] for tag in found if (of_state := _OF_STATE.fullmatch(tag))}


def version_in(tag: str) -> int | None:
    """The version that a tag begins with, or is; None if it has none."""
    text = tag.partition("-")[0]
    return int(text) if text.isdecimal() and len(text) <= _LONGEST_VERSION else None
