"""The key that signs: where it comes from, what is wrong with it, and its rotation."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import pytest

from app.audit import verify
from tests.databases import (
    on_sqlite,
    text_of,
)
from tests.end_to_end.audit.commands import (
    BIG,
    EXPORT,
    Answers,
    Filled,
    export,
    key_of,
    new_key,
    succeeded,
    until,
    verified,
)
from tests.end_to_end.processes import FILE, Running, client, run, serving
from tests.end_to_end.test_cli import said


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "command",
    [
        f"export --output export --organization {BIG.replace(' ', '_')}",
        "archive --before 2027-01-01 --to archive",
        f"audit key --organization {BIG.replace(' ', '_')}",
        "audit rotate-key",
    ],
)
def test_without_its_key_nothing_is_signed_and_no_key_is_made(
    database: Path, tmp_path: Path, command: str
) -> None:
    database.with_name(f"{FILE}.audit.key").unlink()
    before = set(tmp_path.iterdir())
    ended = run(tmp_path, *(word.replace("_", " ") for word in command.split()))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"the audit key {FILE}.audit.key is missing; put it back" in said(ended)
    made = {path.name for path in set(tmp_path.iterdir()) - before}
    assert made <= {f"{FILE}-shm", f"{FILE}-wal"}  # SQLite's own, also of one who only reads


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "command",
    [
        "export --output export",
        "archive --before 2027-01-01 --to archive",
        "audit key",
        "audit rotate-key",
    ],
)
def test_a_mistyped_database_is_named_and_nothing_is_made(tmp_path: Path, command: str) -> None:
    ended = run(tmp_path, *command.split())
    assert (ended.returncode, ended.stdout) == (1, "")
    assert FILE in said(ended)
    assert list(tmp_path.iterdir()) == []


def test_the_key_can_come_from_a_variable_or_another_file(
    database: Path, answers: Answers, tmp_path: Path
) -> None:
    database.with_name(f"{FILE}.audit.key").unlink()
    key = new_key()
    file = tmp_path / "key"
    file.write_text(f"{key}\n")
    shown = key_of(tmp_path, BACKSTORY_AUDIT_KEY=key)
    assert shown == key_of(tmp_path, BACKSTORY_AUDIT_KEY_FILE=str(file))
    assert json.loads(shown)["origin"] == json.loads(answers.keys)["origin"]
    assert json.loads(shown)["keys"] != json.loads(answers.keys)["keys"]
    assert key not in shown.decode()
    succeeded(export(tmp_path, tmp_path / "export", BACKSTORY_AUDIT_KEY=key))
    text = (tmp_path / "export").read_bytes()
    with pytest.raises(verify.Failed):
        verified(text, answers.keys)
    # The checkpoints in the log were signed by the key that was lost.
    both = json.loads(shown)
    both["keys"] += json.loads(answers.keys)["keys"]
    assert verified(text, json.dumps(both).encode()).signed_by == (both["keys"][0]["key_id"],)


MALFORMED = {
    "too short": base64.b64encode(b"short").decode(),
    "no base64": "k" * 43 + "!",
    "two keys": f"{new_key()} {new_key()}",
    "a retired one that is none": f"{new_key()} retired:{'k' * 20}",
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_key_is_one_line_that_does_not_repeat_it(
    server: Running, tmp_path: Path, text: str
) -> None:
    settings = {"BACKSTORY_AUDIT_KEY": text, "BACKSTORY_DATABASE_URL": text_of(server.database)}
    ended = run(tmp_path, "audit", "key", "--organization", BIG, **settings)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "BACKSTORY_AUDIT_KEY" in said(ended)
    for word in text.split():
        assert word.removeprefix("retired:") not in ended.stderr


@pytest.mark.sqlite
@pytest.mark.parametrize("command", ["audit key --organization", "audit rotate-key"])
def test_a_key_file_that_is_no_text_is_one_line(
    database: Path, tmp_path: Path, command: str
) -> None:
    file = database.with_name(f"{FILE}.audit.key")
    file.write_bytes(b"\xff\xfe" * 16)
    more = (BIG,) if "--organization" in command else ()
    ended = run(tmp_path, *command.split(), *more)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert file.name in said(ended)
    assert file.read_bytes() == b"\xff\xfe" * 16


def test_after_a_rotation_old_checkpoints_hold_and_new_exports_are_signed_anew(
    database: Path, answers: Answers, filled: Filled, tmp_path: Path
) -> None:
    file = database.with_name(f"{FILE}.audit.key")
    before = file.read_text().strip()
    rotated = succeeded(run(tmp_path, "audit", "rotate-key"))
    assert rotated.stdout == f"new key in {file.name if on_sqlite() else file}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert before not in file.read_text()
    assert list(tmp_path.glob("*.new")) == []
    keys = key_of(tmp_path)
    new, old = json.loads(keys)["keys"]
    assert (new["current"], old["current"]) == (True, False)
    assert old["key_id"] == json.loads(answers.keys)["keys"][0]["key_id"]
    assert verified(answers.formats["ndjson"], keys).signed_by == (old["key_id"],)
    output = tmp_path / "export"
    succeeded(export(tmp_path, output, *until(filled)))
    assert verified(output.read_bytes(), keys).signed_by == (new["key_id"],)
    with pytest.raises(verify.Failed, match="no known key"):  # whoever has the old keys
        verified(output.read_bytes(), answers.keys)
    # A file whose closing line the old key signed is continued.
    output.write_bytes(answers.formats["ndjson"])
    succeeded(export(tmp_path, output))
    assert output.read_bytes().startswith(answers.formats["ndjson"])
    assert verified(output.read_bytes(), keys).signed_by == (new["key_id"],)


def test_a_second_rotation_keeps_both_old_keys_and_a_server_starts_with_them(
    database: Path, filled: Filled, answers: Answers, tmp_path: Path
) -> None:
    file = tmp_path / "elsewhere"
    shutil.copy(database.with_name(f"{FILE}.audit.key"), file)
    kept = database.with_name(f"{FILE}.audit.key").read_bytes()
    setting = {"BACKSTORY_AUDIT_KEY_FILE": str(file)}
    for _ in range(2):
        rotated = succeeded(run(tmp_path, "audit", "rotate-key", **setting))
        assert rotated.stdout == f"new key in {file}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert database.with_name(f"{FILE}.audit.key").read_bytes() == kept
    with serving(database, **setting) as running, client(running.url, filled.big.admin) as admin:
        keys = admin.get("/api/v1/audit/key").content
        assert [key["current"] for key in json.loads(keys)["keys"]] == [True, False, False]
        assert verified(answers.formats["ndjson"], keys).events == filled.last
        assert verified(admin.get(EXPORT).content, keys).events == filled.last


@pytest.mark.sqlite
def test_a_key_is_not_rotated_while_a_server_runs(server: Running) -> None:
    file = server.database.with_name(f"{FILE}.audit.key")
    before = file.read_bytes()
    ended = run(server.database.parent, "audit", "rotate-key")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"is held by process {server.process.pid} (backstory serve); stop it" in said(ended)
    assert file.read_bytes() == before


@pytest.mark.usefixtures("database")
def test_a_key_in_a_variable_cannot_be_rotated(tmp_path: Path) -> None:
    key = new_key()
    ended = run(tmp_path, "audit", "rotate-key", BACKSTORY_AUDIT_KEY=key)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "BACKSTORY_AUDIT_KEY: put the key into a file" in said(ended)
    assert key not in ended.stderr
