"""The state of an assistant inside a unit of work: now, at a version, and the events since."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.assistants import references
from events import codec, store
from events.errors import AssistantNotFound
from projections import keyframes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.assistants.references import Reference
    from app.transactions.unit_of_work import UnitOfWork
    from events.assistant_key import AssistantKey
    from events.changed import Event, State

_EVENTS_AT_ONCE = 100


def existing(unit: UnitOfWork, key: AssistantKey) -> State:
    """The state of an assistant that is not deleted; raises ``AssistantNotFound``."""
    state = unit.state(key)
    if not state.version or state.deleted:
        raise AssistantNotFound(key[1])
    return state


def existing_or_deleted(unit: UnitOfWork, key: AssistantKey) -> State:
    """The state of an assistant, deleted or not; raises ``AssistantNotFound``."""
    state = unit.state(key)
    if not state.version:
        raise AssistantNotFound(key[1])
    return state


def at_version(unit: UnitOfWork, key: AssistantKey, version: int, current: State) -> State:
    """The state after a version. Secrets that were erased since are erased in it, too."""
    state = unit.read(keyframes.state_at, *key, version)
    return msgspec.structs.replace(state, erased_version=current.erased_version)


def resolve(unit: UnitOfWork, key: AssistantKey, current: State, reference: Reference) -> int:
    """The version that a reference names; raises ``VersionNotFound``."""
    return unit.read(references.resolve, key, current.version, reference)


def newest_first(unit: UnitOfWork, key: AssistantKey, after: int = 0) -> Iterator[Event]:
    """Outlines of the events of an assistant after a version, the newest first."""
    return unit.read(
        store.read_stream,
        *key,
        newest_first=True,
        after=after,
        at_once=_EVENTS_AT_ONCE,
        decode=codec.outline,
    )
