"""The changes of all assistants of an organization, newest first: who, what, when and why."""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, get_args

import msgspec
from msgspec import Struct

from app.pages import Page, page_of
from events import codec, log_head, log_search, pointers, policy
from events.changed import Actor, AssistantSettingsChanged, Cause, Event, changes_of
from events.log_search import EventFilter
from events.policy import Warned
from events.setting_types import Moment
from projections import current, history
from projections.history import ChangedPath

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import sqlalchemy as sa

_MOST_PATHS = 20  # of a change; ``more_paths`` counts the others
_MOST_VALUE = 1000  # bytes of the values of one path that are shown
_TAGS = tuple(tag for kind in get_args(Event) for tag in codec.tags_of(kind))


class RecentChange(Struct, frozen=True, kw_only=True):
    """A change of an assistant.

    ``changes`` are those whose values are short, masked; ``warnings`` are what the policy finds
    suspicious about it.
    """

    sequence: int
    assistant_id: int
    assistant_name: str
    version: int
    event: str
    created_at: Moment
    actor: Actor
    change_description: str | None
    cause: Cause
    changed_paths: list[str]
    more_paths: int
    changes: list[ChangedPath]
    warnings: list[Warned]


def read(
    connection: sa.Connection,
    organization_id: int,
    *,
    before: int | None,
    since: datetime | None,
    limit: int,
) -> Page:
    """The newest changes before a sequence and since a moment."""
    last = log_head.head_of(connection, organization_id).sequence
    after = 0 if since is None else log_search.last_before(connection, organization_id, since, last)
    until = last if before is None else min(last, before - 1)
    matching = EventFilter(after=after, until=until, tags=_TAGS)
    stored = log_search.read_stored(connection, organization_id, matching, newest_first=True)
    with closing(stored):
        rows = (
            (change.sequence, change)
            for batch in stored
            for change in _changes(connection, organization_id, batch)
        )
        return page_of(rows, limit)


def _changes(
    connection: sa.Connection, organization_id: int, batch: list[log_search.Stored]
) -> Iterator[RecentChange]:
    """The changes of a batch of stored events."""
    events = [_decoded(body) for _, body, _ in batch]
    ids = {event.assistant_id for event in events}
    names, erased = current.names_and_erasures(connection, organization_id, ids)
    for event in events:
        one = event.assistant_id
        yield _change(event, names.get(one, ""), erased.get(one, 0))


def _decoded(body: bytes) -> Event:
    """An event; of a large one only the paths, unless they can have a warning."""
    tag = codec.tag_in(body)
    is_watched = policy.is_watched(codec.changed_paths(body, tag))
    return (codec.decode if is_watched else codec.outline)(body, tag)  # type: ignore[return-value]  # by its tag


def _change(event: Event, name: str, erased_version: int) -> RecentChange:
    is_change = isinstance(event, AssistantSettingsChanged)
    changes = changes_of(event) if is_change else {}
    first = dict(islice(changes.items(), _MOST_PATHS))
    shown = history.changed_paths(first, erased_version)
    return RecentChange(
        sequence=event.sequence,
        assistant_id=event.assistant_id,
        assistant_name=name,
        version=event.version,
        event=type(event).__name__,
        created_at=event.occurred_at,
        actor=event.actor,
        change_description=event.reason,
        cause=event.cause,
        changed_paths=list(first),
        more_paths=len(changes) - len(first),
        changes=[change for change in shown if _is_short(change)],
        warnings=_warnings(event) if isinstance(event, AssistantSettingsChanged) else [],
    )


def _is_short(change: ChangedPath) -> bool:
    """Whether a change has values, and short ones."""
    sides = [side for side in (change.before, change.after) if side is not msgspec.UNSET]
    return bool(sides) and len(msgspec.json.encode(sides)) <= _MOST_VALUE


def _warnings(event: AssistantSettingsChanged) -> list[Warned]:
    """What is suspicious about a change: the rules look only at what changed."""
    if not policy.is_watched(event.changes):
        return []
    before, after = pointers.unapply(event.changes, {}), pointers.apply(event.changes, {})
    return policy.warnings(before, after)
