"""The few statements of every change: their SQL text is made once, and the driver runs it.

SQLAlchemy takes longer to build such a statement, and to convert its parameters and rows, than the
database takes to run it. All other statements stay with SQLAlchemy.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Values = dict[str, Any]

_INSERTS: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class Prepared:
    """A statement whose values are numbers, texts, bytes and booleans.

    ``make`` gives the statement for the name of a dialect. Nothing is converted: on SQLite, a
    boolean is read as 0 or 1.
    """

    def __init__(self, make: Callable[[str], sa.ClauseElement]) -> None:
        self._make = make
        self._compiled: dict[str, tuple[str, Callable[[Values], Any]]] = {}  # by driver

    def run(self, connection: sa.Connection, *rows: Values) -> sa.CursorResult[Any]:
        """Run the statement, once for each row of values by name."""
        text, arguments = self.compiled(connection.dialect)
        if len(rows) == 1:
            return connection.exec_driver_sql(text, arguments(rows[0]))
        return connection.exec_driver_sql(text, [arguments(row) for row in rows])

    def compiled(self, dialect: sa.Dialect) -> tuple[str, Callable[[Values], Any]]:
        """The text for the dialect's driver, and what makes its arguments of values by name."""
        if dialect.driver not in self._compiled:
            compiled: Any = self._make(dialect.name).compile(dialect=dialect)
            self._compiled[dialect.driver] = (str(compiled), _arguments(compiled.positiontup))
        return self._compiled[dialect.driver]


def insert(table: sa.Table) -> Prepared:
    """Insert rows that have a value for each column."""
    return Prepared(lambda _: sa.insert(table).values(_bound(table.c)))


def upsert(table: sa.Table) -> Prepared:
    """Insert rows that have a value for each column, in place of those with the same key."""

    def make(dialect: str) -> sa.ClauseElement:
        statement = _INSERTS[dialect](table).values(_bound(table.c))
        written: sa.ClauseElement = statement.on_conflict_do_update(
            index_elements=list(table.primary_key),
            set_={c.name: statement.excluded[c.name] for c in table.c if not c.primary_key},
        )
        return written

    return Prepared(make)


def update(table: sa.Table, *names: str) -> Prepared:
    """Set these columns of the rows with a primary key."""
    bound = _bound(table.primary_key)
    is_row = [column == bound[column.name] for column in table.primary_key]
    values = _bound(table.c[name] for name in names)
    return Prepared(lambda _: sa.update(table).where(*is_row).values(values))


def _bound(columns: Iterable[sa.Column[Any]]) -> dict[str, sa.BindParameter[Any]]:
    return {column.name: sa.bindparam(column.name, type_=column.type) for column in columns}


def _arguments(names: list[str] | None) -> Callable[[Values], Any]:
    """How the driver takes values: by name, or in the order of ``names``."""
    if names is None:
        return lambda row: row
    if len(names) == 1:
        return lambda row: (row[names[0]],)
    return itemgetter(*names)
