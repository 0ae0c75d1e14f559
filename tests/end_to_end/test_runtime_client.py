"""The client of a voice worker, while the server, the network and the disk fail.

The oracle knows of each version when it came and when the next one had come. Settings are right if
they are all of one version, and if this version was still current at the moment from which the
client says that it has them.
"""

from __future__ import annotations

import ast
import asyncio
import logging
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from app import runtime_client
from app.runtime_client import AsyncRuntimeClient, RuntimeClient, Settings, Unknown
from tests.conftest import ASSISTANTS, Organization, Server, make_organizations
from tests.end_to_end.misbehaving import MODES, Proxy, misbehaving
from tests.end_to_end.processes import client, serving

KEYS = "/api/v1/users/me/api-keys"
_SECONDS = 20
_WORKERS = 2  # threads that ask, beside one that does so with asyncio
_PAUSE = 0.01  # seconds between two that ask the same


class Installation:
    """A server behind a proxy, one assistant on it, its versions, and a worker's key."""

    def __init__(self, url: str, organization: Organization, proxy: Proxy) -> None:
        self.proxy = proxy
        self.organization = organization
        self.versions: dict[int, dict[str, Any]] = {}
        self.ended: dict[int, float] = {}  # when the next version had come
        self.is_at(url)
        with self.by(organization.admin) as admin:
            self.versions[1] = admin.post(ASSISTANTS, json={"name": "Front desk"}).json()
            made = admin.post(KEYS, json={"name": "worker", "role": "viewer"}).json()
        self.assistant_id = self.versions[1]["id"]
        self.key, self._key_id = made["key"], made["api_key"]["id"]

    def is_at(self, url: str) -> None:
        """It is another server now."""
        self.url = url
        self.proxy.target = int(url.rpartition(":")[2])

    def by(self, key: str) -> httpx.Client:
        """A client that calls the server directly."""
        return client(self.url, key)

    def revoke(self) -> None:
        with self.by(self.organization.admin) as admin:
            assert admin.delete(f"{KEYS}/{self._key_id}").is_success

    def edit(self) -> None:
        """Make a new version. Nobody else makes any."""
        last = max(self.versions)
        path = f"{ASSISTANTS}/{self.assistant_id}"
        with self.by(self.organization.editor) as editor:
            shown = editor.patch(path, json={"custom_settings": {"edit": last}})
        assert shown.status_code == 200, shown.text
        self.versions[last + 1] = shown.json()
        self.ended[last] = time.monotonic()

    def wrong(self, settings: Settings) -> str:
        """What is wrong with settings that were given a moment ago, if anything is."""
        was_current_at = time.monotonic() - settings.age
        if settings.values != self.versions.get(settings.version):
            return f"these are not the settings of version {settings.version}"
        if was_current_at > self.ended.get(settings.version, was_current_at):
            return f"version {settings.version} was over {settings.age} s ago"
        return ""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "kept"


@pytest.fixture
def installation(server: Server, organization: Organization) -> Iterator[Installation]:
    with misbehaving() as proxy:
        yield Installation(server.url, organization, proxy)


class Worker(RuntimeClient):
    """A client that knows the one assistant."""

    def __init__(
        self, installation: Installation, directory: Path | None = None, **more: float
    ) -> None:
        self.assistant_id = installation.assistant_id
        url, key = installation.proxy.url, installation.key
        super().__init__(url, key, [self.assistant_id], directory=directory, **more)

    def now(self) -> Settings:
        return self.settings(self.assistant_id)

    def call(self, call_id: str) -> Settings:
        return self.resolve(call_id, assistant_id=self.assistant_id)


def wait_for(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


# -- the file


def test_it_runs_copied_alone_on_a_python_that_has_nothing_else(
    installation: Installation, tmp_path: Path
) -> None:
    folder = tmp_path / "worker"
    folder.mkdir()
    source = Path(str(runtime_client.__file__)).read_text("utf-8")
    (folder / "copied.py").write_text(source, "utf-8")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import copied\n"
        "with copied.RuntimeClient(*sys.argv[2:4]) as client:\n"
        "    print(client.settings(int(sys.argv[4])).values['name'])\n"
        "print(*(name for name in sys.modules if name.startswith(('app', 'msgspec', 'events'))))"
    )
    # Neither the environment nor what is installed is seen.
    command = [sys.executable, "-I", "-S", "-W", "error", "-c", program, str(folder)]
    ended = subprocess.run(
        [*command, installation.proxy.url, installation.key, str(installation.assistant_id)],
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    assert (ended.stdout, ended.stderr) == ("Front desk\n\n", "")


def test_its_syntax_and_its_imports_are_those_of_python_3_9() -> None:
    source = Path(str(runtime_client.__file__)).read_text("utf-8")
    tree = ast.parse(source, feature_version=(3, 9))
    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
    imported = {str(module).partition(".")[0] for module in modules}
    assert imported <= sys.stdlib_module_names


# -- what it holds


def test_a_change_is_there_a_moment_after_it_was_made(installation: Installation) -> None:
    with Worker(installation, poll=1000) as worker:
        worker.now()
        wait_for(lambda: worker.status()["following"])
        installation.edit()
        wait_for(lambda: worker.now().version == 2)
        assert not installation.wrong(worker.now())


def test_a_change_is_found_by_looking_where_there_is_no_stream(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RuntimeClient, "_listen", lambda _: None)
    with Worker(installation, poll=0.05) as worker:
        worker.now()
        installation.edit()
        wait_for(lambda: worker.now().version == 2)


def test_who_changes_what_it_was_given_changes_nobody_elses(installation: Installation) -> None:
    with Worker(installation) as worker:
        worker.now().values["llm_settings"].clear()
        assert not installation.wrong(worker.now())


def test_what_was_never_there_is_unknown(installation: Installation) -> None:
    with Worker(installation) as worker, pytest.raises(Unknown):
        worker.settings(worker.assistant_id + 1)


def test_the_last_good_settings_outlive_the_process_and_say_how_old_they_are(
    installation: Installation, directory: Path
) -> None:
    with Worker(installation, directory) as worker:
        worker.now()
    installation.proxy.mode = "unavailable"
    installation.edit()
    with Worker(installation, directory) as worker:
        kept = worker.now()
        assert (kept.version, kept.source) == (1, "disk")
        assert not installation.wrong(kept)
        assert kept.age >= time.monotonic() - installation.ended[1]
    modes = {path.stat().st_mode & 0o777 for path in directory.iterdir()}
    assert (modes, directory.stat().st_mode & 0o777) == ({0o600}, 0o700)


def test_a_damaged_file_is_as_if_there_were_none(
    installation: Installation, directory: Path
) -> None:
    with Worker(installation, directory) as worker:
        worker.now()
    (path,) = directory.iterdir()
    whole = path.read_text()
    installation.proxy.mode = "unavailable"
    for damaged in (whole[:-30], whole.replace("Front", "Fronk"), "[]", "{}", ""):
        path.write_text(damaged)
        with Worker(installation, directory) as worker, pytest.raises(Unknown):
            worker.now()


# -- what fails


@pytest.mark.parametrize("mode", MODES)
def test_while_the_server_misbehaves_the_last_good_settings_are_given(
    installation: Installation, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "backstory.runtime_client")
    with Worker(installation, poll=0.05) as worker:
        worker.now()
        installation.proxy.mode = mode
        installation.edit()
        began = time.monotonic()
        answered = worker.call("call-1")
        assert time.monotonic() - began < 1  # the deadline is 0.3 s
        assert (answered.version, answered.source) == (1, "memory")
        assert not installation.wrong(answered)
        assert worker.status()["troubles"]
        installation.proxy.mode = "well"
        wait_for(lambda: worker.now().version == 2)
        wait_for(lambda: "server" not in worker.status()["troubles"])
    assert "well again" in caplog.text
    assert installation.key not in caplog.text


def test_a_revoked_key_changes_nothing_but_the_age(installation: Installation) -> None:
    with Worker(installation, poll=0.05) as worker:
        worker.now()
        installation.revoke()
        wait_for(lambda: "401" in worker.status()["troubles"].get("server", ""))
        installation.edit()
        assert worker.now().version == 1
        assert not installation.wrong(worker.now())


@contextmanager
def small_disk(place: Path, size: int) -> Iterator[bool]:
    """A file system of its own, in memory; false if it may not be mounted."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    is_mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", place], check=True)


def test_a_full_disk_is_reported_and_changes_nothing_else(
    installation: Installation, directory: Path
) -> None:
    with small_disk(directory, 4096) as is_mounted, Worker(installation, directory) as worker:
        if not is_mounted:
            pytest.skip("may not mount")
        (directory / "of another program").write_bytes(bytes(4096))
        assert worker.now().version == 1
        installation.edit()
        wait_for(lambda: worker.now().version == 2)
        assert "No space left" in worker.status()["troubles"]["disk"]
        installation.proxy.mode = "unavailable"
        assert worker.call("call-1").version == 2
        assert [path.name for path in directory.iterdir()] == ["of another program"]


def test_it_ends_at_once_while_the_server_hangs(installation: Installation) -> None:
    worker = Worker(installation, poll=0.01)
    worker.now()
    installation.proxy.mode = "hang"
    wait_for(lambda: worker.now().age > 0.1)
    began = time.monotonic()
    worker.close()
    assert time.monotonic() - began < 0.5


# -- all at once


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
    chaos = go_through(tmp_path, seed=7, steps=5)
    assert_all_is_right(chaos, steps=5)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_for_a_long_time_each_answer_is_right_and_none_raises(tmp_path: Path, seed: int) -> None:
    """The long form: ``pytest -m long -s tests/end_to_end/test_runtime_client.py``."""
    chaos = go_through(tmp_path, seed, steps=100)
    assert_all_is_right(chaos, steps=100)
    sys.stdout.write(f"\nseed {seed}: {chaos.report()}\n")


class Boasting(Worker):
    """The control: it says that what it has is of this moment."""

    def now(self) -> Settings:
        return replace(super().now(), since=time.monotonic(), as_of=time.time())


class Mistaken(Worker):
    """The control: it takes the settings of one version for those of another."""

    def now(self) -> Settings:
        return replace(super().now(), version=1)


class Forgetful(Worker):
    """The control: it has nothing to fall back on."""

    def call(self, call_id: str) -> Settings:
        self._known.clear()
        return super().call(call_id)


def test_control_settings_that_are_older_than_they_say_are_found(
    installation: Installation,
) -> None:
    with Boasting(installation, poll=1000) as worker:
        assert not installation.wrong(worker.now())
        installation.proxy.mode = "hang"
        installation.edit()
        assert "was over" in installation.wrong(worker.now())


def test_control_settings_of_another_version_are_found(installation: Installation) -> None:
    installation.edit()
    with Mistaken(installation) as worker:
        assert "not the settings of version 1" in installation.wrong(worker.now())


def test_control_a_client_without_a_memory_raises(installation: Installation) -> None:
    with Forgetful(installation) as worker:
        worker.now()
        installation.proxy.mode = "unavailable"
        with pytest.raises(Unknown):
            worker.call("call-1")
