"""What the database holds and which statements reach it, seen from beside the server."""

from __future__ import annotations

import functools
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import sqlalchemy as sa
from msgspec import Struct

from app.storage.engines import engines
from app.storage.glances import FileGlances, ServerGlances
from events.tables import metadata, rows_of
from tests.databases import url_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from events.prepared import Prepared

_CHORES = (
    "checkpoint_at <= ",
    "UPDATE api_keys SET usage_count",
)
# A parameter as aiosqlite, asyncpg and psycopg write it.
_OF_ONE = re.compile(r"organization_id = (\?|\$\d+|%\(\w+\)s)")
# Counted while a key is used, written when it suits the server.
_USAGE = frozenset(("usage_count", "last_used_at", "observed_at"))


class Statement(Struct, frozen=True):
    """One SQL statement with what was bound to it."""

    text: str
    bound: str

    @property
    def table(self) -> str | None:
        """The table of ours that it is about."""
        found = re.search(r"\b(?:FROM|INTO|UPDATE)\s+(\w+)", self.text, re.IGNORECASE)
        return found[1] if found and found[1] in metadata.tables else None

    @property
    def stays_in_one_organization(self) -> bool:
        """Whether the organization is a condition, not only a column that is read."""
        if self.text.startswith("INSERT"):
            return "organization_id" in self.text
        _, _, conditions = self.text.partition("WHERE")
        return _OF_ONE.search(conditions) is not None


@contextmanager
def statements() -> Iterator[list[Statement]]:
    """Every statement that this process sends to a database from here on."""
    seen: list[Statement] = []

    def note(_: Any, __: Any, text: str, bound: Any, *___: Any) -> None:
        if any(
            chore in text for chore in _CHORES
        ):  # what the server asks for itself, now and then, for all of them
            return
        values = tuple(bound.values()) if isinstance(bound, dict) else bound  # psycopg's have names
        seen.append(Statement(text, repr(values)))

    def noting(rows: Any) -> Any:
        """Glances run beside SQLAlchemy."""

        async def noted(self: Any, query: Prepared, values: dict[str, Any]) -> Any:
            text, arguments = query.compiled(self.dialect)
            note(None, None, text, arguments(values))
            return await rows(self, query, values)

        return noted

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    patch = pytest.MonkeyPatch()
    for kind in (FileGlances, ServerGlances):
        patch.setattr(kind, "rows", noting(kind.rows))
    try:
        yield seen
    finally:
        patch.undo()
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


@functools.lru_cache(maxsize=8)
def _engine(url: sa.URL) -> sa.Engine:
    """An engine that has compiled the statements; what it connected, each use closes."""
    return engines(url).snapshots()


def rows(database: Path, organization_id: int) -> dict[str, list[dict[str, Any]]]:
    """Everything that an organization has in the database, by table."""
    engine = _engine(url_of(database))
    try:
        with engine.connect() as connection:
            return {
                table.name: [
                    {name: value for name, value in row._mapping.items() if name not in _USAGE}  # noqa: SLF001  # SQLAlchemy's public name
                    for row in connection.execute(
                        rows_of(table, organization_id).order_by(*table.primary_key.columns)
                    )
                ]
                for table in metadata.sorted_tables
            }
    finally:
        engine.dispose()


def events(database: Path, organization_id: int) -> list[dict[str, Any]]:
    """The organization's events as they are stored, oldest first."""
    return [msgspec.json.decode(row["body"]) for row in rows(database, organization_id)["events"]]
