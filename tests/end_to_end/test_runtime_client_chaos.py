"""A voice worker while servers are killed, networks misbehave, a disk is full, and people edit."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from app.runtime_client import AsyncRuntimeClient, Settings
from tests.conftest import make_organizations
from tests.end_to_end.misbehaving import MODES, Proxy, misbehaving
from tests.end_to_end.processes import serving
from tests.end_to_end.runtime_workers import Installation, Worker, small_disk, wait_for

_SECONDS = 20
_WORKERS = 2  # threads that ask, beside one that does so with asyncio
_PAUSE = 0.01  # seconds between two that ask the same


class Figures:
    """What one who asks again and again was given."""

    def __init__(self) -> None:
        self.asked = 0
        self.from_server = 0
        self.wrong: list[str] = []
        self.raised: list[str] = []
        self.longest = 0.0  # the longest age in seconds

    def count(self, installation: Installation, given: Settings | BaseException) -> None:
        self.asked += 1
        if isinstance(given, BaseException):
            self.raised.append(repr(given))
            return
        self.from_server += given.source == "server"
        self.longest = max(self.longest, given.age)
        if wrong := installation.wrong(given):
            self.wrong.append(wrong)


class Chaos:
    """Asks in threads and with asyncio, while the steps of a test go on."""

    def __init__(self, installation: Installation, worker: Worker) -> None:
        self._installation = installation
        self._worker = worker
        self._ends = threading.Event()
        self.figures: list[Figures] = []

    @contextmanager
    def going_on(self) -> Iterator[None]:
        asking = [self._ask] * _WORKERS + [lambda: asyncio.run(self._ask_in_a_loop())]
        threads = [threading.Thread(target=one) for one in asking]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ends.set()
            for thread in threads:
                thread.join(_SECONDS)

    def report(self) -> str:
        counted = self.figures
        return (
            f"asked {sum(one.asked for one in counted)}, "
            f"by the server {sum(one.from_server for one in counted)}, "
            f"wrong {sum(len(one.wrong) for one in counted)}, "
            f"raised {sum(len(one.raised) for one in counted)}, "
            f"longest staleness {max(one.longest for one in counted):.1f} s"
        )

    def _ask(self) -> None:
        figures = self._counted()
        while not self._ends.wait(_PAUSE):
            for answer in (self._worker.now, partial(self._worker.call, _call_id(figures))):
                try:
                    given: Settings | BaseException = answer()
                except Exception as error:  # noqa: BLE001  # it is counted
                    given = error
                figures.count(self._installation, given)

    async def _ask_in_a_loop(self) -> None:
        figures = self._counted()
        worker, number = AsyncRuntimeClient(self._worker), self._worker.assistant_id
        while not self._ends.is_set():
            await asyncio.sleep(_PAUSE)
            for answer in (
                worker.settings(number),
                worker.resolve(_call_id(figures), assistant_id=number),
            ):
                (given,) = await asyncio.gather(answer, return_exceptions=True)
                figures.count(self._installation, given)

    def _counted(self) -> Figures:
        self.figures.append(Figures())
        return self.figures[-1]


def _call_id(figures: Figures) -> str:
    return f"{id(figures)}-{figures.asked}"


class Story:
    """A server that is killed, a network that misbehaves, and people who edit meanwhile."""

    def __init__(self, database: Path, proxy: Proxy, seed: int) -> None:
        self._database = database
        self._proxy = proxy
        self._random = random.Random(seed)
        self._servers = ExitStack()
        (organization,) = make_organizations(database, 1)
        self._running = self._servers.enter_context(serving(database))
        self.installation = Installation(self._running.url, organization, proxy)

    def kill(self) -> None:
        self._running.process.send_signal(signal.SIGKILL)
        self._running.process.wait(_SECONDS)

    def go_on(self, worker: Worker, steps: int) -> None:
        """Each step is another misbehaviour, with edits before and while it lasts."""
        for number in range(steps):
            mode = self._random.choice(MODES) if number % 4 else "killed"
            self.installation.edit()
            if mode == "killed":
                self.kill()
                self._last_for(0.3)
                self._running = self._servers.enter_context(serving(self._database))
                self.installation.is_at(self._running.url)
            else:
                self._proxy.mode = mode
            self.installation.edit()
            self._last_for(self._random.uniform(0.1, 0.5))
            if self._random.random() < 0.3:
                self._proxy.cut_all()
            self._proxy.mode = "well"
            newest = max(self.installation.versions)
            wait_for(lambda: worker.now().version == newest)  # noqa: B023  # at once

    def _last_for(self, seconds: float) -> None:
        threading.Event().wait(seconds)

    def close(self) -> None:
        self._servers.close()


@contextmanager
def story(database: Path, seed: int) -> Iterator[Story]:
    with misbehaving() as proxy:
        told = Story(database, proxy, seed)
        try:
            yield told
        finally:
            told.close()


def go_through(tmp_path: Path, seed: int, steps: int) -> Chaos:
    """One worker through a whole story, whose disk fills up with receipts."""
    kept = tmp_path / "kept"
    with (
        story(tmp_path / "backstory.db", seed) as told,
        small_disk(kept, 256 * 1024),
        Worker(told.installation, kept, poll=0.2) as worker,
    ):
        worker.now()
        chaos = Chaos(told.installation, worker)
        with chaos.going_on():
            told.go_on(worker, steps)
            told.installation.revoke()
            wait_for(lambda: "401" in worker.status()["troubles"].get("server", ""))
            told.installation.edit()
        return chaos


def assert_all_is_right(chaos: Chaos, steps: int) -> None:
    for one in chaos.figures:
        assert (one.wrong[:3], one.raised[:3]) == ([], [])
        assert one.asked > steps


def test_whatever_fails_each_answer_is_right_and_none_raises(
    tmp_path: Path,
) -> None:
    chaos = go_through(tmp_path, seed=7, steps=4)
    assert_all_is_right(chaos, steps=4)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_for_a_long_time_each_answer_is_right_and_none_raises(tmp_path: Path, seed: int) -> None:
    """The long form: ``pytest -m long -s tests/end_to_end/test_runtime_client_chaos.py``."""
    chaos = go_through(tmp_path, seed, steps=100)
    assert_all_is_right(chaos, steps=100)
    sys.stdout.write(f"\nseed {seed}: {chaos.report()}\n")
