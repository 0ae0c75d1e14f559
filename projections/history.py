"""The settings history: one entry for each event after the creation, newest first.

An entry's ``settings_snapshot`` is the state before its change, so a page is made in one pass:
from the newest state backwards, each event is taken back once.
"""

from __future__ import annotations

from datetime import datetime
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
from events.shape import known
from projections.casefolding import casefolded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


_MOST_PATHS = 1000  # of a change in short; the history entry has them all


class ChangedBy(Struct, frozen=True, kw_only=True):
    """Who did it. The address is looked up when it is shown: no event holds it."""

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
    clock_time: Moment | UnsetType = UNSET  # the server's, where it was behind
    reverts: list[int]
    reverted_by: list[int]


class VersionEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One version: what made it, by whom and why. The creation is version 1."""

    version: int
    label: str | None
    event: str
    created_at: Moment
    clock_time: Moment | UnsetType = UNSET  # the server's, where it was behind
    changed_by: ChangedBy
    change_description: str | None
    cause: Cause
    changed_paths: list[str]
    more_paths: int = 0  # that were left out of too many
    reverts: list[int]
    reverted_by: list[int]


class ChangeSummary(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A change as one is told of it: who, when, why and where, but not what."""

    version: int
    actor: Actor
    reason: str | None
    created_at: Moment
    paths: list[str]
    more_paths: int = 0  # that were left out of too many


class Links(Struct, frozen=True):
    """Which versions each version took back, and which took it back."""

    reverts: Mapping[int, list[int]]
    reverted_by: Mapping[int, list[int]]


NO_LINKS = Links({}, {})


class Filter(Struct, frozen=True, kw_only=True):
    """Which entries are wanted. ``path`` is a pointer or a prefix of one."""

    path: str | None = None
    actor: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before_version: int | None = None

    def takes(self, event: Event) -> bool:
        """Whether an event is wanted."""
        return (
            (self.before_version is None or event.version < self.before_version)
            and (self.since is None or event.occurred_at >= self.since)
            and (self.until is None or event.occurred_at <= self.until)
            and (self.actor is None or is_by(event.actor, self.actor))
            and (self.path is None or _touches(event, self.path))
        )


def entries(
    state: State, newest_first: Iterable[Event], wanted: Filter, limit: int
) -> list[tuple[Event, State]]:
    """The newest wanted events, each with the state before it.

    ``newest_first`` are the events that led to the state, so that each can be taken back.
    """
    found: list[tuple[Event, State]] = []
    for event in newest_first:
        if isinstance(event, AssistantCreated) or _beyond(event, wanted):
            break
        state = before(event, state)
        if wanted.takes(event):
            found.append((event, state))
        if len(found) == limit:
            break
    return found


def before(event: Event, state: State) -> State:
    """The state before an event, from the state after it. Only settings are turned back."""
    match event:
        case AssistantSettingsChanged():
            settings = taken_back(event.changes, state.settings)
            return msgspec.structs.replace(state, version=event.version - 1, settings=settings)
        case SecretsErased():  # what was destroyed then is not there in earlier states either
            return msgspec.structs.replace(state, version=event.version - 1)
        case AssistantDeleted() | AssistantRestored():
            was_deleted = isinstance(event, AssistantRestored)
            return msgspec.structs.replace(state, version=event.version - 1, deleted=was_deleted)
        case AssistantCreated():
            raise ValueError("there is no state before the first event")
        case _:
            assert_never(event)


def _beyond(event: Event, wanted: Filter) -> bool:
    """Time never runs backwards in an organization: older than ``since`` means none is left."""
    return wanted.since is not None and event.occurred_at < wanted.since


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
        settings_snapshot=mask(known(state.settings), state.erased_version),
        changed_fields=list(dict.fromkeys(pointers.split(path)[0] for path in changes)),
        changes=changed_paths(changes, state.erased_version),
        changed_by=_changed_by(event, emails),
        change_description=event.reason,
        cause=event.cause,
        created_at=event.occurred_at,
        clock_time=event.clock_time,
        reverts=links.reverts.get(event.version, []),
        reverted_by=links.reverted_by.get(event.version, []),
    )


def version_entry(
    event: Event, label: str | None, emails: Mapping[int, str | None], links: Links
) -> VersionEntry:
    """An event as the version that it made."""
    return VersionEntry(
        version=event.version,
        label=label,
        event=type(event).__name__,
        created_at=event.occurred_at,
        clock_time=event.clock_time,
        changed_by=_changed_by(event, emails),
        change_description=event.reason,
        cause=event.cause,
        changed_paths=list(islice(changes_of(event), _MOST_PATHS)),
        more_paths=_left_out(event),
        reverts=links.reverts.get(event.version, []),
        reverted_by=links.reverted_by.get(event.version, []),
    )


def summary(event: Event) -> ChangeSummary:
    """An event in short."""
    return ChangeSummary(
        version=event.version,
        actor=event.actor,
        reason=event.reason,
        created_at=event.occurred_at,
        paths=list(islice(changes_of(event), _MOST_PATHS)),
        more_paths=_left_out(event),
    )


def _left_out(event: Event) -> int:
    return max(len(changes_of(event)) - _MOST_PATHS, 0)


def changed_paths(changes: Changes, erased_version: int) -> list[ChangedPath]:
    """Changes as they are shown: masked, in order."""
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


def is_by(actor: Actor, wanted: str) -> bool:
    """An actor is named by ``type:id`` or by name, in any case."""
    return casefolded(wanted) in (casefolded(actor.name), f"{actor.type}:{actor.id}")


def _touches(event: Event, path: str) -> bool:
    changes = changes_of(event)
    return any(pointers.overlaps(path, changed) for changed in changes)
