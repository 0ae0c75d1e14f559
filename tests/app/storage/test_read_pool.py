"""Reads of organizations: each can be stopped, and none keeps the others out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.storage import database as storage
from app.storage.database import Busy, Database, ReadTooLong
from app.storage.read_pool import _Reading
from app.storage.turns import TooManyReads
from tests.conftest import make_organizations
from tests.databases import url_of

ENDLESS, LONG, SHORT = 10**9, 500_000, 1
HOUR = timedelta(hours=1)
SOON = timedelta(seconds=0.05)  # sooner than the long ones end
_SHARE = storage._LISTINGS["share"]  # noqa: SLF001  # what one organization can fill
_COUNTED = (
    "WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < {})"
)
Work = Callable[[sa.Connection, int], int]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "backstory.db"
    make_organizations(made, 1)
    return made


@asynccontextmanager
async def opened(path: Path, read_timeout: timedelta = HOUR) -> AsyncIterator[Database]:
    """A database, of which each connection is given back in the end."""
    database = Database(url_of(path), read_timeout=read_timeout)
    try:
        yield database
        for pool in (database._listings, database._exports):  # noqa: SLF001  # seen nowhere else
            await asyncio.gather(*pool._stopping)  # noqa: SLF001
            connections = pool._engine.pool  # noqa: SLF001
            assert isinstance(connections, sa.QueuePool)
            assert connections.checkedout() == 0
    finally:
        await database.close()


# -- three ways to take long


def one_statement(connection: sa.Connection, count: int) -> int:
    query = f"{_COUNTED.format(count)} SELECT max(n) FROM counted"
    return int(connection.exec_driver_sql(query).scalar_one())


def many_rows(connection: sa.Connection, count: int) -> int:
    query = f"{_COUNTED.format(count)} SELECT n FROM counted"
    streaming = connection.execution_options(stream_results=True)
    with streaming.exec_driver_sql(query) as rows:
        return sum(1 for _ in rows)


def many_statements(connection: sa.Connection, count: int) -> int:
    for _ in range(count):
        connection.exec_driver_sql("SELECT 1").scalar_one()
    return count


WAYS = [one_statement, many_rows, many_statements]


async def fill(database: Database, work: Work, count: int) -> list[int | BaseException]:
    """Read as often at once as the organization may."""
    reads = [database.snapshot(1, work, count) for _ in range(_SHARE)]
    return await asyncio.gather(*reads, return_exceptions=True)


@pytest.mark.parametrize("work", WAYS)
def test_a_read_that_takes_too_long_is_stopped_and_leaves_its_place_to_the_next(
    path: Path, work: Work
) -> None:
    async def story() -> int:
        async with opened(path, timedelta(seconds=1)) as database:
            results = await fill(database, work, ENDLESS)
            assert {type(result) for result in results} == {ReadTooLong}
            return await database.snapshot(1, work, SHORT)

    assert asyncio.run(story()) == SHORT


@pytest.mark.parametrize("is_interrupted", [True, False])
def test_a_place_is_free_because_the_statement_was_interrupted(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, is_interrupted: bool
) -> None:
    async def story() -> bool:
        async with opened(path, SOON) as database:
            if not is_interrupted:  # the control
                monkeypatch.setattr(database._engines, "interrupt", lambda _: None)  # noqa: SLF001
            results = await fill(database, one_statement, 2 * LONG)
            assert {type(result) for result in results} == {ReadTooLong}
            try:
                return await database.snapshot(1, one_statement, SHORT) == SHORT
            except Busy:
                return False

    assert asyncio.run(story()) is is_interrupted


@pytest.mark.parametrize("way", [Database.snapshot, Database.export])
def test_only_an_export_may_take_longer(path: Path, way: Callable[..., Awaitable[int]]) -> None:
    async def story() -> int | None:
        async with opened(path, SOON) as database:
            try:
                return await way(database, 1, one_statement, LONG)
            except ReadTooLong:
                return None

    assert asyncio.run(story()) == (LONG if way is Database.export else None)


def test_a_read_whose_caller_is_cancelled_is_stopped(path: Path) -> None:
    begun = threading.Semaphore(0)

    def work(connection: sa.Connection) -> int:
        begun.release()
        return one_statement(connection, ENDLESS)

    async def story() -> int:
        async with opened(path) as database:
            for way in (database.snapshot, database.export):
                reads = [asyncio.create_task(way(1, work)) for _ in range(_SHARE)]
                await asyncio.to_thread(begun.acquire)
                for read in reads:
                    read.cancel()
                await asyncio.wait(reads)
                assert await way(1, one_statement, SHORT) == SHORT
            return await database.snapshot(1, one_statement, SHORT)

    assert asyncio.run(story()) == SHORT


class Held:
    """Work that waits until it may end."""

    def __init__(self) -> None:
        self.may_end = threading.Event()

    def read(self, _: sa.Connection) -> int:
        assert self.may_end.wait(60)
        return 0


@asynccontextmanager
async def held(database: Database, organization_id: int, count: int) -> AsyncIterator[None]:
    """As many reads of an organization, which run or wait meanwhile."""
    work = Held()
    reads = [
        asyncio.create_task(database.snapshot(organization_id, work.read)) for _ in range(count)
    ]
    await asyncio.sleep(0)  # they are in line
    try:
        yield
    finally:
        work.may_end.set()
        await asyncio.gather(*reads, return_exceptions=True)


@pytest.mark.parametrize("is_shared", [True, False])
def test_an_organization_that_fills_its_share_keeps_no_other_waiting(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, is_shared: bool
) -> None:
    if not is_shared:  # the control
        monkeypatch.setitem(storage._LISTINGS, "share", storage._LISTINGS["threads"])  # noqa: SLF001

    async def story() -> int | None:
        async with opened(path, timedelta(seconds=1)) as database, held(database, 1, 20):
            try:
                return await database.snapshot(2, one_statement, SHORT)
            except Busy:
                return None

    assert asyncio.run(story()) == (SHORT if is_shared else None)


def test_exports_and_listings_do_not_wait_for_each_other(path: Path) -> None:
    async def story() -> int:
        async with opened(path) as database, held(database, 1, 20), held(database, 2, 20):
            return await database.export(1, one_statement, SHORT)

    assert asyncio.run(story()) == SHORT


def test_no_more_than_a_few_reads_of_an_organization_wait(path: Path) -> None:
    most = _SHARE + 32

    async def story() -> None:
        async with opened(path) as database:
            async with held(database, 1, most):
                with pytest.raises(TooManyReads):
                    await database.snapshot(1, one_statement, SHORT)
                assert await database.snapshot(2, one_statement, SHORT) == SHORT
            async with held(database, 1, most - 1):
                read = asyncio.create_task(database.snapshot(1, one_statement, SHORT))
            assert await read == SHORT  # the control

    asyncio.run(story())


def test_reads_that_have_given_up_waiting_do_not_count_as_waiting(path: Path) -> None:
    async def story() -> None:
        async with opened(path, timedelta(seconds=0.01)) as database, held(database, 1, _SHARE):
            for _ in range(40):  # more than may wait
                with pytest.raises(Busy):
                    await database.snapshot(1, one_statement, SHORT)

    asyncio.run(story())


def test_a_connection_is_not_interrupted_for_its_next_user(path: Path) -> None:
    begun = threading.Event()

    def work(connection: sa.Connection) -> int:
        begun.set()
        return one_statement(connection, LONG)

    async def story() -> int:
        async with opened(path) as database:
            interrupt = database._engines.interrupt  # noqa: SLF001  # as a read pool does
            engine = database._listings._engine  # noqa: SLF001  # with one connection until now
            ended = _Reading(1, engine, interrupt, lambda c: one_statement(c, SHORT))
            await asyncio.to_thread(ended.run)
            assert ended.result.result() == SHORT
            read = asyncio.create_task(database.snapshot(1, work))
            await asyncio.to_thread(begun.wait)
            ended.interrupt()
            return await read

    assert asyncio.run(story()) == LONG
