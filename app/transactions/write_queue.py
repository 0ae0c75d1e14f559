"""The write queue: one writer in each process, and one transaction for all waiting work.

Nobody gets an answer before the commit. Work that is refused or fails does not affect the rest of
its batch, which commits without it. Work whose organization another process has locked waits for
a later batch.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import structlog

from app.storage.database import Busy, CommitFailed
from app.transactions.state_cache import StateCache
from app.transactions.unit_of_work import UnitOfWork
from events.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    import sqlalchemy as sa

    from app.storage.database import Database
    from app.transactions.clock import Witness
    from app.vault.keys import Vault
    from events.assistant_key import AssistantKey
    from events.changed import State

T = TypeVar("T")

_LARGEST_BATCH = 128
_ATTEMPTS = 5  # for work in a transaction that found the database locked or unavailable
_PATIENCE = 5.0  # seconds that work waits for an organization that another process has locked
_log = structlog.get_logger(__name__)


class WriterStopped(Exception):
    """A commit failed, so nothing is written any more: its outcome may be unknown."""


class OutcomeUnknown(Exception):
    """The connection was lost during a commit, which may or may not have happened."""


class CommitListener(Protocol):
    """Is called around each commit; a cache of what commits change is one."""

    def before_commit(self, keys: Iterable[AssistantKey]) -> None:
        """Called in the writer's thread, with the assistants that the commit changes."""

    def after_commit(self, states: Mapping[AssistantKey, State]) -> None:
        """Called in the event loop's thread, with the new states; none if the commit failed."""


class _Waiting(Generic[T]):
    """Work in the queue."""

    def __init__(
        self,
        organization_id: int | None,
        work: Callable[[UnitOfWork], T],
        answer: asyncio.Future[T],
    ) -> None:
        self.organization_id = organization_id
        self.work = work
        self.answer = answer
        self.outcome: T | BaseException | None = None
        self.attempts = 0
        self.waits_since: float | None = None  # for its organization's lock; ``time.monotonic``

    def run(self, unit: UnitOfWork) -> None:
        before = unit.count
        try:
            self.outcome = self.work(unit)
        except DomainError as refusal:
            if unit.count != before:
                raise RuntimeError("work was refused after it had recorded") from refusal
            self.outcome = refusal

    def resolve(self, outcome: T | BaseException | None) -> None:
        if self.answer.done():  # the client went away while it waited
            return
        if isinstance(outcome, BaseException):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)  # type: ignore[arg-type]  # None is a T if work returns it


class WriteQueue:
    """Commits waiting work in batches, in the order in which it came."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        clock: Callable[[], datetime],
        listener: CommitListener,
        witness: Witness | None = None,
    ) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._listener = listener
        self._witness = witness
        self._cache = StateCache()
        self._queue: asyncio.Queue[_Waiting[Any] | None] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._failure: Exception | None = None

    def check(self) -> None:
        """Raise ``WriterStopped`` if a failed commit has ended all writing."""
        if self._failure is not None:
            raise WriterStopped(str(self._failure))

    def start(self) -> None:
        """Begin to serve the queue."""
        self._task = asyncio.create_task(self._serve(), name="writer")

    async def drain(self) -> None:
        """Finish the waiting work, then end."""
        await self._queue.put(None)
        if self._task is not None:
            await self._task

    async def write(self, organization_id: int | None, work: Callable[[UnitOfWork], T]) -> T:
        """Run ``work`` in a transaction with other waiting work; returns once it is durable.

        ``organization_id`` is the organization it changes; None for one that it creates. Raises
        the ``Refusal`` of ``work``, ``Busy``, ``OutcomeUnknown`` or ``WriterStopped``.
        """
        self.check()
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        await self._queue.put(_Waiting(organization_id, work, answer))
        return await answer

    async def preview(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run ``work``, which records nothing, on a snapshot. Takes no lock and no place here."""
        return await self._database.snapshot(
            lambda connection: work(
                UnitOfWork(connection, self._vault, self._clock, is_preview=True)
            )
        )

    async def _serve(self) -> None:
        is_draining = False
        while not (is_draining and self._queue.empty()):  # postponed work is done too
            batch = [await self._queue.get()]
            while len(batch) < _LARGEST_BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            is_draining = is_draining or None in batch
            await self._commit([w for w in batch if w is not None and not w.answer.done()])

    async def _commit(self, batch: list[_Waiting[Any]]) -> None:
        if not batch:
            return
        if self._failure is not None:
            _fail(batch, WriterStopped(str(self._failure)))
            return
        try:
            done = await self._write(batch)
        except CommitFailed as error:
            _fail(batch, self._explain(error))
        except Busy as error:
            await self._retry(batch, error)
        except Exception as error:  # noqa: BLE001  # any error belongs to the work that raised it
            await self._isolate(batch, error)
        else:
            for waiting in done:
                waiting.resolve(waiting.outcome)
            await self._postpone([waiting for waiting in batch if waiting not in done])

    async def _write(self, batch: list[_Waiting[Any]]) -> list[_Waiting[Any]]:
        """Run and commit a batch, except for locked organizations: the work that was done."""
        try:
            unit, done = await self._database.write(lambda connection: self._run(batch, connection))
        except BaseException:
            self._listener.after_commit({})
            raise
        try:
            self._listener.after_commit(unit.changed)
            unit.committed()
        except Exception:  # noqa: BLE001  # an error of a cache must not undo a commit
            self._cache.invalidate()
            _log.exception("recall_failed")
        return done

    def _run(
        self, batch: list[_Waiting[Any]], connection: sa.Connection
    ) -> tuple[UnitOfWork, list[_Waiting[Any]]]:
        unit = UnitOfWork(connection, self._vault, self._clock, self._cache, self._witness)
        needed = {w.organization_id for w in batch if w.organization_id is not None}
        held = unit.lock(needed, waits=len(needed) == 1)
        free = [waiting for waiting in batch if waiting.organization_id not in held]
        for waiting in free:
            waiting.run(unit)
        unit.flush()
        self._listener.before_commit(unit.changed)
        return unit, free

    def _explain(self, error: CommitFailed) -> Exception:
        """The error for callers. After a failed commit a file is not used again; a server is."""
        if not self._database.is_embedded:
            _log.error("commit_outcome_unknown", error=str(error))
            return OutcomeUnknown(str(error))
        self._failure = error
        _log.critical("writer_stopped", error=str(error))
        return WriterStopped(str(error))

    async def _retry(self, batch: list[_Waiting[Any]], error: Busy) -> None:
        for waiting in batch:
            waiting.attempts += 1
            if waiting.attempts < _ATTEMPTS:
                self._queue.put_nowait(waiting)
            else:
                waiting.resolve(error)
        await asyncio.sleep(random.uniform(0.005, 0.05) * batch[0].attempts)  # noqa: S311  # jitter

    async def _isolate(self, batch: list[_Waiting[Any]], error: Exception) -> None:
        """Run each work of a failed batch alone, so that only the cause fails."""
        if len(batch) == 1:
            _fail(batch, error)
            return
        for waiting in batch:
            await self._commit([waiting])

    async def _postpone(self, batch: list[_Waiting[Any]]) -> None:
        """Leave work whose organization is locked to a later batch, up to the patience."""
        now = time.monotonic()
        for waiting in batch:
            waiting.waits_since = waiting.waits_since or now
            if now - waiting.waits_since < _PATIENCE:
                self._queue.put_nowait(waiting)
            else:
                waiting.resolve(Busy("another transaction holds the organization's lock"))
        if batch and self._queue.qsize() == len(batch):  # no other work to do meanwhile
            await asyncio.sleep(random.uniform(0.005, 0.02))  # noqa: S311  # jitter


def _fail(batch: list[_Waiting[Any]], error: Exception) -> None:
    for waiting in batch:
        waiting.resolve(error)
