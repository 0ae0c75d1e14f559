"""One process writes a database file, by whatever name, and only one that is all there.

A second server would take the file for its own: what one of them answers as done, the other
overwrites, and a key that one revokes, the other accepts.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.storage import database_file, file_checks
from app.storage.lock_file import DatabaseHeld, FileRefused
from tests.conftest import ASSISTANTS, Organization, make_organizations
from tests.conftest import serving as served
from tests.databases import copy_database, text_of
from tests.end_to_end.processes import EQUAL, FILE, client, run, serving

pytestmark = pytest.mark.sqlite

CREATE = "keys create --organization Acme --role admin"
_UNGUARDED = """
import errno
import fcntl
from app.storage import file_checks
fcntl.flock = lambda *_: None
file_checks.refuse_second_names = lambda *_: None
"""


def said(ended: subprocess.CompletedProcess[str]) -> str:
    """The one line with which a command says why it failed."""
    assert (ended.returncode, ended.stdout) == (1, ""), ended
    (line,) = ended.stderr.splitlines()
    assert line.startswith("backstory: ")
    return line


def keys_of(database: Path) -> dict[str, str]:
    """The keys as variables: they lie beside the first name only."""
    ends = {"BACKSTORY_MASTER_KEY": ".key", "BACKSTORY_AUDIT_KEY": ".audit.key"}
    return {name: Path(f"{database}{end}").read_text().strip() for name, end in ends.items()}


# -- other names


@contextmanager
def mounted(what: Path, place: Path) -> Iterator[None]:
    done = subprocess.run(["mount", "--bind", what, place], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"may not mount: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


@contextmanager
def same_name(database: Path, _: Path) -> Iterator[Path]:
    yield database


@contextmanager
def hard_link(database: Path, place: Path) -> Iterator[Path]:
    (place / "hard.db").hardlink_to(database)
    yield place / "hard.db"
    (place / "hard.db").unlink()


@contextmanager
def symbolic_link(database: Path, place: Path) -> Iterator[Path]:
    (place / "soft.db").symlink_to(database)
    yield place / "soft.db"


@contextmanager
def linked_folder(database: Path, place: Path) -> Iterator[Path]:
    (place / "folder").symlink_to(database.parent, target_is_directory=True)
    yield place / "folder" / database.name


@contextmanager
def mounted_folder(database: Path, place: Path) -> Iterator[Path]:
    (place / "folder").mkdir()
    with mounted(database.parent, place / "folder"):
        yield place / "folder" / database.name


@contextmanager
def mounted_file(database: Path, place: Path) -> Iterator[Path]:
    (place / "file.db").touch()
    with mounted(database, place / "file.db"):
        yield place / "file.db"


NAMES = (same_name, hard_link, symbolic_link, linked_folder, mounted_folder, mounted_file)
Name = Callable[[Path, Path], AbstractContextManager[Path]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Organization]:
    database = tmp_path_factory.mktemp("made") / FILE
    return database, make_organizations(database, 1)[0]


@pytest.fixture
def database(made: tuple[Path, Organization], tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    return copy_database(made[0], tmp_path / "own" / FILE)


@pytest.fixture(scope="module")
def held(
    made: tuple[Path, Organization], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, str]]:
    """A file that a server holds, and the server's address."""
    database = copy_database(made[0], tmp_path_factory.mktemp("held") / FILE)
    with serving(database) as running:
        yield database, running.url


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("has_lock_file", [True, False])
def test_a_second_writer_is_refused_by_whatever_name_it_calls_the_file(
    made: tuple[Path, Organization],
    held: tuple[Path, str],
    tmp_path: Path,
    name: Name,
    *,
    has_lock_file: bool,
) -> None:
    database, url = held
    if not has_lock_file:
        Path(f"{database}.lock").unlink(missing_ok=True)
    with name(database, tmp_path) as other:
        for command in ("serve --port 0", CREATE):
            arguments = (*command.split(), "--database", text_of(other))
            assert "is held by" in said(run(tmp_path, *arguments, **keys_of(database)))
    with client(url, made[1].admin) as admin:  # and the first one goes on
        assert admin.post(ASSISTANTS, json={"name": "Front desk"}).status_code == 201


@pytest.mark.parametrize("is_guarded", [True, False])
def test_control_without_the_lock_a_command_writes_what_another_process_holds(
    database: Path, tmp_path: Path, *, is_guarded: bool
) -> None:
    with hard_link(database, tmp_path) as other:
        file = os.open(database, os.O_RDONLY)
        fcntl.flock(file, fcntl.LOCK_EX)
        arguments = (*CREATE.split(), "--database", text_of(other))
        preamble = "" if is_guarded else _UNGUARDED
        ended = run(tmp_path, *arguments, preamble=preamble, **keys_of(database))
        os.close(file)
    assert ended.returncode == (1 if is_guarded else 0), ended.stderr


@pytest.mark.long
def test_control_without_the_lock_two_servers_write_one_file_and_lose_what_they_acknowledged(
    made: tuple[Path, Organization], database: Path, tmp_path: Path
) -> None:
    """``pytest -m long -k two_servers_write_one_file``."""
    each = 40
    with hard_link(database, tmp_path) as other, ExitStack() as stack:
        keys = keys_of(database)
        running = [
            stack.enter_context(serving(one, preamble=_UNGUARDED, **keys))
            for one in (database, other)
        ]
        admins = [stack.enter_context(client(one.url, made[1].admin)) for one in running]
        answers = [
            admin.post(ASSISTANTS, json={"name": f"Line {number}"})
            for number in range(each)
            for admin in admins
        ]
        acknowledged = sum(answer.status_code == 201 for answer in answers)
        for one in running:
            one.process.terminate()
            one.process.wait(20)
    with closing(sqlite3.connect(database)) as connection:
        try:
            ((kept,),) = connection.execute("SELECT count(*) FROM assistants").fetchall()
        except sqlite3.DatabaseError:
            kept = 0
    assert acknowledged == 2 * each
    assert kept < acknowledged


@pytest.mark.parametrize(("name", "why"), [(hard_link, "hard links"), (mounted_file, "mounted")])
def test_a_file_with_two_names_is_refused_though_nobody_holds_it(
    database: Path, tmp_path: Path, name: Name, why: str
) -> None:
    with name(database, tmp_path) as other:
        for one in {database, other} if name is hard_link else {other}:
            for command in ("serve --port 0", "check"):
                arguments = (*command.split(), "--database", text_of(one))
                assert why in said(run(tmp_path, *arguments, **keys_of(database)))


def test_control_a_file_with_one_name_is_served(database: Path) -> None:
    with serving(database) as running:
        assert httpx.get(f"{running.url}/ready").status_code == 200


# -- a file that is removed or replaced beneath a server


def remove(database: Path) -> None:
    database.unlink()


def replace(database: Path) -> None:
    shutil.copy(database, database.with_name("other"))
    os.replace(database.with_name("other"), database)  # noqa: PTH105  # as a restored backup is


def remove_log(database: Path) -> None:
    Path(f"{database}-wal").unlink()


@pytest.mark.parametrize("damage", [remove, replace, remove_log])
@pytest.mark.parametrize("is_guarded", [True, False])
def test_what_goes_to_a_file_that_is_not_in_its_place_is_not_acknowledged(
    made: tuple[Path, Organization],
    database: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], None],
    *,
    is_guarded: bool,
) -> None:
    if not is_guarded:
        monkeypatch.setattr(database_file, "displaced", lambda _: None)
    with served(database, []) as server, server.client(made[1].admin) as admin:
        assert admin.post(ASSISTANTS, json={"name": "Before"}).status_code == 201
        damage(database)
        answer = admin.post(ASSISTANTS, json={"name": "After"})
        assert answer.status_code == (503 if is_guarded else 201)
        assert admin.get("/ready").status_code == (503 if is_guarded else 200)


# -- a file that is not all there


@pytest.fixture(scope="module")
def killed(made: tuple[Path, Organization], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As when the machine loses its power: what was written last is in the log of writes alone."""
    database = copy_database(made[0], tmp_path_factory.mktemp("killed") / FILE)
    with serving(database) as running:
        with client(running.url, made[1].admin) as admin:
            assert admin.post(ASSISTANTS, json={"name": "Front desk"}).status_code == 201
        running.process.kill()
        running.process.wait()
    assert Path(f"{database}-wal").stat().st_size
    return database.parent


@pytest.fixture
def cut_short(killed: Path, tmp_path: Path) -> Path:
    """A copy of every file that the killed server left."""
    shutil.copytree(killed, tmp_path / "killed")
    return tmp_path / "killed" / FILE


def empty(database: Path) -> None:
    database.write_bytes(b"")


def never_begun(database: Path) -> None:
    """What is left of a database all of which was in its log of writes."""
    database.unlink()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    database.chmod(0o600)  # so that one sentence is all that is said


def emptied_without_keys(database: Path) -> None:
    """The log of writes is there, but not the file."""
    empty(database)
    for end in (".key", ".audit.key", ".lock"):
        Path(f"{database}{end}").unlink(missing_ok=True)


def without_log(database: Path) -> None:
    Path(f"{database}-wal").unlink()


def without_log_and_index(database: Path) -> None:
    without_log(database)
    Path(f"{database}-shm").unlink()


def without_log_and_lock(database: Path) -> None:
    without_log(database)
    Path(f"{database}.lock").unlink()


def newer(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")


def junk_lock(database: Path) -> None:
    Path(f"{database}.lock").write_bytes(b"\xff{]\x00\n" * 100)


AT_REST = {empty: "missing or empty", remove: "missing or empty", never_begun: "missing or empty"}
AT_REST |= {newer: "'9999', which this release does not know", junk_lock: "did not write"}
KILLED = {emptied_without_keys: "missing or empty", empty: "missing or empty"}
KILLED |= dict.fromkeys((without_log, without_log_and_index, without_log_and_lock), "-wal is miss")
CASES = [(False, *one) for one in AT_REST.items()] + [(True, *one) for one in KILLED.items()]


def every_file(database: Path) -> dict[str, bytes]:
    """All that is in the folder; but for who held it last, and what readers leave."""
    files = {file.name: file.read_bytes() for file in database.parent.iterdir()}
    return {
        name: text for name, text in files.items() if text and not name.endswith((".lock", "-shm"))
    }


@pytest.mark.parametrize(("is_killed", "damage", "why"), CASES)
def test_a_database_that_is_not_all_there_is_one_sentence_and_never_a_new_one(
    request: pytest.FixtureRequest, damage: Callable[[Path], None], why: str, *, is_killed: bool
) -> None:
    database: Path = request.getfixturevalue("cut_short" if is_killed else "database")
    damage(database)
    before = every_file(database)
    readers = () if damage is junk_lock else ("check",)  # what only reads needs no lock
    for command in ("serve --port 0", CREATE, "migrate", *readers):
        line = said(run(database.parent, *command.split()))
        assert why in line or "there is no database" in line, (command, line)
    assert every_file(database) == before


@pytest.mark.parametrize("kind", ["database", "cut_short"])
def test_control_a_database_that_is_all_there_is_opened(
    request: pytest.FixtureRequest, kind: str
) -> None:
    folder = request.getfixturevalue(kind).parent
    assert run(folder, "check").stdout == EQUAL
    assert run(folder, *CREATE.split()).returncode == 0
    assert run(folder, "check").stdout == EQUAL


def test_who_accepts_the_loss_of_a_log_of_writes_goes_on_without_it(cut_short: Path) -> None:
    without_log(cut_short)
    refusal = said(run(cut_short.parent, "check"))
    lock, index = (Path(f"{cut_short}{end}") for end in (".lock", "-shm"))
    assert f"restored {FILE} from a backup, remove {lock} and {index}" in refusal
    lock.unlink()
    index.unlink()
    assert run(cut_short.parent, "check").stdout == EQUAL


def test_a_log_that_a_reader_kept_after_a_clean_end_is_still_needed(
    database: Path,
) -> None:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchall()
        assert run(database.parent, *CREATE.split()).returncode == 0
    assert Path(f"{database}-wal").stat().st_size
    copy = copy_database(database, database.with_name("copy.db"))
    shutil.copy(f"{database}.lock", f"{copy}.lock")
    assert run(database.parent, "check").stdout == EQUAL
    without_log(copy)
    assert "is missing" in said(run(database.parent, "check", "--database", text_of(copy)))


@settings(max_examples=25)
@given(st.one_of(st.binary(max_size=300), st.text(max_size=100).map(str.encode)))
def test_whatever_stands_in_a_lock_file_it_is_taken_or_refused_with_a_sentence(text: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, FILE)
        Path(f"{path}.lock").write_bytes(text)
        try:
            with database_file.hold(path, "tests", make=True):
                Path(f"{path}.lock").write_bytes(text)
                with pytest.raises(DatabaseHeld), database_file.hold(path, "tests"):
                    pass
        except FileRefused as refusal:
            assert "did not write" in str(refusal)  # noqa: PT017  # either way is right


def test_a_command_that_a_lock_file_names_is_printed_as_one_line(
    made: tuple[Path, Organization], held: tuple[Path, str], tmp_path: Path
) -> None:
    database, url = held
    with client(url, made[1].admin) as admin:  # after its first write it says nothing more
        assert admin.post(ASSISTANTS, json={"name": "Front desk"}).status_code == 201
    forged = r'{"pid": 1, "command": "x)\nbackstory: all is well\u001b[2J"}'
    Path(f"{database}.lock").write_text(forged)
    refusal = said(run(tmp_path, "serve", "--port", "0", "--database", text_of(database)))
    assert r"process 1 (x)\nbackstory: all is well\x1b[2J)" in refusal


# -- the modes of files

_UMASK = "import os\nos.umask(0o022)\n"


def test_every_file_that_a_command_makes_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        key = run(tmp_path, *CREATE.split(), preamble=_UMASK).stdout.strip()
        with (
            serving(tmp_path / FILE, BACKSTORY_CHECKPOINT_DIR=str(tmp_path / "checkpoints"),
                    BACKSTORY_CHECKPOINT_INTERVAL="0s") as running,
            client(running.url, key) as admin,
        ):  # fmt: skip
            assert admin.post(ASSISTANTS, json={"name": "Front desk"}).status_code == 201
            while not list(tmp_path.glob("checkpoints/*.checkpoint")):
                assert admin.get("/ready").status_code == 200
            assert_private(tmp_path)
        for command in (
            "export --output log.ndjson",
            "archive --before 2999-01-01 --to archive",
            "audit rotate-key",
            f"copy --from {text_of(tmp_path / FILE)} --to {text_of(tmp_path / 'copy.db')}",
            f"migrate --database {text_of(tmp_path / 'new.db')}",
        ):
            ended = run(tmp_path, *command.split(), preamble=_UMASK)
            assert ended.returncode == 0, ended.stderr
        assert_private(tmp_path)
        assert len([*tmp_path.rglob("*")]) > 15
        open_to_all = (
            f"{_UMASK}from app.storage import private_files\nprivate_files._FILE = 0o644\n"
        )
        run(tmp_path, *["export", "--output", "all.ndjson"], preamble=open_to_all)
        with pytest.raises(AssertionError):  # the control
            assert_private(tmp_path)
    finally:
        os.umask(before)


def assert_private(folder: Path) -> None:
    made = (file for file in folder.rglob("*") if file.is_file() and file != folder / "log")
    assert {
        str(file): oct(file.stat().st_mode & 0o777) for file in made if file.stat().st_mode & 0o077
    } == {}


# -- a file that is restored beside the log of writes of a later one


def restored_beside_a_later_log(made: Path, folder: Path, later: str) -> Path:
    """An older copy of a database, with the log of writes that the original left when killed."""
    database = copy_database(made, folder / FILE)
    old = database.read_bytes()
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute(later)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("CREATE TABLE made_last (x)")
        log = Path(f"{database}-wal").read_bytes()
    database.write_bytes(old)
    for end in ("-wal", "-shm"):
        Path(f"{database}{end}").unlink(missing_ok=True)
    Path(f"{database}-wal").write_bytes(log)
    return database


_COUNT = "SELECT * FROM (WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 500)"
_LATER = f"CREATE TABLE filler AS {_COUNT} SELECT x, randomblob(2000) AS y FROM n)"


@pytest.mark.parametrize("is_guarded", [True, False])
def test_a_file_restored_beside_a_later_log_of_writes_is_refused_and_left_as_it_is(
    made: tuple[Path, Organization],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_guarded: bool,
) -> None:
    database = restored_beside_a_later_log(made[0], tmp_path, _LATER)
    before = every_file(database)
    if not is_guarded:
        monkeypatch.setattr(file_checks, "refuse_other_wal", lambda _: None)
        with database_file.hold(database, "tests"):
            return
    with pytest.raises(FileRefused) as refusal, database_file.hold(database, "tests"):
        pass
    log, index = (Path(f"{database}{end}") for end in ("-wal", "-shm"))
    assert f"restored {FILE} from a backup, move {log} and {index} away" in str(refusal.value)
    assert every_file(database) == before
    log.unlink()
    index.unlink(missing_ok=True)
    with database_file.hold(database, "tests"):  # as the sentence says
        pass


def test_a_log_of_changes_that_ends_elsewhere_than_the_organization_says_is_refused(
    cut_short: Path,
) -> None:
    with database_file.hold(cut_short, "tests"):  # the control
        pass
    with closing(sqlite3.connect(cut_short)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        with connection:
            connection.execute("UPDATE organizations SET sequence = sequence + 1")
        with (
            pytest.raises(FileRefused, match="ends elsewhere"),
            database_file.hold(cut_short, "tests"),
        ):
            pass


def test_a_disk_that_is_full_takes_nothing_from_the_lock_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / FILE

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with database_file.hold(path, "tests", make=True):
        before = Path(f"{path}.lock").read_bytes()
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", full)
            with pytest.raises(OSError, match="No space"):
                database_file.opened_for_writing(path)
        assert Path(f"{path}.lock").read_bytes() == before != b""


def test_a_database_of_an_earlier_release_becomes_its_owners_alone(
    database: Path, tmp_path: Path
) -> None:
    database.chmod(0o644)
    ended = run(tmp_path, *CREATE.split(), "--database", text_of(database))
    assert (ended.returncode, len(ended.stdout.split())) == (0, 1)  # the key, and nothing else
    assert ended.stderr.count("database_made_private") == 1
    assert_private(database.parent)


def test_the_log_of_writes_of_an_earlier_release_becomes_its_owners_alone(cut_short: Path) -> None:
    for end in ("", "-wal", "-shm"):
        Path(f"{cut_short}{end}").chmod(0o644)
    with serving(cut_short):
        assert_private(cut_short.parent)
