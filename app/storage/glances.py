"""Glances: reads of a few rows, by prepared statements on the driver's own connection.

A hot request waits for them. SQLAlchemy, its greenlets and its pool take many times as long as the
driver and the database together.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import greenlet_spawn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    import sqlalchemy as sa

    from events.prepared import Prepared

_CLOSING_SECONDS = 1


class Glances(Protocol):
    """Runs short statements; each sees everything that was committed before it."""

    async def rows(self, query: Prepared, values: dict[str, Any]) -> Sequence[Any]:
        """The rows, as tuples."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class FileGlances:
    """Reads a file on the event loop, without waiting.

    To hand a read to a thread and back takes several times as long as a row, nearly always in
    memory, does. A reader of a write-ahead log never waits for a writer. Statements must bound
    what they read, for a cold disk: then the loop waits as long as the disk does.
    """

    dialect: sa.Dialect = SQLiteDialect_pysqlite()

    def __init__(self, read_only_url: str) -> None:
        self._url = read_only_url
        self._connection: sqlite3.Connection | None = None  # opened when it is first needed

    async def rows(self, query: Prepared, values: dict[str, Any]) -> Sequence[Any]:
        """The rows, as tuples."""
        if self._connection is None:
            # It never waits for a lock: the loop would wait, too.
            self._connection = sqlite3.connect(self._url, uri=True, timeout=0, isolation_level=None)
        text, arguments = query.compiled(self.dialect)
        # All rows at once: an open cursor would keep the write-ahead log from being emptied.
        return self._connection.execute(text, arguments(values)).fetchall()

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()


class ServerGlances:
    """Reads from a server, over at most ``most`` connections of its own, which are asyncpg's."""

    def __init__(
        self, dialect: sa.Dialect, connect: Callable[[], Awaitable[Any]], most: int
    ) -> None:
        self.dialect = dialect
        self._connect = connect
        self._idle: list[Any] = []
        self._free = asyncio.Semaphore(most)

    async def rows(self, query: Prepared, values: dict[str, Any]) -> Sequence[Any]:
        """The rows, as tuples."""
        text, arguments = query.compiled(self.dialect)
        async with self._free:
            connection = self._pop_idle() or await self._connect()
            try:
                rows: Sequence[Any] = await connection.fetch(text, *arguments(values))
            except BaseException:  # also a cancelled read: the answer would reach the next one
                connection.terminate()
                raise
            self._idle.append(connection)
            return rows

    def _pop_idle(self) -> Any:
        """The connection that was used last and is still open; None without one."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return None

    async def close(self) -> None:
        """Close the connections."""
        for connection in self._idle:
            with suppress(Exception):  # the server may be away
                await connection.close(timeout=_CLOSING_SECONDS)


class EngineGlances:
    """Reads from a server where nothing can be prepared, as behind a pooler of transactions."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine  # its driver is awaited

    async def rows(self, query: Prepared, values: dict[str, Any]) -> Sequence[Any]:
        """The rows, as tuples."""

        def read() -> Sequence[Any]:
            with self._engine.connect() as connection:
                return query.run(connection, values).all()

        rows: Sequence[Any] = await greenlet_spawn(read)
        return rows

    async def close(self) -> None:
        """Close the connections."""
        await greenlet_spawn(self._engine.dispose)
