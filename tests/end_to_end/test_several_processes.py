"""Several processes on one PostgreSQL: killed again and again, they lose nothing, and hide nothing.

Whatever the run is on, these are on PostgreSQL.
"""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest
from sqlalchemy.exc import OperationalError

from events import store
from tests.conftest import ASSISTANTS, Organization, make_organizations, version_of
from tests.databases import (
    SERVER,
    allow_connections,
    chosen,
    execute,
    reading_engine,
    refuse_connections,
    start_postgresql,
    text_of,
    writing_engine,
)
from tests.end_to_end.acknowledged import Acknowledged, log_of, prove
from tests.end_to_end.pooling import announced, needs_pgbouncer, pooler
from tests.end_to_end.processes import (
    EQUAL,
    PROCESSES,
    Process,
    Processes,
    Running,
    client,
    processes,
    run,
    serving,
    started,
)

ROOT = Path(__file__).parents[2]
CLIENTS = 48
NAMES = tuple(f"Line {number}" for number in range(CLIENTS))
_BETWEEN_KILLS = 1.0  # seconds: a pace, nothing waits for it
_BACK_OFF = (0.05, 0.4)  # seconds that a client waits before it tries again
# Every transaction takes its sequence from a sequence object, and locks no counter row.
_WITH_A_SEQUENCE_OBJECT = """
import app.transactions.write_queue
from events import log_head
app.transactions.write_queue._LARGEST_BATCH = 1
def lock(connection, organization_id, **_):
    head = log_head.read_head(connection, organization_id)
    head.sequence = connection.exec_driver_sql("SELECT nextval('sequences')").scalar() - 1
    return head
log_head.lock = lock
log_head.save_head = lambda *_: None
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
    (made,) = make_organizations(database, 1)
    return made


class Reader:
    """Follows the log by what it saw last, as any consumer of it would."""

    def __init__(self, database: Path, organization_id: int) -> None:
        self.seen: list[int] = []
        self._engine = reading_engine(database)
        self._organization_id = organization_id
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def _follow(self) -> None:
        while not self._ends.is_set():
            try:
                self._look()
            except OperationalError:  # the database is being started anew
                self._ends.wait(_BACK_OFF[0])
        self._look()

    def _look(self) -> None:
        after = self.seen[-1] if self.seen else 0
        with self._engine.connect() as connection:
            found = store.read_log(connection, self._organization_id, after=after)
            self.seen += [event.sequence for event in found]

    def end(self) -> list[int]:
        self._ends.set()
        self._thread.join()
        self._engine.dispose()
        return self.seen


class Load:
    """Clients that change, each its own assistant, and repeat what was not answered."""

    def __init__(self, servers: Processes, organization: Organization, seed: int) -> None:
        self.acknowledged: list[Acknowledged] = []
        self.repeated = 0
        self._servers = servers
        self._organization = organization
        self._random = random.Random(seed)
        self._ends = False
        self._wanted = sys.maxsize
        self._enough = asyncio.Event()

    async def run(self, disturb: Callable[[Load], Awaitable[None]]) -> None:
        """Until what disturbs is done."""
        headers = {"authorization": f"Bearer {self._organization.editor}"}
        limits = httpx.Limits(max_connections=CLIENTS)
        async with httpx.AsyncClient(headers=headers, timeout=60, limits=limits) as editor:
            clients = [asyncio.create_task(self._client(editor, n)) for n in range(CLIENTS)]
            try:
                await disturb(self)
            finally:
                self._ends = True
            await asyncio.gather(*clients)

    async def _client(self, editor: httpx.AsyncClient, number: int) -> None:
        turn = 0
        while not self._ends:
            reason = f"client {number}, turn {turn}"
            body = {"description": reason, "change_description": reason}
            answer = await self._insist(editor, f"{ASSISTANTS}/{1 + number}", body)
            version = version_of(answer)
            self.acknowledged.append(
                Acknowledged(self._organization.id, 1 + number, version, reason)
            )
            turn += 1
            if len(self.acknowledged) >= self._wanted:
                self._enough.set()

    async def wait_for(self, count: int) -> None:
        """Return once so many changes were acknowledged."""
        self._wanted = count
        self._enough.clear()
        await self._enough.wait()

    async def _insist(
        self, editor: httpx.AsyncClient, path: str, body: dict[str, str]
    ) -> httpx.Response:
        """Send one change, under one key, until it is answered."""
        headers = {"idempotency-key": uuid4().hex}
        while True:
            url = self._random.choice(self._servers.running).url
            try:
                answer = await editor.patch(url + path, json=body, headers=headers)
            except httpx.TransportError:
                pass
            else:
                if answer.status_code == 200:
                    return answer
                assert answer.status_code in {409, 503}, answer.text
            self.repeated += 1
            await asyncio.sleep(self._random.uniform(*_BACK_OFF))


def create_assistants(running: Running, organization: Organization) -> None:
    with client(running.url, organization.editor) as editor:
        for name in NAMES:
            assert editor.post(ASSISTANTS, json={"name": name}).status_code == 201


def kill_again_and_again(
    database: Path,
    organization: Organization,
    kills: int = 0,
    seconds: float = 0,
    url: str | None = None,
) -> tuple[Load, list[int], int]:
    """What clients were told while processes were killed, what a reader saw, and how many kills.

    So many kills at least, and for so long. ``url`` is the way to the database.
    """
    with processes(database, url=url) as servers:
        create_assistants(servers.running[0], organization)
        reader = Reader(database, organization.id)
        load = Load(servers, organization, seed=6)

        async def disturb(_: Load) -> None:
            ends = time.monotonic() + seconds
            while servers.kills < kills or time.monotonic() < ends:
                await asyncio.sleep(_BETWEEN_KILLS)
                await asyncio.to_thread(servers.kill_and_start_anew, servers.kills % PROCESSES)

        asyncio.run(load.run(disturb))
    return load, reader.end(), servers.kills


def prove_all(database: Path, organization: Organization, load: Load, seen: list[int]) -> None:
    log = log_of(database, organization.id)
    prove(load.acknowledged, log)
    reasons = [event.reason for event in log if event.reason]
    assert len(reasons) == len(set(reasons))  # what was repeated was done once
    assert seen == [event.sequence for event in log]
    checked = run(database.parent, "check", "--database", text_of(database))
    assert (checked.returncode, checked.stdout) == (0, EQUAL)


def test_processes_that_are_killed_lose_nothing_and_no_reader_misses_an_event(
    database: Path, organization: Organization
) -> None:
    load, seen, _ = kill_again_and_again(database, organization, kills=3)
    assert len(load.acknowledged) > CLIENTS
    assert load.repeated
    prove_all(database, organization, load, seen)


@needs_pgbouncer
def test_processes_that_are_killed_lose_nothing_through_a_pooler_of_transactions(
    database: Path, organization: Organization
) -> None:
    with pooler(database, "transaction", sessions=6) as url:
        load, seen, _ = kill_again_and_again(database, organization, kills=3, url=announced(url))
    assert len(load.acknowledged) > CLIENTS
    prove_all(database, organization, load, seen)


@pytest.mark.long
def test_processes_that_are_killed_for_two_minutes_lose_nothing(
    database: Path, organization: Organization, record_property: Callable[[str, object], None]
) -> None:
    """The long form: ``.venv/bin/pytest -m long -k two_minutes``; with ``--junitxml FILE -o
    junit_family=xunit1`` its figures are in the file.
    """
    load, seen, kills = kill_again_and_again(database, organization, seconds=120)
    record_property("kills", kills)
    record_property("acknowledged", len(load.acknowledged))
    record_property("repeated", load.repeated)
    prove_all(database, organization, load, seen)


@pytest.mark.long
def test_control_with_a_sequence_object_for_a_counter_row_a_reader_skips_events(
    database: Path, organization: Organization
) -> None:
    """``pytest -m long -k sequence_object tests/end_to_end/test_several_processes.py``."""
    with processes(database, 1) as servers:
        create_assistants(servers.running[0], organization)
    engine = writing_engine(database)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE SEQUENCE sequences START {len(NAMES) + 1}")
    engine.dispose()
    with processes(database, preamble=_WITH_A_SEQUENCE_OBJECT) as servers:
        reader = Reader(database, organization.id)
        load = Load(servers, organization, seed=6)
        asyncio.run(load.run(lambda running: running.wait_for(500)))
        seen = reader.end()
    assert set(seen) < {event.sequence for event in log_of(database, organization.id)}


def test_what_one_process_was_told_every_other_shows_at_once(
    database: Path, organization: Organization
) -> None:
    with processes(database) as servers, ExitStack() as all_clients:
        editors = [
            all_clients.enter_context(client(one.url, organization.editor))
            for one in servers.running
        ]
        assert editors[0].post(ASSISTANTS, json={"name": "Front desk"}).status_code == 201
        for turn in range(9):
            writer, *readers = editors[turn % PROCESSES :] + editors[: turn % PROCESSES]
            changed = writer.patch(f"{ASSISTANTS}/1", json={"description": f"turn {turn}"})
            for reader in (*readers, writer):
                shown = reader.get(f"{ASSISTANTS}/1")
                assert shown.headers["etag"] == changed.headers["etag"]
                assert shown.json()["description"] == f"turn {turn}"


def test_what_may_be_stale_is_shown_with_its_age_by_others_than_the_one_that_changed_it(
    database: Path, organization: Organization
) -> None:
    with (
        serving(database, BACKSTORY_READ_STALENESS="1h") as one,
        serving(database, BACKSTORY_READ_STALENESS="1h") as other,
        client(one.url, organization.editor) as editor,
        client(other.url, organization.viewer) as viewer,
    ):
        assert editor.post(ASSISTANTS, json={"name": "Front desk"}).status_code == 201
        assert viewer.get(f"{ASSISTANTS}/1").json()["version"] == 1
        changed = editor.patch(f"{ASSISTANTS}/1", json={"description": "New"})
        assert changed.json()["version"] == editor.get(f"{ASSISTANTS}/1").json()["version"] == 2
        stale = viewer.get(f"{ASSISTANTS}/1")
        assert stale.json()["version"] == 1
        assert 0 <= int(stale.headers["age"]) < 3600
        held = {"if-none-match": stale.headers["etag"]}
        unchanged = viewer.get(f"{ASSISTANTS}/1", headers=held)
        assert (unchanged.status_code, "age" in unchanged.headers) == (304, True)
        # What is asked for by its moment, and the list, are never older than now.
        assert viewer.get(f"{ASSISTANTS}/1?version=latest").json()["version"] == 2
        assert viewer.get(ASSISTANTS).json()[0]["version"] == 2


def test_a_key_that_one_process_revoked_is_refused_by_every_other_at_once(
    database: Path, organization: Organization
) -> None:
    with processes(database) as servers, ExitStack() as all_clients:
        admins = [
            all_clients.enter_context(client(one.url, organization.admin))
            for one in servers.running
        ]
        for turn in range(6):
            admin = admins[turn % PROCESSES]
            made = admin.post("/api/v1/users/me/api-keys", json={"name": "spare"}).json()
            with ExitStack() as others:
                spare = [
                    others.enter_context(client(one.url, made["key"])) for one in servers.running
                ]
                for one in spare:
                    assert one.get(f"{ASSISTANTS}/count").status_code == 200
                gone = admin.delete(f"/api/v1/users/me/api-keys/{made['api_key']['id']}")
                assert gone.is_success
                for one in spare:
                    assert one.get(f"{ASSISTANTS}/count").status_code == 401


def test_workers_share_an_address_and_one_that_dies_is_started_anew(
    database: Path, organization: Organization
) -> None:
    arguments = ("serve", "--port", "0", "--workers", "2", "--database", text_of(database))
    with started(database.parent, *arguments, BACKSTORY_MAX_URL="300") as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with client(url, organization.editor) as editor:
            assert editor.post(ASSISTANTS, json={"name": "Front desk"}).status_code == 201
        workers = servers_of(process.pid)
        workers[0].kill()
        workers[0].wait(20)
        for turn in range(20):
            with client(url, organization.editor) as editor:
                body = {"description": f"turn {turn}"}
                assert editor.patch(f"{ASSISTANTS}/1", json=body).status_code == 200
                assert editor.get("/health", params={"q": "x" * 300}).status_code == 414
        process.terminate()
        assert process.wait(30) == 0
    assert not any(worker.is_running() for worker in workers)


_WAITS = "database_unavailable"  # what a worker logs that cannot start yet
# Python runs it in every process, also in those that the supervisor starts.
_DOES_NOT_WAIT = """
import app.services
app.services._START_SECONDS = 0
"""


@contextmanager
def working(database: Path, preamble: str = "") -> Iterator[tuple[Process, str, psutil.Process]]:
    """Two workers that answer: their supervisor, their URL, and one of them."""
    arguments = ("serve", "--port", "0", "--workers", "2", "--database", text_of(database))
    modules = database.parent / "modules"
    modules.mkdir()
    (modules / "sitecustomize.py").write_text(preamble)
    settings = {"PYTHONPATH": f"{modules}:{ROOT}", "BACKSTORY_LOG_LEVEL": "warning"}
    with started(database.parent, *arguments, **settings) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        yield process, url, servers_of(process.pid)[0]


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 90
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)  # a pace


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready").status_code == 200
    except httpx.TransportError:
        return False


# A worker that does not know of its supervisor.
_ON_ITS_OWN = """
import multiprocessing
multiprocessing.parent_process = lambda: None
"""


def test_workers_end_with_a_supervisor_that_is_killed(
    database: Path, organization: Organization
) -> None:
    del organization  # it is there
    with working(database) as (supervisor, url, _):
        wait_until(lambda: is_ready(url))
        workers = servers_of(supervisor.pid)
        supervisor.kill()
        gone, alive = psutil.wait_procs(workers, timeout=30)
        assert (len(gone), alive) == (2, [])


def test_control_workers_that_do_not_know_of_it_stay(
    database: Path, organization: Organization
) -> None:
    del organization  # it is there
    with working(database, _ON_ITS_OWN) as (supervisor, url, _):
        wait_until(lambda: is_ready(url))
        workers = servers_of(supervisor.pid)
        supervisor.kill()
        supervisor.wait(30)
        assert is_ready(url)
        for worker in workers:
            worker.kill()


# A worker that takes as long to start as on a busy machine.
_SLOW_TO_START = """
import sys, time
if "--multiprocessing-fork" in sys.argv:
    time.sleep(6)
"""
_IMPATIENT = """
import app.cli.server
app.cli.server._SILENT_SECONDS = 1
"""
_GAVE_UP = "died"  # what the supervisor logs of a worker that it killed


def test_a_worker_that_is_slow_to_start_is_not_killed(
    database: Path, organization: Organization
) -> None:
    del organization  # it is there
    with working(database, _SLOW_TO_START) as (supervisor, url, worker):
        wait_until(lambda: is_ready(url))
        assert worker.is_running()
        assert _GAVE_UP not in (database.parent / "log").read_text()
        supervisor.terminate()
        assert supervisor.wait(30) == 0


def test_control_an_impatient_supervisor_kills_what_is_slow_to_start(
    database: Path, organization: Organization
) -> None:
    del organization  # it is there
    arguments = ("serve", "--port", "0", "--workers", "2", "--database", text_of(database))
    modules = database.parent / "modules"
    modules.mkdir()
    (modules / "sitecustomize.py").write_text(_SLOW_TO_START + _IMPATIENT)
    with started(
        database.parent,
        *arguments,
        PYTHONPATH=f"{modules}:{ROOT}",
        BACKSTORY_LOG_LEVEL="info",
    ):
        wait_until(lambda: _GAVE_UP in (database.parent / "log").read_text())


def test_a_worker_that_starts_while_the_database_is_away_waits_for_it(
    database: Path, organization: Organization
) -> None:
    with working(database) as (supervisor, url, worker):
        refuse_connections(database)
        worker.kill()
        worker.wait(20)  # its supervisor has seen that it is gone
        wait_until(lambda: _WAITS in (database.parent / "log").read_text())
        new = [one for one in servers_of(supervisor.pid) if one.pid != worker.pid]
        allow_connections(database)
        wait_until(lambda: is_ready(url))
        with client(url, organization.editor) as editor:
            assert editor.post(ASSISTANTS, json={"name": "Front desk"}).status_code == 201
        assert supervisor.poll() is None
        assert all(one.is_running() for one in new)  # none gave up, to be started anew
        supervisor.terminate()
        assert supervisor.wait(30) == 0


def test_control_a_worker_that_does_not_wait_for_the_database_ends_all(
    database: Path, organization: Organization
) -> None:
    del organization  # it is there
    with working(database, _DOES_NOT_WAIT) as (supervisor, _, worker):
        refuse_connections(database)
        worker.kill()
        assert supervisor.wait(40) == 1


def test_workers_end_and_the_exit_code_says_so_where_one_finds_another_schema(
    database: Path, organization: Organization
) -> None:
    del organization  # it is there
    with working(database) as (supervisor, url, worker):
        assert is_ready(url)
        execute(database, "UPDATE alembic_version SET version_num = '9999'")
        worker.kill()
        assert supervisor.wait(40) == 1
    assert "run the newer release that made it" in (database.parent / "log").read_text()


def servers_of(supervisor: int) -> list[psutil.Process]:
    children = psutil.Process(supervisor).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_workers_on_a_file_are_refused_with_the_way_to_have_them(tmp_path: Path) -> None:
    with chosen("sqlite"):
        ended = run(tmp_path, "serve", "--workers", "2")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "--workers" in ended.stderr
    assert "postgresql+asyncpg://" in ended.stderr
    assert not list(tmp_path.iterdir())


def test_a_database_that_is_not_migrated_is_refused_with_the_command_that_does_it(
    tmp_path: Path,
) -> None:
    url = text_of(tmp_path / "empty", is_empty=True)
    for command in ("serve", "check", "rebuild"):
        ended = run(tmp_path, command, "--database", url)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert "backstory migrate" in ended.stderr
    assert run(tmp_path, "migrate", "--database", url).returncode == 0
    assert run(tmp_path, "check", "--database", url).returncode == 0


@pytest.mark.parametrize("missing", ["BACKSTORY_MASTER_KEY", "BACKSTORY_AUDIT_KEY"])
def test_a_key_that_is_not_configured_is_named(database: Path, missing: str) -> None:
    without = {f"{missing}_FILE": ""}
    ended = run(database.parent, "serve", "--database", text_of(database), **without)
    assert ended.returncode in {1, 2}
    assert missing in ended.stderr


def test_an_unreachable_server_is_one_line_without_the_password(tmp_path: Path) -> None:
    url = "postgresql+asyncpg://me:of-the-database@127.0.0.1:9/nothing"
    ended = run(tmp_path, "serve", "--database", url)
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert "of-the-database" not in ended.stderr


# -- the server that they share


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server that may be killed: durable, as it comes."""
    folder = tmp_path_factory.mktemp("postgresql")
    started = start_postgresql(folder)
    yield started
    started.cleanup()


def test_postgresql_that_is_killed_under_load_loses_nothing_that_was_acknowledged(
    tmp_path: Path, own_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SERVER, own_server.get_uri())
    with chosen("postgresql"):
        database = tmp_path / "backstory.db"
        (organization,) = make_organizations(database, 1)
        with processes(database) as servers:
            create_assistants(servers.running[0], organization)
            reader = Reader(database, organization.id)
            load = Load(servers, organization, seed=6)

            async def disturb(running: Load) -> None:
                for life in range(1, 4):
                    await running.wait_for(life * 150)
                    await asyncio.to_thread(kill_and_start_anew, own_server)
                await running.wait_for(len(running.acknowledged) + 150)

            asyncio.run(load.run(disturb))
            assert load.repeated
        prove_all(database, organization, load, reader.end())


def kill_and_start_anew(own_server: Any) -> None:
    process = psutil.Process(own_server.get_pid())
    backends = process.children()
    process.kill()
    psutil.wait_procs(backends, timeout=20)  # they notice, and end
    # A dead process that nobody waited for looks to the server as if it ran.
    (own_server.pgdata / "postmaster.pid").unlink()
    own_server.ensure_postgres_running()
