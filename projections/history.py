"""The settings history: one entry for each event after the creation, newest first.

An entry's ``settings_snapshot`` holds the settings before the change. A page is made in one pass
from the newest state backwards, in which each event is reverted once.
"""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, assert_never

import msgspec
from msgspec import UNSET, Struct, UnsetType

from events import pointers
from events.changed import (
    Actor,
    AssistantCreated,
    AssistantDeleted,
    AssistantRestored,
    AssistantSettingsChanged,
    Cause,
    Event,
    SecretsErased,
    State,
    changes_of,
    taken_back,
)
from events.pointers import Changes, Tree
from events.secrets.references import mask
from events.setting_types import Moment
from projections.casefolding import casefolded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_MAX_PATHS = 1000  # of a change in short; a history entry has them all


class ChangedBy(Struct, frozen=True, kw_only=True):
    """Who made a change. No event holds the email address; it is looked up for each answer."""

    user_id: int
    email: str | None
    type: str
    name: str


class ChangedPath(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One path of a change; a side is absent where the path held nothing."""

    path: str
    before: Any | UnsetType = UNSET
    after: Any | UnsetType = UNSET


class Entry(Struct, frozen=True, kw_only=True):
    """One entry of the settings history, masked."""

    id: int
    version_id: int
    version: int
    assistant_id: int
    event: str
    settings_snapshot: Tree
    changed_fields: list[str]
    changes: list[ChangedPath]
    changed_by: ChangedBy
    change_description: str | None
    cause: Cause
    created_at: Moment
    clock_time: Moment | UnsetType = UNSET  # the server's, if it was behind ``created_at``
    reverts: list[int]
    reverted_by: list[int]


class VersionEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One version: the event that made it, by whom and why. The creation is version 1."""

    version: int
    label: str | None
    event: str
    created_at: Moment
    clock_time: Moment | UnsetType = UNSET  # the server's, if it was behind ``created_at``
    changed_by: ChangedBy
    change_description: str | None
    cause: Cause
    changed_paths: list[str]
    more_paths: int = 0  # the number of paths left out
    reverts: list[int]
    reverted_by: list[int]


class ChangeSummary(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A change in short: who, when, why and which paths, without their values."""

    version: int
    actor: Actor
    reason: str | None
    created_at: Moment
    paths: list[str]
    more_paths: int = 0  # the number of paths left out


class Links(Struct, frozen=True):
    """The versions that an event reverts, and the versions that revert it."""

    reverts: list[int]
    reverted_by: list[int]


NO_LINKS = Links([], [])


class Filter(Struct, frozen=True, kw_only=True, dict=True):
    """Which entries to show: those that match every member that is set.

    ``paths`` are JSON Pointers, of which a change touches one; ``actor`` is a name or ``type:id``;
    ``causes`` are kinds of requests; ``since`` and ``until`` are inclusive.
    """

    paths: tuple[str, ...] = ()
    actor: str | None = None
    causes: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    before_version: int | None = None

    @cached_property
    def _chosen(self) -> pointers.Paths:
        return pointers.Paths(self.paths)

    @property
    def searches(self) -> bool:
        """Whether it leaves out events between others."""
        return bool(self.paths or self.actor is not None or self.causes or self.until is not None)

    def matches(self, event: Event) -> bool:
        """Whether the history shows an event."""
        return (
            (self.before_version is None or event.version < self.before_version)
            and (self.since is None or event.occurred_at >= self.since)
            and (self.until is None or event.occurred_at <= self.until)
            and (self.actor is None or is_by(event.actor, self.actor))
            and (not self.causes or event.cause.type in self.causes)
            and (not self.paths or any(map(self._chosen.overlap, changes_of(event))))
        )


def entries(
    state: State, newest_first: Iterable[Event], event_filter: Filter
) -> Iterator[tuple[Event, State]]:
    """The matching events, the newest first, each with the state before it.

    ``newest_first`` are the events that led to ``state``, so that each can be reverted.
    """
    for event in newest_first:
        if isinstance(event, AssistantCreated) or _is_too_old(event, event_filter):
            return
        state = before(event, state)
        if event_filter.matches(event):
            yield event, state


def before(event: Event, state: State) -> State:
    """The state before an event, from the state after it.

    Version, settings and deletion are reverted; ``updated_at`` and the other members stay.
    """
    match event:
        case AssistantSettingsChanged():
            settings = taken_back(event.changes, state.settings)
            return msgspec.structs.replace(state, version=event.version - 1, settings=settings)
        case SecretsErased():  # earlier states do not have the erased secrets either
            return msgspec.structs.replace(state, version=event.version - 1)
        case AssistantDeleted() | AssistantRestored():
            was_deleted = isinstance(event, AssistantRestored)
            return msgspec.structs.replace(state, version=event.version - 1, deleted=was_deleted)
        case AssistantCreated():
            raise ValueError("there is no state before the first event")
        case _:
            assert_never(event)


def _is_too_old(event: Event, event_filter: Filter) -> bool:
    """Whether this event and all before it are too old: an organization's events follow time."""
    return event_filter.since is not None and event.occurred_at < event_filter.since


def entry(
    event: Event, state: State, emails: Mapping[int, str | None], links: Links = NO_LINKS
) -> Entry:
    """An event's entry; ``state`` is the one before it."""
    changes = changes_of(event)
    return Entry(
        id=event.sequence,
        version_id=event.version,
        version=event.version,
        assistant_id=event.assistant_id,
        event=type(event).__name__,
        settings_snapshot=mask(state.known, state.erased_version),
        changed_fields=list(dict.fromkeys(pointers.split(path)[0] for path in changes)),
        changes=changed_paths(changes, state.erased_version),
        changed_by=_changed_by(event, emails),
        change_description=event.reason,
        cause=event.cause,
        created_at=event.occurred_at,
        clock_time=event.clock_time,
        reverts=links.reverts,
        reverted_by=links.reverted_by,
    )


def version_entry(
    event: Event, label: str | None, emails: Mapping[int, str | None], links: Links
) -> VersionEntry:
    """The version that an event made."""
    return VersionEntry(
        version=event.version,
        label=label,
        event=type(event).__name__,
        created_at=event.occurred_at,
        clock_time=event.clock_time,
        changed_by=_changed_by(event, emails),
        change_description=event.reason,
        cause=event.cause,
        changed_paths=list(islice(changes_of(event), _MAX_PATHS)),
        more_paths=_left_out(event),
        reverts=links.reverts,
        reverted_by=links.reverted_by,
    )


def summary(event: Event) -> ChangeSummary:
    """An event in short."""
    return ChangeSummary(
        version=event.version,
        actor=event.actor,
        reason=event.reason,
        created_at=event.occurred_at,
        paths=list(islice(changes_of(event), _MAX_PATHS)),
        more_paths=_left_out(event),
    )


def _left_out(event: Event) -> int:
    return max(len(changes_of(event)) - _MAX_PATHS, 0)


def changed_paths(changes: Changes, erased_version: int) -> list[ChangedPath]:
    """Changes with their secrets masked, in order."""
    return [
        ChangedPath(
            path=path,
            before=mask(change.before, erased_version),
            after=mask(change.after, erased_version),
        )
        for path, change in changes.items()
    ]


def _changed_by(event: Event, emails: Mapping[int, str | None]) -> ChangedBy:
    return ChangedBy(
        user_id=event.actor.user_id,
        email=emails.get(event.actor.user_id),
        type=event.actor.type,
        name=event.actor.name,
    )


def is_by(actor: Actor, name: str) -> bool:
    """Whether a name, or ``type:id``, is that of an actor; case does not matter."""
    return casefolded(name) in (casefolded(actor.name), f"{actor.type}:{actor.id}")
