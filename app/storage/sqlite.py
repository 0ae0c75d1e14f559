"""SQLite, the embedded database: one file, written by one process.

WAL with ``synchronous=FULL``. One connection writes, and only that one checkpoints: SQLite 3.7.0
to 3.51.2 can corrupt a write-ahead log with two. Readers are opened read-only. A lock on the file
keeps other processes from writing it.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError

from app.storage import database_file
from app.storage.glances import FileGlances
from app.storage.inodes import size, wal_of
from app.storage.wal_checkpoints import LARGE, Checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry
SQLITE = "sqlite+aiosqlite"
# Key files lie beside the database file; these follow its name.
MASTER_KEY, AUDIT_KEY = _KEY_FILES = (".key", ".audit.key")
_READERS = 4
_BUSY_SECONDS = 1.0
SCRUB_ATTEMPTS = 5  # each waits for readers for the busy timeout
_BUSY = frozenset((5, 6, 261, 517))  # BUSY, LOCKED, BUSY_RECOVERY, BUSY_SNAPSHOT
_FULL = 13
_DISK_ERRORS = frozenset((8, 10, 14))  # READONLY, IOERR, CANTOPEN, whatever their details
_FALLBACK_PAGES = 16_384  # 64 MiB: in a commit, if the checkpoints beside it do not keep up
_SECURED = "is_secured"  # of a connection: the log that it began with is durable


class SQLite:
    """A database file, with its key files and its lock file beside it."""

    is_embedded = True
    longest: float | None = None  # a file always answers
    is_standby: sa.Select[tuple[bool]] = sa.select(sa.false())

    def __init__(self, url: sa.URL) -> None:
        self.path = Path(url.database or "")
        self.name = str(self.path)

    def exists(self) -> bool:
        """Whether the file exists and is not empty."""
        return not database_file.is_empty(self.path)

    def check(self) -> None:
        """Raise ``FileRefused`` unless the write-ahead log is where SQLite looks for it."""
        database_file.check(self.path)

    def leftovers(self) -> list[Path]:
        """Its key files and its write-ahead log."""
        return database_file.leftovers(self.path, *_KEY_FILES)

    def displaced(self) -> str | None:
        """Whether the file was removed or replaced while this process holds it."""
        return database_file.displaced(self.path)

    def key_file(self, suffix: str) -> Path | None:
        """The path beside the database file."""
        return self.path.with_name(self.path.name + suffix)

    @contextmanager
    def hold(self, command: str, *, make: bool = False) -> Iterator[None]:
        """Be the only process that writes the file. Raises ``DatabaseHeld`` and ``FileRefused``."""
        with database_file.hold(self.path, command, make=make):
            yield

    def commands(self) -> sa.Engine:
        """The writing connection. It makes checkpoints in its commits."""
        return self._writing_engine()

    def snapshots(
        self,
        *,
        connections: int | None = None,
        longest: float | None = None,  # noqa: ARG002  # the protocol has it
    ) -> sa.Engine:
        """Read-only; a transaction from the first statement on."""
        pool = {} if connections is None else {"pool_size": connections, "max_overflow": 0}
        engine = sa.create_engine(self._read_only("sqlite"), hide_parameters=True, **pool)

        @sa.event.listens_for(engine, "connect")
        def _configure(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
            connection.isolation_level = None  # the driver must not begin transactions itself

        @sa.event.listens_for(engine, "begin")
        def _begin(connection: sa.Connection) -> None:
            connection.exec_driver_sql("BEGIN")

        return engine

    def writer(self) -> sa.Engine:
        """The one writing connection, whose checkpoints ``checkpoint`` makes."""
        engine = self._writing_engine()

        @sa.event.listens_for(engine, "connect")
        def _configure(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
            connection.execute(f"PRAGMA wal_autocheckpoint={_FALLBACK_PAGES}")

        return engine

    def _writing_engine(self) -> sa.Engine:
        url = sa.URL.create("sqlite", database=str(self.path))
        # Errors must not repeat the parameters of a statement: they may be secret.
        engine = sa.create_engine(url, pool_size=1, max_overflow=0, hide_parameters=True)
        _write_through(engine, self.path)
        return engine

    def interrupt(self, driver: Any) -> None:
        """A statement fails at once. One that has not begun does not notice."""
        driver.interrupt()

    def abort(self, driver: Any) -> None:
        """Nothing: a file always answers."""

    def readers(self) -> sa.Engine:
        """Read-only connections, whose driver is awaited."""
        return sa.create_engine(
            self._read_only(SQLITE), pool_size=_READERS, max_overflow=0, hide_parameters=True
        )

    def glances(self) -> FileGlances:
        """One read-only connection."""
        return FileGlances(f"{self.path.resolve().as_uri()}?mode=ro")

    def needs_scrub(self, connection: sa.Connection) -> bool:
        """Whether the mark is set and the write-ahead log is not empty."""
        is_due = connection.exec_driver_sql("PRAGMA user_version").scalar() != 0
        return is_due and database_file.has_wal(self.path)

    def scrub(self, connection: sa.Connection) -> bool:
        """Copy the write-ahead log into the file, empty it, then clear the mark.

        In the copied pages, ``secure_delete`` has overwritten the destroyed bytes. Waits for
        readers of older snapshots, for the busy timeout at most.
        """
        driver: Any = connection.connection.driver_connection  # no transaction begins by it
        if driver.execute("PRAGMA user_version").fetchone() == (0,):
            return True
        is_busy, _, _ = _checkpoint(connection, "TRUNCATE")
        if not is_busy:
            driver.execute("PRAGMA user_version = 0")
        return not is_busy

    def free_space(self) -> int:
        """What a process without privileges may still write beside the file, in bytes."""
        system = os.statvfs(self.path.resolve().parent)
        return system.f_bavail * system.f_frsize

    def checkpoint(self, connection: sa.Connection) -> Checkpoint:
        """Copy the log into the file, as far as readers let it, without waiting for them.

        A large log is emptied, too, if nobody reads it. Otherwise later commits use it again from
        its beginning, which is faster than to make it grow anew.
        """
        wal = wal_of(self.path)
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA busy_timeout=0")
        try:
            mode = "TRUNCATE" if size(wal) > LARGE else "PASSIVE"
            _, pages, copied = _checkpoint(connection, mode)
        finally:
            _wait_for_locks(driver)
        return Checkpoint(pages=pages, copied=copied, size=size(wal))

    def prove_durable(self, connection: sa.Connection) -> None:
        """Copy the write-ahead log into the file, and commit a transaction that changes nothing.

        Both end with a sync. The copied pages and the transaction's page are written anew, so that
        the sync is about them: after one that failed, the system may take pages for written that it
        lost, and a later success says nothing about those. That is why the failed commit is safe
        to write over, after ENOSPC and EIO alike: SQLite ends the log where the last synced commit
        does, and the transaction takes the place of what follows.
        """
        _checkpoint(connection, "TRUNCATE")
        with connection.begin():
            mark = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            connection.exec_driver_sql(f"PRAGMA user_version = {mark}")

    def is_full(self, error: Exception) -> bool:
        """Whether a write found no room. The record of a commit is the last that is written."""
        return _code(error) == _FULL

    def is_disk_error(self, error: Exception) -> bool:
        """Whether the files could not be read or written; no statement is repeated then."""
        code = _code(error)
        return code is not None and code & 0xFF in _DISK_ERRORS

    def is_conflict(self, error: Exception) -> bool:
        """Whether the file was locked by another connection."""
        return _code(error) in _BUSY

    def is_too_long(self, error: Exception) -> bool:  # noqa: ARG002  # the protocol has it
        """Never: a file has no limit of its own."""
        return False

    def is_unavailable(self, error: Exception) -> bool:  # noqa: ARG002  # the protocol has it
        """Never: waiting does not repair a file that cannot be read."""
        return False

    def _read_only(self, driver: str) -> sa.URL:
        name = self.path.resolve().as_uri()
        return sa.URL.create(driver, database=name, query={"mode": "ro", "uri": "true"})


def mark_for_scrub(connection: sa.Connection) -> None:
    """Mark the database, in the transaction that destroys something, for ``scrub``.

    Until then the destroyed bytes may still be in the write-ahead log. The mark is the number
    ``user_version`` in the file's header, which SQLite writes in the same transaction.
    """
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA user_version = 1")


def _write_through(engine: sa.Engine, path: Path) -> None:
    @sa.event.listens_for(engine, "connect")
    def _configure(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # The driver must not begin transactions itself: ``_begin`` does, with BEGIN IMMEDIATE.
        connection.isolation_level = None
        cursor = connection.cursor()
        _wait_for_locks(connection)
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        # Overwrite deleted bytes: an erased secret must not stay in a free page.
        cursor.execute("PRAGMA secure_delete=ON")
        cursor.close()
        database_file.opened_for_writing(path)

    @sa.event.listens_for(engine, "close")
    def _close(_: DBAPIConnection, __: ConnectionPoolEntry) -> None:
        database_file.closed_for_writing(path)

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # Lock before reading, or SQLite refuses the later write with SQLITE_BUSY.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        if _SECURED not in connection.info:
            _secure(path)
            connection.info[_SECURED] = True


def _secure(path: Path) -> None:
    """Write the log that an earlier process left once more, under the lock for writing, and sync.

    If that process died after a failed sync, the system may hold commits in memory, and take them
    for written. SQLite finds them, and what it writes after them would be lost with them.
    """
    try:
        database_file.write_wal_again(path)
    except OSError as error:
        raise OperationalError(f"write {wal_of(path)} again", None, error) from error


def _checkpoint(connection: sa.Connection, mode: str) -> tuple[bool, int, int]:
    """Copy the log into the file, as far as readers of older snapshots let it.

    Returns whether readers prevented some of it, the log's pages, and how many of them are in the
    file. Raises what the disk reports.
    """
    cursor = connection.connection.cursor()  # with SQLAlchemy's, a transaction would begin
    statement = f"PRAGMA wal_checkpoint({mode})"
    try:
        cursor.execute(statement)
        is_busy, pages, copied = cursor.fetchone() or (1, 0, 0)
    except sqlite3.Error as error:
        raise OperationalError(statement, None, error) from error
    finally:
        cursor.close()
    return bool(is_busy), pages, copied


def _wait_for_locks(driver: Any) -> None:
    driver.execute(f"PRAGMA busy_timeout={int(_BUSY_SECONDS * 1000)}")


def _code(error: Exception) -> int | None:
    """SQLite's code of an error, from either driver."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    code: int | None = getattr(cause, "sqlite_errorcode", None)
    return code
