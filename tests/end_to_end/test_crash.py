"""What was acknowledged outlives the process, however it ends; what may not be there is not."""

from __future__ import annotations

import asyncio
import itertools
import random
import resource
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from app.storage.database import Database
from tests.conftest import ASSISTANTS, Organization, make_organizations, version_of
from tests.databases import administering, chosen, query, server, url_of
from tests.end_to_end.acknowledged import Acknowledged, log_of, prove
from tests.end_to_end.processes import (
    EQUAL,
    WATCHFUL,
    Running,
    client,
    problem_of,
    run,
    serving,
    wait_until_ready,
)

CLIENTS = 8
NAMES = ("One", "Two", "Three")
FULL = 2  # SQLite's number for synchronous=FULL

_WITHOUT_CHECKPOINTS = """
from app.storage.database import Database
Database._checkpoint = lambda self: None
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "backstory.db"


@pytest.fixture
def organization(database: Path) -> Organization:
    (made,) = make_organizations(database, 1)
    return made


class Patching:
    """Clients that patch until their server is gone, and remember what they were told."""

    def __init__(self, running: Running, organization: Organization, life: int) -> None:
        self.acknowledged: list[Acknowledged] = []
        self._running = running
        self._organization = organization
        self._life = life
        self._told = threading.Semaphore(0)

    def wait_for(self, count: int) -> None:
        """Return once so many more changes were acknowledged."""
        for _ in range(count):
            assert self._told.acquire(timeout=60)

    def keep_on(self, number: int) -> None:
        """One client; it ends when the server does not answer any more."""
        with client(self._running.url, self._organization.editor) as editor:
            turn = 0
            while self._patch(editor, 1 + turn % len(NAMES), f"{self._life}/{number}/{turn}"):
                turn += 1

    def _patch(self, editor: httpx.Client, assistant_id: int, reason: str) -> bool:
        body = {"description": reason, "change_description": reason}
        try:
            answer = editor.patch(f"{ASSISTANTS}/{assistant_id}", json=body)
        except httpx.TransportError:
            return False
        assert answer.status_code == 200, answer.text
        version = version_of(answer)
        change = Acknowledged(self._organization.id, assistant_id, version, reason)
        self.acknowledged.append(change)
        self._told.release()
        return True


@contextmanager
def patching(running: Running, organization: Organization, life: int = 0) -> Iterator[Patching]:
    """Clients at work; leaving waits until each of them has met the end of the server."""
    work = Patching(running, organization, life)
    with ThreadPoolExecutor(CLIENTS) as threads:
        clients = [threads.submit(work.keep_on, number) for number in range(CLIENTS)]
        try:
            yield work
        finally:
            running.process.kill()
    for one in clients:
        one.result()


def create_assistants(running: Running, organization: Organization) -> None:
    with client(running.url, organization.editor) as editor:
        for name in NAMES:
            assert editor.post(ASSISTANTS, json={"name": name}).status_code == 201


# -- kill -9


def kill_again_and_again(
    database: Path, organization: Organization, kills: int, seed: int
) -> list[Acknowledged]:
    """Kill a server while clients patch, start it again, look, and so on."""
    moments = random.Random(seed)  # the same moments in every run
    acknowledged: list[Acknowledged] = []
    for life in range(kills + 1):
        with serving(database) as running:
            if life == 0:
                create_assistants(running, organization)
            # Reading through the server first: it is what recovered the file.
            prove(acknowledged, log_of(database, organization.id))
            prove_current(running, organization, acknowledged)
            if life == kills:
                checked = run(database.parent, "check")
                assert (checked.returncode, checked.stdout) == (0, EQUAL)
                return acknowledged
            with patching(running, organization, life) as work:
                work.wait_for(moments.randint(1, 150))
                running.process.kill()
            acknowledged += work.acknowledged
    raise AssertionError("unreachable")


def prove_current(
    running: Running, organization: Organization, acknowledged: list[Acknowledged]
) -> None:
    """The server answers each assistant at least as new as the newest that was acknowledged."""
    with client(running.url, organization.viewer) as viewer:
        for number, _ in enumerate(NAMES, start=1):
            newest = max((c.version for c in acknowledged if c.assistant_id == number), default=1)
            current = viewer.get(f"{ASSISTANTS}/{number}").json()
            assert current["version"] >= newest


def test_what_was_acknowledged_is_there_after_kill_9(
    database: Path, organization: Organization
) -> None:
    assert len(kill_again_and_again(database, organization, kills=3, seed=20_260)) >= 3


@pytest.mark.long
def test_what_was_acknowledged_is_there_after_30_kills(
    database: Path, organization: Organization
) -> None:
    """The long form: ``.venv/bin/pytest -m long tests/end_to_end/test_crash.py``."""
    assert len(kill_again_and_again(database, organization, kills=30, seed=4)) >= 30


@pytest.mark.sqlite
def test_control_without_its_write_ahead_log_a_killed_database_has_lost_changes(
    database: Path, organization: Organization, tmp_path: Path
) -> None:
    with serving(database, preamble=_WITHOUT_CHECKPOINTS) as running:
        create_assistants(running, organization)
        with patching(running, organization) as work:
            work.wait_for(20)
            running.process.kill()
    without = without_its_log(database, tmp_path / "without")
    with pytest.raises(AssertionError):
        prove(work.acknowledged, log_of(without, organization.id))
    prove(work.acknowledged, log_of(database, organization.id))


@pytest.mark.sqlite
def test_a_server_that_is_told_to_stop_leaves_all_that_it_acknowledged_in_the_file_alone(
    database: Path, organization: Organization, tmp_path: Path
) -> None:
    with serving(database) as running:
        create_assistants(running, organization)
        with patching(running, organization) as work:
            work.wait_for(20)
            running.process.terminate()
            assert running.process.wait(20) == 0
    without = without_its_log(database, tmp_path / "without")
    prove(work.acknowledged, log_of(without, organization.id))


def without_its_log(database: Path, folder: Path) -> Path:
    """A copy of a database file, but not of the write-ahead log beside it."""
    folder.mkdir()
    return Path(shutil.copy2(database, folder))


# -- a disk that fails


@pytest.mark.sqlite
def test_a_commit_waits_until_the_disk_has_it(database: Path, organization: Organization) -> None:
    """A kill cannot show this, the power's failing would: the system keeps what was not synced."""
    assert organization.id == 1

    async def settings() -> tuple[str, int]:
        opened = Database(url_of(database))
        try:
            return await opened.write(_how_durable)
        finally:
            await opened.close()

    assert asyncio.run(settings()) == ("wal", FULL)


def _how_durable(connection: sa.Connection) -> tuple[str, int]:
    journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    return journal, connection.exec_driver_sql("PRAGMA synchronous").scalar_one()


def test_a_commit_waits_for_the_disk_whatever_the_server_does_by_default(tmp_path: Path) -> None:
    def how_durable(connection: sa.Connection) -> str:
        return str(connection.exec_driver_sql("SHOW synchronous_commit").scalar_one())

    async def settings() -> str:
        opened = Database(url_of(tmp_path / "server"))
        try:
            return await opened.write(how_durable)
        finally:
            await opened.close()

    with chosen("postgresql"):
        name = url_of(tmp_path / "server").database
        with administering(server()) as connection:
            connection.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
        assert query(tmp_path / "server", "SHOW synchronous_commit") == [("off",)]  # the control
        assert asyncio.run(settings()) == "on"


@pytest.mark.sqlite
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of a running process: Linux")
@pytest.mark.parametrize(
    ("length", "problems"),
    [
        (400_000, {"outcome-unknown"}),  # the commit fails
        # Mostly a statement before it fails: it writes what has no room in memory.
        (900_000, {"outcome-unknown", "writing-suspended"}),
    ],
)
def test_after_a_write_that_failed_writing_goes_on_by_itself(
    database: Path, organization: Organization, length: int, problems: set[str]
) -> None:
    with (
        serving(database, preamble=WATCHFUL) as running,
        client(running.url, organization.editor) as editor,
    ):
        create_assistants(running, organization)
        assert editor.get("/ready").status_code == 200

        with no_file_grows(running, beyond=database.with_name(f"{database.name}-wal")):
            more_than_the_log_holds = prompt("x" * length)
            failed = editor.patch(f"{ASSISTANTS}/1", json=more_than_the_log_holds)
            assert failed.status_code == 503
            assert problem_of(failed) in problems
            assert editor.get("/health").status_code == 200
            assert editor.get(f"{ASSISTANTS}/1").json()["version"] == 1

        wait_until_ready(editor)
        assert editor.patch(f"{ASSISTANTS}/2", json=prompt("y")).json()["version"] == 2
        assert editor.patch(f"{ASSISTANTS}/1", json=prompt("x" * 50_000)).json()["version"] == 2
        running.process.terminate()
        assert running.process.wait(20) == 0
    logged = (database.parent / "log").read_text()
    assert logged.count("writing_suspended") == logged.count("writing_resumed") == 1
    assert "Traceback" not in logged
    prove([], log_of(database, organization.id))
    assert run(database.parent, "check").returncode == 0


@pytest.mark.sqlite
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of a running process: Linux")
def test_checkpoints_that_fail_are_logged_once_and_counted_until_they_succeed(
    database: Path, organization: Organization
) -> None:
    with (
        serving(database, preamble=WATCHFUL) as running,
        client(running.url, organization.editor) as editor,
    ):
        create_assistants(running, organization)
        log = database.with_name(f"{database.name}-wal")
        texts = itertools.count()
        # Until the file is longer than its log, which is used again after a checkpoint.
        while database.stat().st_size < log.stat().st_size + 1_000_000:
            text = f"{next(texts):06}" * 66_000
            assert editor.patch(f"{ASSISTANTS}/1", json=prompt(text)).status_code == 200
        assert editor.get("/ready").json() == {"status": "ready"}
        with no_file_grows(running, beyond=database):
            changed = editor.patch(f"{ASSISTANTS}/1", json=prompt("x" * 50_000))
            assert changed.status_code == 200
            while "The last 2 checkpoints" not in (ready := editor.get("/ready")).text:
                assert ready.status_code == 200
        while editor.get("/ready").json() != {"status": "ready"}:
            pass
    logged = (database.parent / "log").read_text()
    assert logged.count("wal_checkpoint_failed") == 1
    assert logged.count("wal_checkpoints_work_again") == 1


@contextmanager
def no_file_grows(running: Running, *, beyond: Path) -> Iterator[None]:
    """No write of the process may go past the present size of a file."""
    before = resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE)
    limit = (beyond.stat().st_size, before[1])
    resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, limit)
    try:
        yield
    finally:
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, before)


def prompt(text: str) -> dict[str, dict[str, str]]:
    return {"llm_settings": {"system_prompt": text}}
