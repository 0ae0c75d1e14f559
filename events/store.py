"""The log: append, and read a stream or the whole organization in order.

Every function takes the connection of the transaction that it is part of.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from msgspec import Struct

from events import codec, merkle
from events.changed import AssistantDeleted
from events.tables import events, from_micros, organizations, rows_of, to_micros

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime, timedelta

    from events.changed import Event, LogEvent

_READ_AT_ONCE = 500
_DELETED = str(AssistantDeleted.__struct_config__.tag).partition(".")[0] + ".%"
_FEW = 32
_BATCH_BYTES = 256 * 1024
# A server sends rows as they are taken, so that a million pass through a small memory.
AS_THEY_COME = {"stream_results": True, "max_row_buffer": _FEW}
MOST_UNSIGNED = 1000  # events; with as many after a checkpoint, the next one is due
_NO_LIMIT = 2**62  # SQL has no OFFSET without LIMIT everywhere


class Stored(NamedTuple):
    """An event as its row holds it: the bytes that were hashed, not yet read."""

    sequence: int
    body: bytes
    hashes: bytes  # its leaf hash, then the roots of the subtrees that it completes

    @property
    def type(self) -> str:
        """The tag of the event's shape."""
        return codec.tag_in(self.body)


class Sought(Struct, frozen=True, kw_only=True):
    """Which of an organization's events are sought; a member that is None excludes none."""

    after: int = 0
    until: int | None = None  # the last sequence
    tags: tuple[str, ...] | None = None
    assistant_id: int | None = None
    key_id: int | None = None
    about: int | None = None  # an assistant's id or a key's
    user_id: int | None = None

    def conditions(self) -> Iterator[sa.ColumnElement[bool]]:
        """The same in SQL."""
        column = events.c
        yield column.sequence > self.after
        if self.until is not None:
            yield column.sequence <= self.until
        if self.tags is not None:
            yield column.type.in_(self.tags)
        if self.assistant_id is not None:
            yield column.assistant_id == self.assistant_id
        if self.key_id is not None:
            yield column.key_id == self.key_id
        if self.about is not None:
            yield sa.or_(column.assistant_id == self.about, column.key_id == self.about)
        if self.user_id is not None:
            yield column.user_id == self.user_id


class Counter(Struct, kw_only=True):
    """An organization's counters, as its locked row holds them."""

    organization_id: int
    sequence: int
    last_assistant_id: int
    last_occurred_at: datetime
    origin: str
    frontier: bytes  # of the tree over the events that are written
    checkpoint_at: datetime
    checkpoint_sequence: int
    observed_at: datetime


def lock(connection: sa.Connection, organization_id: int, *, waits: bool = True) -> Counter | None:
    """Take the organization's counter row for the rest of the transaction.

    Nothing of an organization may be read for a decision before this. None: no such
    organization, or, if it is not to be waited for, one that somebody else holds.
    """
    query = rows_of(organizations, organization_id).with_for_update(skip_locked=not waits)
    return _counter(connection, query)


def read_counter(connection: sa.Connection, organization_id: int) -> Counter | None:
    """The counters as they are now, not locked. None: no such organization."""
    return _counter(connection, rows_of(organizations, organization_id))


def counter_of(connection: sa.Connection, organization_id: int) -> Counter:
    """The counters of an organization that there is, to read from: they are not locked."""
    found = read_counter(connection, organization_id)
    if found is None:
        raise LookupError(f"no organization {organization_id}")
    return found


def _counter(connection: sa.Connection, query: sa.Select[Any]) -> Counter | None:
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return Counter(
        organization_id=row.organization_id,
        sequence=row.sequence,
        last_assistant_id=row.last_assistant_id,
        last_occurred_at=from_micros(row.last_occurred_at),
        origin=row.origin,
        frontier=row.frontier,
        checkpoint_at=from_micros(row.checkpoint_at),
        checkpoint_sequence=row.checkpoint_sequence,
        observed_at=from_micros(row.observed_at),
    )


def append(connection: sa.Connection, counter: Counter, recorded: Iterable[LogEvent]) -> None:
    """Write one organization's events, whose sequence and version its counters gave.

    Each becomes a leaf of the organization's tree; ``counter`` gets the new frontier.
    """
    rows = [_row(event, counter) for event in recorded]
    if rows:
        connection.execute(sa.insert(events), rows)


def _row(event: LogEvent, counter: Counter) -> dict[str, Any]:
    body = codec.encode(event)
    counter.frontier, hashes = merkle.add(counter.frontier, event.sequence - 1, body)
    return _columns(event) | {"body": body, "hashes": hashes}


def _columns(event: LogEvent) -> dict[str, Any]:
    """What an event's row says beside its bytes, so that it can be found."""
    return {
        "organization_id": event.organization_id,
        "sequence": event.sequence,
        "assistant_id": event.assistant_id,
        "version": getattr(event, "version", None),
        "key_id": getattr(event, "key_id", None),
        "user_id": event.actor.user_id,
        "type": codec.tag_of(event),
        "occurred_at": to_micros(event.occurred_at),
    }


def save_counter(connection: sa.Connection, counter: Counter) -> None:
    """Write the counters back into their locked row."""
    connection.execute(
        sa.update(organizations)
        .where(organizations.c.organization_id == counter.organization_id)
        .values(
            sequence=counter.sequence,
            last_assistant_id=counter.last_assistant_id,
            last_occurred_at=to_micros(counter.last_occurred_at),
            frontier=counter.frontier,
            checkpoint_at=to_micros(counter.checkpoint_at),
            checkpoint_sequence=counter.checkpoint_sequence,
            observed_at=to_micros(counter.observed_at),
        )
    )


def read_stream(
    connection: sa.Connection,
    organization_id: int,
    assistant_id: int,
    *,
    newest_first: bool = False,
    after: int = 0,
    until: int | None = None,
    at_once: int = _READ_AT_ONCE,
) -> Iterator[Event]:
    """One assistant's events in order of version, a page of rows at a time.

    Those after a version, and up to another, which is included. Who needs few takes few at once.
    """
    version = events.c.version
    page = (
        rows_of(events, organization_id, version.label("at"), events.c.type, events.c.body)
        .where(events.c.assistant_id == assistant_id, version > after)
        .order_by(version.desc() if newest_first else version)
    )
    if until is not None:
        page = page.where(version <= until)
    return _pages(connection, page, version, newest_first=newest_first, at_once=at_once)


def read_versions(
    connection: sa.Connection, organization_id: int, assistant_id: int, versions: Iterable[int]
) -> Iterator[Event]:
    """Single events of one assistant's stream, in order of version."""
    wanted = sorted(versions)
    query = rows_of(events, organization_id, events.c.type, events.c.body)
    query = query.where(events.c.assistant_id == assistant_id).order_by(events.c.version)
    for start in range(0, len(wanted), _READ_AT_ONCE):
        some = wanted[start : start + _READ_AT_ONCE]
        for row in connection.execute(query.where(events.c.version.in_(some))):
            yield codec.decode(row.body, row.type)  # type: ignore[misc]  # it has a version


def read_body(
    connection: sa.Connection, organization_id: int, assistant_id: int, version: int
) -> bytes | None:
    """One event of an assistant's stream as it is stored."""
    query = rows_of(events, organization_id, events.c.body).where(
        events.c.assistant_id == assistant_id, events.c.version == version
    )
    body: bytes | None = connection.scalar(query)
    return body


def read_moments(
    connection: sa.Connection, organization_id: int, assistant_id: int, versions: Iterable[int]
) -> list[tuple[int, datetime]]:
    """When some versions of an assistant came to be, in order, but for those that deleted it."""
    query = rows_of(events, organization_id, events.c.version, events.c.occurred_at)
    query = query.where(
        events.c.assistant_id == assistant_id,
        events.c.version.in_(sorted(versions)),
        events.c.type.not_like(_DELETED),
    )
    rows = connection.execute(query.order_by(events.c.version))
    return [(row.version, from_micros(row.occurred_at)) for row in rows]


def newer_tag(connection: sa.Connection) -> str | None:
    """A tag in the log that this release does not know; looks at every event."""
    known = (*codec.TODAY, *codec.UPCASTERS)
    query = sa.select(events.c.type).where(events.c.type.not_in(known)).limit(1)
    found: str | None = connection.scalar(query)
    return found


def read_streams(connection: sa.Connection, organization_id: int) -> Iterator[Event]:
    """One organization's events, stream by stream, each in order of version."""
    key = sa.tuple_(events.c.assistant_id, events.c.version)
    page = (
        rows_of(events, organization_id, events.c.assistant_id, events.c.version)
        .add_columns(events.c.type, events.c.body)
        .where(events.c.version.is_not(None))
        .order_by(events.c.assistant_id, events.c.version)
        .limit(_READ_AT_ONCE)
    )
    after = (0, 0)
    while rows := connection.execute(page.where(key > sa.tuple_(*after))).all():
        for row in rows:
            yield codec.decode(row.body, row.type)  # type: ignore[misc]  # it has a version
        after = (rows[-1].assistant_id, rows[-1].version)


def read_log(
    connection: sa.Connection,
    organization_id: int,
    *,
    after: int = 0,
    tags: tuple[str, ...] | None = None,
    at_once: int = _READ_AT_ONCE,
) -> Iterator[LogEvent]:
    """One organization's events in order of sequence, after the one that was seen last.

    All of them, or those of some types.
    """
    sequence = events.c.sequence
    page = (
        rows_of(events, organization_id, sequence.label("at"), events.c.type, events.c.body)
        .where(sequence > after)
        .order_by(sequence)
    )
    if tags is not None:
        page = page.where(events.c.type.in_(tags))
    return _pages(connection, page, sequence, newest_first=False, at_once=at_once)


def _pages(
    connection: sa.Connection,
    page: sa.Select[Any],
    key: sa.ColumnElement[int],
    *,
    newest_first: bool,
    at_once: int = _READ_AT_ONCE,
) -> Iterator[Any]:
    """Keyset pages, so that memory stays flat and no cursor stays open between them."""
    rows = connection.execute(page.limit(at_once)).all()
    while rows:
        for row in rows:
            yield codec.decode(row.body, row.type)
        if len(rows) < at_once:
            return
        beyond = key < rows[-1].at if newest_first else key > rows[-1].at
        rows = connection.execute(page.where(beyond).limit(at_once)).all()


def first_unproven(
    connection: sa.Connection, organization_id: int, progress: Callable[[int], None]
) -> int | None:
    """The first sequence whose row is not what its bytes give, hashed again; None for none.

    One beyond the last where the counters say otherwise than the log.
    """
    counter = counter_of(connection, organization_id)
    frontier, size = b"", 0
    query = rows_of(events, organization_id).order_by(events.c.sequence)
    with connection.execute(query, execution_options=AS_THEY_COME) as result:
        for row in result.mappings():
            frontier, hashes = merkle.add(frontier, size, row["body"])
            size += 1
            if (row["sequence"], row["hashes"]) != (size, hashes) or not _is_told(row):
                return size
            progress(1)
    return None if (size, frontier) == (counter.sequence, counter.frontier) else size + 1


def _is_told(row: sa.RowMapping) -> bool:
    """Whether a row's columns say what its bytes do."""
    told = _columns(codec.decode(row["body"], codec.tag_in(row["body"])))
    told["type"] = codec.tag_in(row["body"])  # as it was written, not today's shape
    return all(row[name] == value for name, value in told.items())


# -- the log as it is stored


def read_stored(
    connection: sa.Connection,
    organization_id: int,
    sought: Sought,
    *,
    newest_first: bool = False,
    skip: int = 0,
) -> Iterator[list[Stored]]:
    """The sought events, a few at a time; stop taking when you have enough.

    They are few so that a million rows pass through the same small memory, and a hundred large
    ones fit in it. Rows are tuples of the driver, out of the buffer before it: SQLAlchemy's own
    cost more than the reading.
    """
    sequence = events.c.sequence
    query = (
        rows_of(events, organization_id, sequence, events.c.body, events.c.hashes)
        .where(*sought.conditions())
        .order_by(sequence.desc() if newest_first else sequence)
        .offset(skip or None)
        .limit(_NO_LIMIT if skip else None)
    )
    with connection.execute(query, execution_options=AS_THEY_COME) as result:
        rows: list[Stored] = []
        size = 0
        while row := result.cursor_strategy.fetchone(result, result.cursor):
            rows.append(row)
            size += len(row[1])
            if len(rows) == _FEW or size > _BATCH_BYTES:
                yield rows
                rows, size = [], 0
        if rows:
            yield rows


def holds_others(
    connection: sa.Connection, organization_id: int, sought: Sought, tags: Iterable[str]
) -> bool:
    """Whether events of other types than these are sought."""
    query = (
        rows_of(events, organization_id, events.c.sequence)
        .where(*sought.conditions(), events.c.type.not_in(tags))
        .limit(1)
    )
    return connection.scalar(query) is not None


def count_sought(connection: sa.Connection, organization_id: int, sought: Sought) -> int:
    """How many events are sought."""
    query = rows_of(events, organization_id, sa.func.count()).where(*sought.conditions())
    return connection.scalar(query) or 0


def last_before(
    connection: sa.Connection, organization_id: int, moment: datetime, last: int
) -> int:
    """The sequence of the last event that occurred before a moment, of the first ``last``; or 0.

    Time never runs backwards in an organization, so it is found by halving.
    """

    def occurred_at(sequence: int) -> int:
        query = rows_of(events, organization_id, events.c.occurred_at)
        return int(connection.scalars(query.where(events.c.sequence == sequence)).one())

    return bisect_left(range(1, last + 1), to_micros(moment), key=occurred_at)


def read_hashes(
    connection: sa.Connection, organization_id: int, ranges: Iterable[merkle.Range]
) -> dict[int, bytes]:
    """What the hashes of ranges of leaves are made of, by sequence (``merkle.range_hash``)."""
    query = rows_of(events, organization_id, events.c.sequence, events.c.hashes).where(
        events.c.sequence.in_(merkle.keepers(ranges))
    )
    return {row.sequence: row.hashes for row in connection.execute(query)}


def root_at(connection: sa.Connection, organization_id: int, size: int) -> bytes:
    """The root of the tree over the first ``size`` events, which must be there."""
    whole = (0, size)
    return merkle.range_hash(whole, read_hashes(connection, organization_id, [whole]))


def organization_ids(connection: sa.Connection) -> list[int]:
    """Every organization of this database: for the operator's commands, never for a request."""
    query = sa.select(organizations.c.organization_id).order_by(organizations.c.organization_id)
    return list(connection.scalars(query))


def checkpoints_due(connection: sa.Connection, now: datetime, every: timedelta) -> list[int]:
    """Every organization whose log has grown since its last checkpoint: by time or by sequence.

    A checkpoint from the future was made before somebody set the clock back: it says nothing.
    """
    column = organizations.c
    grown = column.sequence - column.checkpoint_sequence
    query = sa.select(column.organization_id).where(
        grown > 0,
        sa.or_(
            column.checkpoint_at <= to_micros(now - every),
            column.checkpoint_at > to_micros(now),
            grown >= MOST_UNSIGNED,
        ),
    )
    return list(connection.scalars(query.order_by(column.organization_id)))


def holds_checkpoints(connection: sa.Connection) -> bool:
    """Whether any organization's log holds a checkpoint."""
    query = sa.select(organizations.c.organization_id).where(
        organizations.c.checkpoint_sequence > 0
    )
    return connection.scalar(query.limit(1)) is not None


def count_events(connection: sa.Connection, organization_id: int) -> int:
    """How many events the streams of the organization's assistants hold."""
    query = rows_of(events, organization_id, sa.func.count()).where(events.c.version.is_not(None))
    return connection.scalar(query) or 0
