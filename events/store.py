"""The log: append events, and read them in order, by stream or as a whole.

Every function takes the connection of the transaction that it is part of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from events import codec, merkle, prepared
from events.changed import AssistantDeleted
from events.log_head import LogHead
from events.tables import driver_rows, events, from_micros, rows_of, to_micros

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from events.changed import Event, LogEvent


_READ_AT_ONCE = 500
_INSERT = prepared.insert(events)
_DELETED = str(AssistantDeleted.__struct_config__.tag).partition(".")[0] + ".%"


def append(connection: sa.Connection, head: LogHead, recorded: Iterable[LogEvent]) -> None:
    """Write one organization's events; their sequences follow that of ``head``.

    Each becomes a leaf of the organization's tree; ``head`` gets the new frontier.
    """
    rows = [_row(event, head) for event in recorded]
    if rows:
        _INSERT.run(connection, *rows)


def _row(event: LogEvent, head: LogHead) -> dict[str, Any]:
    body = codec.encode(event)
    head.frontier, hashes = merkle.add(head.frontier, event.sequence - 1, body)
    return columns_of(event) | {"body": body, "hashes": hashes}


def columns_of(event: LogEvent) -> dict[str, Any]:
    """The columns of an event's row by which it is found; the row also holds its bytes."""
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
    """One assistant's events in order of version, a page of ``at_once`` rows at a time.

    The version ``after`` is excluded, and the version ``until`` is included. A caller that needs
    few events takes few at once.
    """
    version = events.c.version
    page = (
        rows_of(events, organization_id, version, events.c.type, events.c.body)
        .where(events.c.assistant_id == assistant_id, version > after)
        .order_by(version.desc() if newest_first else version)
    )
    if until is not None:
        page = page.where(version <= until)
    return _decoded(_pages(connection, page, version, at_once, newest_first=newest_first))


def read_paths(
    connection: sa.Connection, organization_id: int, assistant_id: int, after: int, until: int
) -> Iterator[tuple[int, Iterable[str]]]:
    """The versions of a stream after one and up to another, with the paths that each changed."""
    version = events.c.version
    page = (
        rows_of(events, organization_id, version, events.c.type, events.c.body)
        .where(events.c.assistant_id == assistant_id, version > after, version <= until)
        .order_by(version)
    )
    for number, tag, body in _pages(connection, page, version, _READ_AT_ONCE):
        yield number, codec.changed_paths(body, tag)


def read_versions(
    connection: sa.Connection, organization_id: int, assistant_id: int, versions: Iterable[int]
) -> Iterator[Event]:
    """Single events of one assistant's stream, in order of version."""
    ordered = sorted(versions)
    query = rows_of(events, organization_id, events.c.type, events.c.body)
    query = query.where(events.c.assistant_id == assistant_id).order_by(events.c.version)
    for start in range(0, len(ordered), _READ_AT_ONCE):
        some = ordered[start : start + _READ_AT_ONCE]
        for row in connection.execute(query.where(events.c.version.in_(some))):
            yield codec.decode(row.body, row.type)  # type: ignore[misc]  # it has a version


def read_body(
    connection: sa.Connection, organization_id: int, assistant_id: int, version: int
) -> bytes | None:
    """The stored bytes of one event of an assistant's stream; None without such a version."""
    query = rows_of(events, organization_id, events.c.body).where(
        events.c.assistant_id == assistant_id, events.c.version == version
    )
    body: bytes | None = connection.scalar(query)
    return body


def read_moments(
    connection: sa.Connection, organization_id: int, assistant_id: int, versions: Iterable[int]
) -> list[tuple[int, datetime]]:
    """Versions of an assistant and when each occurred, in order, without those that deleted it."""
    query = rows_of(events, organization_id, events.c.version, events.c.occurred_at)
    query = query.where(
        events.c.assistant_id == assistant_id,
        events.c.version.in_(sorted(versions)),
        events.c.type.not_like(_DELETED),
    )
    rows = connection.execute(query.order_by(events.c.version))
    return [(row.version, from_micros(row.occurred_at)) for row in rows]


def newer_tag(connection: sa.Connection) -> str | None:
    """A tag in any log that this release does not know; None for none. Looks at every event."""
    known = (*codec.TODAY, *codec.UPCASTERS)
    query = sa.select(events.c.type).where(events.c.type.not_in(known)).limit(1)
    tag: str | None = connection.scalar(query)
    return tag


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
    while rows := driver_rows(connection.execute(page.where(key > sa.tuple_(*after)))):
        for _, _, tag, body in rows:
            yield codec.decode(body, tag)  # type: ignore[misc]  # it has a version
        after = rows[-1][:2]


def read_log(
    connection: sa.Connection,
    organization_id: int,
    *,
    after: int = 0,
    tags: tuple[str, ...] | None = None,
    at_once: int = _READ_AT_ONCE,
) -> Iterator[LogEvent]:
    """One organization's events in order of sequence, a page of ``at_once`` rows at a time.

    The sequence ``after`` is excluded. ``tags`` are those of the events to read; None for all.
    """
    sequence = events.c.sequence
    page = (
        rows_of(events, organization_id, sequence, events.c.type, events.c.body)
        .where(sequence > after)
        .order_by(sequence)
    )
    if tags is not None:
        page = page.where(events.c.type.in_(tags))
    return _decoded(_pages(connection, page, sequence, at_once))


def _pages(
    connection: sa.Connection,
    page: sa.Select[Any],
    key: sa.ColumnElement[int],
    at_once: int,
    *,
    newest_first: bool = False,
) -> Iterator[tuple[Any, ...]]:
    """Rows whose first column is ``key``, in pages: memory stays small.

    No cursor stays open between them.
    """
    rows = driver_rows(connection.execute(page.limit(at_once)))
    while rows:
        yield from rows
        if len(rows) < at_once:
            return
        last = rows[-1][0]
        beyond = key < last if newest_first else key > last
        rows = driver_rows(connection.execute(page.where(beyond).limit(at_once)))


def _decoded(rows: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
    for _, tag, body in rows:
        yield codec.decode(body, tag)


def count_events(connection: sa.Connection, organization_id: int) -> int:
    """How many events the streams of the organization's assistants hold."""
    query = rows_of(events, organization_id, sa.func.count()).where(events.c.version.is_not(None))
    return connection.scalar(query) or 0
