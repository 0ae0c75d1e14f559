"""The write queue: one writer for each process, one transaction for all who wait.

Nobody is answered before the commit. Work that is refused, or that fails, leaves its batch
alone: the others commit as if it had never waited beside them. So does work whose organization
somebody else has locked: it waits for a later batch, and the others go on.
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
    from collections.abc import Callable, Iterable
    from datetime import datetime

    import sqlalchemy as sa

    from app.storage.database import Database
    from app.transactions.clock import Witness
    from app.vault.store import Vault
    from projections.current import Key

T = TypeVar("T")

_LARGEST_BATCH = 64
_ATTEMPTS = 5  # where somebody was in the way, or the database was away
_PATIENCE = 5.0  # seconds that work waits for an organization that somebody else has locked
_log = structlog.get_logger(__name__)


class WriterStopped(Exception):
    """A commit failed, so nothing is written any more: its outcome may be unknown."""


class OutcomeUnknown(Exception):
    """The connection was lost while a commit was under way: it may be done or not."""


class CommitListener(Protocol):
    """What must know of commits, such as a cache of what they change."""

    def before_commit(self, keys: Iterable[Key]) -> None:
        """Called with the assistants that the commit changes, in the database's thread."""

    def after_commit(self) -> None:
        """Called when the commit is done, or failed."""


class _Waiting(Generic[T]):
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
        self.waits_since: float | None = None  # for its organization's lock, ``time.monotonic``

    def run(self, unit: UnitOfWork) -> None:
        before = unit.count
        try:
            self.outcome = self.work(unit)
        except DomainError as refusal:
            if unit.count != before:
                raise RuntimeError("work was refused after it had recorded") from refusal
            self.outcome = refusal

    def fulfil(self, outcome: T | BaseException | None) -> None:
        if self.answer.done():  # the client went away while it waited
            return
        if isinstance(outcome, BaseException):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)  # type: ignore[arg-type]  # None is a T where it occurs


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
        self._recalled = StateCache()
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
        """Finish what waits, then end."""
        await self._queue.put(None)
        if self._task is not None:
            await self._task

    async def write(self, organization_id: int | None, work: Callable[[UnitOfWork], T]) -> T:
        """Run ``work`` in a transaction with whoever else waits; returns once it is durable.

        The organization is the one that it is about; None for one that is being made. Raises the
        ``Refusal`` that ``work`` raised, ``Busy``, ``OutcomeUnknown`` or ``WriterStopped``.
        """
        self.check()
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        await self._queue.put(_Waiting(organization_id, work, answer))
        return await answer

    async def preview(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run ``work``, which records nothing, on a snapshot: nobody waits for it."""
        return await self._database.snapshot(
            lambda connection: work(
                UnitOfWork(connection, self._vault, self._clock, is_preview=True)
            )
        )

    async def _serve(self) -> None:
        ends = False
        while not (ends and self._queue.empty()):  # what is put off at the end is done, too
            taken = [await self._queue.get()]
            while len(taken) < _LARGEST_BATCH and not self._queue.empty():
                taken.append(self._queue.get_nowait())
            ends = ends or None in taken
            await self._commit([w for w in taken if w is not None and not w.answer.done()])

    async def _commit(self, batch: list[_Waiting[Any]]) -> None:
        if not batch:
            return
        if self._failure is not None:
            self._fail(batch, WriterStopped(str(self._failure)))
            return
        try:
            done = await self._written(batch)
        except CommitFailed as error:
            self._fail(batch, self._lost(error))
        except Busy as error:
            await self._try_again(batch, error)
        except Exception as error:  # noqa: BLE001  # whatever it is, it belongs to one caller
            if len(batch) == 1:
                self._fail(batch, error)
                return
            for waiting in batch:
                await self._commit([waiting])
        else:
            for waiting in done:
                waiting.fulfil(waiting.outcome)
            await self._put_off([waiting for waiting in batch if waiting not in done])

    def _lost(self, error: CommitFailed) -> Exception:
        """What a failed commit means: after it, a file is not to be trusted; a server is."""
        if not self._database.is_embedded:
            _log.error("commit_outcome_unknown", error=str(error))
            return OutcomeUnknown(str(error))
        self._failure = error
        _log.critical("writer_stopped", error=str(error))
        return WriterStopped(str(error))

    async def _try_again(self, batch: list[_Waiting[Any]], error: Busy) -> None:
        for waiting in batch:
            waiting.attempts += 1
            if waiting.attempts < _ATTEMPTS:
                self._queue.put_nowait(waiting)
            else:
                waiting.fulfil(error)
        await asyncio.sleep(random.uniform(0.005, 0.05) * batch[0].attempts)  # noqa: S311  # jitter

    async def _put_off(self, batch: list[_Waiting[Any]]) -> None:
        """Leave work whose organization is locked to a later batch, for so long."""
        now = time.monotonic()
        for waiting in batch:
            waiting.waits_since = waiting.waits_since or now
            if now - waiting.waits_since < _PATIENCE:
                self._queue.put_nowait(waiting)
            else:
                waiting.fulfil(Busy("somebody else holds the organization's lock"))
        if batch and self._queue.qsize() == len(batch):  # there is nothing else to do meanwhile
            await asyncio.sleep(random.uniform(0.005, 0.02))  # noqa: S311  # jitter

    async def _written(self, batch: list[_Waiting[Any]]) -> list[_Waiting[Any]]:
        """Those of the batch whose work was done, and committed."""
        try:
            unit, done = await self._database.write(lambda one: self._run(batch, one))
        finally:
            self._listener.after_commit()
        try:
            unit.committed()
        except Exception:  # noqa: BLE001  # whatever it is: what is committed is committed
            self._recalled.forget()
            _log.exception("recall_failed")
        return done

    def _run(
        self, batch: list[_Waiting[Any]], connection: sa.Connection
    ) -> tuple[UnitOfWork, list[_Waiting[Any]]]:
        unit = UnitOfWork(connection, self._vault, self._clock, self._recalled, self._witness)
        needed = {w.organization_id for w in batch if w.organization_id is not None}
        held = unit.lock(needed, waits=len(needed) == 1)
        free = [waiting for waiting in batch if waiting.organization_id not in held]
        for waiting in free:
            waiting.run(unit)
        unit.flush()
        self._listener.before_commit(unit.changed)
        return unit, free

    def _fail(self, batch: list[_Waiting[Any]], error: Exception) -> None:
        for waiting in batch:
            waiting.fulfil(error)
