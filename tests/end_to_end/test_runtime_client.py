"""The client of a voice worker: what it holds, what a call runs, what it does when things fail."""

from __future__ import annotations

import ast
import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app import runtime_client
from app.runtime_client import AsyncRuntimeClient, RuntimeClient, Settings, Unknown
from tests.conftest import ASSISTANTS, Organization, Server
from tests.end_to_end.misbehaving import MODES, misbehaving
from tests.end_to_end.runtime_workers import Installation, Worker, small_disk, wait_for

_SECONDS = 20
_SECRET = "el-of-this-test-alone"  # noqa: S105  # of the test


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "kept"


@pytest.fixture
def installation(server: Server, organization: Organization) -> Iterator[Installation]:
    with misbehaving() as proxy:
        yield Installation(server.url, organization, proxy)


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


# -- calls


def test_a_call_runs_the_version_of_its_first_question(installation: Installation) -> None:
    with Worker(installation) as worker:
        first = worker.call("call-1")
        assert (first.version, first.source, first.reason) == (1, "server", "direct")
        installation.edit()
        assert worker.call("call-1") == first
    with Worker(installation) as another:
        pinned = another.call("call-1")
        assert (pinned.values, pinned.reason) == (first.values, "pinned")
        assert not installation.wrong(pinned)  # they are as old as the first question


def test_what_memory_has_has_the_digest_of_what_the_server_answers(
    installation: Installation,
) -> None:
    installation.edit()
    with Worker(installation) as worker:
        held, answered = worker.now(), worker.call("call-1")
    assert (held.version, held.digest, held.values) == (
        answered.version,
        answered.digest,
        answered.values,
    )


def test_a_call_that_memory_answered_is_reported_later_once_and_in_full(
    installation: Installation, directory: Path
) -> None:
    with Worker(installation, directory, poll=1000) as worker:
        worker.now()
        installation.proxy.mode = "dead"
        ran = worker.call("call-1")
        assert (ran.source, ran.reason) == ("memory", "offline")
        installation.edit()
        assert worker.call("call-1") == ran
    # The process ended before it could report.
    with Worker(installation, directory, poll=1000) as worker:
        assert worker.status()["receipts"] == {"waiting": 1, "lost": 0}
        again = worker.call("call-1")
        assert (again.version, again.digest, again.values) == (1, ran.digest, ran.values)
        installation.proxy.mode = "well"
        wait_for(lambda: not worker.status()["receipts"]["waiting"])
        assert worker.status()["receipts"]["lost"] == 0
    told = installation.receipt("call-1")
    assert (told["version"], told["digest"], told["reason"]) == (1, ran.digest, "offline")
    assert [path.name for path in directory.glob("receipt-*")] == []


def test_a_network_that_answers_for_the_server_loses_no_receipt(
    installation: Installation,
) -> None:
    with Worker(installation, poll=0.05) as worker:
        worker.now()
        for mode in ("portal", "empty", "noise", "unavailable"):
            installation.proxy.mode = mode
            worker.call(f"call-{mode}")
            wait_for(lambda: worker.status()["troubles"])
        assert worker.status()["receipts"] == {"waiting": 4, "lost": 0}
        installation.proxy.mode = "well"
        wait_for(lambda: not worker.status()["receipts"]["waiting"])
        assert installation.receipt("call-portal")["version"] == 1


def test_only_so_many_receipts_wait_and_those_that_are_lost_are_counted(
    installation: Installation, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_client, "_RECEIPTS", 3)
    with Worker(installation, directory) as worker:
        worker.now()
        installation.proxy.mode = "unavailable"
        for number in range(5):
            worker.call(f"call-{number}")
        assert worker.status()["receipts"] == {"waiting": 3, "lost": 2}
        assert len(list(directory.glob("receipt-*"))) == 3


def test_secrets_come_with_a_call_that_asks_and_are_kept_nowhere(
    installation: Installation, directory: Path
) -> None:
    path = f"{ASSISTANTS}/{installation.assistant_id}"
    with installation.by(installation.organization.editor) as editor:
        editor.patch(path, json={"api_keys": {"elevenlabs_api_key": _SECRET}})
    with Worker(installation, directory) as worker:
        call = worker.resolve("call-1", assistant_id=worker.assistant_id, secrets=True)
        assert call.values["api_keys"]["elevenlabs_api_key"] == _SECRET
        installation.proxy.mode = "unavailable"
        offline = worker.resolve("call-2", assistant_id=worker.assistant_id, secrets=True)
        assert offline.values["api_keys"]["elevenlabs_api_key"] == "********"
        files = list(directory.iterdir())
        assert files
        assert all(_SECRET not in file.read_text() for file in files)


def test_both_faces_answer_the_same(installation: Installation) -> None:
    async def ask(worker: RuntimeClient) -> list[Settings]:
        async with AsyncRuntimeClient(worker) as client:
            held = await client.settings(installation.assistant_id)
            called = await client.resolve("call-1", assistant_id=installation.assistant_id)
            installation.proxy.mode = "hang"
            offline = await client.resolve("call-2", assistant_id=installation.assistant_id)
            assert client.status()["assistants"]
            return [held, called, offline]

    held, called, offline = asyncio.run(ask(Worker(installation)))
    assert [called.source, offline.source] == ["server", "memory"]
    assert held.digest == called.digest == offline.digest


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


def test_a_full_disk_is_reported_and_changes_nothing_else(
    installation: Installation, directory: Path
) -> None:
    with small_disk(directory, 4096) as is_mounted:
        if not is_mounted:
            pytest.skip("may not mount")
        (directory / "of another program").write_bytes(bytes(4096))
        with Worker(installation, directory) as worker:
            assert worker.now().version == 1
            installation.edit()
            wait_for(lambda: worker.now().version == 2)
            wait_for(lambda: "No space left" in worker.status()["troubles"].get("disk", ""))
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


# -- the controls of the oracle


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
