"""Writes of several organizations: a flood of one delays another by a batch, and has a limit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import Struct

from app.main import Chore
from app.storage.database import Busy, Database
from app.transactions import waiting_work, write_queue
from app.transactions.unit_of_work import UnitOfWork
from app.transactions.waiting_work import Limit, TooManyWaiting, WaitingWork
from app.transactions.write_queue import WriteQueue
from tests.app.api.test_unavailable import serving
from tests.app.transactions.test_write_queue import in_time, locked, writer_of
from tests.conftest import ASSISTANTS, make_organizations
from tests.databases import chosen, is_of

FLOOD, OTHER = 1, 2
_SECONDS = 20  # for what must end


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "backstory.db"
    make_organizations(path, 2)
    return path


class OneLane(WaitingWork[Any]):
    """Control: one queue for all organizations, in the order of arrival."""

    def put(self, work: Any) -> None:
        super().put(_Anonymous(work))

    def take(self, most: int) -> list[Any]:
        return [anonymous.work for anonymous in super().take(most)]


class _Anonymous(Struct):
    work: Any
    organization_id: int | None = None
    size: int = 0
    is_alone: bool = False


class Log:
    """What ran, in order."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def note(self, name: str) -> Callable[[UnitOfWork], None]:
        return lambda _: self.ran.append(name)


async def waiting(
    writing: WriteQueue, organization_id: int, works: list[Callable[[UnitOfWork], Any]]
) -> list[asyncio.Task[Any]]:
    """Work that is in the queue, but not served before the next turn of the loop."""
    tasks = [asyncio.create_task(writing.write(organization_id, work)) for work in works]
    await asyncio.sleep(0)
    return tasks


# -- turns


@pytest.mark.parametrize("kind", [WaitingWork, OneLane])
def test_a_flood_of_one_organization_delays_another_by_one_batch(
    database: Path, monkeypatch: pytest.MonkeyPatch, kind: type[WaitingWork[Any]]
) -> None:
    monkeypatch.setattr(write_queue, "WaitingWork", kind)
    log = Log()

    async def story() -> None:
        async with writer_of(database) as writing:
            flood = await waiting(writing, FLOOD, [log.note("flood")] * 900)
            other = await waiting(writing, OTHER, [log.note("other")])
            writing.start()
            await asyncio.wait([*flood, *other])
            await writing.drain()

    in_time(story())
    before = log.ran.index("other")
    assert before <= 1 if kind is WaitingWork else before == 900


@pytest.mark.parametrize(("seconds", "is_guarded"), [(0.0, True), (60.0, False)])
def test_a_batch_begins_no_more_work_when_its_time_is_over(
    database: Path,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    is_guarded: bool,  # noqa: FBT001  # pytest's way
) -> None:
    """So others are answered before all of a slow organization's work is done."""
    monkeypatch.setattr(write_queue, "_BATCH_SECONDS", seconds)
    log = Log()

    async def story() -> int:
        async with writer_of(database) as writing:
            slow = await waiting(writing, FLOOD, [log.note(str(n)) for n in range(20)])
            (other,) = await waiting(writing, OTHER, [log.note("other")])
            writing.start()
            await other
            done = sum(task.done() for task in slow)
            await asyncio.wait(slow)
            await writing.drain()
            return done

    done = in_time(story())
    assert done == (1 if is_guarded else 20)
    log.ran.remove("other")
    assert log.ran == [str(number) for number in range(20)]


def test_work_that_may_take_long_shares_no_transaction(database: Path) -> None:
    units: dict[str, UnitOfWork] = {}

    def note(name: str) -> Callable[[UnitOfWork], None]:
        return lambda unit: units.update({name: unit})

    async def story() -> None:
        async with writer_of(database) as writing:
            tasks = [
                asyncio.create_task(writing.write(FLOOD, note("long"), is_alone=True)),
                asyncio.create_task(writing.write(FLOOD, note("after it"))),
                asyncio.create_task(writing.write(OTHER, note("other"))),
            ]
            await asyncio.sleep(0)
            writing.start()
            await asyncio.gather(*tasks)
            await writing.drain()

    in_time(story())
    assert units["long"] is not units["other"]
    assert units["after it"] is units["other"]  # the control


# -- order


class AtTheEnd(WaitingWork[Any]):
    """Control: work that could not be done waits behind what came after it."""

    def put_back(self, batch: Any, *, is_next: bool = False) -> None:
        del is_next
        for work in batch:
            self.put(work)


KINDS = pytest.mark.parametrize(("kind", "is_kept"), [(WaitingWork, True), (AtTheEnd, False)])


@KINDS
def test_work_that_waited_for_a_lock_runs_before_what_came_later(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[WaitingWork[Any]],
    is_kept: bool,  # noqa: FBT001  # pytest's way
) -> None:
    monkeypatch.setattr(write_queue, "WaitingWork", kind)
    monkeypatch.setattr(write_queue, "_LARGEST_BATCH", 2)
    log = Log()

    async def story(path: Path) -> None:
        async with writer_of(path) as writing:
            with locked(path, FLOOD) as release:
                own = await waiting(writing, FLOOD, [log.note(str(n)) for n in range(3)])
                (other,) = await waiting(writing, OTHER, [log.note("other")])
                writing.start()
                await other
                release()
            await asyncio.wait(own)
            await writing.drain()

    with chosen("postgresql"):
        path = tmp_path / "backstory.db"
        make_organizations(path, 2)
        in_time(story(path))
    log.ran.remove("other")
    assert (log.ran == ["0", "1", "2"]) is is_kept


@KINDS
def test_work_that_found_the_database_busy_runs_before_what_came_later(
    database: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[WaitingWork[Any]],
    is_kept: bool,  # noqa: FBT001  # pytest's way
) -> None:
    monkeypatch.setattr(write_queue, "WaitingWork", kind)
    monkeypatch.setattr(write_queue, "_LARGEST_BATCH", 2)
    write = Database.write
    busy = [Busy("locked")]

    async def once_busy(writing: Database, work: Any) -> Any:
        if busy and is_of(writing, database):
            raise busy.pop()
        return await write(writing, work)

    monkeypatch.setattr(Database, "write", once_busy)
    assert (ran_in_order(database, [None, None, None]) == ["0", "1", "2"]) is is_kept


@KINDS
def test_work_whose_neighbour_failed_runs_before_what_came_later(
    database: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[WaitingWork[Any]],
    is_kept: bool,  # noqa: FBT001  # pytest's way
) -> None:
    monkeypatch.setattr(write_queue, "WaitingWork", kind)
    monkeypatch.setattr(write_queue, "_LARGEST_BATCH", 2)
    ran = ran_in_order(database, [RuntimeError("a defect"), None, None])
    assert (ran == ["1", "2"]) is is_kept


def ran_in_order(database: Path, errors: list[Exception | None]) -> list[str]:
    """The numbers of the work that did not fail, as it was last run."""
    log = Log()

    def work(number: int, error: Exception | None) -> Callable[[UnitOfWork], None]:
        def run(_: UnitOfWork) -> None:
            if error is not None:
                raise error
            log.ran.append(str(number))

        return run

    async def story() -> list[Any]:
        async with writer_of(database) as writing:
            works = [work(*item) for item in enumerate(errors)]
            tasks = await waiting(writing, FLOOD, works)
            writing.start()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            await writing.drain()
            return answers

    assert in_time(story()) == errors
    return log.ran


# -- cancelled, and too much


@asynccontextmanager
async def occupied(writing: WriteQueue) -> AsyncIterator[None]:
    """The writer runs work that does not end; other work waits."""
    begun, end = threading.Event(), threading.Event()

    def run(_: UnitOfWork) -> None:
        begun.set()
        end.wait(_SECONDS)

    task = asyncio.create_task(writing.write(OTHER, run))
    try:
        await asyncio.to_thread(begun.wait, _SECONDS)
        yield
    finally:
        end.set()
        await task


def test_cancelled_work_leaves_the_queue_at_once(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_work, "OF_ORGANIZATION", Limit(count=2, size=100))
    log = Log()

    async def story() -> None:
        async with writer_of(database) as writing:
            writing.start()
            async with occupied(writing):
                gone, stays = await waiting(writing, FLOOD, [log.note("gone"), log.note("stays")])
                with pytest.raises(TooManyWaiting):  # the control
                    await writing.write(FLOOD, log.note("refused"))
                gone.cancel()
                await asyncio.wait([gone])
                (late,) = await waiting(writing, FLOOD, [log.note("late")])
            await asyncio.gather(stays, late)
            await writing.drain()

    in_time(story())
    assert log.ran == ["stays", "late"]


def test_no_flood_refuses_the_services_own_work(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_work, "OF_ORGANIZATION", Limit(count=1, size=100))
    log = Log()

    async def story() -> None:
        async with writer_of(database) as writing:
            await waiting(writing, FLOOD, [log.note("flood")])
            own = asyncio.create_task(writing.write(FLOOD, log.note("own"), is_background=True))
            await asyncio.sleep(0)
            with pytest.raises(TooManyWaiting):  # the control
                await writing.write(FLOOD, log.note("refused"))
            writing.start()
            await own
            await writing.drain()

    in_time(story())
    assert log.ran == ["flood", "own"]


@pytest.mark.parametrize(("limit", "status"), [("OF_ORGANIZATION", 429), ("OF_PROCESS", 503)])
def test_a_write_beyond_the_limit_is_told_when_to_try_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, status: int
) -> None:
    monkeypatch.setattr(waiting_work, limit, Limit(count=1, size=2**20))
    monkeypatch.setattr(
        "app.main._background_work",
        lambda *_: [Chore("idle", partial(asyncio.sleep, 0), 60.0)],
    )  # nothing else waits
    path = tmp_path / "backstory.db"
    organization, _ = make_organizations(path, 2)

    async def story() -> list[httpx.Response]:
        headers = {"authorization": f"Bearer {organization.editor}"}
        async with serving(path) as (client, services):
            await client.post(ASSISTANTS, json={"name": "Front desk"}, headers=headers)
            async with occupied(services.writer):
                patches = [
                    asyncio.create_task(
                        client.patch(f"{ASSISTANTS}/1", json={"tts_limit": n}, headers=headers)
                    )
                    for n in (5, 6)
                ]
                await asyncio.wait(patches, return_when=asyncio.FIRST_COMPLETED)
            return await asyncio.gather(*patches)

    done, refused = sorted(in_time(story()), key=lambda answer: answer.status_code)
    assert (done.status_code, refused.status_code) == (200, status)
    assert refused.headers["retry-after"] == "1"
    fields = [refused.headers.get(name) for name in ("ratelimit-policy", "ratelimit")]
    named = ['"waiting-writes";q=1;qu="concurrent-requests"', '"waiting-writes";a=0']
    assert fields == (named if status == 429 else [None, None])
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["type"] == "urn:backstory:problem:too-many-writes"
    assert "the limit, 1, or 1 MiB of bodies" in refused.json()["detail"]
