"""Events to bytes and back. The bytes are stored as they were made, and never made again.

Reading knows every tag that was ever written: an old one is turned, step by step, into
today's shape by its upcaster.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from events import upcasters
from events.changed import LogEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Upcaster = Callable[..., dict[str, Any]]

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[LogEvent] = msgspec.json.Decoder(LogEvent)

_OPENING = b'{"type":"'

# tag -> the function that turns an event of this tag into one of the next.
UPCASTERS: Mapping[str, Upcaster] = {
    f"{name}.v{generation}": partial(upcasters.upcast, upcaster=upcaster)
    for name in upcasters.NAMES_SETTINGS
    for generation, upcaster in enumerate(upcasters.UPCASTERS, 1)
}
# The tags that events get today; ``UPCASTERS`` has those that they had before.
TODAY = frozenset(str(kind.__struct_config__.tag) for kind in get_args(LogEvent))


class NewerEvent(Exception):
    """The log holds an event that a newer release wrote, and this one cannot read."""

    def __init__(self, tag: str) -> None:
        super().__init__(f"the log holds {tag}, which only a newer release reads: use that release")
        self.tag = tag


def tags_of(kind: type[LogEvent]) -> tuple[str, ...]:
    """Every tag that events of a kind ever had, the oldest first."""
    today = str(kind.__struct_config__.tag)
    older = (tag for tag in UPCASTERS if tag.partition(".")[0] == today.partition(".")[0])
    return (*older, today)


def tag_of(event: LogEvent) -> str:
    """The stored name of an event's shape, such as ``assistant_settings_changed.v1``."""
    return str(event.__struct_config__.tag)


def tag_in(body: bytes) -> str:
    """The tag that an event's bytes start with."""
    return body[len(_OPENING) : body.index(b'"', len(_OPENING))].decode()


def encode(event: LogEvent) -> bytes:
    """The canonical bytes: UTF-8 JSON, members in their declared order."""
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


def plain_secrets(body: bytes) -> dict[str, Any]:
    """The values of an older event that were plain when it was stored, and are secret: by id."""
    found: dict[str, Any] = {}
    members = msgspec.json.decode(body)
    while upcaster := UPCASTERS.get(members["type"]):
        members = upcaster(members, found=found)
    return found
