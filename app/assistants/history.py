"""What callers read of assistants: how they are, how they were, and how they came to be so.

Every read names the caller's organization; what needs several statements takes one snapshot.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from app.accounts import organizations
from app.assistants import neighbours, references
from app.assistants.changes import Assistant
from events import pointers, store
from events.changed import Event, SecretsErased, State, changes_of
from events.errors import AssistantNotFound
from events.secrets.references import mask
from projections import activity, blame, current, history, keyframes, labels, reversals, words
from projections.history import ChangedPath, ChangeSummary, Links, VersionEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import sqlalchemy as sa

    from app.assistants.neighbours import Neighbours
    from app.assistants.references import Reference
    from app.storage.database import Database
    from projections.activity import ActiveAssistant
    from projections.blame import BlamedPath
    from projections.current import Selection
    from projections.history import Entry, Filter
    from projections.reversals import Reversal

_MOST_REVERTED = 200  # versions that are looked at for one entry's ``reverts``
_MOST_CHANGERS = 100  # versions that one path of a diff names


class DiffEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One path that two versions hold differently, masked; a side is absent for nothing."""

    path: str
    op: str
    before: Any | UnsetType = UNSET
    after: Any | UnsetType = UNSET
    changed_by: list[int] = msgspec.field(default_factory=list)
    words: list[words.Hunk] | UnsetType = UNSET


class BlameEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One path, what it holds, and the change that made it so; ``value`` is absent if removed.

    In the history of one path, ``changes`` are what the change did at and below it instead.
    """

    path: str
    changed_by: ChangeSummary
    value: Any | UnsetType = UNSET
    changes: list[ChangedPath] | UnsetType = UNSET


class Shown(Struct, frozen=True, kw_only=True):
    """A version with the assistant as it was after it."""

    entry: VersionEntry
    assistant: Assistant


class Assistants:
    """The assistants of the caller's organization, at any moment."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- now

    async def get(self, organization_id: int, assistant_id: int) -> Assistant:
        """One assistant; raises ``AssistantNotFound``."""
        state = await self._database.read(current.load, organization_id, assistant_id)
        if state is None or state.deleted:
            raise AssistantNotFound(assistant_id)
        return Assistant(organization_id=organization_id, id=assistant_id, state=state)

    async def select(
        self,
        organization_id: int,
        selection: Selection,
        *,
        skip: int = 0,
        limit: int | None = None,
    ) -> list[Assistant]:
        """The chosen living assistants, newest first."""
        found = await self._database.read(
            current.select, organization_id, selection, skip=skip, limit=limit
        )
        return [Assistant(organization_id=organization_id, id=i, state=s) for i, s in found]

    async def count(self, organization_id: int, selection: Selection) -> int:
        """How many assistants ``select`` would give."""
        return await self._database.read(current.count, organization_id, selection)

    async def activity(
        self,
        organization_id: int,
        selection: Selection,
        order: activity.Order,
        until: date,
        *,
        days: int,
        skip: int,
        limit: int,
    ) -> tuple[date, int, list[ActiveAssistant]]:
        """The first of the days, how many assistants are chosen, and those of a page."""
        since = until - timedelta(days=days - 1)

        def work(connection: sa.Connection) -> tuple[date, int, list[ActiveAssistant]]:
            total = current.count(connection, organization_id, selection)
            found = activity.select(
                connection, organization_id, selection, order, since, skip=skip, limit=limit
            )
            return since, total, found

        return await self._database.snapshot(work)

    # -- then

    async def at(
        self, organization_id: int, assistant_id: int, wanted: Reference | datetime
    ) -> tuple[Assistant, Neighbours]:
        """One assistant at a version or a moment at which it lived, also one deleted since.

        With the versions that it leads to.
        """

        def work(connection: sa.Connection) -> tuple[Assistant, Neighbours]:
            key = (organization_id, assistant_id)
            head = _head(connection, *key, include_deleted=True)
            if isinstance(wanted, datetime):
                state = keyframes.state_at_time(connection, *key, wanted)
            else:
                version = references.resolve(connection, *key, head.version, wanted)
                state = keyframes.state_at(connection, *key, version)
            if not state.version or state.deleted:
                raise AssistantNotFound(assistant_id)
            around = neighbours.neighbours(connection, *key, state.version, head.version)
            return _seen_today(organization_id, assistant_id, state, head), around

        return await self._database.snapshot(work)

    async def select_at(
        self,
        organization_id: int,
        moment: datetime,
        selection: Selection,
        *,
        skip: int,
        limit: int,
    ) -> list[Assistant]:
        """The chosen assistants that lived at a moment, as they were, newest first."""

        def work(connection: sa.Connection) -> list[Assistant]:
            found = (
                _seen_today(organization_id, assistant_id, state, head)
                for assistant_id, head in current.created_by(connection, organization_id, moment)
                if selection.user_id in (None, head.user_id)
                and (state := _then(connection, organization_id, assistant_id, head, moment))
                and not state.deleted
                and selection.active in (None, state.settings["is_active"])
            )
            return list(islice(found, skip, skip + limit))

        return await self._database.snapshot(work)

    # -- how it came to be so

    async def history(
        self,
        organization_id: int,
        assistant_id: int,
        wanted: Filter,
        limit: int,
        *,
        include_deleted: bool = False,
    ) -> list[Entry]:
        """The newest ``limit`` wanted entries of the settings history."""

        def work(connection: sa.Connection) -> list[Entry]:
            key = (organization_id, assistant_id)
            head = _head(connection, *key, include_deleted=include_deleted)
            newest = min(head.version, (wanted.before_version or head.version + 1) - 1)
            if newest < 1:
                return []
            state = keyframes.state_at(connection, *key, newest)
            state = msgspec.structs.replace(state, erased_version=head.erased_version)
            stream = store.read_stream(connection, *key, newest_first=True, until=newest)
            found = history.entries(state, stream, wanted, limit)
            links = _links(connection, *key, [event for event, _ in found])
            emails = organizations.emails(connection, organization_id)
            return [history.entry(event, before, emails, links) for event, before in found]

        return await self._database.snapshot(work)

    async def versions(
        self,
        organization_id: int,
        assistant_id: int,
        before_version: int | None,
        limit: int,
        *,
        include_deleted: bool = False,
    ) -> list[VersionEntry]:
        """The newest ``limit`` versions, the creation among them."""

        def work(connection: sa.Connection) -> list[VersionEntry]:
            key = (organization_id, assistant_id)
            head = _head(connection, *key, include_deleted=include_deleted)
            until = head.version if before_version is None else before_version - 1
            stream = store.read_stream(connection, *key, newest_first=True, until=until)
            return _entries(connection, *key, list(islice(stream, limit)))

        return await self._database.snapshot(work)

    async def version(
        self,
        organization_id: int,
        assistant_id: int,
        wanted: Reference,
        *,
        include_deleted: bool = False,
    ) -> Shown:
        """One version, and the assistant after it."""

        def work(connection: sa.Connection) -> Shown:
            key = (organization_id, assistant_id)
            head = _head(connection, *key, include_deleted=include_deleted)
            version = references.resolve(connection, *key, head.version, wanted)
            events = list(store.read_stream(connection, *key, after=version - 1, until=version))
            state = keyframes.state_at(connection, *key, version)
            return Shown(
                entry=_entries(connection, *key, events)[0],
                assistant=_seen_today(*key, state, head),
            )

        return await self._database.snapshot(work)

    async def diff(
        self,
        organization_id: int,
        assistant_id: int,
        older: Reference,
        newer: Reference,
        *,
        by_words: bool = False,
        with_changers: bool = True,
        include_deleted: bool = False,
    ) -> list[DiffEntry]:
        """What turns one version into another, and which versions changed that between them.

        To find these, all events between are read.
        """

        def work(connection: sa.Connection) -> list[DiffEntry]:
            key = (organization_id, assistant_id)
            head = _head(connection, *key, include_deleted=include_deleted)
            ends = [references.resolve(connection, *key, head.version, o) for o in (older, newer)]
            one, other = (keyframes.state_at(connection, *key, end).settings for end in ends)
            changes = pointers.diff(one, other)
            between = store.read_stream(
                connection, *key, newest_first=True, after=min(ends), until=max(ends)
            )
            changers = _changers(changes, between if with_changers else ())
            return [
                _diff_entry(path, change, changers[path], head.erased_version, by_words=by_words)
                for path, change in changes.items()
            ]

        return await self._database.snapshot(work)

    async def blame(
        self,
        organization_id: int,
        assistant_id: int,
        wanted: Reference,
        *,
        include_deleted: bool = False,
    ) -> list[BlameEntry]:
        """Every path that ever changed, and which change made it what it is at a version."""

        def work(connection: sa.Connection) -> list[BlameEntry]:
            key = (organization_id, assistant_id)
            head = _head(connection, *key, include_deleted=include_deleted)
            version = references.resolve(connection, *key, head.version, wanted)
            settings = keyframes.state_at(connection, *key, version).settings
            found = list(blame.paths(keyframes.blame_at(connection, *key, version), settings))
            told = _summaries(connection, *key, {one.version for one in found})
            return [_blame_entry(one, told, head) for one in found]

        return await self._database.snapshot(work)

    async def changes_of(
        self,
        organization_id: int,
        assistant_id: int,
        path: str,
        wanted: Reference,
        before_version: int | None,
        limit: int,
        *,
        include_deleted: bool = False,
    ) -> list[BlameEntry]:
        """The newest ``limit`` changes of a path up to a version, with what each set it to."""

        def work(connection: sa.Connection) -> list[BlameEntry]:
            key = (organization_id, assistant_id)
            head = _head(connection, *key, include_deleted=include_deleted)
            until = references.resolve(connection, *key, head.version, wanted)
            if before_version is not None:
                until = min(until, before_version - 1)
            stream = store.read_stream(connection, *key, newest_first=True, until=until)
            found = (entry for event in stream for entry in _touching(event, path, head))
            return list(islice(found, limit))

        return await self._database.snapshot(work)

    async def erased_versions(
        self, organization_id: int, assistant_ids: Iterable[int]
    ) -> dict[int, int]:
        """The versions up to which the secrets of assistants were erased."""
        _, erased = await self._database.read(
            current.names_and_erasures, organization_id, list(assistant_ids)
        )
        return erased


def _touching(event: Event, path: str, head: State) -> Iterator[BlameEntry]:
    """What an event did to a path: to itself, below it, or to all of what it is in."""
    touched = {
        at: change for at, change in changes_of(event).items() if pointers.overlaps(path, at)
    }
    if touched:
        summary = history.summary(event)
        yield BlameEntry(
            path=path,
            changed_by=msgspec.structs.replace(summary, paths=list(touched), more_paths=0),
            changes=history.changed_paths(touched, head.erased_version),
        )


def _head(
    connection: sa.Connection,
    organization_id: int,
    assistant_id: int,
    *,
    include_deleted: bool,
) -> State:
    state = current.load(connection, organization_id, assistant_id)
    if state is None or (state.deleted and not include_deleted):
        raise AssistantNotFound(assistant_id)
    return state


def _then(
    connection: sa.Connection,
    organization_id: int,
    assistant_id: int,
    head: State,
    moment: datetime,
) -> State:
    if head.updated_at is not None and head.updated_at <= moment:
        return head
    return keyframes.state_at_time(connection, organization_id, assistant_id, moment)


def _seen_today(organization_id: int, assistant_id: int, state: State, head: State) -> Assistant:
    """What was erased since is erased in the past, too."""
    seen = msgspec.structs.replace(state, erased_version=head.erased_version)
    return Assistant(organization_id=organization_id, id=assistant_id, state=seen)


def _entries(
    connection: sa.Connection, organization_id: int, assistant_id: int, events: Sequence[Event]
) -> list[VersionEntry]:
    key = (organization_id, assistant_id)
    emails = organizations.emails(connection, organization_id)
    named = labels.of(connection, *key, [event.version for event in events])
    links = _links(connection, *key, events)
    return [history.version_entry(e, named.get(e.version), emails, links) for e in events]


def _links(
    connection: sa.Connection, organization_id: int, assistant_id: int, events: Sequence[Event]
) -> Links:
    """What each of the events took back, and what took it back."""
    key = (organization_id, assistant_id)
    numbers = [event.version for event in events]
    if not numbers:
        return history.NO_LINKS
    reaching = reversals.reaching(connection, *key, min(numbers), max(numbers))
    reverted_by = {
        event.version: [one.version for one in reaching if one.takes_back(event)]
        for event in events
        if not isinstance(event, SecretsErased)
    }
    reverts = {}
    for event in events:
        if reversal := reversals.made_by(event):
            reverts[event.version] = _reverts(connection, *key, reversal)
    return Links(reverts, reverted_by)


def _reverts(
    connection: sa.Connection, organization_id: int, assistant_id: int, reversal: Reversal
) -> list[int]:
    events = store.read_stream(
        connection,
        organization_id,
        assistant_id,
        newest_first=True,
        after=reversal.first_version - 1,
        until=reversal.last_version,
    )
    return [e.version for e in islice(events, _MOST_REVERTED) if reversal.takes_back(e)]


def _changers(changes: pointers.Changes, newest_first: Iterable[Event]) -> dict[str, list[int]]:
    """For each path the versions that touched it."""
    changers: dict[str, list[int]] = {path: [] for path in changes}
    below: dict[str, list[str]] = {}
    for path in changes:
        for above in pointers.ancestors(path):
            below.setdefault(above, []).append(path)
    for event in newest_first:
        touched = changes_of(event)
        overlapping = {
            path
            for one in touched
            for path in (one, *pointers.ancestors(one), *below.get(one, ()))
            if path in changers
        }
        for path in overlapping:
            if len(changers[path]) < _MOST_CHANGERS:
                changers[path].append(event.version)
    return changers


def _summaries(
    connection: sa.Connection, organization_id: int, assistant_id: int, wanted: set[int]
) -> dict[int, ChangeSummary]:
    events = store.read_versions(connection, organization_id, assistant_id, wanted)
    return {event.version: history.summary(event) for event in events}


def _blame_entry(found: BlamedPath, told: dict[int, ChangeSummary], head: State) -> BlameEntry:
    summary = msgspec.structs.replace(told[found.version], paths=[found.path], more_paths=0)
    return BlameEntry(
        path=found.path, value=mask(found.value, head.erased_version), changed_by=summary
    )


def _diff_entry(
    path: str,
    change: pointers.Change,
    changers: list[int],
    erased_version: int,
    *,
    by_words: bool,
) -> DiffEntry:
    before, after = mask(change.before, erased_version), mask(change.after, erased_version)
    hunks = words.between(before, after) if by_words else None
    return DiffEntry(
        path=path,
        op=operation(change),
        before=before,
        after=after,
        changed_by=changers,
        words=UNSET if hunks is None else hunks,
    )


def operation(change: pointers.Change) -> str:
    """What a change is in the words of RFC 6902."""
    if change.before is UNSET:
        return "add"
    return "remove" if change.after is UNSET else "replace"
