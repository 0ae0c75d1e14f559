"""The databases that the log can live in, and all in which they differ.

SQLite, the embedded one: WAL with ``synchronous=FULL``, one writing connection which alone
checkpoints (SQLite 3.7.0 to 3.51.2 can corrupt a WAL with two), readers that cannot write, and a
lock on the file, because a second process that writes it would undo all of this.

PostgreSQL, and what speaks like it: many processes, each with one writing connection; the lock
on an organization's counter row keeps them apart.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.storage import database_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

SQLITE = "sqlite+aiosqlite"
POSTGRESQL = "postgresql+asyncpg"
_SYNC_POSTGRESQL = "postgresql+psycopg"  # for threads and commands

MASTER_KEY, AUDIT_KEY = _KEY_FILES = (".key", ".audit.key")  # beside a file, after its name
_SQLITE_READERS = 4
_READERS = 10
_SNAPSHOTS = 5
_BUSY_SECONDS = 1.0
SCRUB_ATTEMPTS = 5  # each waits for readers as long as the busy timeout
_SQLITE_BUSY = frozenset((5, 6, 261, 517))  # BUSY, LOCKED, BUSY_RECOVERY, BUSY_SNAPSHOT
_CONNECT_SECONDS = 5
_WHO_ANSWERS = sa.select(sa.func.pg_backend_pid(type_=sa.Integer))
_POOLER_ROUNDS = 3  # the first finds it, where nobody else uses the pooler at that moment
_LONGEST_SECONDS = 35  # longer than the server lets any statement take
# What a serving process lets one statement take, in milliseconds; commands take their time.
_SERVING = {
    "statement_timeout": "30000",
    "lock_timeout": "1000",
    "idle_in_transaction_session_timeout": "15000",
}
# So that a thread does not wait for ever for a machine that is gone, as libpq names it.
_NOTICING = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": _LONGEST_SECONDS * 1000,
}
_CONFLICTS = frozenset(("40001", "40P01"))  # serialization failure, deadlock: done by nobody
# Too many connections, a lock not had in time, shut down, crashed, not started yet.
_UNAVAILABLE = frozenset(("53300", "55P03", "57P01", "57P02", "57P03"))


class PoolerRefused(Exception):
    """What is made once for each connection does not last: settings, prepared statements."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} is reached through a pooler that gives the transactions of one connection to"
            " several sessions of the server: set PgBouncer's pool_mode = session, or connect to"
            " the server itself"
        )


class Engines(Protocol):
    """How one kind of database is opened, and what its errors mean."""

    is_embedded: bool
    """Whether it is a file, which one process holds: it migrates it, and stops for good where a
    commit fails. Else others write beside us, so that nothing in memory is the truth."""
    name: str
    """What an operator calls it; without its password."""
    longest: float | None
    """Seconds after which a server that says nothing is taken for one that is away."""
    is_standby: sa.Select[tuple[bool]]
    """Asks the database whether it only follows another one."""

    def exists(self) -> bool:
        """Whether there is such a database, as far as can be said without opening it."""
        ...

    def check(self) -> None:
        """Raise ``FileRefused`` or ``PoolerRefused`` for what would lose data or fail later."""
        ...

    def leftovers(self) -> list[Path]:
        """The files that show that there was a database, where there is none now."""
        ...

    def displaced(self) -> str | None:
        """What is wrong where what is written does not go to where it is looked for any more."""
        ...

    def key_file(self, suffix: str) -> Path | None:
        """Where a key lies that nobody configured; None where one must be configured."""
        ...

    def hold(self, command: str, *, make: bool = False) -> Any:
        """A context in which nobody else does what would corrupt it; ``make`` may make the file.

        Raises ``DatabaseHeld`` and ``FileRefused``.
        """
        ...

    def commands(self) -> sa.Engine:
        """For the operator's commands, which write."""
        ...

    def snapshots(self, *, serving: bool = False) -> sa.Engine:
        """Cannot write; each connection's statements see one snapshot."""
        ...

    def writer(self) -> AsyncEngine:
        """One connection, whose transactions are durable."""
        ...

    def readers(self) -> AsyncEngine:
        """Cannot write; each statement sees all that was committed before it."""
        ...

    def needs_scrub(self, connection: sa.Connection) -> bool:
        """Whether bytes of what was destroyed may still be in the files, as far as that is ours."""
        ...

    def scrub(self, connection: sa.Connection) -> bool:
        """Take what was destroyed out of the files; False where a reader is in the way.

        The connection is a writing one, in no transaction.
        """
        ...

    def is_conflict(self, error: Exception) -> bool:
        """Whether somebody else was in the way, so that a transaction was undone whole."""
        ...

    def is_unavailable(self, error: Exception) -> bool:
        """Whether the database could not be reached, or was lost: later it may answer."""
        ...


def engines(url: sa.URL) -> Engines:
    """The engines of a database."""
    return SQLite(url) if url.drivername == SQLITE else PostgreSQL(url)


class SQLite:
    """A file beside its key files and its lock file."""

    is_embedded = True
    longest: float | None = None  # a file answers
    is_standby: sa.Select[tuple[bool]] = sa.select(sa.false())

    def __init__(self, url: sa.URL) -> None:
        self.path = Path(url.database or "")
        self.name = str(self.path)

    def exists(self) -> bool:
        """Whether the file is there, and something in it."""
        return not database_file.is_empty(self.path)

    def check(self) -> None:
        """The log of writes is where SQLite looks for it."""
        database_file.check(self.path)

    def leftovers(self) -> list[Path]:
        """Its keys, and its log of writes."""
        return database_file.leftovers(self.path, *_KEY_FILES)

    def displaced(self) -> str | None:
        """Whether the file was removed or replaced while this process holds it."""
        return database_file.displaced(self.path)

    def key_file(self, suffix: str) -> Path | None:
        """Beside the database."""
        return self.path.with_name(self.path.name + suffix)

    @contextmanager
    def hold(self, command: str, *, make: bool = False) -> Iterator[None]:
        """Be the only process that writes the file."""
        with database_file.hold(self.path, command, make=make):
            yield

    def commands(self) -> sa.Engine:
        """One connection at a time, which writes through."""
        url = sa.URL.create("sqlite", database=str(self.path))
        # An error must not repeat the values that a statement was given.
        engine = sa.create_engine(url, hide_parameters=True)
        _write_through(engine, self.path)
        return engine

    def snapshots(self, *, serving: bool = False) -> sa.Engine:  # noqa: ARG002  # alike for both
        """Read-only, and in a transaction from the first statement on."""
        engine = sa.create_engine(self._read_only("sqlite"), hide_parameters=True)

        @sa.event.listens_for(engine, "connect")
        def _configure(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
            connection.isolation_level = None  # the driver begins nothing for what only reads

        @sa.event.listens_for(engine, "begin")
        def _begin(connection: sa.Connection) -> None:
            connection.exec_driver_sql("BEGIN")

        return engine

    def writer(self) -> AsyncEngine:
        """The one writing connection."""
        url = sa.URL.create(SQLITE, database=str(self.path))
        engine = create_async_engine(url, pool_size=1, max_overflow=0, hide_parameters=True)
        _write_through(engine.sync_engine, self.path)
        return engine

    def readers(self) -> AsyncEngine:
        """Opened read-only."""
        return create_async_engine(
            self._read_only(SQLITE), pool_size=_SQLITE_READERS, max_overflow=0, hide_parameters=True
        )

    def needs_scrub(self, connection: sa.Connection) -> bool:
        """Whether the mark is set, and there is a log of writes: else SQLite has emptied it."""
        is_due = connection.exec_driver_sql("PRAGMA user_version").scalar() != 0
        return is_due and database_file.has_log(self.path)

    def scrub(self, connection: sa.Connection) -> bool:
        """Copy the log of writes into the file and empty it, then take the mark away.

        ``secure_delete`` has overwritten what was destroyed in the pages that are copied. Readers
        of older snapshots are waited for as long as the busy timeout is.
        """
        cursor = connection.connection.cursor()  # SQLAlchemy would begin a transaction
        try:
            cursor.execute("PRAGMA user_version")
            if cursor.fetchone() == (0,):
                return True
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            is_busy, _, _ = cursor.fetchone() or (1, 0, 0)
            if not is_busy:
                cursor.execute("PRAGMA user_version = 0")
            return not is_busy
        finally:
            cursor.close()

    def is_conflict(self, error: Exception) -> bool:
        """Whether the file was locked."""
        cause = error.orig if isinstance(error, DBAPIError) else None
        return getattr(cause, "sqlite_errorcode", None) in _SQLITE_BUSY

    def is_unavailable(self, error: Exception) -> bool:  # noqa: ARG002  # alike for both
        """A file that cannot be read will not get better by waiting."""
        return False

    def _read_only(self, driver: str) -> sa.URL:
        name = self.path.resolve().as_uri()
        return sa.URL.create(driver, database=name, query={"mode": "ro", "uri": "true"})


def mark_for_scrub(connection: sa.Connection) -> None:
    """Note, in the transaction that destroys something, that its bytes are still in the files.

    SQLite keeps the number in the file's header, and writes it as it does any page: it is there
    if and only if the transaction is. ``scrub`` takes it away.
    """
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA user_version = 1")


def _write_through(engine: sa.Engine, path: Path) -> None:
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
        database_file.opened_for_writing(path)

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # Lock before reading, or SQLite refuses the later write with SQLITE_BUSY.
        connection.exec_driver_sql("BEGIN IMMEDIATE")


class PostgreSQL:
    """A server's database, which many processes write."""

    is_embedded = False
    longest: float | None = _LONGEST_SECONDS
    is_standby: sa.Select[tuple[bool]] = sa.select(sa.func.pg_is_in_recovery(type_=sa.Boolean))

    def __init__(self, url: sa.URL) -> None:
        self._url = url
        self.name = url.render_as_string(hide_password=True)

    def exists(self) -> bool:
        """That is said when it is opened."""
        return True

    def key_file(self, suffix: str) -> Path | None:  # noqa: ARG002  # alike for both
        """A server's database lies beside no file of ours."""
        return None

    def check(self) -> None:
        """Two connections have a session each, and keep it; what is asked is who answers."""
        engine = sa.create_engine(
            self._sync_url(),
            isolation_level="AUTOCOMMIT",  # a transaction for each statement
            hide_parameters=True,
            connect_args={"connect_timeout": _CONNECT_SECONDS},
        )
        sessions: tuple[set[int], set[int]] = (set(), set())
        try:
            with engine.connect() as one, engine.connect() as other:
                for _ in range(_POOLER_ROUNDS):
                    for connection, seen in zip((one, other), sessions, strict=True):
                        seen.add(connection.execute(_WHO_ANSWERS).scalar_one())
        finally:
            engine.dispose()
        if sessions[0] & sessions[1] or any(len(seen) > 1 for seen in sessions):
            raise PoolerRefused(self.name)

    def leftovers(self) -> list[Path]:
        """None: a server's database lies beside no file of ours."""
        return []

    def displaced(self) -> str | None:
        """The server looks after its files."""
        return None

    @contextmanager
    def hold(self, command: str, *, make: bool = False) -> Iterator[None]:  # noqa: ARG002  # alike for both
        """Whoever writes takes the lock of an organization's counter row, and no more."""
        yield

    def commands(self) -> sa.Engine:
        """A command takes the time that it needs."""
        return sa.create_engine(
            self._sync_url(),
            hide_parameters=True,
            connect_args={"connect_timeout": _CONNECT_SECONDS},
        )

    def snapshots(self, *, serving: bool = False) -> sa.Engine:
        """Repeatable reads, in transactions that are read-only."""
        options = {"default_transaction_read_only": "on"} | (_SERVING if serving else {})
        said = " ".join(f"-c {name}={value}" for name, value in options.items())
        return sa.create_engine(
            self._sync_url(),
            pool_size=_SNAPSHOTS,
            max_overflow=2 * _SNAPSHOTS,
            pool_use_lifo=True,
            isolation_level="REPEATABLE READ",
            hide_parameters=True,
            connect_args=_NOTICING | {"connect_timeout": _CONNECT_SECONDS, "options": said},
        )

    def writer(self) -> AsyncEngine:
        """Durable whatever the server's default is."""
        return self._serving(1, {"synchronous_commit": "on"})

    def readers(self) -> AsyncEngine:
        """Each statement is a transaction of its own: one round trip."""
        return self._serving(
            _READERS, {"default_transaction_read_only": "on"}, isolation_level="AUTOCOMMIT"
        )

    def _serving(self, size: int, settings: dict[str, str], **options: Any) -> AsyncEngine:
        return create_async_engine(
            self._url,
            pool_size=size,
            max_overflow=0,
            pool_use_lifo=True,
            hide_parameters=True,
            connect_args={"timeout": _CONNECT_SECONDS, "server_settings": _SERVING | settings},
            **options,
        )

    def needs_scrub(self, connection: sa.Connection) -> bool:  # noqa: ARG002  # alike for both
        """When deleted rows leave the server's files is the server's matter."""
        return False

    def scrub(self, connection: sa.Connection) -> bool:  # noqa: ARG002  # alike for both
        """Nothing to do here."""
        return True

    def is_conflict(self, error: Exception) -> bool:
        """Whether the server undid one of two that were in each other's way."""
        return _state(error) in _CONFLICTS

    def is_unavailable(self, error: Exception) -> bool:
        """Whether the server is away, was away, or had no room."""
        if isinstance(error, OSError | PoolTimeout):  # nobody listens; no connection was free
            return True
        if isinstance(error, OperationalError) and _state(error) is None:  # libpq's own words
            return True
        return isinstance(error, DBAPIError) and (
            error.connection_invalidated or _state(error) in _UNAVAILABLE
        )

    def _sync_url(self) -> sa.URL:
        query = dict(self._url.query)
        query.pop("prepared_statement_cache_size", None)  # asyncpg's own
        if "ssl" in query:
            query["sslmode"] = query.pop("ssl")
        return self._url.set(drivername=_SYNC_POSTGRESQL, query=query)


def _state(error: Exception) -> str | None:
    """The SQLSTATE, whichever driver it came through."""
    return getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
