"""The tables of the log: organizations with the heads of their logs, and the events.

Every key starts with ``organization_id``, and ``rows_of`` makes every query of a request, so that
none can reach across organizations. Moments are microseconds since 1970, UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

organizations = sa.Table(
    "organizations",
    metadata,
    sa.Column("organization_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    # The head of the log, locked first in every write transaction (``events.log_head``).
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("last_assistant_id", sa.Integer, nullable=False),
    sa.Column("last_occurred_at", sa.BigInteger, nullable=False),
    # The tree over its events: the name of this log, and the frontier (``events.merkle``).
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("frontier", sa.LargeBinary, nullable=False),
    # When the last checkpoint was recorded, and the sequence of its event.
    sa.Column("checkpoint_at", sa.BigInteger, nullable=False),
    sa.Column("checkpoint_sequence", sa.BigInteger, nullable=False),
    # How much of the clock's time its servers have seen pass (``app.transactions.clock``).
    sa.Column("observed_at", sa.BigInteger, nullable=False),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("organization_id", sa.Integer, primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True),
    sa.Column("assistant_id", sa.Integer),
    # An event with a version is part of its assistant's stream; one without is only in the log.
    sa.Column("version", sa.BigInteger),
    sa.Column("key_id", sa.Integer),  # the API key that it is about
    sa.Column("user_id", sa.Integer, nullable=False),  # the actor's
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("occurred_at", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    # The leaf hash, then the roots of the subtrees that it completes (``events.merkle``).
    sa.Column("hashes", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("organization_id", "assistant_id", "version", name="events_stream"),
    sa.Index("events_of_type", "organization_id", "type", "sequence"),
    sa.Index("events_of_assistant", "organization_id", "assistant_id", "sequence"),
    sa.Index("events_of_key", "organization_id", "key_id", "sequence"),
    sa.Index("events_of_user", "organization_id", "user_id", "sequence"),
)


# Bytes of an event. A larger one is read alone, when its turn comes: memory stays small whatever
# the events hold.
LARGE = 32 * 1024


def unless_large(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """A column of an event; null for a large event, whose pages a database then does not read."""
    # A condition reads the length alone, without the value.
    is_small = sa.func.length(events.c.body) <= sa.literal_column(str(LARGE))
    return sa.case((is_small, column))


# In a prepared statement, the organization is a parameter.
OF_ORGANIZATION = sa.bindparam("organization_id", type_=sa.Integer)


def rows_of(
    table: sa.Table,
    organization_id: int | sa.BindParameter[int],
    *columns: sa.ColumnElement[Any],
) -> sa.Select[Any]:
    """A query over one organization's rows. Requests read tables in no other way."""
    return sa.select(*(columns or (table,))).where(table.c.organization_id == organization_id)


def driver_rows(result: sa.CursorResult[Any], most: int | None = None) -> list[Any]:
    """The next rows of a result, at most so many, or all the rest, as the driver made them.

    SQLAlchemy takes longer to make its rows than the driver to read these. They are for columns
    whose values need no conversion, as those of the events.
    """
    strategy, cursor = result.cursor_strategy, result.cursor
    rows: list[Any] = (
        strategy.fetchall(result, cursor)
        if most is None
        else strategy.fetchmany(result, cursor, most)
    )
    return rows


def to_micros(moment: datetime) -> int:
    """A moment as it is stored: microseconds since 1970, UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """A moment in UTC, from stored microseconds."""
    return _EPOCH + timedelta(microseconds=micros)
