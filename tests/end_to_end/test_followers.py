"""Followers of one log at several processes, which are killed: each sees every event, in order."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.app.streams import STREAM, events_in, sequences
from tests.benchmarks.export import fill
from tests.conftest import Organization, make_organizations
from tests.databases import chosen, query
from tests.end_to_end.processes import PROCESSES, Processes, client, processes, serving
from tests.end_to_end.test_several_processes import Load, create_assistants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_FEW, _MANY = 8, 64
_BETWEEN_KILLS = 1.0  # seconds: a pace, nothing waits for it
_BACK_OFF = (0.05, 0.4)  # seconds that a client waits before it connects again


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "backstory.db"


@pytest.fixture
def _on_postgresql() -> Iterator[None]:
    with chosen("postgresql"):
        yield


@pytest.fixture
def organization(_on_postgresql: None, database: Path) -> Organization:
    (made,) = make_organizations(database, 1)
    return made


class Follower:
    """A client that follows a log from its beginning, and connects again when it is cut off."""

    def __init__(self, servers: Processes, seed: int) -> None:
        self.seen: list[int] = []
        self.connections = 0
        self._servers = servers
        self._random = random.Random(seed)

    async def follow(self, viewer: httpx.AsyncClient, is_done: Callable[[int], bool]) -> None:
        """Until it has seen the last event."""
        while not is_done(self._last):
            url = self._random.choice(self._servers.running).url
            try:
                await self._listen(viewer, url, is_done)
            except httpx.TransportError:
                await asyncio.sleep(self._random.uniform(*_BACK_OFF))

    @property
    def _last(self) -> int:
        return self.seen[-1] if self.seen else 0

    async def _listen(
        self, viewer: httpx.AsyncClient, url: str, is_done: Callable[[int], bool]
    ) -> None:
        headers = {"last-event-id": str(self._last)}
        async with viewer.stream("GET", url + STREAM, headers=headers) as answer:
            if answer.status_code != httpx.codes.OK:
                assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
                raise httpx.TransportError("not now")
            self.connections += 1
            block: list[str] = []
            async for line in answer.aiter_lines():
                block.append(line)
                if not line:  # what is cut off before is no event
                    self.seen += sequences(events_in(block))
                    block = []
                if is_done(self._last):
                    return


def follow_while_processes_are_killed(
    database: Path, organization: Organization, count: int, kills: int, seconds: float = 0
) -> tuple[list[Follower], int, int]:
    """The followers, the last sequence of the log, and how many kills there were."""
    with processes(database) as servers:
        create_assistants(servers.running[0], organization)
        load = Load(servers, organization, seed=6)
        followers = [Follower(servers, seed) for seed in range(count)]
        last = 0

        async def disturb(_: Load) -> None:
            ends = time.monotonic() + seconds
            while servers.kills < kills or time.monotonic() < ends:
                await asyncio.sleep(_BETWEEN_KILLS)
                await asyncio.to_thread(servers.kill_and_start_anew, servers.kills % PROCESSES)

        async def run() -> None:
            nonlocal last
            headers = {"authorization": f"Bearer {organization.admin}"}
            limits = httpx.Limits(max_connections=count)
            async with httpx.AsyncClient(headers=headers, timeout=60, limits=limits) as viewer:
                tasks = [
                    asyncio.create_task(one.follow(viewer, lambda seen: 0 < last <= seen))
                    for one in followers
                ]
                await load.run(disturb)
                last = await asyncio.to_thread(last_sequence, database)
                await asyncio.gather(*tasks)

        asyncio.run(run())
    return followers, last, servers.kills


def last_sequence(database: Path) -> int:
    [(last,)] = query(database, "SELECT max(sequence) FROM events WHERE organization_id = 1")
    return int(last)


def assert_all_saw_all(followers: list[Follower], last: int) -> None:
    for follower in followers:
        assert follower.seen[:last] == list(range(1, last + 1))


def test_each_follower_sees_every_event_once_though_processes_are_killed(
    database: Path, organization: Organization
) -> None:
    followers, last, _ = follow_while_processes_are_killed(database, organization, _FEW, kills=2)
    assert sum(one.connections for one in followers) > _FEW
    assert_all_saw_all(followers, last)


@pytest.mark.long
def test_many_followers_see_every_event_for_two_minutes(
    database: Path, organization: Organization, record_property: Callable[[str, object], None]
) -> None:
    """The long form: ``.venv/bin/pytest -m long tests/end_to_end/test_followers.py``."""
    followers, last, kills = follow_while_processes_are_killed(
        database, organization, _MANY, kills=10, seconds=120
    )
    record_property("events", last)
    record_property("kills", kills)
    record_property("connections", sum(one.connections for one in followers))
    assert_all_saw_all(followers, last)


@pytest.mark.long
def test_a_follower_goes_on_after_a_hundred_thousand_events(
    database: Path, record_property: Callable[[str, object], None]
) -> None:
    """The long form: ``.venv/bin/pytest -m long tests/end_to_end/test_followers.py``."""
    count, after = 100_000, 10
    organization = fill(database, count)
    with serving(database) as running, client(running.url, organization.viewer) as viewer:
        began = time.monotonic()
        with viewer.stream("GET", f"{STREAM}?after={after}&follow=false") as answer:
            seen = sequences(events_in(answer.iter_lines()))
        record_property("seconds", time.monotonic() - began)
    assert seen[: count - after] == list(range(after + 1, count + 1))
