"""Checkpoints of the write-ahead log: made beside the commits, and not in silence."""

from __future__ import annotations

import asyncio
import resource
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from app.storage import sqlite, wal_checkpoints
from app.storage.database import Database
from app.storage.wal_checkpoints import Checkpoint, OpenSnapshots, WalCheckpoints
from events.tables import organizations
from tests.conftest import make_organizations
from tests.databases import url_of

pytestmark = pytest.mark.sqlite

_LARGE = 20_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "backstory.db"
    make_organizations(made, 1)
    return made


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Database]:
    database = Database(url_of(path))
    await database.snapshot(1, count)  # a reader, which keeps the log when the writer closes
    try:
        yield database
    finally:
        await database.close()


def count(connection: sa.Connection) -> int:
    return connection.scalar(sa.select(organizations.c.sequence)) or 0


def add(connection: sa.Connection) -> None:
    connection.execute(sa.update(organizations).values(sequence=organizations.c.sequence + 1))


def of_the_file_alone(path: Path) -> int:
    """The count, as it is read without the log."""
    alone = Path(shutil.copy2(path, path.with_name("alone.db")))
    with closing(sqlite3.connect(alone)) as connection:
        return int(connection.execute("SELECT sequence FROM organizations").fetchone()[0])


def wal_size(path: Path) -> int:
    return path.with_name(f"{path.name}-wal").stat().st_size


def test_a_checkpoint_copies_what_was_committed_into_the_file(path: Path) -> None:
    async def story() -> tuple[int, int]:
        async with opened(path) as database:
            await database.write(add)
            before = of_the_file_alone(path)
            await database.checkpoint()
            return before, of_the_file_alone(path)

    assert asyncio.run(story()) == (0, 1)


def test_no_commit_makes_a_checkpoint_of_a_log_of_a_few_megabytes(path: Path) -> None:
    def insert(connection: sa.Connection) -> None:
        connection.exec_driver_sql("INSERT INTO notes VALUES (zeroblob(8000000))")
        add(connection)

    async def story() -> None:
        async with opened(path) as database:
            await database.write(lambda c: c.exec_driver_sql("CREATE TABLE notes (note)"))
            await database.checkpoint()
            await database.write(insert)
            await database.write(add)
            assert of_the_file_alone(path) == 0
        connection = sqlite3.connect(path)
        with closing(connection):  # the control: SQLite's own way
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("INSERT INTO notes VALUES (zeroblob(8000000))")
            connection.execute("UPDATE organizations SET sequence = 7")
            connection.commit()
            assert of_the_file_alone(path) == 7

    asyncio.run(story())


def test_after_many_pages_the_next_checkpoint_does_not_wait_for_its_time(path: Path) -> None:
    async def story() -> tuple[int, int]:
        async with opened(path) as database:
            await database.write(add)
            before = of_the_file_alone(path)
            for _ in range(200):
                await database.write(add)
            return before, of_the_file_alone(path)

    before, after = asyncio.run(story())
    assert before == 0
    assert after > 0


@contextmanager
def no_file_grows(beyond: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (beyond, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_scrub_that_the_disk_refuses_is_no_error_and_is_made_later(path: Path) -> None:
    def destroy(connection: sa.Connection) -> None:
        sqlite.mark_for_scrub(connection)
        connection.exec_driver_sql("CREATE TABLE notes AS SELECT zeroblob(500000)")

    size = path.stat().st_size

    async def story() -> list[bool]:
        async with opened(path) as database:
            await database.write(destroy)
            with no_file_grows(beyond=size):
                refused = await database.scrub()
                assert database.warnings() != []
            return [refused, await database.scrub()]

    assert asyncio.run(story()) == [False, True]


class Holding:
    """A read that goes on until it is released."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.may_end = threading.Event()

    def read(self, connection: sa.Connection) -> None:
        count(connection)
        self.has_begun.set()
        assert self.may_end.wait(60)


def test_a_log_that_grows_is_reported_with_who_holds_it_and_then_emptied(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (sqlite, wal_checkpoints):
        monkeypatch.setattr(module, "LARGE", _LARGE)
    holding = Holding()

    async def story() -> None:
        async with opened(path) as database:
            await database.write(add)
            reading = asyncio.create_task(database.snapshot(1, holding.read))
            await asyncio.to_thread(holding.has_begun.wait, 60)
            for _ in range(8):
                await database.write(add)
            with capture_logs() as logged:
                await database.checkpoint()
                await database.checkpoint()
            (line,) = (line for line in logged if line["event"] == "wal_is_large")
            held_by = (line["held_by"], line["organization_id"])
            assert held_by == (f"{__name__}.Holding.read", 1)
            (warning,) = database.warnings()
            assert "a read of this server" in warning
            assert wal_size(path) > _LARGE
            holding.may_end.set()
            await reading
            await database.checkpoint()
            assert (database.warnings(), wal_size(path)) == ([], 0)

    asyncio.run(story())


def test_control_a_log_that_nobody_holds_is_emptied_at_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (sqlite, wal_checkpoints):
        monkeypatch.setattr(module, "LARGE", _LARGE)

    async def story() -> tuple[list[str], int]:
        async with opened(path) as database:
            for _ in range(8):
                await database.write(add)
            await database.checkpoint()
            return database.warnings(), wal_size(path)

    assert asyncio.run(story()) == ([], 0)


def test_a_checkpoint_after_no_or_small_writes_does_not_let_large_ones_pile_up() -> None:
    noted = WalCheckpoints(OpenSnapshots())
    noted.made(Checkpoint(pages=0, copied=0, size=0))
    for pages in (1, 1, 1):
        noted.wrote()
        noted.made(Checkpoint(pages=pages, copied=pages, size=4096))
    for _ in range(200):  # of 20 pages each, they fill 16 MiB
        noted.wrote()
    assert noted.is_pressing
