"""The log: append, and read a stream or the whole organization in order.

Every function takes the connection of the transaction that it is part of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from msgspec import Struct

from events import codec
from events.tables import events, from_micros, organizations, rows_of, to_micros

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from events.changed import Event, LogEvent

_READ_AT_ONCE = 500


class Counter(Struct, kw_only=True):
    """An organization's counters, as its locked row holds them."""

    organization_id: int
    sequence: int
    last_assistant_id: int
    last_occurred_at: datetime


def lock(connection: sa.Connection, organization_id: int) -> Counter | None:
    """Take the organization's counter row for the rest of the transaction.

    Nothing of an organization may be read for a decision before this. None: no such
    organization.
    """
    table = organizations.c
    query = rows_of(
        organizations,
        organization_id,
        table.sequence,
        table.last_assistant_id,
        table.last_occurred_at,
    ).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return Counter(
        organization_id=organization_id,
        sequence=row.sequence,
        last_assistant_id=row.last_assistant_id,
        last_occurred_at=from_micros(row.last_occurred_at),
    )


def append(connection: sa.Connection, recorded: Iterable[LogEvent]) -> None:
    """Write events whose sequence and version the counters gave."""
    rows = [
        {
            "organization_id": event.organization_id,
            "sequence": event.sequence,
            "assistant_id": event.assistant_id,
            "version": getattr(event, "version", None),
            "type": codec.tag_of(event),
            "occurred_at": to_micros(event.occurred_at),
            "body": codec.encode(event),
        }
        for event in recorded
    ]
    if rows:
        connection.execute(sa.insert(events), rows)


def save_counters(connection: sa.Connection, counters: Iterable[Counter]) -> None:
    """Write the counters back into their locked rows."""
    for counter in counters:
        connection.execute(
            sa.update(organizations)
            .where(organizations.c.organization_id == counter.organization_id)
            .values(
                sequence=counter.sequence,
                last_assistant_id=counter.last_assistant_id,
                last_occurred_at=to_micros(counter.last_occurred_at),
            )
        )


def read_stream(
    connection: sa.Connection,
    organization_id: int,
    assistant_id: int,
    *,
    newest_first: bool = False,
) -> Iterator[Event]:
    """One assistant's events in order of version, a page of rows at a time."""
    version = events.c.version
    page = (
        rows_of(events, organization_id, version.label("at"), events.c.type, events.c.body)
        .where(events.c.assistant_id == assistant_id, version.is_not(None))
        .order_by(version.desc() if newest_first else version)
    )
    return _pages(connection, page, version, newest_first=newest_first)


def read_streams(connection: sa.Connection, organization_id: int) -> Iterator[Event]:
    """One organization's events, stream by stream, each in order of version."""
    for assistant_id in connection.scalars(
        rows_of(events, organization_id, events.c.assistant_id)
        .distinct()
        .order_by(events.c.assistant_id)
    ).all():
        yield from read_stream(connection, organization_id, assistant_id)


def read_log(
    connection: sa.Connection, organization_id: int, *, after: int = 0
) -> Iterator[LogEvent]:
    """One organization's events in order of sequence, after the one that was seen last."""
    sequence = events.c.sequence
    page = (
        rows_of(events, organization_id, sequence.label("at"), events.c.type, events.c.body)
        .where(sequence > after)
        .order_by(sequence)
    )
    return _pages(connection, page, sequence, newest_first=False)


def _pages(
    connection: sa.Connection,
    page: sa.Select[Any],
    key: sa.ColumnElement[int],
    *,
    newest_first: bool,
) -> Iterator[Any]:
    """Keyset pages, so that memory stays flat and no cursor stays open between them."""
    rows = connection.execute(page.limit(_READ_AT_ONCE)).all()
    while rows:
        for row in rows:
            yield codec.decode(row.body, row.type)
        if len(rows) < _READ_AT_ONCE:
            return
        beyond = key < rows[-1].at if newest_first else key > rows[-1].at
        rows = connection.execute(page.where(beyond).limit(_READ_AT_ONCE)).all()


def organization_ids(connection: sa.Connection) -> list[int]:
    """Every organization of this database: for the operator's commands, never for a request."""
    query = sa.select(organizations.c.organization_id).order_by(organizations.c.organization_id)
    return list(connection.scalars(query))


def count_events(connection: sa.Connection, organization_id: int) -> int:
    """How many events the streams of the organization's assistants hold."""
    query = rows_of(events, organization_id, sa.func.count()).where(events.c.version.is_not(None))
    return connection.scalar(query) or 0
