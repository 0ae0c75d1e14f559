"""The write queue: whose organization is free is answered, and what is committed is done once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.assistants import changes
from app.assistants.requests import Outcome
from app.assistants.view_cache import ViewCache
from app.services import utc_now
from app.storage import postgresql
from app.storage.database import Busy, Database
from app.tracing.hooks import Hooks
from app.transactions import write_queue
from app.transactions.caller import system
from app.transactions.state_cache import StateCache
from app.transactions.unit_of_work import UnitOfWork
from app.transactions.write_queue import WriteQueue
from app.vault.keys import open_vault
from events.assistant_key import AssistantKey
from events.bodies.patch import read_create
from events.errors import AssistantNotFound, DomainError
from events.tables import organizations, rows_of
from tests.app import stored
from tests.conftest import make_organizations
from tests.databases import chosen, config_of, query, url_of, wait_until_blocked, writing_engine

PATIENCE = 0.2
_SECONDS = 20  # for what must end


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "backstory.db"


@pytest.fixture
def on_postgresql(database: Path) -> Iterator[Path]:
    with chosen("postgresql"):
        make_organizations(database, 2)
        yield database


@asynccontextmanager
async def writer_of(
    path: Path, kind: type[WriteQueue] = WriteQueue, *, is_distributed: bool = False
) -> AsyncIterator[WriteQueue]:
    """A writer that does not serve its queue before it is started."""
    database = Database(url_of(path))
    views = ViewCache(database, is_alone=database.is_embedded)
    try:
        vault = open_vault(config_of(path))
        yield kind(database, vault, utc_now, views, is_distributed=is_distributed)
    finally:
        await database.close()


@contextmanager
def locked(path: Path, organization_id: int) -> Iterator[Callable[[], None]]:
    """Somebody else holds an organization; gives what releases it."""
    engine = writing_engine(path)
    with engine.connect() as connection:
        connection.execute(rows_of(organizations, organization_id).with_for_update())
        yield connection.rollback
    engine.dispose()


def create(organization_id: int) -> Callable[[UnitOfWork], Outcome]:
    caller = system(organization_id, "tests")
    return lambda unit: changes.create(unit, caller, read_create({"name": "Front desk"}))


async def queued(writing: WriteQueue, *organization_ids: int) -> list[asyncio.Task[Outcome]]:
    """Work that waits before the writer begins, so that it is one batch."""
    tasks = [asyncio.create_task(writing.write(one, create(one))) for one in organization_ids]
    await asyncio.sleep(0)  # one turn of the loop: each is in the queue then
    return tasks


def in_time(story: Any) -> Any:
    async def limited() -> Any:
        async with asyncio.timeout(_SECONDS):
            return await story

    return asyncio.run(limited())


# -- refused


@pytest.mark.parametrize("is_flushed", [False, True])
def test_work_that_is_refused_after_it_recorded_is_a_defect_and_leaves_nothing(
    database: Path, *, is_flushed: bool
) -> None:
    """It does not pass for a refusal, and its neighbours are committed."""
    make_organizations(database, 2)
    before = stored.rows(database, 1)

    def half(unit: UnitOfWork) -> None:
        create(1)(unit)
        if is_flushed:
            unit.flush()
        raise AssistantNotFound(1)

    async def story() -> None:
        async with writer_of(database) as writing:
            bad = asyncio.create_task(writing.write(1, half))
            (good,) = await queued(writing, 2)
            writing.start()
            await asyncio.wait([bad, good])
            await writing.drain()
            assert isinstance(bad.exception(), RuntimeError)
            assert good.exception() is None

    in_time(story())
    assert stored.rows(database, 1) == before
    assert len(stored.events(database, 2)) == 1


# -- a database that is distributed over several nodes


@pytest.mark.parametrize("is_distributed", [True, False])
def test_on_several_nodes_a_transaction_is_of_one_organization(
    on_postgresql: Path, monkeypatch: pytest.MonkeyPatch, *, is_distributed: bool
) -> None:
    """The control: on one server a transaction takes both."""
    monkeypatch.setattr(write_queue, "_BATCH_SECONDS", _SECONDS)

    async def story() -> None:
        async with writer_of(on_postgresql, is_distributed=is_distributed) as writing:
            tasks = await queued(writing, 1, 2, 1, 2)
            writing.start()
            await asyncio.gather(*tasks)
            await writing.drain()

    in_time(story())
    written = query(
        on_postgresql, "SELECT xmin::text, count(DISTINCT organization_id) FROM events GROUP BY 1"
    )
    assert {count for _, count in written} == ({1} if is_distributed else {2})


@pytest.mark.parametrize("is_distributed", [True, False])
def test_on_several_nodes_no_transaction_waits_for_a_lock(
    on_postgresql: Path, monkeypatch: pytest.MonkeyPatch, *, is_distributed: bool
) -> None:
    """The control: on one server it waits where nothing else is to be done."""
    waited: list[bool] = []
    lock = UnitOfWork.lock

    def noted(unit: UnitOfWork, ids: Iterable[int], *, waits: bool = True) -> set[int]:
        waited.append(waits)
        return lock(unit, ids, waits=waits)

    async def story() -> None:
        async with writer_of(on_postgresql, is_distributed=is_distributed) as writing:
            (task,) = await queued(writing, 1)
            writing.start()
            await task
            await writing.drain()

    monkeypatch.setattr(UnitOfWork, "lock", noted)
    in_time(story())
    assert waited == [not is_distributed]


# -- another transaction has locked an organization


@pytest.mark.parametrize("is_guarded", [True, False])
def test_who_waits_for_a_lock_does_not_hold_up_another_organization(
    on_postgresql: Path, monkeypatch: pytest.MonkeyPatch, *, is_guarded: bool
) -> None:
    lock = UnitOfWork.lock

    def waiting(unit: UnitOfWork, ids: Iterable[int], *, waits: bool = True) -> set[int]:
        del waits
        return lock(unit, ids)

    async def story() -> tuple[bool, bool]:
        async with writer_of(on_postgresql) as writing:
            with locked(on_postgresql, 1) as release:
                ours, theirs = await queued(writing, 1, 2)
                writing.start()
                await asyncio.wait([theirs])
                is_answered = theirs.exception() is None
                is_held = not ours.done()
                release()
            await asyncio.wait([ours])
            await writing.drain()
            return is_answered, is_held and ours.exception() is None

    if not is_guarded:
        monkeypatch.setattr(UnitOfWork, "lock", waiting)
        serving = postgresql._SERVING | {"lock_timeout": "100"}  # noqa: SLF001  # the test's patience
        monkeypatch.setattr(postgresql, "_SERVING", serving)
    assert in_time(story()) == (is_guarded, is_guarded)


@pytest.mark.parametrize(("patience", "is_refused"), [(PATIENCE, True), (60.0, False)])
def test_who_waits_for_a_lock_beside_others_is_refused_after_a_while(
    on_postgresql: Path,
    monkeypatch: pytest.MonkeyPatch,
    patience: float,
    is_refused: bool,  # noqa: FBT001  # pytest's way
) -> None:
    monkeypatch.setattr(write_queue, "_PATIENCE", patience)

    async def story() -> int:
        async with writer_of(on_postgresql) as writing:
            with locked(on_postgresql, 1) as release:
                ours, theirs = await queued(writing, 1, 2)
                writing.start()
                await theirs
                answered = 1
                while not ours.done() and answered < 60:
                    await writing.write(2, create(2))
                    answered += 1
                assert ours.done() is is_refused
                release()
            if is_refused:
                with pytest.raises(Busy, match="holds the organization's lock"):
                    await ours
            else:
                await ours
            await writing.drain()
            return answered

    answered = in_time(story())
    assert answered > 1
    counts = "SELECT organization_id, last_assistant_id FROM organizations ORDER BY 1"
    assert query(on_postgresql, counts) == [(1, 0 if is_refused else 1), (2, answered)]


class EndsAtOnce(WriteQueue):
    """Control: ends at the call of drain, without the postponed work."""

    async def _serve(self) -> None:
        while not self._is_draining:
            await self._has_news.wait()
            await self._commit(self._waiting.take(128))


@pytest.mark.parametrize(("kind", "is_done"), [(WriteQueue, True), (EndsAtOnce, False)])
def test_postponed_work_is_done_before_the_writer_ends(
    on_postgresql: Path,
    kind: type[WriteQueue],
    is_done: bool,  # noqa: FBT001  # pytest's way
) -> None:
    async def story() -> tuple[bool, bool]:
        async with writer_of(on_postgresql, kind) as writing:
            with locked(on_postgresql, 1) as release:
                ours, theirs = await queued(writing, 1, 2)
                writing.start()
                draining = asyncio.create_task(writing.drain())
                await theirs
                if is_done:
                    await asyncio.to_thread(wait_until_blocked, on_postgresql)
                    assert not draining.done()
                    release()
                await draining
            was_done = ours.done()
            ours.cancel()
            return was_done, theirs.done()

    assert in_time(story()) == (is_done, True)


# -- after the commit


class Unguarded(WriteQueue):
    """Control: treats a failure after the commit as one before it."""

    async def _write(self, batch: list[Any]) -> tuple[list[Any], set[int]]:
        unit, done, held = await self._database.write(lambda one: self._run(batch, one, waits=True))
        self._listener.after_commit(unit.changed)
        unit.committed()
        return done, held


@pytest.mark.parametrize(("kind", "count"), [(WriteQueue, 2), (Unguarded, 4)])
@pytest.mark.parametrize(
    ("cache", "step"), [(StateCache, "committed"), (ViewCache, "after_commit")]
)
def test_what_fails_after_a_commit_leaves_what_was_done_done_once(
    database: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[WriteQueue],
    count: int,
    cache: type[Any],
    step: str,
) -> None:
    make_organizations(database, 1)
    carry_out = getattr(cache, step)
    failures: list[Exception] = [RuntimeError("out of memory")]

    def failing(cache: Any, *args: Any) -> None:
        carry_out(cache, *args)
        if failures:
            raise failures.pop()

    async def story() -> list[int]:
        async with writer_of(database, kind) as writing:
            both = await queued(writing, 1, 1)
            writing.start()
            answers = [(await one).id for one in both]
            await writing.drain()
            return answers

    monkeypatch.setattr(cache, step, failing)
    monkeypatch.setattr(write_queue, "_BATCH_SECONDS", 60)  # both in one batch
    assert len(set(in_time(story()))) == 2
    assert not failures
    assert query(database, "SELECT count(*) FROM assistants") == [(count,)]


def test_a_span_that_fails_after_a_commit_leaves_what_was_done_done_once(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_organizations(database, 1)
    failed = []

    def failing(*_: Any) -> None:
        failed.append(True)
        raise RuntimeError("out of memory")

    async def story() -> None:
        async with writer_of(database, WriteQueue) as writing:
            (one,) = await queued(writing, 1)
            writing.start()
            await one
            await writing.drain()

    monkeypatch.setattr(Hooks, "committed", failing)
    in_time(story())
    assert failed  # the tests' shared server, in this process, may have failed as well
    assert query(database, "SELECT count(*) FROM assistants") == [(1,)]


def test_after_a_failure_to_cache_the_next_write_reads(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_organizations(database, 1)
    known: list[Any] = []
    state = StateCache.state

    def noted(cache: StateCache, *args: Any) -> Any:
        known.append(state(cache, *args))
        return known[-1]

    def failing(*_: Any) -> None:
        raise RuntimeError("out of memory")

    async def story() -> None:
        async with writer_of(database) as writing:
            writing.start()
            await writing.write(1, create(1))
            await writing.write(1, lambda unit: unit.state(AssistantKey(1, 1)))
            with monkeypatch.context() as patched:
                patched.setattr(StateCache, "committed", failing)
                await writing.write(1, create(1))
            await writing.write(1, lambda unit: unit.state(AssistantKey(1, 1)))
            await writing.drain()

    monkeypatch.setattr(StateCache, "state", noted)
    in_time(story())
    assert known[-1] is None
    assert any(known)  # the control: before the failure it was cached


# -- work that is refused has recorded nothing


class _Refused(DomainError):
    """Work is refused."""


def record_and_refuse(unit: UnitOfWork) -> None:
    """What no work may do: refuse what it has recorded already."""
    create(1)(unit)
    raise _Refused


def refuse(_: UnitOfWork) -> None:
    raise _Refused


class _Trusting(write_queue._Waiting[Any]):  # noqa: SLF001  # the control
    """Control: does not check whether refused work has recorded an event."""

    def run(self, unit: UnitOfWork) -> None:
        try:
            self.outcome = self.work(unit)
        except DomainError as refusal:
            self.outcome = refusal


@pytest.mark.parametrize("neighbours", [0, 2])
@pytest.mark.parametrize("is_guarded", [True, False])
def test_what_is_refused_after_recording_is_not_recorded(
    database: Path, monkeypatch: pytest.MonkeyPatch, neighbours: int, *, is_guarded: bool
) -> None:
    make_organizations(database, 3)
    if not is_guarded:
        monkeypatch.setattr(write_queue, "_Waiting", _Trusting)

    async def story() -> list[Any]:
        async with writer_of(database) as writing:
            tasks: list[asyncio.Task[Any]] = [*await queued(writing, *range(2, 2 + neighbours))]
            tasks += [
                asyncio.create_task(writing.write(1, record_and_refuse)),
                asyncio.create_task(writing.write(1, refuse)),
            ]
            await asyncio.sleep(0)
            writing.start()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            await writing.drain()
            return answers

    *done, recorded, refused = in_time(story())
    assert all(isinstance(one, Outcome) for one in done)
    assert isinstance(refused, _Refused)
    written = dict(query(database, "SELECT organization_id, count(*) FROM events GROUP BY 1"))
    # Without the guard, a request that was refused is in the log.
    assert written.pop(1, 0) == (0 if is_guarded else 1)
    assert written == dict.fromkeys(range(2, 2 + neighbours), 1)
    assert isinstance(recorded, RuntimeError if is_guarded else _Refused)
