"""``backstory doctor`` says what is wrong with an installation, a line for each, and what to do."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import Struct

from app.assistants import changes
from app.audit import checkpoints, signing
from app.services import utc_now
from app.transactions.caller import system
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import open_vault
from events.bodies.patch import read_create
from tests.conftest import make_organizations
from tests.databases import chosen, config_of, execute, query, text_of, writing_engine
from tests.end_to_end.processes import FILE, run, serving

KEY = base64.b64encode(bytes(range(32))).decode()
BACKUPS = "backups"


class Examined(Struct, frozen=True):
    """What the command said: each line's state, subject and text."""

    code: int
    lines: list[tuple[str, str, str]]
    err: str

    def of(self, subject: str) -> list[tuple[str, str]]:
        return [(state, text) for state, about, text in self.lines if about == subject]

    @property
    def not_ok(self) -> list[tuple[str, str, str]]:
        return [line for line in self.lines if line[0] != "ok"]


def examine(folder: Path, *arguments: str, **settings: str) -> Examined:
    ended = run(folder, "doctor", "--backups", BACKUPS, *arguments, **settings)
    assert "Traceback" not in ended.stderr
    lines = [tuple(line.split("\t")) for line in ended.stdout.splitlines()]
    assert all(len(line) == 3 for line in lines), ended.stdout
    return Examined(ended.returncode, [(one[0], one[1], one[2]) for one in lines], ended.stderr)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good installation, with a checkpoint and a backup."""
    path = tmp_path / FILE
    make_organizations(path, 1)
    engine = writing_engine(path)
    with engine.begin() as connection:
        config = config_of(path)
        unit = UnitOfWork(connection, open_vault(config), utc_now)
        changes.create(unit, system(1, "tests"), read_create({"name": "Front desk"}))
        unit.flush()
        assert checkpoints.record_checkpoint(signing.open_signer(config), 1, unit)
        unit.flush()
    engine.dispose()
    if path.exists():
        assert run(tmp_path, "backup", "--to", f"{BACKUPS}/first").returncode == 0
    return tmp_path


@pytest.mark.sqlite
def test_a_good_installation_is_ok_in_every_line(folder: Path) -> None:
    examined = examine(folder)
    assert (examined.code, examined.not_ok, examined.err) == (0, [], "")
    subjects = [subject for _, subject, _ in examined.lines]
    assert subjects == [
        "configuration", "database", "disk", "sqlite", "wal", "permissions", "views",
        "master key", "audit key", "clock", "checkpoint", "backup",
    ]  # fmt: skip


@pytest.mark.sqlite
def test_beside_a_running_server_it_names_the_process_that_checkpoints(folder: Path) -> None:
    with serving(folder / FILE) as running:
        examined = examine(folder)
        assert (examined.code, examined.not_ok) == (0, [])
        ((_, text),) = examined.of("wal")
        assert f"backstory serve (process {running.process.pid}) writes and checkpoints" in text


@pytest.mark.sqlite
def test_it_changes_nothing_and_shows_no_key(folder: Path) -> None:
    before = {file: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    ended = run(folder, "doctor", BACKSTORY_MASTER_KEY=before[folder / f"{FILE}.key"].decode())
    assert "BACKSTORY_MASTER_KEY=********" in ended.stdout
    for name in (f"{FILE}.key", f"{FILE}.audit.key"):
        assert before[folder / name].decode().strip() not in ended.stdout
    after = {file: file.read_bytes() for file in before}
    assert after == before


# -- broken installations


def without_database(folder: Path) -> None:
    (folder / FILE).unlink()


def new_folder(folder: Path) -> None:
    for file in folder.glob(f"{FILE}*"):
        file.unlink()


def no_database(folder: Path) -> None:
    (folder / FILE).write_text("notes\n" * 1000)


def older_schema(folder: Path) -> None:
    execute(folder / FILE, "UPDATE alembic_version SET version_num = '0007'")


def newer_schema(folder: Path) -> None:
    execute(folder / FILE, "UPDATE alembic_version SET version_num = '9999'")


def other_master_key(folder: Path) -> None:
    (folder / f"{FILE}.key").write_text(KEY)


def malformed_master_key(folder: Path) -> None:
    (folder / f"{FILE}.key").write_text("too short")


def without_master_key(folder: Path) -> None:
    (folder / f"{FILE}.key").unlink()


def other_audit_key(folder: Path) -> None:
    (folder / f"{FILE}.audit.key").write_text(KEY)


def without_audit_key(folder: Path) -> None:
    (folder / f"{FILE}.audit.key").unlink()


def public_key_file(folder: Path) -> None:
    (folder / f"{FILE}.key").chmod(0o644)


def lost_write_ahead_log(folder: Path) -> None:
    (folder / f"{FILE}-wal").unlink(missing_ok=True)
    (folder / f"{FILE}.lock").write_text('{"pid":1,"command":"backstory serve","needs_log":true}')


def without_backup(folder: Path) -> None:
    shutil.rmtree(folder / BACKUPS / "first")


def cut_backup(folder: Path) -> None:
    os.truncate(folder / BACKUPS / "first" / "backstory.db", 4096)


def backup_of_another(folder: Path) -> None:
    execute(folder / FILE, "UPDATE organizations SET origin = 'another'")


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("break_it", "subject", "said"),
    [
        (without_database, "database", "is missing or empty, but these files are a database's"),
        (new_folder, "database", "'backstory keys create' makes one"),
        (no_database, "database", "file is not a database: restore a backup"),
        (older_schema, "database", "has schema 0007, and this release"),
        (newer_schema, "database", "run the newer release that made it"),
        (other_master_key, "master key", "2 sealed keys are not opened by"),
        (malformed_master_key, "master key", "expected 32 bytes in base64"),
        (without_master_key, "master key", "is missing; put it back"),
        (other_audit_key, "audit key", "another key signed the last checkpoint"),
        (without_audit_key, "audit key", "is missing; put it back"),
        (public_key_file, "permissions", "chmod 600, and rotate it"),
        (lost_write_ahead_log, "database", "-wal is missing"),
        (without_backup, "backup", "holds none of this database"),
        (cut_backup, "backup", "is damaged"),
        (backup_of_another, "backup", "holds none of this database"),
    ],
)
def test_a_broken_installation_is_told(
    folder: Path, break_it: Callable[[Path], None], subject: str, said: str
) -> None:
    break_it(folder)
    before = sorted(file.name for file in folder.iterdir())
    examined = examine(folder)
    assert examined.code == 1
    assert [(state, said in text) for state, text in examined.of(subject)] == [("wrong", True)], (
        examined.lines
    )
    assert examined.err.count("\n") == 1
    assert set(before) >= {file.name for file in folder.iterdir()} - {f"{FILE}-shm", f"{FILE}-wal"}


@pytest.mark.sqlite
def test_each_wrong_value_of_the_configuration_is_a_line(folder: Path) -> None:
    wrong = {"BACKSTORY_PORT": "x", "BACKSTORY_READ_TIMEOUT": "0s", "BACKSTORY_NO_SUCH": "1"}
    examined = examine(folder, **wrong)
    assert examined.code == 1
    told = [text.partition(":")[0] for _, text in examined.of("configuration")]
    assert sorted(told) == sorted(wrong)
    assert [state for state, _ in examined.of("database")] == ["ok"]


@pytest.mark.sqlite
def test_with_an_unusable_address_no_other_database_is_examined(folder: Path) -> None:
    examined = examine(folder, "--database", "x://", BACKSTORY_DATABASE_URL="y://")
    assert examined.code == 1
    assert {subject for _, subject, _ in examined.lines} == {"configuration"}


@pytest.mark.sqlite
def test_too_little_room_is_told(folder: Path) -> None:
    examined = examine(folder, BACKSTORY_MIN_FREE_SPACE="999999TiB")
    assert [state for state, _ in examined.of("disk")] == ["wrong"]


@pytest.mark.sqlite
def test_another_process_that_writes_the_file_is_told(folder: Path) -> None:
    with serving(folder / FILE), (folder / FILE).open("r+b"):
        examined = examine(folder)
        assert examined.code == 1
        ((state, text),) = examined.of("writers")
        assert (state, f"process {os.getpid()} (" in text) == ("wrong", True)


@pytest.mark.sqlite
def test_a_reader_beside_the_server_is_none_that_writes(folder: Path) -> None:
    with serving(folder / FILE), (folder / FILE).open("rb"):
        assert examine(folder).not_ok == []


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("statement", "subject"),
    [
        ("UPDATE organizations SET last_occurred_at = last_occurred_at + 3600000000", "clock"),
        (
            "UPDATE organizations SET checkpoint_at = 0, checkpoint_sequence = sequence - 1",
            "checkpoint",
        ),
        ("UPDATE assistants SET settings_digest = 'other'", "views"),
    ],
)
def test_what_may_do_harm_later_is_a_warning(folder: Path, statement: str, subject: str) -> None:
    execute(folder / FILE, statement)
    examined = examine(folder)
    assert [state for state, _ in examined.of(subject)] == ["warn"], examined.lines


# -- PostgreSQL


def test_a_server_that_could_lose_what_it_answered_is_told(tmp_path: Path) -> None:
    with chosen("postgresql"):
        path = tmp_path / FILE
        make_organizations(path, 1)
        examined = examine(tmp_path, "--database", text_of(path))
        off = [
            name
            for name in ("fsync", "full_page_writes")
            if query(path, f"SHOW {name}") == [("off",)]
        ]
    told = [text.partition(" ")[0] for state, text in examined.of("durability") if state == "wrong"]
    assert told == off
    assert [state for state, _ in examined.of("database")] == ["ok"]


def test_a_server_that_is_away_is_told_without_its_password(tmp_path: Path) -> None:
    url = "postgresql+asyncpg://u:hidden@127.0.0.1:1/x"
    with chosen("sqlite"):
        examined = examine(tmp_path, "--database", url)
    assert examined.code == 1
    ((state, text),) = examined.of("database")
    assert (state, "start it, or correct its URL" in text) == ("wrong", True)
    assert "hidden" not in str(examined)
