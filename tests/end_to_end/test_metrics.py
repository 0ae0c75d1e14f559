"""The metrics of several workers are those of one server: complete, and never falling.

Whatever the run is on, these are on PostgreSQL, as workers are.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from tests.conftest import ASSISTANTS, Organization, make_organizations
from tests.databases import chosen
from tests.end_to_end.processes import client
from tests.end_to_end.scraping import Scrape, Scraped, scraped
from tests.end_to_end.test_several_processes import servers_of

REQUESTS = "backstory_requests_total"
CLIENTS, ROUNDS, SCRAPES = 4, 12, 10
# A scrape that reads one worker alone, as that of a registry in each worker would.
ONE_WORKER_ALONE = """
import itertools
from app.metrics import snapshots
published, turns = snapshots.published, itertools.count()
def one(folder):
    found = published(folder)
    return [found[next(turns) % len(found)]] if found else []
snapshots.published = one
"""


@pytest.fixture(autouse=True)
def _on_postgresql() -> Iterator[None]:
    with chosen("postgresql"):
        yield


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "backstory.db"


@pytest.fixture
def organization(database: Path) -> Organization:
    return make_organizations(database, 1)[0]


class Load:
    """Clients that read, change and ask for what is not there; ``sent`` counts the answers."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key
        self.sent = 0
        self._lock = threading.Lock()

    def run(self, number: int) -> None:
        # Each request has a connection of its own, so that both workers get some.
        for turn in range(ROUNDS):
            for method, path, body in (
                ("GET", f"{ASSISTANTS}/{number}", None),
                ("PATCH", f"{ASSISTANTS}/{number}", {"description": f"turn {turn}"}),
                ("GET", f"/nowhere/{turn}", None),
            ):
                try:
                    with client(self._url, self._key) as asking:
                        asking.request(method, path, json=body)
                except httpx.TransportError:
                    continue  # a killed worker's
                with self._lock:
                    self.sent += 1


@contextmanager
def under_load(server: Scraped, key: str) -> Iterator[Load]:
    """Let clients ask, each for an assistant of its own; they are done when the block ends."""
    load = Load(server.url, key)
    with client(server.url, key) as asking:
        for number in range(CLIENTS):
            assert asking.post(ASSISTANTS, json={"name": f"Line {number}"}).status_code == 201
            load.sent += 1
    clients = [threading.Thread(target=load.run, args=(n + 1,)) for n in range(CLIENTS)]
    for one in clients:
        one.start()
    try:
        yield load
    finally:
        for one in clients:
            one.join()


def falls(earlier: Scrape, later: Scrape) -> list[str]:
    """The names of what is smaller in the later scrape, or gone."""
    now = later.growing()
    return [key[0] for key, value in earlier.growing().items() if now.get(key, -1) < value]


def test_two_workers_count_every_request_once_and_no_counter_falls(
    database: Path, organization: Organization
) -> None:
    with scraped(database, "--workers", "2") as server:
        with under_load(server, organization.editor) as load:
            scrapes = [server.scrape() for _ in range(SCRAPES)]
        last = server.wait_for(load.sent, REQUESTS)
        assert last.sum("backstory_request_duration_seconds_count") == load.sent
        assert last.sum("backstory_processes") == 2
        changes = CLIENTS * ROUNDS
        assert last.sum(REQUESTS, method="PATCH", status="200") == changes
        kind = "assistant_settings_changed.v1"
        assert last.sum("backstory_events_recorded_total", type=kind) == changes
    assert [falls(*pair) for pair in pairwise([*scrapes, last])] == [[]] * SCRAPES


def test_a_killed_worker_leaves_its_counts_and_takes_its_gauges_along(
    database: Path, organization: Organization
) -> None:
    with scraped(database, "--workers", "2") as server:
        with under_load(server, organization.editor):
            scrapes = [server.scrape() for _ in range(SCRAPES // 2)]
            worker = servers_of(server.process.pid)[0]
            worker.kill()
            worker.wait(20)
            scrapes += [server.scrape() for _ in range(SCRAPES // 2)]
        scrapes.append(server.wait_for(2, "backstory_processes"))
        scrapes.append(server.wait_for(0, "backstory_write_queue_length"))
    assert [falls(*pair) for pair in pairwise(scrapes)] == [[]] * (SCRAPES + 1)


def test_control_the_counters_of_one_worker_at_a_time_fall(
    database: Path, organization: Organization
) -> None:
    with scraped(database, "--workers", "2", preamble=ONE_WORKER_ALONE) as server:
        with under_load(server, organization.editor):
            pass
        deadline, last = time.monotonic() + 60, server.scrape()
        while not falls(last, now := server.scrape()):
            assert time.monotonic() < deadline, "both workers have the same numbers"
            last = now
