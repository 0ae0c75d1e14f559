"""The open database of a serving process: reads, snapshots and write transactions."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy.util import greenlet_spawn

from app.metrics import catalog
from app.storage.disk_state import DiskFull, DiskState, WritingSuspended
from app.storage.engines import engines
from app.storage.free_space import FreeSpace
from app.storage.read_pool import ReadPool, WaitedTooLong
from app.storage.sqlite import SCRUB_ATTEMPTS
from app.storage.wal_checkpoints import OpenSnapshots, WalCheckpoints

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from events.prepared import Prepared

P = ParamSpec("P")
T = TypeVar("T")

_READ_ATTEMPTS = 2  # the second for a pooled connection that was lost while idle
_READ_TIMEOUT = timedelta(seconds=10)
_GRACE = 1.0  # seconds that a server adds to the limit: it ends only what nobody else ended
# Threads, and how many of them an organization has at most. While they run Python, the event loop,
# which answers everybody, waits for each of them.
_LISTINGS = {"threads": 3, "share": 1}
_EXPORTS = {"threads": 2, "share": 1}
_FOLLOWED = {"threads": 2, "share": 1}  # who follows a log must not wait for an export of it


class CommitFailed(Exception):
    """The database did not confirm a commit, which may or may not have happened."""


class Displaced(CommitFailed):
    """The file was removed or replaced: all writes since are lost when the process ends."""


class Busy(Exception):
    """The database was locked for too long or unavailable; nothing was written."""


class ReadFailed(Exception):
    """The driver could not read; SQLAlchemy's errors say it of all other reads."""


class ReadTooLong(Exception):
    """A read was stopped because it took longer than a read may."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Database:
    """Runs functions of a connection: short reads, snapshots, exports and writes.

    Each of the first three has connections of its own. Writes run one after another, in a thread
    of their own: nothing else waits for a commit.
    """

    def __init__(
        self, url: sa.URL, min_free_space: int = 0, read_timeout: timedelta = _READ_TIMEOUT
    ) -> None:
        self._engines = engines(url)
        self.is_embedded = self._engines.is_embedded
        self._writer = self._engines.writer()
        self._writing = ThreadPoolExecutor(1, "writer")
        self._driver: Any = None  # the driver's connection of the transaction that runs
        self._readers = self._engines.readers()
        self._read_seconds = read_timeout.total_seconds()
        self._listings = self._pool("listings", **_LISTINGS, longest=self._read_seconds + _GRACE)
        self._exports = self._pool("exports", **_EXPORTS)
        self._followed = self._pool("followed", **_FOLLOWED)
        self._glances = self._engines.glances()
        self._disk = DiskState()
        self._open = OpenSnapshots()
        self._checkpoints = WalCheckpoints(self._open)
        self._space = FreeSpace(self._engines.free_space, min_free_space)
        catalog.FREE_BYTES.follow(self._engines.free_space)

    def _pool(
        self, name: str, *, threads: int, share: int, longest: float | None = None
    ) -> ReadPool:
        engine = self._engines.snapshots(connections=threads, longest=longest)
        return ReadPool(self._engines, engine, name, threads=threads, share=share)

    async def read(
        self, work: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run ``work``; each of its statements sees everything that was committed before it.

        Use ``snapshot`` if several statements must agree. Raises ``Busy``.
        """

        def run() -> T:
            with self._readers.connect() as connection:
                return work(connection, *args, **kwargs)

        return await self._with_retry(lambda: self._answered(greenlet_spawn(run)))

    async def glance(self, query: Prepared, **values: Any) -> Sequence[Any]:
        """The rows of a short query, as tuples, which is how a hot request reads.

        It sees everything that was committed before it. On SQLite it returns without waiting: no
        other task runs meanwhile. So the query must bound what it reads. Raises ``Busy`` and
        ``ReadFailed``.
        """
        try:
            if self.is_embedded:
                return await self._glances.rows(query, values)
            return await self._with_retry(lambda: self._answered(self._glances.rows(query, values)))
        except Busy:
            raise
        except Exception as error:
            kind = Busy if self._engines.is_conflict(error) else ReadFailed
            raise kind(str(error)) from error

    async def snapshot(
        self,
        organization_id: int,
        work: Callable[Concatenate[sa.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run ``work`` for an organization, on one snapshot of everything committed so far.

        It runs in a thread, and is stopped if it takes too long or the caller is cancelled. Keep
        it short: until it ends, SQLite cannot empty its write-ahead log. Raises ``Busy``,
        ``TooManyReads`` and ``ReadTooLong``.
        """
        run = self._noted(organization_id, work, *args, **kwargs)
        pool, seconds = self._listings, self._read_seconds
        try:
            return await self._with_retry(lambda: pool.read(organization_id, run, seconds))
        except WaitedTooLong as error:
            raise Busy("no thread was free in time") from error
        except Exception as error:
            if isinstance(error, TimeoutError) or self._engines.is_too_long(error):
                raise ReadTooLong(seconds) from error
            raise

    async def export(
        self,
        organization_id: int,
        work: Callable[Concatenate[sa.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """As ``snapshot``, by other threads and without its limit of time.

        Raises ``Busy`` and ``TooManyReads``.
        """
        run = self._noted(organization_id, work, *args, **kwargs)
        return await self._export(organization_id, run)

    async def export_portion(self, organization_id: int, work: Callable[[sa.Connection], T]) -> T:
        """As ``export``, for one of the portions of a long export, each in its own snapshot.

        An export that has begun waits for its next turn, however many others do.
        """
        run = self._noted(organization_id, work)
        return await self._export(organization_id, run, goes_on=True)

    async def followed(self, organization_id: int, work: Callable[[sa.Connection], T]) -> T:
        """As ``export_portion``, by other threads, for those who follow a log."""
        run = self._noted(organization_id, work)
        return await self._export(organization_id, run, goes_on=True, pool=self._followed)

    async def _export(
        self,
        organization_id: int,
        run: Callable[[sa.Connection], T],
        *,
        goes_on: bool = False,
        pool: ReadPool | None = None,
    ) -> T:
        pool = pool or self._exports
        return await self._answered(
            self._with_retry(lambda: pool.read(organization_id, run, None, goes_on=goes_on))
        )

    def _noted(
        self,
        organization_id: int,
        work: Callable[Concatenate[sa.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Callable[[sa.Connection], T]:
        """The work, noted as what holds a snapshot while it runs."""

        def run(connection: sa.Connection) -> T:
            with self._open.noted(organization_id, work):
                return work(connection, *args, **kwargs)

        return run

    async def _answered(self, reading: Awaitable[T]) -> T:
        """What is read; raises ``Busy`` if the database does not answer in time."""
        try:
            async with asyncio.timeout(self._engines.longest):
                return await reading
        except TimeoutError as error:
            raise Busy("the database did not answer in time") from error
        except Exception as error:
            if self._engines.is_too_long(error):
                raise Busy("the database cancelled a statement") from error
            raise

    async def _with_retry(self, run: Callable[[], Awaitable[T]]) -> T:
        """Run a read, and once more if its connection was lost."""
        for attempt in range(1, _READ_ATTEMPTS + 1):
            try:
                return await run()
            except TimeoutError:  # an OSError, too, but no lost connection
                raise
            except Exception as error:
                if not self._engines.is_unavailable(error):
                    raise
                if attempt == _READ_ATTEMPTS:
                    raise Busy from error
        raise AssertionError("each attempt returns or raises")

    async def check(self) -> None:
        """Raise ``Busy`` or ``WritingSuspended`` if the database answers but takes no writes."""
        self._disk.check()
        self.check_space()
        if (displaced := self._engines.displaced()) is not None:
            raise Busy(displaced)
        if await self.read(lambda connection: connection.scalar(self._engines.is_standby)):
            raise Busy("the database is a standby")

    def check_space(self, *, is_essential: bool = False) -> None:
        """Raise ``DiskFull`` if too little of the disk is free to begin a write.

        What is essential, such as erasure, may use some of the reserve.
        """
        self._space.check(is_essential=is_essential)

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Run ``work`` in one durable transaction, which is rolled back if ``work`` raises.

        Raises ``Busy`` if the database was locked or unavailable: nothing was written, and a
        retry is safe. Raises ``WritingSuspended`` if the disk takes no writes: nothing was written.
        Raises ``CommitFailed`` if the outcome is unknown.
        """
        self._disk.check_writing()
        running = self._in_writer(lambda: self._write(work))
        try:
            async with asyncio.timeout(self._engines.longest):
                result = await asyncio.shield(running)
        except TimeoutError:
            self._engines.abort(self._driver)
            return await running  # raises now what the lost connection means
        if self._checkpoints.is_pressing:
            self._in_writer(self._checkpoint)  # the next write waits for it, this one does not
        return result

    def _write(self, work: Callable[[sa.Connection], T]) -> T:
        self._driver = None
        try:
            with self._writer.connect() as connection:
                self._driver = connection.connection.driver_connection
                connection.begin()
                result = work(connection)
                self._commit(connection)
        except Exception as error:
            if self._engines.is_full(error):
                self._disk.failed(DiskFull, error)
                raise DiskFull from error
            if self._engines.is_disk_error(error):  # before the commit, so it was rolled back
                self._disk.failed(WritingSuspended, error)
                raise WritingSuspended from error
            if self._did_nothing(error):
                raise Busy(str(error)) from error
            raise
        self._checkpoints.wrote()
        return result

    def _did_nothing(self, error: Exception) -> bool:
        """Whether the database ended a transaction, which can be retried, before its commit."""
        ours = self._engines
        return ours.is_conflict(error) or ours.is_unavailable(error) or ours.is_too_long(error)

    def _commit(self, connection: sa.Connection) -> None:
        began = time.monotonic()
        try:
            connection.commit()
        except Exception as error:
            self._after_failed_commit(connection)
            if self._engines.is_full(error):
                raise  # the record of the commit, which is written last, was not written
            if self.is_embedded:
                self._disk.failed(WritingSuspended, error)
            elif self._engines.is_conflict(error):
                raise  # the server rolled it back
            raise CommitFailed(str(error)) from error
        catalog.COMMIT_SECONDS.of().observe(time.monotonic() - began)
        # After the commit: checked before it, the file could be replaced in between.
        if (displaced := self._engines.displaced()) is not None:
            raise Displaced(displaced)

    def _after_failed_commit(self, connection: sa.Connection) -> None:
        """Close the connection if its transaction may still be open.

        SQLite has rolled it back, and its connection stays: if it were the last one, the next would
        find the failed commit in the write-ahead log and take it for done, although it may be in
        the memory of the system only. While a connection lives, the next commit overwrites it.
        """
        if not (self.is_embedded and not self._driver.in_transaction):
            connection.invalidate()

    async def resume(self) -> None:
        """If the last write failed, try one that changes nothing; if that succeeds, go on."""
        if not self._disk.works:
            await self._in_writer(self._resume)

    def _resume(self) -> None:
        try:
            with self._writer.connect() as connection:
                self._engines.prove_durable(connection)
        except Exception as error:  # noqa: BLE001  # whatever it is, writing does not work yet
            kind = DiskFull if self._engines.is_full(error) else WritingSuspended
            self._disk.failed(kind, error)
        else:
            self._disk.succeeded()

    async def checkpoint(self) -> None:
        """Copy the write-ahead log into the file, between two writes; failures are noted."""
        if self._checkpoints.is_due and self._disk.works:
            await self._in_writer(self._checkpoint)

    def _checkpoint(self) -> None:
        try:
            with self._writer.connect() as connection:
                checkpoint = self._engines.checkpoint(connection)
        except Exception as error:  # noqa: BLE001  # writing goes on, and so do the attempts
            self._checkpoints.failed(error)
        else:
            if checkpoint is not None:
                self._checkpoints.made(checkpoint)

    def warnings(self) -> list[str]:
        """What operators must know of a database that works, in sentences."""
        return self._checkpoints.warnings()

    async def scrub(self) -> bool:
        """Remove destroyed bytes from the files; False if readers or the disk prevented it.

        Writes go on between the attempts.
        """
        for _ in range(SCRUB_ATTEMPTS):
            if await self._in_writer(self._scrub):
                return True
        return False

    def _scrub(self) -> bool:
        try:
            with self._writer.connect() as connection:
                return self._engines.scrub(connection)
        except Exception as error:  # noqa: BLE001  # what was destroyed is committed: try again later
            self._checkpoints.failed(error)
            return False

    def _in_writer(self, function: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._writing, function)

    async def close(self) -> None:
        """Close the readers, then the writer: its close is SQLite's last checkpoint."""
        await self._listings.close()
        await self._exports.close()
        await self._followed.close()
        await self._glances.close()
        await greenlet_spawn(self._readers.dispose)
        await self._in_writer(self._writer.dispose)
        self._writing.shutdown()
