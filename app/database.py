"""The embedded database: where connections, transactions and the schema come from.

What SQLite needs and another engine would not stands here and nowhere else: WAL with
``synchronous=FULL``, one writing connection which alone checkpoints (SQLite 3.7.0 to 3.51.2
can corrupt a WAL with two), readers that cannot write, and a lock file, because a second
process that writes the same file would undo all of this.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import msgspec
import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from msgspec import Struct
from sqlalchemy.ext.asyncio import create_async_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

P = ParamSpec("P")
T = TypeVar("T")

_READERS = 4
_BUSY_SECONDS = 1.0
_SCRUB_ATTEMPTS = 5  # each waits for readers as long as the busy timeout


class Holder(Struct, frozen=True, kw_only=True):
    """Who has a database file open for writing."""

    pid: int
    command: str


class DatabaseHeld(Exception):
    """Another process writes this database file."""

    def __init__(self, path: Path, holder: Holder | None) -> None:
        who = f"process {holder.pid} ({holder.command})" if holder else "another process"
        super().__init__(f"{path} is held by {who}")
        self.path = path
        self.holder = holder


class CommitFailed(Exception):
    """The database did not confirm a commit: what was written may or may not be there."""


@contextmanager
def hold(path: Path, command_name: str) -> Iterator[None]:
    """Be the only process that writes a database file; raises ``DatabaseHeld``."""
    path = path.resolve()  # a file has one lock, whatever it is called
    lock = path.with_name(path.name + ".lock")
    if not path.parent.is_dir():  # a typing error, or a disk that is not there
        raise FileNotFoundError(f"there is no folder {path.parent}")
    # Opened without truncation: until the lock is ours, the text in it is the holder's.
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DatabaseHeld(path, _read_holder(handle)) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, msgspec.json.encode(Holder(pid=os.getpid(), command=command_name)), 0)
        yield
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _read_holder(handle: int) -> Holder | None:
    # The holder writes its name just after it takes the lock: give it that moment.
    for _ in range(20):
        if text := os.pread(handle, 4096, 0):
            return msgspec.json.decode(text, type=Holder)
        time.sleep(0.01)
    return None


def migrate(path: Path) -> None:
    """Bring the schema of a database file up to date, making the file where there is none."""
    engine = writing_engine(path)
    settings = _migrations()
    with engine.connect() as connection:
        settings.attributes["connection"] = connection
        command.upgrade(settings, "head")
    engine.dispose()


def is_current(connection: sa.Connection) -> bool:
    """Whether the schema is the one that this release works with."""
    newest = ScriptDirectory.from_config(_migrations()).get_current_head()
    return MigrationContext.configure(connection).get_current_revision() == newest


def _migrations() -> AlembicConfig:
    settings = AlembicConfig()
    settings.set_main_option("script_location", "app:migrations")
    return settings


def writing_engine(path: Path) -> sa.Engine:
    """A synchronous engine for the commands that hold the file."""
    url = sa.URL.create("sqlite", database=str(path))
    engine = sa.create_engine(url, hide_parameters=True)
    _write_through(engine)
    return engine


def reading_engine(path: Path) -> sa.Engine:
    """A synchronous engine that cannot write; each connection's statements see one snapshot."""
    engine = sa.create_engine(_read_only_url("sqlite", path), hide_parameters=True)

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the driver begins nothing for what only reads

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


class Database:
    """The open database of a serving process."""

    def __init__(self, path: Path) -> None:
        url = sa.URL.create("sqlite+aiosqlite", database=str(path))
        # An error must not repeat the values that a statement was given.
        self._writer = create_async_engine(url, pool_size=1, max_overflow=0, hide_parameters=True)
        _write_through(self._writer.sync_engine)
        self._readers = create_async_engine(
            _read_only_url("sqlite+aiosqlite", path),
            pool_size=_READERS,
            max_overflow=0,
            hide_parameters=True,
        )
        self._snapshots = reading_engine(path)

    async def read(
        self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run ``work``, whose every statement sees all that was committed before it.

        What needs several statements to agree takes ``snapshot``.
        """
        async with self._readers.connect() as connection:
            return await connection.run_sync(work, *args, **kwargs)

    async def snapshot(
        self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run ``work`` on one snapshot of all that was committed so far, in a thread of its own.

        Keep it short: until it ends, the log of writes can't be copied into the file. Who reads
        many rows takes them in pages, each a snapshot.
        """

        def run() -> T:
            with self._snapshots.connect() as connection:
                return work(connection, *args, **kwargs)

        return await asyncio.to_thread(run)

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Run ``work`` in one durable transaction; it is rolled back if ``work`` raises.

        Raises ``CommitFailed`` where the outcome is unknown.
        """
        async with self._writer.connect() as connection:
            await connection.begin()
            result = await connection.run_sync(work)
            try:
                await connection.commit()
            except Exception as error:
                await connection.invalidate()  # its transaction may still be open
                raise CommitFailed(str(error)) from error
            return result

    async def scrub(self) -> bool:
        """Copy the log of writes into the file and empty it: what was erased is then gone.

        False where readers of older snapshots did not end in time. Between the attempts the
        writer goes on.
        """
        for _ in range(_SCRUB_ATTEMPTS):
            async with self._writer.connect() as connection:
                driver = (await connection.get_raw_connection()).driver_connection
                if driver is None:
                    raise RuntimeError("the pool gave no connection")
                cursor = await driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                busy, _, _ = await cursor.fetchone()
                await cursor.close()
            if not busy:
                return True
        return False

    async def close(self) -> None:
        """Close the readers, then the writer, whose close is the last checkpoint."""
        self._snapshots.dispose()
        await self._readers.dispose()
        await self._writer.dispose()


def _read_only_url(driver: str, path: Path) -> sa.URL:
    name = path.resolve().as_uri()
    return sa.URL.create(driver, database=name, query={"mode": "ro", "uri": "true"})


def _write_through(engine: sa.Engine) -> None:
    @sa.event.listens_for(engine, "connect")
    def _configure(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # The driver must not open transactions by itself: BEGIN IMMEDIATE below does.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={int(_BUSY_SECONDS * 1000)}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        # What is deleted is overwritten: an erased secret must not stay in a free page.
        cursor.execute("PRAGMA secure_delete=ON")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # Lock before reading, or SQLite refuses the later write with SQLITE_BUSY.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
