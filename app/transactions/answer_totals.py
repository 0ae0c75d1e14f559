"""How many answers each organization has stored, and how large they are.

The totals are kept in a row, and change in the transaction that stores or removes an answer: no
request counts rows. Those of a request run under the organization's lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from msgspec import Struct, structs

from app.storage.tables import answer_totals, answers
from events import prepared
from events.prepared import Prepared
from events.tables import OF_ORGANIZATION, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.transactions.unit_of_work import UnitOfWork

_BYTES_EACH = 1024
_INSERT = prepared.insert(answer_totals)
_LOAD = Prepared(lambda _: rows_of(answer_totals, OF_ORGANIZATION))


def _to_add() -> sa.Update:
    added = {
        column: column + sa.bindparam(column.name, type_=column.type)
        for column in answer_totals.c
        if not column.primary_key
    }
    is_theirs = answer_totals.c.organization_id == OF_ORGANIZATION
    return sa.update(answer_totals).where(is_theirs).values(added)


_ADD = Prepared(lambda _: _to_add())


class Totals(Struct, frozen=True):
    """A number of stored answers, and their size in bytes."""

    answers: int
    size: int

    def fill(self, most: int) -> bool:
        """Whether there is no room for another one among ``most``, of 1 KiB each on average."""
        return self.answers >= most or self.size >= most * _BYTES_EACH


def read(unit: UnitOfWork, organization_id: int) -> Totals:
    """The organization's totals."""
    row = unit.execute(_LOAD, {"organization_id": organization_id}).one_or_none()
    return Totals(0, 0) if row is None else Totals(row.answers, row.size)


def add(unit: UnitOfWork, organization_id: int, difference: Totals) -> None:
    """Add to the totals; a negative difference is of answers that were removed."""
    row = {"organization_id": organization_id} | structs.asdict(difference)
    if not unit.execute(_ADD, row).rowcount:
        unit.execute(_INSERT, row)


def count(unit: UnitOfWork, organization_id: int, *conditions: sa.ColumnElement[bool]) -> Totals:
    """Count the organization's answers for which the conditions hold. Takes time for each."""
    size = sa.func.sum(sa.func.length(answers.c.sealed))
    query = rows_of(answers, organization_id, sa.func.count(), size).where(*conditions)
    counted: Sequence[int | None] = unit.execute(query).one()
    return Totals(int(counted[0] or 0), int(counted[1] or 0))


def find_wrong(unit: UnitOfWork) -> list[int]:
    """The organizations whose totals are wrong.

    They are where a process of a release without totals stored or removed answers.
    """
    kept, size = answer_totals.c, sa.func.length(answers.c.sealed)
    each = sa.union_all(
        sa.select(answers.c.organization_id, sa.literal(1).label("number"), size.label("size")),
        sa.select(kept.organization_id, -kept.answers, -kept.size),
    ).subquery()
    is_wrong = (sa.func.sum(each.c.number) != 0) | (sa.func.sum(each.c.size) != 0)
    query = sa.select(each.c.organization_id).group_by(each.c.organization_id).having(is_wrong)
    return list(unit.execute(query).scalars())


def correct(unit: UnitOfWork, organization_id: int) -> None:
    """Count the organization's answers again."""
    counted, kept = count(unit, organization_id), read(unit, organization_id)
    difference = Totals(counted.answers - kept.answers, counted.size - kept.size)
    add(unit, organization_id, difference)
