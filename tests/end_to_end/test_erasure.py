"""After an erasure, while the server goes on: no byte of its files opens the values.

What is searched for are the ciphertexts, because whoever has the files may have the master key.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from app import main
from app.storage import sqlite
from tests.conftest import ASSISTANTS, make_organizations, serving, serving_process
from tests.databases import contents, copy_database
from tests.end_to_end.processes import EQUAL, run


def backup(database: Path, folder: Path) -> bytes:
    """Every byte of a copy of the database and of its log of writes."""
    folder.mkdir()
    files = [database, database.with_name(database.name + "-wal")]
    for file in files:
        shutil.copy(file, folder / file.name)
    return b"".join((folder / file.name).read_bytes() for file in files)


def column(database: Path, query: str) -> list[bytes]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return [row[0] for row in connection.execute(query)]


pytestmark = pytest.mark.sqlite


@pytest.mark.parametrize("route", [f"{ASSISTANTS}/1/secrets", "/api/v1/vault/secrets"])
def test_a_backup_that_is_taken_after_an_erasure_opens_nothing(tmp_path: Path, route: str) -> None:
    database = tmp_path / "backstory.db"
    (tenant,) = make_organizations(database, 1)
    with serving_process(database, []) as server, server.client(tenant.admin) as admin:
        admin.post(ASSISTANTS, json={"name": "x", "api_keys": {"a": "sk-first"}})
        admin.patch(f"{ASSISTANTS}/1", json={"api_keys": {"a": "sk-second"}})
        ciphertexts = column(database, "SELECT ciphertext FROM sealed_secrets")
        assert len(ciphertexts) == 2
        before = backup(database, tmp_path / "before")
        assert all(ciphertext in before for ciphertext in ciphertexts)  # the control

        assert admin.delete(route).status_code == 200

        after = backup(database, tmp_path / "after")
        assert not any(ciphertext in after for ciphertext in ciphertexts)
        assert admin.get(f"{ASSISTANTS}/1").json()["api_keys"] == {"a": "erased"}


def test_after_a_rotation_of_data_keys_the_old_key_is_gone_too(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    (tenant,) = make_organizations(database, 1)
    with serving_process(database, []) as server, server.client(tenant.admin) as admin:
        admin.post(ASSISTANTS, json={"name": "x", "api_keys": {"a": "sk-first"}})
        wrapped = column(database, "SELECT wrapped FROM vault_keys")
        assert admin.post("/api/v1/vault/rotate", json={"data_keys": True}).status_code == 200
        after = backup(database, tmp_path / "after")
        assert not any(key in after for key in wrapped)
        revealed = admin.post(f"{ASSISTANTS}/1/secrets/reveal", json={"paths": ["/api_keys"]})
        assert revealed.json()["secrets"] == {"/api_keys/a": "sk-first"}


# -- beside a reader of an older snapshot, which keeps the bytes in the files

DOORS = (
    "erase --organization Organization_0 --yes",
    "erase --assistant 1 --yes",
    "vault rotate --data-keys",
    "vault rotate",
    "vault purge",
)
_IMPATIENT = "from app.storage import sqlite\nsqlite._BUSY_SECONDS = 0.02\n"
_UNMARKED = (
    "from app.vault import keys, store\n"
    "keys.mark_for_scrub = store.mark_for_scrub = lambda _: None\n"
)
_DIES = "import os\nfrom app.cli import context\ncontext._scrub = lambda *_: os._exit(9)\n"
_SEALED = "SELECT ciphertext FROM sealed_secrets"
_KEYS = "SELECT wrapped FROM vault_keys"


@contextmanager
def reader(database: Path) -> Iterator[None]:
    """A process that reads, and takes its time."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM events").fetchall()
        yield


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a secret of a living and one of a deleted assistant."""
    database = tmp_path_factory.mktemp("filled") / "backstory.db"
    (tenant,) = make_organizations(database, 1)
    with serving(database, []) as server, server.client(tenant.admin) as admin:
        for name in ("Living", "Deleted"):
            admin.post(ASSISTANTS, json={"name": name, "api_keys": {"a": f"sk-{name}"}})
        assert admin.delete(f"{ASSISTANTS}/2").status_code == 200
    return database


@pytest.fixture
def sealed(filled: Path, tmp_path: Path) -> Path:
    return copy_database(filled, tmp_path / "backstory.db")


def secret_bytes(database: Path) -> set[bytes]:
    return {*column(database, _SEALED), *column(database, _KEYS)}


def remaining(database: Path, before: set[bytes]) -> set[bytes]:
    """What is in no table any more, and still in the files."""
    bytes_of_files = contents(database)
    gone = before - secret_bytes(database)
    assert gone, "nothing was destroyed"
    return {one for one in gone if one in bytes_of_files}


def carry_out(database: Path, door: str, preamble: str = "") -> tuple[int, str, str]:
    words = [word.replace("_", " ") for word in door.split()]
    grace = {"BACKSTORY_SECRET_GRACE": "0s"}
    ended = run(database.parent, *words, preamble=_IMPATIENT + preamble, **grace)
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.parametrize("door", DOORS)
def test_a_command_beside_a_reader_says_what_remains_until_it_is_gone(
    sealed: Path, door: str
) -> None:
    before = secret_bytes(sealed)
    with reader(sealed):
        code, out, err = carry_out(sealed, door)
        assert (code, out) == (1, "")
        assert "its bytes are still in" in err
        assert remaining(sealed, before)
        checked = run(sealed.parent, "check")
        assert (checked.returncode, checked.stdout) == (1, "")
        assert "its bytes are still in" in checked.stderr
    assert run(sealed.parent, "check").returncode == 1  # it does not go by itself
    assert carry_out(sealed, "vault purge")[0] == 0
    assert not remaining(sealed, before)
    assert run(sealed.parent, "check").stdout == EQUAL


@pytest.mark.parametrize("door", DOORS)
def test_control_without_the_mark_a_command_says_that_it_is_done(sealed: Path, door: str) -> None:
    before = secret_bytes(sealed)
    with reader(sealed):
        assert carry_out(sealed, door, _UNMARKED)[0] == 0
        assert remaining(sealed, before)
        assert run(sealed.parent, "check").stdout == EQUAL


def test_what_a_command_that_died_left_in_the_files_is_found_and_removed(sealed: Path) -> None:
    before = secret_bytes(sealed)
    assert carry_out(sealed, "erase --assistant 1 --yes", _DIES)[0] == 9
    assert remaining(sealed, before)
    assert "its bytes are still in" in run(sealed.parent, "check").stderr
    with serving(sealed, []):  # the chores of a server begin with this one
        while remaining(sealed, before):
            pass
    assert run(sealed.parent, "check").stdout == EQUAL


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", f"{ASSISTANTS}/1/secrets"),
        ("DELETE", "/api/v1/vault/secrets"),
        ("POST", "/api/v1/vault/rotate"),
    ],
)
def test_beside_a_reader_an_erasure_is_answered_as_accepted_and_finished_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    monkeypatch.setattr(sqlite, "_BUSY_SECONDS", 0.02)
    monkeypatch.setattr(main, "_SCRUB_SECONDS", 0.05)
    database = tmp_path / "backstory.db"
    (tenant,) = make_organizations(database, 1)
    once = {"idempotency-key": "once"}
    with serving(database, []) as server, server.client(tenant.admin) as admin:
        admin.post(ASSISTANTS, json={"name": "x", "api_keys": {"a": "sk-first"}})
        before = secret_bytes(database)
        with reader(database):
            for _ in range(2):
                answer = admin.request(method, path, headers=once)
                assert answer.status_code == 202
                assert "still in the database's files" in answer.json()["message"]
            assert remaining(database, before)
        while remaining(database, before):
            pass
        replayed = admin.request(method, path, headers=once)
        assert (replayed.status_code, replayed.headers["idempotent-replayed"]) == (200, "true")
