from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.storage.database import Busy, CommitFailed, Database
from events.tables import organizations
from tests.conftest import make_organizations
from tests.databases import chosen, execute, reading_engine, url_of, writing_engine

READ_ONLY = "readonly|read-only"  # as SQLite and PostgreSQL say it
_LONGEST, _SILENT = 0.2, 0.8  # seconds that a server may say nothing, and that it does
_HANGS = f"""
CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN PERFORM pg_sleep({_SILENT}); RETURN NULL; END $$
"""
Read = Callable[[Database, Callable[[sa.Connection], list[int]]], Awaitable[list[int]]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "backstory.db"
    make_organizations(made, 1)
    return made


def count(connection: sa.Connection) -> int:
    return connection.scalar(sa.select(sa.func.max(organizations.c.sequence))) or 0


def snapshot(database: Database, work: Callable[[sa.Connection], Any]) -> Awaitable[Any]:
    return database.snapshot(1, work)


def export(database: Database, work: Callable[[sa.Connection], Any]) -> Awaitable[Any]:
    return database.export(1, work)


def counted_around_a_write(path: Path) -> Callable[[sa.Connection], list[int]]:
    """Reads a counter, lets another transaction commit another value, and reads it again."""

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
            first = await database.snapshot(1, counted_around_a_write(path))
            assert await database.snapshot(1, count) == 1  # the next one sees it
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
@pytest.mark.parametrize("way", [Database.read, snapshot, export])
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


def test_the_event_loop_serves_others_while_a_transaction_waits(path: Path) -> None:
    async def serve() -> int:
        database = Database(url_of(path))
        may_go = threading.Event()

        def work(connection: sa.Connection) -> int:
            assert may_go.wait(30)
            return count(connection)

        try:
            writing = asyncio.create_task(database.write(work))
            assert await database.read(count) == await database.snapshot(1, count) == 0
            may_go.set()
            return await writing
        finally:
            await database.close()

    assert asyncio.run(serve()) == 0


# -- a server that says nothing


@pytest.fixture
def server_path(tmp_path: Path) -> Iterator[Path]:
    """A database of PostgreSQL: a file answers."""
    with chosen("postgresql"):
        made = tmp_path / "silent.db"
        make_organizations(made, 1)
        yield made


@asynccontextmanager
async def opened(path: Path, longest: float | None) -> AsyncIterator[Database]:
    """A database whose server may say nothing for so many seconds."""
    database = Database(url_of(path))
    await database.write(count)  # it is connected
    await database.read(count)
    await database.export(1, count)
    database._engines.longest = longest  # noqa: SLF001  # no test waits for half a minute
    try:
        yield database
    finally:
        await database.close()


def sleep(connection: sa.Connection) -> int:
    connection.exec_driver_sql(f"SELECT pg_sleep({_SILENT})")
    return -1


@pytest.mark.parametrize("way", [Database.read, export, Database.write])
@pytest.mark.parametrize("is_guarded", [True, False])
def test_a_server_that_says_nothing_is_taken_for_one_that_is_away(
    server_path: Path, way: Callable[..., Awaitable[int]], *, is_guarded: bool
) -> None:
    async def story() -> tuple[bool, int]:
        async with opened(server_path, _LONGEST if is_guarded else None) as database:
            try:
                is_busy = await way(database, sleep) != -1
            except Busy:
                is_busy = True
            return is_busy, await way(database, count)

    assert asyncio.run(story()) == (is_guarded, 0)


@pytest.mark.parametrize("is_guarded", [True, False])
def test_a_commit_of_which_nothing_is_heard_is_not_said_to_be_done_or_not(
    server_path: Path, *, is_guarded: bool
) -> None:
    execute(server_path, "CREATE TABLE hanging (number int)")
    execute(server_path, _HANGS)
    execute(
        server_path,
        "CREATE CONSTRAINT TRIGGER hangs AFTER INSERT ON hanging DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION hang()",
    )

    def insert(connection: sa.Connection) -> None:
        connection.exec_driver_sql("INSERT INTO hanging VALUES (1)")

    async def story() -> bool:
        async with opened(server_path, _LONGEST if is_guarded else None) as database:
            try:
                await database.write(insert)
            except CommitFailed:
                is_unknown = True
            else:
                is_unknown = False
            assert await database.write(count) == 0  # the next one is not held up
            return is_unknown

    assert asyncio.run(story()) is is_guarded


_SLOW = """
WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 300000)
SELECT max(n) FROM counted
"""


def test_reads_that_are_cancelled_leave_the_next_ones_their_connections(path: Path) -> None:
    async def run() -> int:
        database = Database(url_of(path))
        begun = asyncio.Queue[None]()

        def slow(connection: sa.Connection) -> None:
            begun.put_nowait(None)
            connection.exec_driver_sql(_SLOW).scalar()

        try:
            for _ in range(15):  # more than there are connections
                read = asyncio.create_task(database.read(slow))
                await begun.get()
                await asyncio.sleep(0)  # the statement is sent
                read.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await read
            return await asyncio.wait_for(database.read(count), 60)
        finally:
            await database.close()

    assert asyncio.run(run()) == 0


def cancelled(connection: sa.Connection) -> None:
    """A statement that the server cancels, as an operator or a node behind it may do."""
    connection.exec_driver_sql("SET statement_timeout = 1")
    connection.exec_driver_sql("SELECT pg_sleep(60)")


def test_a_statement_that_the_server_cancels_can_be_tried_again_and_nothing_was_written(
    tmp_path: Path,
) -> None:
    with chosen("postgresql"):
        path = tmp_path / "cancelled.db"
        make_organizations(path, 1)

        def write(connection: sa.Connection) -> None:
            connection.execute(sa.update(organizations).values(sequence=7))
            cancelled(connection)

        async def run() -> None:
            database = Database(url_of(path))
            try:
                for reading in (database.read(cancelled), export(database, cancelled)):
                    with pytest.raises(Busy):
                        await reading
                with pytest.raises(Busy):
                    await database.write(write)
            finally:
                await database.close()

        asyncio.run(run())
        engine = reading_engine(path)
        with engine.connect() as connection:
            assert count(connection) == 0
        engine.dispose()
