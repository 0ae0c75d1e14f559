from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.database import Database
from events.tables import organizations
from tests.conftest import make_organizations
from tests.databases import reading_engine, url_of, writing_engine

READ_ONLY = "readonly|read-only"  # as SQLite and PostgreSQL say it
Read = Callable[[Database, Callable[[sa.Connection], list[int]]], Awaitable[list[int]]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "backstory.db"
    make_organizations(made, 1)
    return made


def count(connection: sa.Connection) -> int:
    return connection.scalar(sa.select(sa.func.max(organizations.c.sequence))) or 0


def counted_around_a_write(path: Path) -> Callable[[sa.Connection], list[int]]:
    """Reads a counter, lets somebody else commit another value, and reads it again."""

    def work(connection: sa.Connection) -> list[int]:
        before = count(connection)
        engine = writing_engine(path)
        with engine.begin() as writing:
            writing.execute(sa.update(organizations).values(sequence=before + 1))
        engine.dispose()
        return [before, count(connection)]

    return work


def test_the_statements_of_a_snapshot_agree_whatever_is_written_between_them(path: Path) -> None:
    async def read() -> list[int]:
        database = Database(url_of(path))
        try:
            first = await database.snapshot(counted_around_a_write(path))
            assert await database.snapshot(count) == 1  # the next one sees it
        finally:
            await database.close()
        return first

    assert asyncio.run(read()) == [0, 0]


def test_what_operators_read_is_a_snapshot_too(path: Path) -> None:
    engine = reading_engine(path)
    with engine.connect() as connection:
        assert counted_around_a_write(path)(connection) == [0, 0]
    engine.dispose()


def test_control_without_a_snapshot_two_statements_can_disagree(path: Path) -> None:
    engine = reading_engine(path).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("ROLLBACK")
        assert counted_around_a_write(path)(connection) == [0, 1]
    engine.dispose()


@pytest.mark.parametrize("statement", ["DELETE FROM users", "DROP TABLE events"])
def test_who_reads_cannot_write(path: Path, statement: str) -> None:
    engine = reading_engine(path)
    with engine.connect() as connection, pytest.raises(sa.exc.DatabaseError, match=READ_ONLY):
        connection.exec_driver_sql(statement)
    engine.dispose()


@pytest.mark.parametrize("statement", ["DELETE FROM users", "DROP TABLE events"])
@pytest.mark.parametrize("way", [Database.read, Database.snapshot], ids=["read", "snapshot"])
def test_what_reads_for_a_request_cannot_write(path: Path, way: Any, statement: str) -> None:
    def work(connection: sa.Connection) -> None:
        connection.exec_driver_sql(statement)

    async def serve() -> None:
        database = Database(url_of(path))
        try:
            with pytest.raises(sa.exc.DBAPIError, match=READ_ONLY):
                await way(database, work)
            await database.write(work)  # the control
        finally:
            await database.close()

    asyncio.run(serve())
