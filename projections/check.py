"""Fold the log again and compare the result with the views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from msgspec import Struct

from events.tables import rows_of
from projections import current, views

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

_BATCH = 200  # rows

RowKey = tuple[int, ...]  # the values of a primary key, organization first


class Difference(Struct, frozen=True, kw_only=True):
    """A column of a view's row whose stored value is not the folded one.

    A missing row has only None in ``stored``, a row that no event leads to only None in ``folded``.
    Columns of the current view are plain names; those of other views begin with table and key:
    ``labels[1,2].label``.
    """

    organization_id: int
    assistant_id: int  # 0 for a row that belongs to no assistant
    column: str
    stored: Any
    folded: Any


def differences(connection: sa.Connection, progress: Callable[[int], None]) -> Iterator[Difference]:
    """Where the views of all organizations differ from their logs.

    ``progress`` is called with numbers of events that are folded.
    """
    for organization_id in views.organization_ids(connection):
        unseen = {table: _keys(connection, organization_id, table) for table in views.TABLES}
        rows = views.fold(connection, organization_id, progress)
        for table, batch in views.batches(rows, _BATCH):
            folded = {_key(table, row): row for row in batch}
            unseen[table] -= folded.keys()
            stored = _stored(connection, table, folded)
            for key, row in folded.items():
                yield from _compare(table, key, stored.get(key, {}), row)
        for table, keys in unseen.items():
            for key, row in sorted(_stored(connection, table, keys).items()):
                yield from _compare(table, key, row, {})


def _keys(connection: sa.Connection, organization_id: int, table: sa.Table) -> set[RowKey]:
    query = rows_of(table, organization_id, *table.primary_key)
    return {tuple(row) for row in connection.execute(query)}


def _stored(
    connection: sa.Connection, table: sa.Table, keys: Collection[RowKey]
) -> dict[RowKey, dict[str, Any]]:
    """The stored rows that have one of the keys, which are all of one organization."""
    rows = {}
    ordered = sorted(keys)
    for start in range(0, len(ordered), _BATCH):
        batch = ordered[start : start + _BATCH]
        in_batch = sa.tuple_(*table.primary_key).in_(batch)
        for row in connection.execute(rows_of(table, batch[0][0]).where(in_batch)).mappings():
            rows[_key(table, row)] = dict(row)
    return rows


def _key(table: sa.Table, row: Mapping[Any, Any]) -> RowKey:
    return tuple(row[column.name] for column in table.primary_key)


def _compare(
    table: sa.Table, key: RowKey, stored: dict[str, Any], folded: dict[str, Any]
) -> Iterator[Difference]:
    prefix = "" if table is current.assistants else f"{table.name}[{','.join(map(str, key[1:]))}]."
    for column in table.columns.keys():  # noqa: SIM118  # a collection of columns, not a dict
        if stored.get(column) != folded.get(column):
            yield Difference(
                organization_id=key[0],
                assistant_id=key[1] if "assistant_id" in table.primary_key.columns else 0,
                column=prefix + column,
                stored=stored.get(column),
                folded=folded.get(column),
            )
