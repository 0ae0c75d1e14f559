"""The organization's phone numbers: which assistant has each now, and which one had it when.

``phone_numbers`` has a row for each number. ``phone_number_events`` has one for each event of a
number, with the assistant that had the number after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from msgspec import Struct

from events.changed import PhoneNumberAdded, PhoneNumberAssigned, PhoneNumberRenamed
from events.phone_numbers import known
from events.prepared import Prepared
from events.tables import OF_ORGANIZATION, from_micros, metadata, rows_of, to_micros

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from events.changed import PhoneNumberEvent
    from events.pointers import Changes

phone_numbers = sa.Table(
    "phone_numbers",
    metadata,
    sa.Column("organization_id", sa.Integer, primary_key=True),
    sa.Column("phone_number_id", sa.Integer, primary_key=True),
    sa.Column("phone_number", sa.Text, nullable=False),
    sa.Column("friendly_name", sa.Text),
    sa.Column("assistant_id", sa.Integer),
    sa.Column("assigned_at", sa.BigInteger),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("organization_id", "phone_number", name="phone_numbers_number"),
    sa.Index("phone_numbers_of_assistant", "organization_id", "assistant_id"),
)
phone_number_events = sa.Table(
    "phone_number_events",
    metadata,
    sa.Column("organization_id", sa.Integer, primary_key=True),
    sa.Column("phone_number_id", sa.Integer, primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True),
    sa.Column("occurred_at", sa.BigInteger, nullable=False),
    sa.Column("assistant_id", sa.Integer),  # the one that had the number after the event
)
_MAX_ID = 2**31 - 1  # what the column holds: PostgreSQL refuses the question for a larger one
_OF_NUMBER = phone_numbers.c.phone_number == sa.bindparam("phone_number", type_=sa.Text)
ASSISTANT_OF = Prepared(
    lambda _: rows_of(phone_numbers, OF_ORGANIZATION, phone_numbers.c.assistant_id).where(
        _OF_NUMBER
    )
)
"""The assistant that has a number: one row where the organization has the number, or none."""


class PhoneNumber(Struct, frozen=True, kw_only=True):
    """A phone number of an organization."""

    organization_id: int
    id: int
    phone_number: str
    friendly_name: str | None
    assistant_id: int | None
    assigned_at: datetime | None
    created_at: datetime
    updated_at: datetime


class Step(Struct, frozen=True, kw_only=True):
    """An event of a number, and the assistant that had the number after it."""

    sequence: int
    assistant_id: int | None


# -- writing


def evolve(row: dict[str, Any] | None, event: PhoneNumberEvent) -> dict[str, Any]:
    """The row of a number after one more event; None is before the first."""
    moment = to_micros(event.occurred_at)
    if isinstance(event, PhoneNumberAdded):
        return {
            "organization_id": event.organization_id,
            "phone_number_id": event.phone_number_id,
            "phone_number": event.phone_number,
            "friendly_name": _after(event.changes),
            "assistant_id": None,
            "assigned_at": None,
            "created_at": moment,
            "updated_at": moment,
        }
    if row is None:
        raise ValueError("the first event of a phone number adds it")
    if isinstance(event, PhoneNumberRenamed):
        return row | {"friendly_name": _after(event.changes), "updated_at": moment}
    is_assigned = isinstance(event, PhoneNumberAssigned)
    return row | {
        "assistant_id": event.assistant_id if is_assigned else None,
        "assigned_at": moment if is_assigned else None,
        "updated_at": moment,
    }


def _after(changes: Changes) -> Any:
    """The value that the one change of an event leads to."""
    (change,) = changes.values()
    return change.after


def _step(event: PhoneNumberEvent, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "organization_id": event.organization_id,
        "phone_number_id": event.phone_number_id,
        "sequence": event.sequence,
        "occurred_at": to_micros(event.occurred_at),
        "assistant_id": row["assistant_id"],
    }


def project(connection: sa.Connection, event: PhoneNumberEvent) -> None:
    """Write the rows that an event leads to."""
    column = phone_numbers.c
    query = rows_of(phone_numbers, event.organization_id)
    found = connection.execute(query.where(column.phone_number_id == event.phone_number_id))
    before = found.mappings().one_or_none()
    row = evolve(None if before is None else dict(before), event)
    if before is None:
        connection.execute(sa.insert(phone_numbers), [row])
    else:
        is_row = [column == row[column.name] for column in phone_numbers.primary_key]
        connection.execute(sa.update(phone_numbers).where(*is_row).values(row))
    connection.execute(sa.insert(phone_number_events), [_step(event, row)])


def fold(events: Iterable[PhoneNumberEvent]) -> Iterator[tuple[sa.Table, dict[str, Any]]]:
    """The rows that an organization's events lead to."""
    rows: dict[int, dict[str, Any]] = {}
    for event in events:
        row = rows[event.phone_number_id] = evolve(rows.get(event.phone_number_id), event)
        yield phone_number_events, _step(event, row)
    yield from ((phone_numbers, row) for row in rows.values())


# -- reading


def assistant_of(connection: sa.Connection, organization_id: int, text: str) -> int | None:
    """The id of the assistant that has a number now; None where no assistant has it."""
    if (number := known(text)) is None:
        return None
    values = {"organization_id": organization_id, "phone_number": number}
    assistant_id: int | None = ASSISTANT_OF.run(connection, values).scalar_one_or_none()
    return assistant_id


def assistant_at(
    connection: sa.Connection, organization_id: int, text: str, moment: datetime
) -> int | None:
    """The id of the assistant that had a number at a moment; None where no assistant had it."""
    found = find(connection, organization_id, text)
    if found is None:
        return None
    column = phone_number_events.c
    query = rows_of(phone_number_events, organization_id, column.assistant_id)
    query = query.where(column.phone_number_id == found.id, column.occurred_at <= to_micros(moment))
    assistant_id: int | None = connection.scalar(query.order_by(column.sequence.desc()).limit(1))
    return assistant_id


def find(connection: sa.Connection, organization_id: int, text: str) -> PhoneNumber | None:
    """The organization's number that is written so; None where it has none."""
    if (number := known(text)) is None:
        return None
    return _one(connection, organization_id, phone_numbers.c.phone_number == number)


def load(
    connection: sa.Connection, organization_id: int, phone_number_id: int
) -> PhoneNumber | None:
    """The organization's number with an id; None where it has none."""
    if not 0 < phone_number_id <= _MAX_ID:
        return None
    return _one(connection, organization_id, phone_numbers.c.phone_number_id == phone_number_id)


def _one(
    connection: sa.Connection, organization_id: int, condition: sa.ColumnElement[bool]
) -> PhoneNumber | None:
    row = connection.execute(rows_of(phone_numbers, organization_id).where(condition)).one_or_none()
    return None if row is None else _number(row)


def select(
    connection: sa.Connection, organization_id: int, *conditions: sa.ColumnElement[bool]
) -> list[PhoneNumber]:
    """The organization's numbers that meet the conditions, in the order of the numbers."""
    query = rows_of(phone_numbers, organization_id).where(*conditions)
    rows = connection.execute(query.order_by(phone_numbers.c.phone_number))
    return [_number(row) for row in rows]


def of_assistant(
    connection: sa.Connection, organization_id: int, assistant_id: int
) -> list[PhoneNumber]:
    """The numbers that an assistant has."""
    return select(connection, organization_id, phone_numbers.c.assistant_id == assistant_id)


def count(connection: sa.Connection, organization_id: int) -> int:
    """How many numbers the organization has. None is ever removed: it is the last id, too."""
    return connection.scalar(rows_of(phone_numbers, organization_id, sa.func.count())) or 0


def sequences_of(organization_id: int, phone_number_id: int) -> sa.Select[tuple[int]]:
    """A query of the sequences of a number's events."""
    column = phone_number_events.c
    query = rows_of(phone_number_events, organization_id, column.sequence)
    return query.where(column.phone_number_id == phone_number_id)


def newest_steps(
    connection: sa.Connection,
    organization_id: int,
    phone_number_id: int,
    *,
    before: int | None,
    limit: int,
) -> list[Step]:
    """The newest events of a number before a sequence."""
    column = phone_number_events.c
    query = rows_of(phone_number_events, organization_id, column.sequence, column.assistant_id)
    query = query.where(column.phone_number_id == phone_number_id)
    if before is not None:
        query = query.where(column.sequence < before)
    rows = connection.execute(query.order_by(column.sequence.desc()).limit(limit))
    return [Step(sequence=row.sequence, assistant_id=row.assistant_id) for row in rows]


def _number(row: sa.Row[Any]) -> PhoneNumber:
    return PhoneNumber(
        organization_id=row.organization_id,
        id=row.phone_number_id,
        phone_number=row.phone_number,
        friendly_name=row.friendly_name,
        assistant_id=row.assistant_id,
        assigned_at=None if row.assigned_at is None else from_micros(row.assigned_at),
        created_at=from_micros(row.created_at),
        updated_at=from_micros(row.updated_at),
    )
