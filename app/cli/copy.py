"""Copies an installation into another database, and proves the copy.

An organization's events are copied first, a page in each transaction. Then one transaction copies
its other rows, the row of the organization last. Events never change, so a second run copies the
missing events, and all other rows again.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from app.storage import tables
from events import log_head, log_proofs, log_search
from events.tables import events, metadata, organizations, rows_of
from projections import foldings, views

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

_AT_ONCE = 200
# Their import registers the tables that are copied.
_MODULES = (tables, foldings, views)


class NotACopy(Exception):
    """The other database holds something other than a part of this installation."""


def count_events(connection: Connection) -> int:
    """How many events there are, each counted twice: to copy and to prove."""
    ids = log_head.organization_ids(connection)
    return 2 * sum(
        log_head.head_of(connection, organization_id).sequence for organization_id in ids
    )


def copy(source: Connection, target: sa.Engine, progress: Callable[[int], None]) -> int:
    """Copy every organization, and prove the copy; returns how many there are.

    ``source`` is one snapshot. Raises ``NotACopy``.
    """
    ids = log_head.organization_ids(source)
    with target.connect() as connection:
        if not set(log_head.organization_ids(connection)) <= set(ids):
            raise NotACopy("the other database holds organizations that are not in this one")
    for organization_id in ids:
        progress(_copy_events(source, target, organization_id, progress))
        with target.begin() as connection:
            _copy_rest(source, connection, organization_id)
    for organization_id in ids:
        with target.connect() as connection:
            _prove(source, connection, organization_id, progress)
    return len(ids)


def _copy_events(
    source: Connection, target: sa.Engine, organization_id: int, progress: Callable[[int], None]
) -> int:
    """Copy the missing events; returns how many were copied before."""
    with target.connect() as connection:
        kept = _kept(source, connection, organization_id)
    for page in _pages(source, organization_id, after=kept):
        with target.begin() as connection:
            connection.execute(sa.insert(events), page)
        progress(len(page))
    return kept


def _kept(source: Connection, target: Connection, organization_id: int) -> int:
    """The last event that a run before this one copied; 0 for none."""
    last = target.scalar(rows_of(events, organization_id, sa.func.max(events.c.sequence))) or 0
    there = log_head.read_head(target, organization_id)
    here = log_head.head_of(source, organization_id)
    same = [
        connection.scalar(
            rows_of(events, organization_id, events.c.hashes).where(events.c.sequence == last)
        )
        for connection in (source, target)
    ]
    if same[0] != same[1] or (there is not None and there.origin != here.origin):
        raise NotACopy(f"the other database holds another log of organization {organization_id}")
    return last


def _pages(source: Connection, organization_id: int, after: int) -> Iterator[list[dict[str, Any]]]:
    query = rows_of(events, organization_id).order_by(events.c.sequence).limit(_AT_ONCE)
    while page := _rows(source, query.where(events.c.sequence > after)):
        yield page
        after = page[-1]["sequence"]


def _copy_rest(source: Connection, target: Connection, organization_id: int) -> None:
    """Copy all rows except the events; raises ``NotACopy`` if the copy is in use already."""
    log_head.lock(target, organization_id)
    _check_not_in_use(source, target, organization_id)
    for table in _others():
        target.execute(sa.delete(table).where(table.c.organization_id == organization_id))
        for some in _partitions(source, table, organization_id):
            target.execute(sa.insert(table), some)


def _check_not_in_use(source: Connection, target: Connection, organization_id: int) -> None:
    """Raise ``NotACopy`` if the copy has more events than were copied."""
    last = target.scalar(rows_of(events, organization_id, sa.func.max(events.c.sequence))) or 0
    if last != log_head.head_of(source, organization_id).sequence:
        raise NotACopy(f"the other database's log of organization {organization_id} went on")


def _others() -> list[sa.Table]:
    """Every table except the events'. The organizations come last: they complete a copy."""
    rest = [table for table in metadata.sorted_tables if table not in (events, organizations)]
    return [*rest, organizations]


def _partitions(
    source: Connection, table: sa.Table, organization_id: int
) -> Iterator[list[dict[str, Any]]]:
    query = rows_of(table, organization_id)
    with source.execute(query, execution_options=log_search.AS_THEY_COME) as result:
        for some in result.mappings().partitions(_AT_ONCE):
            yield [dict(row) for row in some]


def _rows(connection: Connection, query: sa.Select[Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(query).mappings()]


def _prove(
    source: Connection, target: Connection, organization_id: int, progress: Callable[[int], None]
) -> None:
    """Hash every event of the copy again, and compare every other row."""
    broken = log_proofs.first_unproven(target, organization_id, progress)
    if broken is not None:
        raise NotACopy(f"organization {organization_id}, sequence {broken}: not what was copied")
    for table in _others():
        if _digests(source, table, organization_id) != _digests(target, table, organization_id):
            raise NotACopy(
                f"organization {organization_id}, table {table.name}: not what was copied"
            )


def _digests(connection: Connection, table: sa.Table, organization_id: int) -> list[bytes]:
    """A digest of each row, sorted, because databases sort texts differently."""
    return sorted(
        sha256(msgspec.msgpack.encode(row)).digest()
        for some in _partitions(connection, table, organization_id)
        for row in some
    )
