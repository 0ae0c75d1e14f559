"""The head of an organization's log: its counters, in the row that every write locks first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from msgspec import Struct

from events import prepared
from events.prepared import Prepared
from events.tables import OF_ORGANIZATION, from_micros, organizations, rows_of, to_micros

if TYPE_CHECKING:
    from datetime import datetime, timedelta


_ROW = rows_of(organizations, OF_ORGANIZATION)
_READ = Prepared(lambda _: _ROW)
END = Prepared(
    lambda _: rows_of(
        organizations, OF_ORGANIZATION, organizations.c.sequence, organizations.c.frontier
    )
)
"""Where an organization's log ends: its last sequence, and the frontier of its tree."""
SEQUENCES = Prepared(
    lambda _: sa.select(organizations.c.organization_id, organizations.c.sequence).where(
        organizations.c.organization_id
        == sa.any_(sa.bindparam("organization_ids", type_=sa.ARRAY(sa.Integer)))
    )
)
"""The last sequences of several logs, in one statement. For PostgreSQL, which has arrays."""
_LOCK = Prepared(lambda _: _ROW.with_for_update())
_LOCK_IF_FREE = Prepared(lambda _: _ROW.with_for_update(skip_locked=True))
_SAVE = prepared.update(
    organizations,
    "sequence",
    "last_assistant_id",
    "last_occurred_at",
    "frontier",
    "checkpoint_at",
    "checkpoint_sequence",
    "observed_at",
)

MOST_UNSIGNED = 1000  # events after a checkpoint; with as many, the next one is due


class LogHead(Struct, kw_only=True):
    """An organization's counters: what its next event follows.

    A write transaction changes them in place, and saves them before it commits.
    """

    organization_id: int
    sequence: int  # of the last event
    last_assistant_id: int
    last_occurred_at: datetime
    origin: str  # names this log in checkpoints
    frontier: bytes  # of the tree over the events (``events.merkle``)
    checkpoint_at: datetime
    checkpoint_sequence: int  # of the last checkpoint's event
    observed_at: datetime  # how much of the clock's time the servers have seen pass


def lock(connection: sa.Connection, organization_id: int, *, waits: bool = True) -> LogHead | None:
    """Lock the organization's row for the rest of the transaction, and read it.

    Nothing of an organization may be read for a decision before this. None: there is no such
    organization, or another transaction holds the lock and the caller does not wait.
    """
    return _head(connection, _LOCK if waits else _LOCK_IF_FREE, organization_id)


def read_head(connection: sa.Connection, organization_id: int) -> LogHead | None:
    """The head as it is now, not locked. None: there is no such organization."""
    return _head(connection, _READ, organization_id)


def end_of(connection: sa.Connection, organization_id: int) -> tuple[int, bytes]:
    """Where the log of an existing organization ends, as ``END`` gives it."""
    row = END.run(connection, {"organization_id": organization_id}).one()
    return row.sequence, row.frontier


def head_of(connection: sa.Connection, organization_id: int) -> LogHead:
    """The head of an existing organization, not locked; raises ``LookupError`` without one."""
    head = read_head(connection, organization_id)
    if head is None:
        raise LookupError(f"no organization {organization_id}")
    return head


def _head(connection: sa.Connection, query: Prepared, organization_id: int) -> LogHead | None:
    row = query.run(connection, {"organization_id": organization_id}).one_or_none()
    if row is None:
        return None
    return LogHead(
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


def save_head(connection: sa.Connection, head: LogHead) -> None:
    """Write the head back into its locked row."""
    row = {
        "organization_id": head.organization_id,
        "sequence": head.sequence,
        "last_assistant_id": head.last_assistant_id,
        "last_occurred_at": to_micros(head.last_occurred_at),
        "frontier": head.frontier,
        "checkpoint_at": to_micros(head.checkpoint_at),
        "checkpoint_sequence": head.checkpoint_sequence,
        "observed_at": to_micros(head.observed_at),
    }
    _SAVE.run(connection, row)


def organization_ids(connection: sa.Connection) -> list[int]:
    """The ids of all organizations: for the operator's commands, never for a request."""
    query = sa.select(organizations.c.organization_id).order_by(organizations.c.organization_id)
    return list(connection.scalars(query))


def checkpoints_due(connection: sa.Connection, now: datetime, every: timedelta) -> list[int]:
    """The organizations whose logs have grown, and whose last checkpoints are too old.

    That is by time, or by the number of events since. A checkpoint from the future also counts as
    too old: it was made before the clock was set back.
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
