"""What happens where: the assistants with their last change, and how many each day had."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa
from msgspec import Struct

from events import codec, log_head, log_search
from events.setting_types import Moment
from events.tables import events, from_micros, rows_of
from projections.current import assistants, conditions
from projections.history import ChangeSummary, summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from projections.current import Selection

Order = Literal["changed", "created", "name"]
_DAY = 24 * 60 * 60 * 1_000_000  # microseconds
_EPOCH = date(1970, 1, 1)
_ORDERS: dict[Order, sa.ColumnElement[object]] = {
    "changed": assistants.c.updated_at.desc(),
    "created": assistants.c.created_at.desc(),
    "name": assistants.c.folded_name,
}


class ChangesOfDay(Struct, frozen=True, kw_only=True):
    """How many events of an assistant a day (UTC) had; a day without any is left out."""

    day: date
    changes: int


class ActiveAssistant(Struct, frozen=True, kw_only=True):
    """An assistant in short, the change that made it what it is, and the days of its changes."""

    id: int
    name: str
    description: str | None
    is_active: bool
    created_at: Moment
    last_change: ChangeSummary
    days: list[ChangesOfDay]


def select(
    connection: sa.Connection,
    organization_id: int,
    selection: Selection,
    order: Order,
    since: date,
    *,
    skip: int,
    limit: int,
) -> list[ActiveAssistant]:
    """The chosen assistants in an order, with their days from one on."""
    column = assistants.c
    last = sa.and_(
        events.c.organization_id == column.organization_id,
        events.c.assistant_id == column.assistant_id,
        events.c.version == column.version,
    )
    query = (
        rows_of(
            assistants, organization_id,
            column.assistant_id, column.name, column.description, column.is_active,
            column.created_at, events.c.type, events.c.body,
        )
        .join(events, last)
        .where(*conditions(selection))
        .order_by(_ORDERS[order], column.assistant_id.desc())
        .offset(skip)
        .limit(limit)
    )  # fmt: skip
    rows = connection.execute(query).all()
    days = _days(connection, organization_id, [row.assistant_id for row in rows], since)
    return [
        ActiveAssistant(
            id=row.assistant_id,
            name=row.name,
            description=row.description,
            is_active=row.is_active,
            created_at=from_micros(row.created_at),
            last_change=summary(codec.decode(row.body, row.type)),  # type: ignore[arg-type]  # it has a version
            days=days.get(row.assistant_id, []),
        )
        for row in rows
    ]


def _days(
    connection: sa.Connection, organization_id: int, assistant_ids: Iterable[int], since: date
) -> Mapping[int, list[ChangesOfDay]]:
    """The days of assistants' changes, in order; as sequences follow time, no index is needed."""
    last = log_head.head_of(connection, organization_id).sequence
    start = datetime.combine(since, time(), UTC)
    before = log_search.last_before(connection, organization_id, start, last)
    day = (events.c.occurred_at // _DAY).label("day")
    query = (
        rows_of(
            events, organization_id, events.c.assistant_id, day, sa.func.count().label("changes")
        )
        .where(
            events.c.sequence > before,
            events.c.version.is_not(None),
            events.c.assistant_id.in_(assistant_ids),
        )
        .group_by(events.c.assistant_id, day)
        .order_by(events.c.assistant_id, day)
    )
    found: dict[int, list[ChangesOfDay]] = {}
    for row in connection.execute(query):
        one = ChangesOfDay(day=_EPOCH + timedelta(days=row.day), changes=row.changes)
        found.setdefault(row.assistant_id, []).append(one)
    return found
