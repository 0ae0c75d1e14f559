"""Followers of a log, beside its writers: each gets every event once, in order."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from app.accounts.concurrency import ConcurrencyLimit
from app.assistants import changes
from app.audit import following
from app.audit.following import EVERYTHING, Followers, Start, read_portion, start_of
from app.services import Services, open_services, utc_now
from app.transactions.caller import system
from events.bodies.patch import SettingsPatch
from events.changed import SecretKeysRotated
from projections.messages import MessageFilter
from tests.conftest import make_organizations
from tests.databases import config_of, query, reading_engine

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from app.audit.following import Follower
    from app.transactions.unit_of_work import UnitOfWork

CALLER = system(1, "tests")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "backstory.db"
    make_organizations(path, 2)
    return path


def served(
    database: Path,
    story: Callable[[Services], Awaitable[None]],
    clock: Callable[[], datetime] = utc_now,
) -> None:
    async def run() -> None:
        async with open_services(config_of(database), clock) as services:
            await asyncio.wait_for(story(services), 60)

    asyncio.run(run())


def create(unit: UnitOfWork, name: str = "x") -> Any:
    return changes.create(unit, CALLER, SettingsPatch(tree={"name": name}))


def rotate(unit: UnitOfWork) -> None:
    """Something that changes no assistant."""
    unit.record(CALLER, SecretKeysRotated, data_keys=False)


async def take(follower: Follower, last: int) -> list[int]:
    """The sequences that a follower gets, until it has reached the last."""
    seen: list[int] = []
    while follower.reached < last:
        seen += [message.sequence for message in await follower.next(10)]
    return seen


async def start(services: Services, after: int | None = None) -> Start:
    return await services.database.snapshot(1, start_of, 1, after)


@pytest.mark.parametrize("seed", range(5))
def test_followers_beside_writers_see_each_event_once_and_in_order(
    database: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    # So that some followers are behind what is kept, and portions end anywhere.
    monkeypatch.setattr(following, "_KEPT", chance.randint(1, 5))
    monkeypatch.setattr(following, "_WINDOW", chance.randint(1, 7))
    events, followers = 60, 6

    async def write(services: Services) -> None:
        for _ in range(events // 3):
            for _ in range(chance.randint(0, 3)):
                await asyncio.sleep(0)
            await services.writer.write(1, chance.choice((create, rotate)))

    async def follow(services: Services, after: int | None) -> tuple[int, list[int]]:
        begun = await start(services, after)
        with services.followers.following(1, begun, EVERYTHING, with_values=True) as follower:
            seen: list[int] = []
            while follower.reached < events:
                seen += [one.sequence for one in await follower.next(10)]
                for _ in range(chance.randint(0, 50)):  # some are slow
                    await asyncio.sleep(0)
            return begun.after, seen

    async def story(services: Services) -> None:
        writers = [asyncio.create_task(write(services)) for _ in range(3)]
        reading = [follow(services, chance.choice((0, None))) for _ in range(followers)]
        for after, seen in await asyncio.gather(*reading):
            assert seen == list(range(after + 1, events + 1))
        await asyncio.gather(*writers)

    served(database, story)


def test_the_control_of_it_following_by_time_misses_events(database: Path) -> None:
    """Moments are not unique: of those that share one, a page holds some, the next none."""
    still = datetime(2026, 3, 2, 10, 30, tzinfo=UTC)

    async def story(services: Services) -> None:
        for _ in range(9):
            await services.writer.write(1, create)

    served(database, story, lambda: still)
    seen: list[int] = []
    moment = 0
    while rows := query(
        database,
        "SELECT sequence, occurred_at FROM events WHERE organization_id = 1"
        f" AND occurred_at > {moment} ORDER BY occurred_at, sequence LIMIT 4",
    ):
        seen += [row[0] for row in rows]
        moment = rows[-1][1]
    assert seen == [1, 2, 3, 4]


def test_a_commit_wakes_the_followers_of_its_organization_without_a_poll(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_SLOW_POLL_SECONDS", 3600.0)
    monkeypatch.setattr(following, "_POLL_SECONDS", 3600.0)

    async def story(services: Services) -> None:
        begun = await start(services)
        with services.followers.following(1, begun, EVERYTHING, with_values=False) as follower:
            for last, work in enumerate((create, rotate, create), 1):
                await services.writer.write(1, work)
                assert await take(follower, last) == [last]

    served(database, story)


def test_a_poll_finds_what_no_commit_of_this_process_told(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_SLOW_POLL_SECONDS", 0.01)
    monkeypatch.setattr(following, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(Followers, "grew", lambda *_: None)

    async def deaf(services: Services) -> None:
        begun = await start(services)
        with services.followers.following(1, begun, EVERYTHING, with_values=False) as follower:
            await take_none(follower)
            await services.writer.write(1, create)
            await take_none(follower)  # the control: nothing tells of it
            monkeypatch.undo()
            assert await take(follower, 1) == [1]

    async def take_none(follower: Follower) -> None:
        assert await follower.next(0.1) == []

    served(database, deaf)


def test_nothing_is_polled_or_read_while_nobody_follows(database: Path) -> None:
    async def story(services: Services) -> None:
        before = asyncio.all_tasks()
        begun = await start(services)
        for _ in range(2):
            with (
                services.followers.following(1, begun, EVERYTHING, with_values=False),
                services.followers.following(2, begun, EVERYTHING, with_values=False),
                services.followers.following(1, begun, EVERYTHING, with_values=False),
            ):
                assert len(asyncio.all_tasks() - before) == 3  # a reader of each log, and a poll
            await asyncio.gather(*(asyncio.all_tasks() - before), return_exceptions=True)
            assert asyncio.all_tasks() == before

    served(database, story)


def test_what_is_kept_of_a_log_is_bounded(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_KEPT_BYTES", 20_000)

    async def story(services: Services) -> None:
        begun = await start(services)
        with services.followers.following(1, begun, EVERYTHING, with_values=True) as slow:
            with services.followers.following(1, begun, EVERYTHING, with_values=True) as quick:
                for last in range(1, 31):
                    await services.writer.write(1, partial(create, name="x" * 100))
                    assert await take(quick, last) == [last]
                end = quick._end  # noqa: SLF001  # seen nowhere else
                assert sum(one.size for one in end.messages) <= 20_000
                assert end.begins > 0
            assert await take(slow, 30) == list(range(1, 31))

    served(database, story)


@pytest.mark.parametrize("after", [0, 3])
def test_a_filter_does_not_hold_a_follower_back(database: Path, after: int) -> None:
    """What it leaves out counts as reached, so that nothing is read again and again."""
    nobody = MessageFilter(assistant_id=99)

    async def story(services: Services) -> None:
        for _ in range(5):
            await services.writer.write(1, create)
        begun = await start(services, after)
        with services.followers.following(1, begun, nobody, with_values=False) as follower:
            assert await take(follower, 5) == []
            assert follower.reached == 5
            await services.writer.write(1, create)
            assert await take(follower, 6) == []

    served(database, story)


def test_portions_are_small_and_join_to_the_log(database: Path) -> None:
    async def story(services: Services) -> None:
        for n in range(12):
            long = SettingsPatch(tree={"name": "x", "idle_message": f"{n}" + "x" * 60_000})
            await services.writer.write(1, partial(_create_long, patch=long))

    served(database, story)
    engine = reading_engine(database)
    reached, seen, portions = 0, [], 0
    while reached < 12:
        with engine.connect() as connection:
            portion = read_portion(connection, 1, reached)
        assert sum(one.size for one in portion.messages[:-1]) <= 2 * following._PORTION_BYTES  # noqa: SLF001  # what a batch may add
        seen += [one.sequence for one in portion.messages]
        reached, portions = portion.reached, portions + 1
    engine.dispose()
    assert seen == list(range(1, 13))
    assert portions > 1


def _create_long(unit: UnitOfWork, patch: SettingsPatch) -> Any:
    return changes.create(unit, CALLER, patch)


def test_a_limit_of_what_runs_forgets_who_runs_nothing() -> None:
    limit = ConcurrencyLimit[int]("exports", 2)
    with limit.admitted(1), limit.admitted(1), limit.admitted(2):
        pass
    assert not limit._running  # noqa: SLF001  # seen nowhere else


def test_a_poll_reads_the_counters_of_all_followed_logs(
    database: Path,
) -> None:
    async def story(services: Services) -> None:
        await services.writer.write(1, create)
        none = Start(after=0, last=0)
        with (
            services.followers.following(1, none, EVERYTHING, with_values=False),
            services.followers.following(2, none, EVERYTHING, with_values=False),
        ):
            found = await services.followers._sequences()  # noqa: SLF001  # what a poll finds
        assert found == {1: 1, 2: 0}

    served(database, story)
