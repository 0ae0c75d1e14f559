"""Activity: the assistants with their last change, and the number of changes of each day."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa
from msgspec import Struct

from events import codec, log_head, log_search, store
from events.setting_types import Moment
from events.tables import events, from_micros, rows_of, unless_large
from projections.current import SHORT, Selection, assistants, conditions, description_of
from projections.history import ChangeSummary, summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


Order = Literal["changed", "created", "name"]
_MOST_INITIALS = 100
_DAY = 24 * 60 * 60 * 1_000_000  # microseconds
_EPOCH = date(1970, 1, 1)
_ORDERS: dict[Order, sa.ColumnElement[object]] = {
    "changed": assistants.c.updated_at.desc(),
    "created": assistants.c.created_at.desc(),
    "name": assistants.c.folded_name,
}


class ChangesOfDay(Struct, frozen=True, kw_only=True):
    """The number of an assistant's events on a day, in UTC. A day without events has no entry."""

    day: date
    changes: int


class ActiveAssistant(Struct, frozen=True, kw_only=True):
    """An assistant in short, with its last change and the days on which it changed."""

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
) -> Iterator[ActiveAssistant]:
    """A page of the selected assistants; ``days`` begin with ``since``."""
    ids = _ids(connection, organization_id, selection, order, skip, limit)
    query = _with_last_event(organization_id, Selection(deleted=selection.deleted))
    found = connection.execute(query.where(assistants.c.assistant_id.in_(ids))).all()
    by_id = {row.assistant_id: row for row in found}
    rows = [by_id[one] for one in ids]
    days = _days(connection, organization_id, ids, since)
    for row in rows:
        yield _active(connection, row, days.get(row.assistant_id, []))


class Initial(Struct, frozen=True, kw_only=True):
    """A first letter of names, folded, and how many assistants come before it by name."""

    initial: str
    skip: int


def initials(
    connection: sa.Connection, organization_id: int, selection: Selection
) -> list[Initial]:
    """The first letters of the selected assistants' names, in order; many are cut after 100."""
    letter = sa.func.substr(assistants.c.folded_name, 1, 1).label("letter")
    query = rows_of(assistants, organization_id, letter, sa.func.count().label("number"))
    query = query.where(*conditions(selection)).group_by(letter).order_by(letter)
    found: list[Initial] = []
    skip = 0
    for row in connection.execute(query):
        found.append(Initial(initial=row.letter, skip=skip))
        skip += row.number
    return found[:_MOST_INITIALS]


def _ids(
    connection: sa.Connection,
    organization_id: int,
    selection: Selection,
    order: Order,
    skip: int,
    limit: int,
) -> list[int]:
    """The ids of a page: what is sorted are the ids alone, without their events."""
    column = assistants.c.assistant_id
    query = rows_of(assistants, organization_id, column).where(*conditions(selection))
    query = query.order_by(_ORDERS[order], column.desc()).offset(skip).limit(limit)
    return list(connection.scalars(query))


def _with_last_event(organization_id: int, selection: Selection) -> sa.Select[Any]:
    column = assistants.c
    last = sa.and_(
        events.c.organization_id == column.organization_id,
        events.c.assistant_id == column.assistant_id,
        events.c.version == column.version,
    )
    event = (events.c.sequence, events.c.type, unless_large(events.c.body).label("body"))
    query = rows_of(assistants, organization_id, *SHORT, *event)
    return query.join(events, last).where(*conditions(selection))


def _active(
    connection: sa.Connection, row: sa.Row[Any], days: list[ChangesOfDay]
) -> ActiveAssistant:
    body = row.body or store.read_large(connection, row.organization_id, row.sequence)
    return ActiveAssistant(
        id=row.assistant_id,
        name=row.name,
        description=description_of(connection, row),
        is_active=row.is_active,
        created_at=from_micros(row.created_at),
        last_change=summary(codec.outline(body, row.type)),  # type: ignore[arg-type]  # it has a version
        days=days,
    )


def _days(
    connection: sa.Connection, organization_id: int, assistant_ids: Iterable[int], since: date
) -> Mapping[int, list[ChangesOfDay]]:
    """The days of the assistants' changes, in order, by assistant.

    Sequences follow time, so the query needs no index by time: it starts after the last sequence
    before the first day.
    """
    last = log_head.head_of(connection, organization_id).sequence
    start = datetime.combine(since, time(), UTC)
    before = log_search.last_before(connection, organization_id, start, last)
    day = (events.c.occurred_at // _DAY).label("day")
    column = events.c.assistant_id
    query = (
        rows_of(events, organization_id, column, day, sa.func.count().label("changes"))
        .where(
            events.c.sequence > before,
            events.c.version.is_not(None),
            column.in_(assistant_ids),
        )
        .group_by(column, day)
        .order_by(column, day)
    )
    days: dict[int, list[ChangesOfDay]] = defaultdict(list)
    for row in connection.execute(query):
        changes = ChangesOfDay(day=_EPOCH + timedelta(days=row.day), changes=row.changes)
        days[row.assistant_id].append(changes)
    return days
