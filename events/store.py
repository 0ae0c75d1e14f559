"""The log: append events, and read them in order, by stream or as a whole.

Every function takes the connection of the transaction that it is part of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from events import codec, merkle, prepared
from events.changed import AssistantDeleted
from events.log_head import LogHead
from events.prepared import Prepared
from events.tables import (
    OF_ORGANIZATION,
    driver_rows,
    events,
    from_micros,
    rows_of,
    to_micros,
    unless_large,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from events.changed import Event, LogEvent

    Decode = Callable[[bytes, str], LogEvent]

_READ_AT_ONCE = 250  # rows without the bodies of large events
_INSERT = prepared.insert(events)
_DELETED = str(AssistantDeleted.__struct_config__.tag).partition(".")[0] + ".%"
_BODY = Prepared(
    lambda _: rows_of(events, OF_ORGANIZATION, events.c.body).where(
        events.c.sequence == sa.bindparam("sequence", type_=sa.BigInteger)
    )
)
# What a page of events reads after its key; the body is null for a large event.
_STORED = (events.c.type, unless_large(events.c.body), events.c.sequence)


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
    decode: Decode | None = None,
) -> Iterator[Event]:
    """One assistant's events in order of version, a page of ``at_once`` rows at a time.

    The version ``after`` is excluded, and the version ``until`` is included. A caller that needs
    few events takes few at once. One that needs no values gives ``codec.outline`` for ``decode``,
    which is ``codec.decode`` by default.
    """
    decode = decode or codec.decode
    page = _stream(organization_id, assistant_id, after, until)
    rows = _pages(connection, page, events.c.version, at_once, newest_first=newest_first)
    for _, tag, body, sequence in rows:
        yield decode(body or read_large(connection, organization_id, sequence), tag)  # type: ignore[misc]  # it has a version


def read_paths(
    connection: sa.Connection, organization_id: int, assistant_id: int, after: int, until: int
) -> Iterator[tuple[int, Iterable[str]]]:
    """The versions of a stream after one and up to another, with the paths that each changed."""
    page = _stream(organization_id, assistant_id, after, until)
    rows = _pages(connection, page, events.c.version, _READ_AT_ONCE)
    for number, tag, body, sequence in rows:
        whole = body or read_large(connection, organization_id, sequence)
        yield number, codec.changed_paths(whole, tag)


def _stream(
    organization_id: int, assistant_id: int, after: int, until: int | None
) -> sa.Select[Any]:
    version = events.c.version
    page = rows_of(events, organization_id, version, *_STORED)
    page = page.where(events.c.assistant_id == assistant_id, version > after)
    return page if until is None else page.where(version <= until)


def read_versions(
    connection: sa.Connection, organization_id: int, assistant_id: int, versions: Iterable[int]
) -> Iterator[Event]:
    """Outlines of single events of one assistant's stream, in order of version."""
    ordered = sorted(versions)
    query = rows_of(events, organization_id, *_STORED)
    query = query.where(events.c.assistant_id == assistant_id).order_by(events.c.version)
    for start in range(0, len(ordered), _READ_AT_ONCE):
        some = ordered[start : start + _READ_AT_ONCE]
        rows = driver_rows(connection.execute(query.where(events.c.version.in_(some))))
        for tag, body, sequence in rows:
            whole = body or read_large(connection, organization_id, sequence)
            yield codec.outline(whole, tag)  # type: ignore[misc]  # it has a version


def read_tags(
    connection: sa.Connection, organization_id: int, assistant_id: int, first: int, last: int
) -> dict[int, str]:
    """The tags of a range of versions, by version."""
    version = events.c.version
    query = rows_of(events, organization_id, version, events.c.type).where(
        events.c.assistant_id == assistant_id, version.between(first, last)
    )
    return {row.version: row.type for row in connection.execute(query)}


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
        rows_of(events, organization_id, events.c.assistant_id, events.c.version, *_STORED)
        .where(events.c.version.is_not(None))
        .order_by(events.c.assistant_id, events.c.version)
        .limit(_READ_AT_ONCE)
    )
    after = (0, 0)
    while rows := driver_rows(connection.execute(page.where(key > sa.tuple_(*after)))):
        for _, _, tag, body, sequence in rows:
            whole = body or read_large(connection, organization_id, sequence)
            yield codec.decode(whole, tag)  # type: ignore[misc]  # it has a version
        after = rows[-1][:2]


def read_log(
    connection: sa.Connection,
    organization_id: int,
    *,
    after: int = 0,
    tags: tuple[str, ...] | None = None,
    at_once: int = _READ_AT_ONCE,
    decode: Decode | None = None,
) -> Iterator[LogEvent]:
    """One organization's events in order of sequence, a page of ``at_once`` rows at a time.

    The sequence ``after`` is excluded. ``tags`` are those of the events to read; None for all.
    """
    sequence = events.c.sequence
    page = rows_of(events, organization_id, sequence, *_STORED).where(sequence > after)
    if tags is not None:
        page = page.where(events.c.type.in_(tags))
    decode = decode or codec.decode
    for number, tag, body, _ in _pages(connection, page, sequence, at_once):
        yield decode(body or read_large(connection, organization_id, number), tag)


def _pages(
    connection: sa.Connection,
    query: sa.Select[Any],
    key: sa.ColumnElement[int],
    at_once: int,
    *,
    newest_first: bool = False,
) -> Iterator[tuple[int, str, bytes | None, int]]:
    """Rows of ``key`` and ``_STORED``, in pages: memory stays small.

    No cursor stays open between them.
    """
    page = query.order_by(key.desc() if newest_first else key).limit(at_once)
    rows = driver_rows(connection.execute(page))
    while rows:
        yield from rows
        if len(rows) < at_once:
            return
        last = rows[-1][0]
        beyond = key < last if newest_first else key > last
        rows = driver_rows(connection.execute(page.where(beyond)))


def read_large(connection: sa.Connection, organization_id: int, sequence: int) -> bytes:
    """The body of a large event, which pages of events leave out."""
    key = {"organization_id": organization_id, "sequence": sequence}
    body: bytes = _BODY.run(connection, key).scalar_one()
    return body


def count_events(connection: sa.Connection, organization_id: int) -> int:
    """How many events the streams of the organization's assistants hold."""
    query = rows_of(events, organization_id, sa.func.count()).where(events.c.version.is_not(None))
    return connection.scalar(query) or 0
