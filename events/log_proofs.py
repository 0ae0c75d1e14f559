"""Proofs of the log from its stored hashes (``events.merkle``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from events import codec, merkle
from events.log_head import head_of
from events.log_search import AS_THEY_COME
from events.store import columns_of
from events.tables import driver_rows, events, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_AT_ONCE = 32  # rows


def first_unproven(
    connection: sa.Connection, organization_id: int, progress: Callable[[int], None]
) -> int | None:
    """The first sequence whose row does not match its bytes, or their hashes; None for none.

    One beyond the last, if the organization's head does not match the log. Hashes every event
    anew; ``progress`` is called with numbers of events that are proven.
    """
    head = head_of(connection, organization_id)
    frontier, size = b"", 0
    query = rows_of(events, organization_id).order_by(events.c.sequence)
    with connection.execute(query, execution_options=AS_THEY_COME) as result:
        while rows := driver_rows(result, _AT_ONCE):
            for *columns, body, kept in rows:
                frontier, hashes = merkle.add(frontier, size, body)
                size += 1
                if (columns[1], kept) != (size, hashes) or columns != _columns_in(body):
                    return size
            progress(len(rows))
    return None if (size, frontier) == (head.sequence, head.frontier) else size + 1


def _columns_in(body: bytes) -> list[Any]:
    """What the columns of an event's row hold beside its bytes, in the order of the table."""
    tag = codec.tag_in(body)
    columns = columns_of(codec.decode(body, tag))
    columns["type"] = tag  # as it was written
    return list(columns.values())


def read_hashes(
    connection: sa.Connection, organization_id: int, ranges: Iterable[merkle.Range]
) -> dict[int, bytes]:
    """The stored hashes that ``merkle.range_hash`` makes those of ranges from, by sequence."""
    query = rows_of(events, organization_id, events.c.sequence, events.c.hashes).where(
        events.c.sequence.in_(merkle.keepers(ranges))
    )
    return {row.sequence: row.hashes for row in connection.execute(query)}


def root_at(connection: sa.Connection, organization_id: int, size: int) -> bytes:
    """The root of the tree over the first ``size`` events, all of which must exist."""
    whole = (0, size)
    return merkle.range_hash(whole, read_hashes(connection, organization_id, [whole]))
