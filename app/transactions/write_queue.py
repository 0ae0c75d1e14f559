"""The write queue: one writer in each process, and one transaction for a batch of waiting work.

Nobody gets an answer before the commit. Work that is refused or fails does not affect the rest of
its batch, which commits without it. Work whose organization another process has locked waits for
a later batch. Organizations take turns (``waiting_work``), and a batch is bounded by its time, so
that none waits long for another.
"""

from __future__ import annotations

import asyncio
import random
import time
from itertools import chain
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import structlog

from app.metrics import catalog
from app.storage.database import Busy, CommitFailed, Displaced
from app.tracing.hooks import Tracing
from app.transactions.state_cache import StateCache
from app.transactions.unit_of_work import UnitOfWork
from app.transactions.waiting_work import WaitingWork
from events.codec import tag_of
from events.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    import sqlalchemy as sa

    from app.storage.database import Database
    from app.transactions.clock import Witness
    from app.vault.keys import Vault
    from events.assistant_key import AssistantKey
    from events.changed import LogEvent, State

T = TypeVar("T")

_LARGEST_BATCH = 128
_BATCH_SECONDS = 0.05  # after which a batch begins no more work
_ATTEMPTS = 5  # for work in a transaction that found the database locked or unavailable
_PATIENCE = 5.0  # seconds that work waits for an organization that another process has locked
_log = structlog.get_logger(__name__)


class WriterStopped(Exception):
    """The database file was removed or replaced, so nothing is written any more."""


class OutcomeUnknown(Exception):
    """The database did not confirm a commit, which may or may not have happened."""


class CommitListener(Protocol):
    """Is called around each commit; a cache of what commits change is one."""

    def before_commit(self, keys: Iterable[AssistantKey]) -> None:
        """Called in the writer's thread, with the assistants that the commit changes."""

    def after_commit(self, states: Mapping[AssistantKey, State]) -> None:
        """Called in the event loop's thread, with the new states; none if the commit failed."""


class GrowthListener(Protocol):
    """Is told which logs have grown."""

    def grew(self, sequences: Mapping[int, int]) -> None:
        """Called in the event loop's thread after a commit: the last sequences, by organization."""


class _Waiting(Generic[T]):
    """Work in the queue."""

    def __init__(
        self,
        organization_id: int | None,
        work: Callable[[UnitOfWork], T],
        answer: asyncio.Future[T],
        size: int = 0,
        *,
        is_alone: bool = False,
    ) -> None:
        self.organization_id = organization_id
        self.work = work
        self.answer = answer
        self.size = size
        self.is_alone = is_alone
        self.outcome: T | BaseException | None = None
        self.attempts = 0
        self.came_at = time.monotonic()
        self.context = Tracing.hooks.context()
        self.recorded: list[LogEvent] = []
        self.waits_since: float | None = None  # for its organization's lock; ``time.monotonic``

    def run(self, unit: UnitOfWork) -> None:
        before = len(unit.recorded)
        try:
            self.outcome = self.work(unit)
        except DomainError as refusal:
            if len(unit.recorded) != before:
                raise RuntimeError("work was refused after it had recorded") from refusal
            self.outcome = refusal
        self.recorded = unit.recorded[before:]

    def resolve(self, outcome: T | BaseException | None) -> None:
        if self.answer.done():  # the client went away while it waited
            return
        if isinstance(outcome, BaseException):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)  # type: ignore[arg-type]  # None is a T if work returns it


class WriteQueue:
    """Commits waiting work in batches, an organization's in the order in which it came.

    Where the database ``is_distributed``, a batch is of one organization: over several nodes it
    would commit in two phases, and until the second no reader would see it. Nor does it wait for
    a lock, since the nodes know nothing of the session's ``lock_timeout``.
    """

    def __init__(
        self,
        database: Database,
        vault: Vault,
        clock: Callable[[], datetime],
        listener: CommitListener,
        witness: Witness | None = None,
        cache: StateCache | None = None,
        followers: GrowthListener | None = None,
        *,
        is_distributed: bool = False,
    ) -> None:
        self._followers = followers
        self._database = database
        self._vault = vault
        self._clock = clock
        self._listener = listener
        self._witness = witness
        self._cache = cache or StateCache()
        self._is_distributed = is_distributed
        self._waiting: WaitingWork[_Waiting[Any]] = WaitingWork(1 if is_distributed else None)
        self._has_news = asyncio.Event()  # work came, or the drain began
        self._is_draining = False
        self._task: asyncio.Task[None] | None = None
        self._failure: Exception | None = None

    @property
    def length(self) -> int:
        """How much work waits."""
        return len(self._waiting)

    def check(self) -> None:
        """Raise ``WriterStopped`` if writing has ended for good."""
        if self._failure is not None:
            raise WriterStopped(str(self._failure))

    def start(self) -> None:
        """Begin to serve the queue."""
        self._task = asyncio.create_task(self._serve(), name="writer")

    async def drain(self) -> None:
        """Finish the waiting work, then end."""
        self._is_draining = True
        self._has_news.set()
        if self._task is not None:
            await self._task

    async def write(
        self,
        organization_id: int | None,
        work: Callable[[UnitOfWork], T],
        size: int = 0,
        *,
        is_alone: bool = False,
        is_background: bool = False,
        is_essential: bool = False,
    ) -> T:
        """Run ``work`` in a transaction with other waiting work; returns once it is durable.

        ``organization_id`` is the organization it changes; None for one that it creates. ``size``
        are the bytes of its request. Work that may take long is best ``is_alone``: others then
        don't share its transaction. No limit refuses ``is_background``, the service's own work.
        What ``is_essential``, such as erasure, may use some of the disk's reserve. Raises the
        ``DomainError`` of ``work``, ``TooManyWaiting``, ``Busy``, ``WritingSuspended``,
        ``OutcomeUnknown`` or ``WriterStopped``.
        """
        self.check()
        self._database.check_space(is_essential=is_essential)
        if not is_background:
            self._waiting.check(organization_id, size)
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(organization_id, work, answer, size, is_alone=is_alone)
        self._waiting.put(waiting)
        self._has_news.set()
        try:
            return await answer
        except asyncio.CancelledError:
            self._waiting.remove(waiting)
            raise

    async def preview(self, organization_id: int, work: Callable[[UnitOfWork], T]) -> T:
        """Run ``work``, which records nothing, on a snapshot. Takes no lock and no place here."""
        return await self._database.snapshot(
            organization_id,
            lambda connection: work(
                UnitOfWork(connection, self._vault, self._clock, is_preview=True)
            ),
        )

    async def _serve(self) -> None:
        while self._waiting or not self._is_draining:  # postponed work is done too
            self._has_news.clear()
            if self._waiting:
                await self._commit(self._waiting.take(_LARGEST_BATCH))
            else:
                await self._has_news.wait()

    async def _commit(self, batch: list[_Waiting[Any]]) -> None:
        if self._failure is not None:
            _fail(batch, WriterStopped(str(self._failure)))
            return
        try:
            done, held = await self._write(batch)
        except CommitFailed as error:
            _fail(batch, self._explain(error))
        except Busy as error:
            await self._retry(batch, error)
        except Exception as error:  # noqa: BLE001  # any error belongs to the work that raised it
            self._isolate(batch, error)
        else:
            for waiting in done:
                waiting.resolve(waiting.outcome)
            if len(done) < len(batch):
                await self._leave(batch, done, held)

    async def _write(self, batch: list[_Waiting[Any]]) -> tuple[list[_Waiting[Any]], set[int]]:
        """Run and commit a batch: the work that was done, and the organizations that are locked."""
        # Wait for a lock only where nothing else could be done meanwhile.
        waits = not self._is_distributed and self._waiting.is_only_of(
            {waiting.organization_id for waiting in batch}
        )
        began = time.monotonic()
        try:
            unit, done, held = await self._database.write(
                lambda connection: self._traced_run(batch, connection, waits=waits)
            )
        except BaseException:
            self._listener.after_commit({})
            raise
        try:
            self._listener.after_commit(unit.changed)
            unit.committed()
            _count(unit, done, began)
            if self._followers is not None:
                self._followers.grew(unit.grown)
        except Exception:  # noqa: BLE001  # an error of a cache or a span must not undo a commit
            self._cache.invalidate()
            _log.exception("recall_failed")
        return done, held

    def _traced_run(
        self, batch: list[_Waiting[Any]], connection: sa.Connection, *, waits: bool
    ) -> tuple[UnitOfWork, list[_Waiting[Any]], set[int]]:
        with Tracing.hooks.batch(waiting.context for waiting in batch):
            return self._run(batch, connection, waits=waits)

    def _run(
        self, batch: list[_Waiting[Any]], connection: sa.Connection, *, waits: bool
    ) -> tuple[UnitOfWork, list[_Waiting[Any]], set[int]]:
        unit = UnitOfWork(connection, self._vault, self._clock, self._cache, self._witness)
        needed = {w.organization_id for w in batch if w.organization_id is not None}
        held = unit.lock(needed, waits=waits and len(needed) == 1)
        end = time.monotonic() + _BATCH_SECONDS
        done: list[_Waiting[Any]] = []
        for waiting in batch:
            if waiting.organization_id in held:
                continue
            if done and time.monotonic() > end:
                break
            waiting.run(unit)
            done.append(waiting)
        unit.flush()
        self._listener.before_commit(unit.changed)
        return unit, done, held

    def _explain(self, error: CommitFailed) -> Exception:
        """The error for callers: a file that was replaced is not used again."""
        if not isinstance(error, Displaced):
            _log.error("commit_outcome_unknown", error=str(error))
            return OutcomeUnknown(str(error))
        self._failure = error
        _log.critical("writer_stopped", error=str(error))
        return WriterStopped(str(error))

    async def _retry(self, batch: list[_Waiting[Any]], error: Busy) -> None:
        catalog.BUSY.add()
        for waiting in batch:
            waiting.attempts += 1
        _fail([waiting for waiting in batch if waiting.attempts >= _ATTEMPTS], error)
        self._put_back(batch)
        await asyncio.sleep(random.uniform(0.005, 0.05) * batch[0].attempts)  # noqa: S311  # jitter

    def _isolate(self, batch: list[_Waiting[Any]], error: Exception) -> None:
        """Give each work of a failed batch its own, so that only the cause fails."""
        if len(batch) == 1:
            _fail(batch, error)
        for waiting in batch:
            waiting.is_alone = True
        self._put_back(batch)

    async def _leave(
        self, batch: list[_Waiting[Any]], done: list[_Waiting[Any]], held: set[int]
    ) -> None:
        """Leave what was not done to later batches: next is whose organization had no turn."""
        served = held.union(waiting.organization_id for waiting in done)
        finished = set(done)
        left = [waiting for waiting in batch if waiting not in finished]
        self._put_back([waiting for waiting in left if waiting.organization_id in served])
        left = [waiting for waiting in left if waiting.organization_id not in served]
        self._put_back(left, is_next=True)
        if held:
            self._lose_patience(held)
            if self._waiting.is_only_of(held):  # no other work to do meanwhile
                await asyncio.sleep(random.uniform(0.005, 0.02))  # noqa: S311  # jitter

    def _put_back(self, batch: list[_Waiting[Any]], *, is_next: bool = False) -> None:
        """Put work back in its order, unless nobody waits for it any more."""
        waiting = [waiting for waiting in batch if not waiting.answer.done()]
        self._waiting.put_back(waiting, is_next=is_next)

    def _lose_patience(self, held: set[int]) -> None:
        """Refuse work whose organization another transaction has held for too long."""
        now = time.monotonic()
        for waiting in chain.from_iterable(map(self._waiting.of, held)):
            waiting.waits_since = waiting.waits_since or now
            if now - waiting.waits_since >= _PATIENCE:
                self._waiting.remove(waiting)
                waiting.resolve(Busy("another transaction holds the organization's lock"))


def _count(unit: UnitOfWork, done: list[_Waiting[Any]], began: float) -> None:
    catalog.TRANSACTION_SECONDS.of().observe(time.monotonic() - began)
    catalog.BATCH_SIZE.of().observe(len(done))
    for waiting in done:
        catalog.QUEUE_WAIT.of().observe(began - waiting.came_at)
        Tracing.hooks.committed(waiting.context, waiting.came_at, waiting.recorded)
    for event in unit.recorded:
        catalog.EVENTS.add(tag_of(event))


def _fail(batch: list[_Waiting[Any]], error: Exception) -> None:
    for waiting in batch:
        waiting.resolve(error)
