"""Events to bytes and back. The bytes are stored as they were made, and never made again.

Every tag that was ever written can be read: upcasters turn an old event, step by step, into
today's shape.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import msgspec
from msgspec import Struct

from events import upcasters
from events.changed import LogEvent, changes_of
from events.pointers import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Upcaster = Callable[..., dict[str, Any]]

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[LogEvent] = msgspec.json.Decoder(LogEvent)


class _Paths(Struct):
    changes: dict[str, msgspec.Raw] = {}


_Members = dict[str, msgspec.Raw]
_paths_decoder = msgspec.json.Decoder(_Paths)
_members_decoder = msgspec.json.Decoder(_Members)
_SMALL = 4 * 1024  # bytes of an event: skipping its values would take longer than reading them

_OPENING = b'{"type":"'

# By tag, the function that turns an event with this tag into one with the next.
UPCASTERS: Mapping[str, Upcaster] = {
    f"{name}.v{generation}": partial(upcasters.upcast, upcaster=upcaster)
    for name in upcasters.NAMES_SETTINGS
    for generation, upcaster in enumerate(upcasters.UPCASTERS, 1)
}
# The tags of new events; ``UPCASTERS`` has the tags of older ones.
TODAY = frozenset(str(kind.__struct_config__.tag) for kind in get_args(LogEvent))


class NewerEvent(Exception):
    """The log holds an event that a newer release wrote, and that this one cannot read."""

    def __init__(self, tag: str) -> None:
        super().__init__(f"the log holds {tag}, which only a newer release reads: use that release")
        self.tag = tag


def tags_of(kind: type[LogEvent]) -> tuple[str, ...]:
    """Every tag that events of a kind ever had, oldest first."""
    today = str(kind.__struct_config__.tag)
    older = (tag for tag in UPCASTERS if tag.partition(".")[0] == today.partition(".")[0])
    return (*older, today)


def tag_of(event: LogEvent) -> str:
    """The tag of an event, which names its shape: ``assistant_settings_changed.v1``."""
    return str(event.__struct_config__.tag)


def tag_in(body: bytes) -> str:
    """The tag that an event's bytes start with."""
    return body[len(_OPENING) : body.index(b'"', len(_OPENING))].decode()


def encode(event: LogEvent) -> bytes:
    """The canonical bytes: JSON in UTF-8, with members in their declared order."""
    return _encoder.encode(event)


def decode(body: bytes, tag: str, upcasters: Mapping[str, Upcaster] = UPCASTERS) -> LogEvent:
    """The event that the bytes hold, in today's shape. Raises ``NewerEvent``."""
    if tag not in upcasters:
        if tag not in TODAY:
            raise NewerEvent(tag)
        return _decoder.decode(body)
    members = msgspec.json.decode(body)
    while upcast := upcasters.get(members["type"]):
        members = upcast(members)
    event: LogEvent = msgspec.convert(members, LogEvent)
    return event


def changed_paths(
    body: bytes, tag: str, upcasters: Mapping[str, Upcaster] = UPCASTERS
) -> Iterable[str]:
    """The paths that an event of a stream changed. Values are not read; raises ``NewerEvent``."""
    if tag in upcasters or tag not in TODAY:
        return changes_of(decode(body, tag, upcasters))  # type: ignore[arg-type]  # it has a version
    return _paths_decoder.decode(body).changes


def outline(body: bytes, tag: str) -> LogEvent:
    """The event, with the paths that it changed. Their values are absent where it is large.

    Raises ``NewerEvent``.
    """
    if len(body) <= _SMALL or tag not in TODAY:
        return decode(body, tag)
    members = _members_decoder.decode(body)
    if "changes" in members:
        paths = dict.fromkeys(_members_decoder.decode(members["changes"]), Change())
        members["changes"] = msgspec.Raw(_encoder.encode(paths))
    return _decoder.decode(_encoder.encode(members))


def plain_secrets(body: bytes) -> dict[str, Any]:
    """By id, the values of an older event that are secret now, and were plain in its bytes."""
    values: dict[str, Any] = {}
    members = msgspec.json.decode(body)
    while upcaster := UPCASTERS.get(members["type"]):
        members = upcaster(members, made_secret=values)
    return values
