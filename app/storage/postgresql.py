"""PostgreSQL, and servers that speak its protocol.

Many processes write, each over one connection. The lock on an organization's row keeps their
transactions apart.
"""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.storage.glances import EngineGlances, ServerGlances

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.storage.glances import Glances
POSTGRESQL = "postgresql+asyncpg"
_SYNC_POSTGRESQL = "postgresql+psycopg"  # for threads and commands
_POOLED_POSTGRESQL = "postgresql+psycopg_async"  # sends a statement in one message, unprepared
POOL_MODE = "pool_mode"  # a parameter of the URL, which no driver sees
SESSION, TRANSACTION = POOL_MODES = "session", "transaction"
_READERS = 10
_GLANCES = 4  # each request that waits for one shares its read with others
_CONNECT_SECONDS = 5
_CANCEL_SECONDS = 1
_BACKEND = sa.select(sa.func.pg_backend_pid(type_=sa.Integer))
_POOLER_ROUNDS = 3  # one finds an idle pooler; more are for one that others use meanwhile
_LONGEST_SECONDS = 35  # more than the server's statement_timeout, below
# Limits for a serving process, in milliseconds. Commands have none.
_SERVING = {
    "statement_timeout": "30000",
    "lock_timeout": "1000",
    "idle_in_transaction_session_timeout": "15000",
}
_READ_ONLY = {"default_transaction_read_only": "on"}
_READING: dict[str, Any] = {  # how asyncpg connects
    "timeout": _CONNECT_SECONDS,
    "server_settings": _SERVING | _READ_ONLY,
}
_CACHE_SIZE = "prepared_statement_cache_size"  # a parameter of SQLAlchemy's, not of a driver's
# libpq's parameters: a thread must not wait forever for a machine that is gone.
_KEEPALIVE: dict[str, Any] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": _LONGEST_SECONDS * 1000,
}
_CONFLICTS = frozenset(("40001", "40P01"))  # serialization failure, deadlock: rolled back
_CANCELLED = "57014"
_CONNECTION_ERRORS = "08"  # the class of those that asyncpg raises for a lost connection
# Too many connections, lock timeout, shut down, crashed, not started yet.
_UNAVAILABLE = frozenset(("53300", "55P03", "57P01", "57P02", "57P03"))


class PoolerRefused(Exception):
    """Behind a transaction pooler, settings and prepared statements of a connection do not last."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} is reached through a pooler that gives the transactions of one connection to"
            f" several sessions of the server: add ?{POOL_MODE}={TRANSACTION} to the URL of the"
            " database, set PgBouncer's pool_mode = session, or connect to the server itself"
        )


class PostgreSQL:
    """A database on a server, which many processes write.

    Behind a pooler of transactions, a connection has no session of its own. Then each transaction
    makes its settings itself, and nothing is prepared.
    """

    is_embedded = False
    longest: float | None = _LONGEST_SECONDS
    is_standby: sa.Select[tuple[bool]] = sa.select(sa.func.pg_is_in_recovery(type_=sa.Boolean))

    def __init__(self, url: sa.URL) -> None:
        self.name = url.render_as_string(hide_password=True)
        query = dict(url.query)
        self._has_session = query.pop(POOL_MODE, SESSION) == SESSION
        self._url = url.set(query=query)

    def exists(self) -> bool:
        """Always: opening a missing one raises the server's error."""
        return True

    def key_file(self, suffix: str) -> Path | None:  # noqa: ARG002  # the protocol has it
        """None: there is no database file to put a key beside."""
        return None

    def check(self) -> None:
        """Raise ``PoolerRefused`` unless each of two connections keeps a session of its own.

        The session is known by the process id of the server's backend. Where the URL says that
        there are none, nothing relies on them.
        """
        if not self._has_session:
            return
        engine = sa.create_engine(
            self._sync_url(),
            isolation_level="AUTOCOMMIT",  # a transaction for each statement
            hide_parameters=True,
            connect_args={"connect_timeout": _CONNECT_SECONDS},
        )
        sessions: tuple[set[int], set[int]] = (set(), set())
        try:
            with engine.connect() as first, engine.connect() as second:
                for _ in range(_POOLER_ROUNDS):
                    for connection, seen in zip((first, second), sessions, strict=True):
                        seen.add(connection.execute(_BACKEND).scalar_one())
        finally:
            engine.dispose()
        if sessions[0] & sessions[1] or any(len(seen) > 1 for seen in sessions):
            raise PoolerRefused(self.name)

    def leftovers(self) -> list[Path]:
        """None: the server keeps the files."""
        return []

    def displaced(self) -> str | None:
        """Never: the server keeps the files."""
        return None

    @contextmanager
    def hold(self, command: str, *, make: bool = False) -> Iterator[None]:  # noqa: ARG002  # the protocol has it
        """Nothing: the lock on an organization's row is enough."""
        yield

    def commands(self) -> sa.Engine:
        """Without limits of time."""
        return self._threads_engine({})

    def snapshots(
        self, *, connections: int | None = None, longest: float | None = None
    ) -> sa.Engine:
        """Read-only transactions, with repeatable reads."""
        settings, pool = _READ_ONLY, {}
        if connections is not None:
            settings = settings | _SERVING
            pool = {"pool_size": connections, "max_overflow": 0}
        if longest is not None:
            settings = settings | {"statement_timeout": str(int(longest * 1000))}
        return self._threads_engine(
            settings, pool_use_lifo=True, isolation_level="REPEATABLE READ", **pool
        )

    def writer(self) -> sa.Engine:
        """Durable, whatever the server's default is."""
        settings = _SERVING | {"synchronous_commit": "on"}
        return self._threads_engine(settings, pool_size=1, max_overflow=0)

    def _threads_engine(self, settings: dict[str, str], **options: Any) -> sa.Engine:
        """An engine for threads, whose transactions have these settings of the server."""
        connect_args = _KEEPALIVE | {"connect_timeout": _CONNECT_SECONDS}
        if self._has_session:
            connect_args["options"] = " ".join(f"-c {name}={settings[name]}" for name in settings)
        else:
            connect_args["prepare_threshold"] = None
        engine = sa.create_engine(
            self._sync_url(), hide_parameters=True, connect_args=connect_args, **options
        )
        if settings and not self._has_session:
            sa.event.listen(engine, "begin", partial(_set_locally, settings))
        return engine

    def interrupt(self, driver: Any) -> None:
        """Cancel the statement at the server, then break off the connection.

        Between two portions of rows there is nothing to cancel.
        """
        with suppress(Exception):  # the server may be away, and the connection broken already
            driver.cancel_safe(timeout=_CANCEL_SECONDS)
        with suppress(Exception):
            self.abort(driver)

    def abort(self, driver: Any) -> None:
        """Shut the connection's socket. A server that hangs would not hear a request to cancel."""
        if driver is None or driver.closed:
            return
        with socket.socket(fileno=os.dup(driver.fileno())) as shared:
            shared.shutdown(socket.SHUT_RDWR)

    def readers(self) -> sa.Engine:
        """Each statement is a transaction of its own: one round trip. The driver is awaited."""
        return self._awaited_engine(_READERS)

    def _awaited_engine(self, connections: int) -> sa.Engine:
        url, connect_args = self._url, _READING
        if not self._has_session:
            url = self._sync_url().set(drivername=_POOLED_POSTGRESQL)
            connect_args = {"connect_timeout": _CONNECT_SECONDS, "prepare_threshold": None}
        return sa.create_engine(
            url,
            pool_size=connections,
            max_overflow=0,
            pool_use_lifo=True,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
            connect_args=connect_args,
        )

    def glances(self) -> Glances:
        """Each statement is a transaction of its own, as above."""
        if not self._has_session:
            return EngineGlances(self._awaited_engine(_GLANCES))
        import asyncpg  # type: ignore[import-untyped]  # noqa: PLC0415  # a file needs no driver for it

        dialect = self._url.get_dialect()()
        _, options = dialect.create_connect_args(self._url)
        options.pop(_CACHE_SIZE, None)
        connect = partial(asyncpg.connect, **{**options, **_READING})
        return ServerGlances(dialect, connect, _GLANCES)

    def needs_scrub(self, connection: sa.Connection) -> bool:  # noqa: ARG002  # the protocol has it
        """Never: the server decides when deleted rows leave its files."""
        return False

    def scrub(self, connection: sa.Connection) -> bool:  # noqa: ARG002  # the protocol has it
        """Done: there is nothing to do."""
        return True

    def checkpoint(self, connection: sa.Connection) -> None:
        """Nothing: the server looks after its log."""

    def free_space(self) -> None:
        """Unknown here: the server looks after its disk."""

    def prove_durable(self, connection: sa.Connection) -> None:
        """Nothing: after a failed commit, the server recovers by itself."""

    def is_full(self, error: Exception) -> bool:  # noqa: ARG002  # the protocol has it
        """Never: the server looks after its disk."""
        return False

    def is_disk_error(self, error: Exception) -> bool:  # noqa: ARG002  # the protocol has it
        """Never, as above."""
        return False

    def is_conflict(self, error: Exception) -> bool:
        """Whether the server rolled a transaction back because of another one."""
        return _state(error) in _CONFLICTS

    def is_too_long(self, error: Exception) -> bool:
        """Whether the server cancelled a statement."""
        return _state(error) == _CANCELLED

    def is_unavailable(self, error: Exception) -> bool:
        """Whether the server was away, went away, or had no connection free."""
        if isinstance(error, OSError | PoolTimeout):  # no server listens; no connection was free
            return True
        if isinstance(error, OperationalError) and _state(error) is None:  # libpq's own
            return True
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            return True
        state = _state(error) or ""
        return state in _UNAVAILABLE or state.startswith(_CONNECTION_ERRORS)

    def libpq(self) -> tuple[str, dict[str, str]]:
        """How PostgreSQL's own tools connect: a connection string, and variables with the password.

        Every user of the machine can read the arguments of a process.
        """
        from psycopg.conninfo import make_conninfo  # noqa: PLC0415  # a file needs no driver for it

        url = self._sync_url()
        _, options = url.get_dialect()().create_connect_args(url)
        password = options.pop("password", None)
        return make_conninfo(**options), {} if password is None else {"PGPASSWORD": str(password)}

    def _sync_url(self) -> sa.URL:
        query = dict(self._url.query)
        query.pop(_CACHE_SIZE, None)
        if "ssl" in query:
            query["sslmode"] = query.pop("ssl")
        return self._url.set(drivername=_SYNC_POSTGRESQL, query=query)


def _set_locally(settings: dict[str, str], connection: sa.Connection) -> None:
    """Make settings for a transaction that begins: nothing of them is left in its session."""
    calls = [
        f"set_config('{name.removeprefix('default_')}', '{value}', true)"
        for name, value in settings.items()
    ]
    connection.exec_driver_sql(f"SELECT {', '.join(calls)}")


def _state(error: Exception) -> str | None:
    """The error's SQLSTATE, from either driver."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    state: str | None = getattr(cause, "sqlstate", None)
    return state
