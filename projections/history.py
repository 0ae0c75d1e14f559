"""The settings history: one entry for each event after the creation, newest first.

An entry's ``settings_snapshot`` is the state before its change, so a page is made in one pass:
from the newest state backwards, each event is taken back once.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, assert_never

import msgspec
from msgspec import UNSET, Struct, UnsetType

from events import pointers
from events.changed import (
    Actor,
    AssistantCreated,
    AssistantDeleted,
    AssistantSettingsChanged,
    Cause,
    Event,
    SecretsErased,
    State,
)
from events.pointers import Tree
from events.secrets import mask
from events.settings import Moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


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
    state: State, newest_first: Iterable[Event], wanted: Filter, emails: dict[int, str | None]
) -> Iterator[Entry]:
    """The wanted entries, from the newest state backwards; stop taking when you have enough.

    ``newest_first`` must be the whole stream's events, so that each can be taken back.
    """
    for event in newest_first:
        if isinstance(event, AssistantCreated):
            return
        if _beyond(event, wanted):
            return
        state = before(event, state)
        if wanted.takes(event):
            yield _entry(event, state, emails)


def before(event: Event, state: State) -> State:
    """The state before an event, from the state after it. Only settings are turned back."""
    match event:
        case AssistantSettingsChanged():
            settings = pointers.unapply(event.changes, state.settings)
            return msgspec.structs.replace(state, version=event.version - 1, settings=settings)
        case SecretsErased():  # what was destroyed then is not there in earlier states either
            return msgspec.structs.replace(state, version=event.version - 1)
        case AssistantDeleted():
            return msgspec.structs.replace(state, version=event.version - 1, deleted=False)
        case AssistantCreated():
            raise ValueError("there is no state before the first event")
        case _:
            assert_never(event)


def _beyond(event: Event, wanted: Filter) -> bool:
    """Time never runs backwards in an organization: older than ``since`` means none is left."""
    return wanted.since is not None and event.occurred_at < wanted.since


def _entry(event: Event, state: State, emails: dict[int, str | None]) -> Entry:
    changes = event.changes if isinstance(event, AssistantSettingsChanged) else {}
    return Entry(
        id=event.sequence,
        version_id=event.version,
        version=event.version,
        assistant_id=event.assistant_id,
        event=type(event).__name__,
        settings_snapshot=mask(state.settings, state.erased_version),
        changed_fields=list(dict.fromkeys(pointers.split(path)[0] for path in changes)),
        changes=[
            ChangedPath(
                path=path,
                before=mask(change.before, state.erased_version),
                after=mask(change.after, state.erased_version),
            )
            for path, change in changes.items()
        ],
        changed_by=ChangedBy(
            user_id=event.actor.user_id,
            email=emails.get(event.actor.user_id),
            type=event.actor.type,
            name=event.actor.name,
        ),
        change_description=event.reason,
        cause=event.cause,
        created_at=event.occurred_at,
    )


def is_by(actor: Actor, wanted: str) -> bool:
    """An actor is named by ``type:id`` or by name, in any case."""
    return wanted.casefold() in (actor.name.casefold(), f"{actor.type}:{actor.id}")


def _touches(event: Event, path: str) -> bool:
    changes = event.changes if isinstance(event, AssistantSettingsChanged) else {}
    return any(pointers.overlaps(path, changed) for changed in changes)
