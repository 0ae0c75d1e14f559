"""A few threads that read snapshots for the organizations, and can be stopped."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import sqlalchemy as sa

from app.metrics import catalog
from app.storage.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.storage.engines import Engines

T = TypeVar("T")

_MOST_WAITING = 32  # reads of one organization
_INTERRUPTED_AGAIN = 0.05  # seconds after which a read that goes on is interrupted again
_READING = "reading"  # the key of a connection's ``info``


class ReadStopped(Exception):
    """Nobody waits for the read any more."""


class WaitedTooLong(Exception):
    """No thread was free in time."""


class ReadPool:
    """Threads with a connection each. An organization has at most a share of them."""

    def __init__(
        self, engines: Engines, engine: sa.Engine, name: str, *, threads: int, share: int
    ) -> None:
        self._engines = engines
        self._engine = engine
        self._threads = ThreadPoolExecutor(threads, name)
        self._turns: Turns[_Reading[Any]] = Turns(threads, share=share, most_waiting=_MOST_WAITING)
        self._stopping: set[asyncio.Task[None]] = set()
        catalog.READS_RUNNING.follow(lambda: self._turns.running, name)
        catalog.READS_WAITING.follow(lambda: self._turns.waiting, name)
        sa.event.listen(engine, "before_cursor_execute", _check)

    async def read(
        self,
        organization_id: int,
        work: Callable[[sa.Connection], T],
        within: float | None,
        *,
        goes_on: bool = False,
    ) -> T:
        """Run ``work`` on a snapshot, when it is the organization's turn.

        It may wait, and then run, for ``within`` seconds each; then its statement is interrupted,
        as when the caller is cancelled. ``goes_on`` is as in ``Turns.enter``. Raises
        ``TooManyReads``, ``WaitedTooLong`` and ``TimeoutError``.
        """
        reading = _Reading(organization_id, self._engine, self._engines.interrupt, work)
        result = asyncio.wrap_future(reading.result)
        result.add_done_callback(_retrieve_exception)
        if self._turns.enter(organization_id, reading, goes_on=goes_on):
            self._threads.submit(self._run, reading)
        try:
            return await _result(reading, result, within)
        finally:
            if not (result.done() or self._turns.withdraw(organization_id, reading)):
                self._stop(reading, result)

    def _run(self, first: _Reading[Any]) -> None:
        """Run a reading, and then those whose turn comes: the event loop is not asked between."""
        reading: _Reading[Any] | None = first
        while reading is not None:
            reading.run()
            reading = self._turns.leave(reading.organization_id)

    def _stop(self, reading: _Reading[Any], result: asyncio.Future[Any]) -> None:
        task = asyncio.create_task(_interrupt(reading, result))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    async def close(self) -> None:
        """Wait for reads that were stopped, then close the connections."""
        await asyncio.gather(*self._stopping, return_exceptions=True)
        self._threads.shutdown()
        self._engine.dispose()


class _Reading(Generic[T]):
    """Work on a snapshot, which another thread can interrupt."""

    def __init__(
        self,
        organization_id: int,
        engine: sa.Engine,
        interrupt: Callable[[Any], None],
        work: Callable[[sa.Connection], T],
    ) -> None:
        self.organization_id = organization_id
        self.result: Future[T] = Future()
        self.begun_at: float | None = None  # ``time.monotonic``
        self.is_stopped = False
        self._engine = engine
        self._interrupt = interrupt
        self._work = work
        self._context = copy_context()  # of the request that reads: its statements are traced
        self._lock = threading.Lock()  # a connection must not be interrupted for its next user
        self._driver: Any = None

    def run(self) -> None:
        """Do the work in this thread; what it returns or raises is the result."""
        self.begun_at = time.monotonic()
        try:
            result = self._read()
        except BaseException as error:  # noqa: BLE001  # it belongs to who waits for the result
            self.result.set_exception(error)
        else:
            self.result.set_result(result)

    def _read(self) -> T:
        with self._engine.connect() as connection:
            connection.info[_READING] = self
            with self._lock:
                self._driver = connection.connection.driver_connection
            try:
                return self._context.run(self._work, connection)
            finally:
                with self._lock:
                    self._driver = None
                if self.is_stopped:
                    connection.invalidate()

    def interrupt(self) -> None:
        """Let the statement that runs fail, and each later one."""
        with self._lock:
            self.is_stopped = True
            if self._driver is not None:
                self._interrupt(self._driver)


async def _result(reading: _Reading[T], result: asyncio.Future[T], within: float | None) -> T:
    """What a reading returns; it may wait and run for ``within`` seconds each."""
    left = within
    while True:
        try:
            async with asyncio.timeout(left):
                return await asyncio.shield(result)
        except TimeoutError as error:
            if within is None or result.done():
                raise
            if reading.begun_at is None:
                raise WaitedTooLong from error
            left = reading.begun_at + within - time.monotonic()
            if left <= 0:
                raise


async def _interrupt(reading: _Reading[Any], result: asyncio.Future[Any]) -> None:
    """Interrupt a read until it ends: what comes just before a statement begins has no effect."""
    while not result.done():
        await asyncio.to_thread(reading.interrupt)
        await asyncio.wait((result,), timeout=_INTERRUPTED_AGAIN)


def _retrieve_exception(result: asyncio.Future[Any]) -> None:
    """The caller may be gone, and the loop logs an exception that nothing retrieved."""
    if not result.cancelled():
        result.exception()


def _check(connection: sa.Connection, *_: Any) -> None:
    """Begin no statement of a read that was stopped."""
    reading: _Reading[Any] | None = connection.info.get(_READING)
    if reading is not None and reading.is_stopped:  # None while the connection is made ready
        raise ReadStopped
