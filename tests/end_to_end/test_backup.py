"""A backup is taken while a server writes; it is proven, restored, and never half of one."""

from __future__ import annotations

import base64
import functools
import os
import random
import re
import shutil
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.cli.manifest import Manifest, digest, read_manifest
from events import log_head, merkle
from tests.conftest import ASSISTANTS, Organization, make_organizations, version_of
from tests.databases import (
    administering,
    chosen,
    edited,
    empty_database,
    execute,
    on_sqlite,
    reading_engine,
    server,
    text_of,
    unguarded,
)
from tests.end_to_end.acknowledged import Acknowledged, log_of, prove
from tests.end_to_end.processes import EQUAL, Running, client, run, serving

WRITERS = 32
SECRET = "sk-live-7d1e"  # noqa: S105  # the tests' own
MANIFEST = "manifest.json"
# A server that never copies its write-ahead log into the file.
_WITHOUT_CHECKPOINTS = """
from app.storage.database import Database
Database._checkpoint = lambda self: None
"""
# Kills the command where it makes something durable, at the step of this number.
_KILLED_AT = """
import itertools, os, signal
steps = itertools.count(1)
def _counted(step):
    def call(*arguments):
        if next(steps) == {step}:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(*arguments)
    return call
os.fsync, os.replace = _counted(os.fsync), _counted(os.replace)
"""
_WITHOUT_DIGEST = """
from app.cli import manifest
manifest.check_file = lambda folder, kept: folder / kept.file
"""


class Writing:
    """Clients that each change an assistant of their own, and remember what they were told."""

    def __init__(self, running: Running, organization: Organization) -> None:
        self.acknowledged: list[Acknowledged] = []
        self._running = running
        self._organization = organization
        self._told = threading.Semaphore(0)
        self._is_over = threading.Event()

    def wait_for(self, count: int) -> None:
        """Return once so many more changes were acknowledged."""
        for _ in range(count):
            assert self._told.acquire(timeout=60)

    def keep_on(self, number: int) -> None:
        with client(self._running.url, self._organization.editor) as editor:
            made = editor.post(ASSISTANTS, json={"name": f"Writer {number}"}).json()["id"]
            turn = 0
            while not self._is_over.is_set():
                reason = f"{number}/{turn}"
                body = {"description": reason, "change_description": reason}
                answer = editor.patch(f"{ASSISTANTS}/{made}", json=body)
                assert answer.status_code == 200, answer.text
                version = version_of(answer)
                self.acknowledged.append(Acknowledged(self._organization.id, made, version, reason))
                self._told.release()
                turn += 1

    def end(self) -> None:
        self._is_over.set()


@contextmanager
def writing(running: Running, organization: Organization) -> Iterator[Writing]:
    """Writers at work, until this is left."""
    work = Writing(running, organization)
    with ThreadPoolExecutor(WRITERS) as threads:
        writers = [threads.submit(work.keep_on, number) for number in range(WRITERS)]
        try:
            yield work
        finally:
            work.end()
    for one in writers:
        one.result()


class Installation:
    """A database with one organization, and places for its backup and for what is restored."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "backstory.db"
        self.backup = folder / "backup"
        self.other = folder / "elsewhere" / "other.db"
        self.other.parent.mkdir()
        empty_database(self.other)
        (self.organization,) = make_organizations(self.path, 1)
        self.keys = {
            "BACKSTORY_MASTER_KEY": (folder / "backstory.db.key").read_text().strip(),
            "BACKSTORY_AUDIT_KEY": (folder / "backstory.db.audit.key").read_text().strip(),
        }

    def live(self) -> None:
        """Some changes, a secret among them."""
        with (
            serving(self.path) as running,
            client(running.url, self.organization.editor) as editor,
        ):
            body = {"name": "One", "api_keys": {"openai_api_key": SECRET}}
            assert editor.post(ASSISTANTS, json=body).status_code == 201
            for turn in range(5):
                changed = editor.patch(f"{ASSISTANTS}/1", json={"description": f"{turn}"})
                assert changed.status_code == 200
            running.process.terminate()
            assert running.process.wait(20) == 0

    def back_up(self, preamble: str = "", **settings: str) -> tuple[int, str]:
        return self._run(
            "backup", "--to", str(self.backup), "--database", text_of(self.path),
            preamble=preamble, **settings,
        )  # fmt: skip

    def verify(self, preamble: str = "", **settings: str) -> tuple[int, str]:
        return self._run("backup", "verify", str(self.backup), preamble=preamble, **settings)

    def restore(self, preamble: str = "", target: Path | None = None) -> tuple[int, str]:
        return self._run(
            "restore", "--from", str(self.backup), "--database", text_of(target or self.other),
            preamble=preamble, **self.keys,
        )  # fmt: skip

    def check(self, path: Path) -> str:
        return self._run("check", "--database", text_of(path), **self.keys)[1]

    def _run(self, *arguments: str, preamble: str = "", **settings: str) -> tuple[int, str]:
        ended = run(self.folder, *arguments, preamble=preamble, **settings)
        assert "Traceback" not in ended.stderr, ended.stderr
        return ended.returncode, ended.stdout + ended.stderr

    @property
    def manifest(self) -> Manifest:
        return read_manifest(self.backup)

    def forge(self) -> None:
        """Give the manifest the digest of the file as it is now."""
        size, sha256 = digest(self.backup / self.manifest.file)
        forged = msgspec.structs.replace(self.manifest, size=size, sha256=sha256)
        (self.backup / MANIFEST).write_bytes(msgspec.json.encode(forged))


@functools.cache
def missing_tools() -> str:
    """Why PostgreSQL's tools cannot back up the databases of this run; empty where they can."""
    if on_sqlite():
        return ""
    found = shutil.which("pg_dump")
    said = "" if found is None else subprocess.check_output([found, "--version"], text=True)
    tool = re.search(r"\) (\d+)", said)
    with administering(server()) as connection:
        needed = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one()) // 10000
    is_enough = tool is not None and int(tool[1]) >= needed
    return (
        "" if is_enough else f"PostgreSQL {needed} needs its pg_dump; on PATH is {said or 'none'}"
    )


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    if missing := missing_tools():
        pytest.skip(missing)
    return Installation(tmp_path)


@pytest.fixture
def backed_up(installation: Installation) -> Installation:
    installation.live()
    code, said = installation.back_up()
    assert code == 0, said
    return installation


def ends_of(path: Path) -> dict[int, tuple[int, str]]:
    """The sequence and the root of each log in a database."""
    engine = reading_engine(path)
    with engine.connect() as connection:
        heads = [
            log_head.head_of(connection, number) for number in log_head.organization_ids(connection)
        ]
    engine.dispose()
    return {
        head.organization_id: (
            head.sequence,
            base64.b64encode(merkle.root(head.frontier)).decode(),
        )
        for head in heads
    }


# -- beside writers


def copy_under_writers(
    installation: Installation, copy: Callable[[], Any], preamble: str = ""
) -> list[Acknowledged]:
    """Copy while 32 clients write; what was acknowledged before the copy began."""
    with (
        serving(installation.path, preamble=preamble) as running,
        writing(running, installation.organization) as work,
    ):
        work.wait_for(10 * WRITERS)
        before = list(work.acknowledged)
        copy()
        work.wait_for(WRITERS)  # and they went on
    return before


def test_a_backup_beside_32_writers_holds_all_that_was_acknowledged_before_it_began(
    installation: Installation,
) -> None:
    said: list[tuple[int, str]] = []
    before = copy_under_writers(installation, lambda: said.append(installation.back_up()))
    assert said[0][0] == 0, said
    assert installation.verify()[0] == 0
    code, restored = installation.restore()
    assert code == 0, restored
    assert EQUAL in installation.check(installation.other)
    assert ends_of(installation.other) == {
        log.organization_id: (log.sequence, log.root) for log in installation.manifest.organizations
    }
    prove(before, log_of(installation.other, installation.organization.id))


@pytest.mark.sqlite
def test_control_a_plain_copy_of_the_file_loses_what_was_acknowledged(
    installation: Installation,
) -> None:
    before = copy_under_writers(
        installation,
        lambda: shutil.copy(installation.path, installation.other),
        preamble=_WITHOUT_CHECKPOINTS,
    )
    with pytest.raises(AssertionError):
        prove(before, log_of(installation.other, installation.organization.id))


@pytest.mark.sqlite
@pytest.mark.parametrize("is_killed", [False, True], ids=["beside a server", "after a kill"])
def test_a_backup_neither_checkpoints_nor_touches_the_files_beside_it(
    installation: Installation, *, is_killed: bool
) -> None:
    with (
        serving(installation.path, preamble=_WITHOUT_CHECKPOINTS) as running,
        client(running.url, installation.organization.editor) as editor,
    ):
        assert editor.post(ASSISTANTS, json={"name": "One"}).status_code == 201
        if is_killed:
            running.process.kill()
            running.process.wait(20)
        files = [Path(f"{installation.path}{end}") for end in ("", "-wal", ".lock")]
        before = [file.read_bytes() for file in files]
        assert before[1]
        assert installation.back_up()[0] == 0
        assert [file.read_bytes() for file in files] == before
    assert installation.manifest.organizations[0].sequence == 1


@pytest.mark.sqlite
def test_a_backup_leaves_the_server_the_room_that_it_needs(installation: Installation) -> None:
    code, said = installation.back_up(BACKSTORY_MIN_FREE_SPACE="999999TiB")
    assert (code, "MiB of free space" in said) == (1, True), said
    assert [*installation.backup.iterdir()] == []
    assert installation.back_up()[0] == 0


# pg_dump with a snapshot of its own, later than the one whose roots the manifest has.
_OTHER_SNAPSHOT = """
from app.storage import server_backups
run = server_backups._run
def _run(command, environment):
    run([one for one in command if not one.startswith("--snapshot")], environment)
server_backups._run = _run
"""


# Without the option that makes all of a restoration one transaction.
_STEP_BY_STEP = """
from app.storage import server_backups
run = server_backups._run
def _run(command, environment):
    run([one for one in command if one != "--single-transaction"], environment)
server_backups._run = _run
"""


@pytest.mark.parametrize(("preamble", "is_guarded"), [("", True), (_STEP_BY_STEP, False)])
def test_a_dump_that_fails_midway_leaves_nothing(
    backed_up: Installation, preamble: str, *, is_guarded: bool
) -> None:
    if on_sqlite():
        pytest.skip("a file takes its place in one step")
    dump = backed_up.backup / backed_up.manifest.file
    whole, kept = dump.read_bytes(), (backed_up.backup / MANIFEST).read_bytes()
    dump.write_bytes(whole[:-2000])
    backed_up.forge()
    code, said = backed_up.restore(preamble)
    assert (code, "pg_restore failed" in said) == (1, True), said
    dump.write_bytes(whole)
    (backed_up.backup / MANIFEST).write_bytes(kept)
    assert (backed_up.restore()[0] == 0) is is_guarded


def test_control_a_dump_of_another_snapshot_is_not_the_manifests(
    installation: Installation,
) -> None:
    if on_sqlite():
        pytest.skip("a file is its own snapshot")
    copy_under_writers(installation, lambda: installation.back_up(_OTHER_SNAPSHOT))
    code, said = installation.restore()
    assert (code, "the log of organization 1 is not the manifest's" in said) == (1, True), said


# -- what it holds


def test_clients_go_on_with_what_was_restored(backed_up: Installation) -> None:
    assert backed_up.restore()[0] == 0
    with (
        serving(backed_up.other, **backed_up.keys) as running,
        client(running.url, backed_up.organization.runtime) as runtime,
        client(running.url, backed_up.organization.editor) as editor,
    ):
        paths = {"paths": ["/api_keys"], "reason": "Call 7"}
        assert SECRET in runtime.post(f"{ASSISTANTS}/1/secrets/reveal", json=paths).text
        assert editor.patch(f"{ASSISTANTS}/1", json={"description": "on"}).json()["version"] == 7
        later = editor.patch(
            f"{ASSISTANTS}/1", json={"description": "lost"}, headers={"if-match": '"99"'}
        )
        assert later.status_code == 412


@pytest.mark.sqlite
def test_keys_stay_out_and_the_manifest_names_them(backed_up: Installation) -> None:
    kept = b"".join(file.read_bytes() for file in backed_up.backup.iterdir())
    for key in backed_up.keys.values():
        assert key.encode() not in kept
        assert base64.b64decode(key) not in kept
    assert SECRET.encode() not in kept
    assert len(backed_up.manifest.master_keys) == 1
    modes = [stat.S_IMODE(file.stat().st_mode) for file in backed_up.backup.iterdir()]
    assert modes == [0o600] * 2


def test_a_restoration_says_whether_the_keys_are_there(backed_up: Installation) -> None:
    (fingerprint,) = backed_up.manifest.master_keys
    assert f"the master key {fingerprint} is configured" in backed_up.restore()[1]
    backed_up.keys["BACKSTORY_MASTER_KEY"] = base64.b64encode(bytes(32)).decode()
    code, said = backed_up.restore(target=empty_database(backed_up.folder / "third.db"))
    assert code == 0
    assert f"the master key {fingerprint} is NOT configured" in said


@pytest.mark.sqlite
def test_a_backup_without_the_keys_says_that_its_manifest_does_not_name_them(
    installation: Installation,
) -> None:
    (installation.folder / "backstory.db.key").unlink()
    code, said = installation.back_up()
    assert code == 0
    assert "2 sealed keys are opened by no configured master key" in said
    assert (installation.manifest.master_keys, installation.manifest.unknown_keys) == ([], 2)


# -- what it refuses


def test_nothing_is_written_over_a_backup(backed_up: Installation) -> None:
    before = (backed_up.backup / MANIFEST).read_bytes()
    code, said = backed_up.back_up()
    assert (code, "holds a backup" in said) == (1, True)
    assert (backed_up.backup / MANIFEST).read_bytes() == before


def test_nothing_is_written_beside_other_files(installation: Installation) -> None:
    installation.backup.mkdir()
    (installation.backup / "notes").write_text("mine")
    code, said = installation.back_up()
    assert (code, "is not empty: it holds notes" in said) == (1, True)
    assert [file.name for file in installation.backup.iterdir()] == ["notes"]


def test_nothing_is_restored_over_a_database(backed_up: Installation) -> None:
    before = ends_of(backed_up.path)
    code, said = backed_up.restore(target=backed_up.path)
    assert (code, "is not empty" in said) == (1, True), said
    assert ends_of(backed_up.path) == before


# The guards of a restoration, switched off.
_OVER_EVERYTHING = """
from app.storage.file_backups import FileBackups
FileBackups._refuse_used = lambda self: None
"""


@pytest.mark.sqlite
def test_control_without_the_guard_a_restoration_replaces_a_database(
    backed_up: Installation,
) -> None:
    (other,) = make_organizations(backed_up.other, 1)
    assert other.id == backed_up.organization.id
    before = ends_of(backed_up.other)
    assert backed_up.restore(_OVER_EVERYTHING)[0] == 0
    assert ends_of(backed_up.other) != before


@pytest.mark.sqlite
def test_nothing_is_restored_beside_the_write_ahead_log_of_another_file(
    backed_up: Installation,
) -> None:
    wal = Path(f"{backed_up.other}-wal")
    wal.write_bytes(b"changes")
    code, said = backed_up.restore()
    assert (code, "is not empty" in said) == (1, True)
    assert not backed_up.other.exists()
    assert wal.read_bytes() == b"changes"


# -- damage


def test_any_flipped_byte_is_found(backed_up: Installation) -> None:
    file = backed_up.backup / backed_up.manifest.file
    whole = file.read_bytes()
    seeded = random.Random(22)
    for _ in range(10):
        place = seeded.randrange(len(whole))
        flipped = whole[place] ^ (1 << seeded.randrange(8))
        file.write_bytes(whole[:place] + bytes((flipped,)) + whole[place + 1 :])
        code, said = backed_up.verify()
        assert (code, "its SHA-256 is another one" in said) == (1, True), place
        assert backed_up.restore()[0] == 1
    file.write_bytes(whole)
    assert backed_up.verify()[0] == 0


@pytest.mark.sqlite
def test_control_without_the_digest_a_flipped_byte_passes(backed_up: Installation) -> None:
    path = backed_up.backup / backed_up.manifest.file
    execute(path, "UPDATE users SET name = 'Eve' WHERE user_id = 1")
    assert backed_up.verify()[0] == 1
    assert backed_up.verify(_WITHOUT_DIGEST)[0] == 0


def truncated(path: Path) -> None:
    execute(path, unguarded("events_are_not_deleted"))
    execute(path, "DELETE FROM events WHERE sequence = (SELECT max(sequence) FROM events)")


def rewritten(path: Path) -> None:
    execute(path, unguarded("events_are_not_updated"))
    execute(path, f"UPDATE events SET body = {edited('body', 'One', 'Two')}")


def view_changed(path: Path) -> None:
    execute(path, "UPDATE assistants SET version = version + 1")


def head_moved(path: Path) -> None:
    execute(path, "UPDATE organizations SET sequence = sequence - 1")


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def undecodable(path: Path) -> None:
    execute(path, unguarded("events_are_not_updated"))
    execute(path, "UPDATE events SET body = X'7B'")


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("forge", "found"),
    [
        (cut, "cannot be read"),
        (undecodable, "not what was hashed"),
        (truncated, "not what was hashed"),
        (rewritten, "not what was hashed"),
        (head_moved, "the log of organization 1 is not the manifest's"),
        (view_changed, "the views differ from the log"),
    ],
)
def test_a_forged_backup_with_its_own_digest_is_found(
    backed_up: Installation, forge: Callable[[Path], None], found: str
) -> None:
    forge(backed_up.backup / backed_up.manifest.file)
    backed_up.forge()
    code, said = backed_up.verify()
    assert (code, found in said) == (1, True), said


@pytest.mark.sqlite
def test_check_names_an_event_that_cannot_be_decoded(backed_up: Installation) -> None:
    undecodable(backed_up.path)
    assert "organization 1, sequence 1\n" in backed_up.check(backed_up.path)


# -- interrupted


def kills(killed: Callable[[str], tuple[int, str]]) -> Iterator[int]:
    """Kill a command at each of its steps in turn, until one run of it meets no kill."""
    for step in range(1, 100):
        code, said = killed(_KILLED_AT.format(step=step))
        if code == 0:
            assert step > 2, "it was never killed"
            return
        assert code == -9, said
        yield step


@pytest.mark.sqlite
def test_a_killed_backup_is_none_or_whole(installation: Installation) -> None:
    installation.live()
    for step in kills(installation.back_up):
        if installation.verify()[0] == 0:
            shutil.rmtree(installation.backup)
        else:
            assert "holds no whole backup" in installation.verify()[1], step
            assert installation.restore()[0] == 1
    assert installation.verify()[0] == 0
    assert len([*installation.backup.iterdir()]) == 2


@pytest.mark.sqlite
def test_a_killed_restoration_is_none_or_whole(backed_up: Installation) -> None:
    for step in kills(backed_up.restore):
        if backed_up.other.exists() and backed_up.other.stat().st_size:
            assert EQUAL in backed_up.check(backed_up.other)
            shutil.rmtree(backed_up.other.parent)
            backed_up.other.parent.mkdir()
        else:
            assert "there is no database" in backed_up.check(backed_up.other), step
    assert EQUAL in backed_up.check(backed_up.other)
    assert {file.name for file in backed_up.other.parent.iterdir()} == {
        "other.db",
        "other.db.lock",
    }


@pytest.mark.sqlite
def test_half_a_copy_is_replaced_by_the_next_backup(installation: Installation) -> None:
    installation.backup.mkdir()
    (installation.backup / "backstory.db.part").write_bytes(b"half")
    assert "holds no whole backup" in installation.verify()[1]
    assert installation.back_up()[0] == 0
    assert installation.verify()[0] == 0


# -- PostgreSQL


@pytest.fixture
def on_server(tmp_path: Path) -> Iterator[Installation]:
    with chosen("postgresql"):
        yield Installation(tmp_path)


def test_without_pg_dump_a_sentence_says_what_is_missing(on_server: Installation) -> None:
    code, said = on_server.back_up(PATH="")
    assert code == 1
    assert re.search(r"pg_dump of PostgreSQL \d+ or newer is needed, and none is on PATH", said), (
        said
    )
    assert "holds no whole backup" in on_server.verify()[1]


def test_an_older_pg_dump_is_not_used(on_server: Installation) -> None:
    tool = on_server.folder / "pg_dump"
    tool.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n")
    tool.chmod(0o700)
    code, said = on_server.back_up(PATH=str(on_server.folder))
    assert (code, f"{tool} is pg_dump (PostgreSQL) 9.6.24" in said) == (1, True), said


def test_a_backup_is_restored_into_the_kind_of_database_it_is_of(tmp_path: Path) -> None:
    with chosen("sqlite"):
        installation = Installation(tmp_path)
        assert installation.back_up()[0] == 0
    with chosen("postgresql"):
        code, said = installation.restore(target=empty_database(tmp_path / "there"))
    assert (code, "a backup of sqlite is restored into sqlite" in said) == (1, True), said
