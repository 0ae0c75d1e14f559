"""Search in the log as it is stored: events as the bytes that were hashed, not yet decoded."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from msgspec import Struct

from events import codec
from events.prepared import Prepared
from events.tables import (
    OF_ORGANIZATION,
    driver_rows,
    events,
    rows_of,
    to_micros,
    unless_large,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from datetime import datetime


_FEW = 32  # rows
_BATCH_BYTES = 256 * 1024
# PostgreSQL sends rows as they are taken, so that a million pass through a small memory.
AS_THEY_COME = {"stream_results": True, "max_row_buffer": _FEW}
_ALONE = _BATCH_BYTES + 1  # in place of the bytes of a large event
_WHOLE = Prepared(
    lambda _: rows_of(
        events, OF_ORGANIZATION, events.c.sequence, events.c.body, events.c.hashes
    ).where(events.c.sequence == sa.bindparam("sequence", type_=sa.BigInteger))
)
_NO_LIMIT = 2**62  # SQLite has no OFFSET without LIMIT


class Stored(NamedTuple):
    """An event as its row holds it."""

    sequence: int
    body: bytes
    hashes: bytes  # its leaf hash, then the roots of the subtrees that it completes

    @property
    def type(self) -> str:
        """The tag of the event, such as ``assistant_created.v1``."""
        return codec.tag_in(self.body)


class EventFilter(Struct, frozen=True, kw_only=True):
    """Which of an organization's events match; a member that is None excludes none."""

    after: int = 0  # this sequence is excluded
    until: int | None = None  # this sequence is included
    tags: tuple[str, ...] | None = None
    assistant_id: int | None = None
    key_id: int | None = None
    about: int | None = None  # the id of an assistant or of a key
    user_id: int | None = None  # the actor's
    among: sa.Select[tuple[int]] | None = None  # a query of the organization's sequences

    def conditions(self) -> Iterator[sa.ColumnElement[bool]]:
        """The filter in SQL."""
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
        if self.among is not None:
            yield column.sequence.in_(self.among)


def read_stored(
    connection: sa.Connection,
    organization_id: int,
    event_filter: EventFilter,
    *,
    newest_first: bool = False,
    skip: int = 0,
) -> Generator[list[Stored]]:
    """The matching events in batches, in order of sequence. The caller may stop at any time.

    Batches are small, so that memory stays small for a million rows; a large event is read alone,
    when its turn comes. Rows are the driver's own.
    """
    sequence = events.c.sequence
    stored = unless_large(events.c.body), unless_large(events.c.hashes)
    query = (
        rows_of(events, organization_id, sequence, *stored)
        .where(*event_filter.conditions())
        .order_by(sequence.desc() if newest_first else sequence)
        .offset(skip or None)
        .limit(_NO_LIMIT if skip else None)
    )
    with connection.execute(query, execution_options=AS_THEY_COME) as result:
        while rows := driver_rows(result, _FEW):
            if sum([_ALONE if row[1] is None else len(row[1]) for row in rows]) <= _BATCH_BYTES:
                yield rows
            else:
                yield from ([_whole(connection, organization_id, row)] for row in rows)


def _whole(connection: sa.Connection, organization_id: int, row: Any) -> Any:
    """A row with its body and its hashes, which are read now if the event is large."""
    if row[1] is not None:
        return row
    key = {"organization_id": organization_id, "sequence": row[0]}
    return _WHOLE.run(connection, key).one()


def holds_others(
    connection: sa.Connection, organization_id: int, event_filter: EventFilter, tags: Iterable[str]
) -> bool:
    """Whether an event with none of these tags matches."""
    query = (
        rows_of(events, organization_id, events.c.sequence)
        .where(*event_filter.conditions(), events.c.type.not_in(tags))
        .limit(1)
    )
    return connection.scalar(query) is not None


def count_matching(
    connection: sa.Connection, organization_id: int, event_filter: EventFilter
) -> int:
    """How many events match."""
    query = rows_of(events, organization_id, sa.func.count()).where(*event_filter.conditions())
    return connection.scalar(query) or 0


def last_before(
    connection: sa.Connection, organization_id: int, moment: datetime, last: int
) -> int:
    """The sequence of the last event before a moment, among the first ``last`` events; or 0.

    Time never runs backwards in an organization, so that a binary search finds it.
    """

    def occurred_at(sequence: int) -> int:
        query = rows_of(events, organization_id, events.c.occurred_at)
        return int(connection.scalars(query.where(events.c.sequence == sequence)).one())

    return bisect_left(range(1, last + 1), to_micros(moment), key=occurred_at)
