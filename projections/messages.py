"""The messages of the change stream: what is said of each event to those who follow the log.

A message is short: which assistant, which version, which paths, by whom and why. The masked values
before and after are encoded apart, for those who ask for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from events.changed import (
    Actor,
    AssistantSettingsChanged,
    Cause,
    Event,
    PhoneNumberEvent,
    VersionLabelled,
)
from events.codec import tags_of
from events.effects import latest
from events.pointers import overlaps
from events.secrets.references import mask
from events.setting_types import Effect, Moment
from projections import addresses
from projections.event_types import event_type
from projections.exports.outline import Outline, Sides, outline
from projections.history import ChangedPath

if TYPE_CHECKING:
    from events.log_search import Stored

_MOST_PATHS = 1000
_MOST_VALUES = 256 * 1024  # bytes of the values in one message
# The events that every key may read, in the histories and the list of versions.
_OPEN_KINDS = (*get_args(Event), VersionLabelled, *get_args(PhoneNumberEvent))
OPEN_TAGS = tuple(tag for kind in _OPEN_KINDS for tag in tags_of(kind))
_CHANGED = event_type(tags_of(AssistantSettingsChanged)[-1])
_OPEN = frozenset(map(event_type, OPEN_TAGS))


def is_open(event_type: str) -> bool:
    """Whether every key may read the events of a type."""
    return event_type in _OPEN


class StreamedEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event of the log, as the change stream sends it. What an event lacks is left out.

    ``paths`` are those that it changed, or revealed. With ``include=changes``, ``changes`` has the
    masked values, as far as there is room; the version has them all.
    """

    sequence: int
    event_type: str
    occurred_at: Moment
    actor: Actor
    reason: str | None
    request_id: str | None
    assistant_id: int | UnsetType = UNSET
    version: int | UnsetType = UNSET
    key_id: int | UnsetType = UNSET
    phone_number: str | UnsetType = UNSET
    webhook_id: int | UnsetType = UNSET
    cause: Cause | UnsetType = UNSET
    takes_effect: Effect | UnsetType = UNSET  # of changed settings, in a call that is running
    paths: list[str] = []
    more_paths: int = 0  # the number of paths left out
    links: dict[str, str] = {}
    changes: list[ChangedPath] | UnsetType = UNSET
    more_changes: int = 0  # the number of paths whose values are left out


class _Values(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The members of a ``StreamedEvent`` with values."""

    changes: list[ChangedPath]
    more_changes: int = 0


class MessageFilter(Struct, frozen=True, kw_only=True):
    """Which events to send: those that match every member that is set.

    ``path`` is a JSON Pointer or the beginning of one. ``only_open`` leaves out the events that
    only admins may read.
    """

    assistant_id: int | None = None
    event_type: str | None = None
    path: str | None = None
    only_open: bool = True

    def matches(self, message: Message) -> bool:
        """Whether to send a message."""
        return (
            (not self.only_open or is_open(message.event_type))
            and self.assistant_id in (None, message.assistant_id)
            and self.event_type in (None, message.event_type)
            and (self.path is None or any(overlaps(self.path, path) for path in message.touched))
        )


class Message(Struct, frozen=True, kw_only=True):
    """An event of the log, encoded, with what filters ask about."""

    sequence: int
    event_type: str
    assistant_id: int | None
    touched: tuple[str, ...]
    body: bytes  # a ``StreamedEvent`` without values, as JSON
    values: bytes  # its values as the members of a JSON object; empty if they were not asked for

    @property
    def size(self) -> int:
        """The bytes that it holds."""
        return len(self.body) + len(self.values) + sum(map(len, self.touched))

    def encoded(self, *, with_values: bool) -> bytes:
        """The JSON that is sent."""
        if not with_values:
            return self.body
        return b"%b,%b" % (self.body[:-1], self.values[1:])


class Described(Struct, frozen=True):
    """An event with what its message says beside its values."""

    sequence: int
    type: str
    event: Outline


def describe(stored: Stored) -> Described:
    """Read an event, but not its values."""
    return Described(stored.sequence, event_type(stored.type), outline(stored))


def message(described: Described, erased_version: int, *, with_values: bool) -> Message:
    """An event's message. ``erased_version`` is that of its assistant."""
    event = described.event
    return Message(
        sequence=described.sequence,
        event_type=described.type,
        assistant_id=event.assistant_id,
        touched=tuple(event.touched),
        body=msgspec.json.encode(_streamed(described)),
        values=msgspec.json.encode(_values(event, erased_version)) if with_values else b"",
    )


def _streamed(described: Described) -> StreamedEvent:
    event = described.event
    touched = event.touched
    return StreamedEvent(
        sequence=described.sequence,
        event_type=described.type,
        occurred_at=msgspec.json.decode(event.occurred_at, type=Moment),
        actor=event.actor,
        reason=event.reason,
        request_id=event.request_id,
        assistant_id=_unless_none(event.assistant_id),
        version=_unless_none(event.at_version),
        key_id=_unless_none(event.key_id),
        phone_number=_unless_none(event.phone_number),
        webhook_id=_unless_none(event.webhook_id),
        cause=_unless_none(event.cause),
        takes_effect=_unless_none(latest(event.changes)) if described.type == _CHANGED else UNSET,
        paths=touched[:_MOST_PATHS],
        more_paths=max(len(touched) - _MOST_PATHS, 0),
        links=_links(event),
    )


def _unless_none(member: Any) -> Any:
    return UNSET if member is None else member


def _links(event: Outline) -> dict[str, str]:
    if event.assistant_id is None:
        return {}
    links = {"assistant": addresses.assistant(event.assistant_id)}
    if event.at_version is not None:
        links["version"] = addresses.version(event.assistant_id, event.at_version)
    return links


def _values(event: Outline, erased_version: int) -> _Values:
    """The first changes, as far as there is room for their values, and how many are left out."""
    changes: list[ChangedPath] = []
    room = _MOST_VALUES
    for path, sides in event.changes.items():
        room -= len(path) + len(bytes(sides.before)) + len(bytes(sides.after))
        if room < 0:
            break
        changes.append(_masked(path, sides, erased_version))
    return _Values(changes=changes, more_changes=len(event.changes) - len(changes))


def _masked(path: str, sides: Sides, erased_version: int) -> ChangedPath:
    return ChangedPath(
        path=path,
        before=mask(_decoded(sides.before), erased_version),
        after=mask(_decoded(sides.after), erased_version),
    )


def _decoded(side: Raw) -> Any:
    return msgspec.json.decode(side) if bytes(side) else UNSET
