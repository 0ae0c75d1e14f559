"""``export``, ``archive`` and ``audit`` as an operator runs them, beside a server and without.

Databases, the bytes that a server answers, and archives are made once and copied.
"""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import json
import random
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from msgspec import Struct
from pyarrow import parquet

from app.assistants import changes
from app.assistants.requests import ChangeRequest
from app.audit import verify
from app.cli.main import cli
from app.services import open_services
from app.transactions.caller import Caller
from app.transactions.unit_of_work import UnitOfWork
from events.bodies.patch import SettingsPatch, read_create, read_patch
from events.changed import Actor, Cause
from events.tables import organizations
from tests.conftest import ASSISTANTS, Organization, make_organizations
from tests.databases import (
    config_of,
    copy_database,
    execute,
    on_sqlite,
    query,
    text_of,
    writing_engine,
)
from tests.end_to_end.processes import FILE, Running, client, run, serving, start
from tests.end_to_end.test_cli import said

LINES = ("ndjson", "csv", "cloudevents", "ocsf")
FORMATS = (*LINES, "json", "parquet")
EXPORT = "/api/v1/audit/export"
BIG, SMALL = "Organization 0", "Organization 1"
DAYS = 4
REASONS = (
    None,
    "Calmer",
    'two lines,\nsaid "Émile"\r\n1,2026-01-01,not a row\r\nthe end',
    "=1+1",
)


# -- a database with history


class Filled(Struct, frozen=True):
    """A folder whose database holds two logs: one of four days and many events, one of two."""

    folder: Path
    big: Organization
    last: int  # the last sequence of the big one

    def copy(self, folder: Path) -> Path:
        return copy_database(self.folder / FILE, folder / FILE)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    folder = tmp_path_factory.mktemp("filled")
    database = folder / FILE
    big, small = make_organizations(database, 2)
    engine = writing_engine(database)
    with engine.begin() as connection:  # the tests' own time begins before they were made
        past = {"last_occurred_at": 0, "checkpoint_at": 0}
        connection.execute(sa.update(organizations).values(past))
    engine.dispose()
    asyncio.run(_fill(database, big.id, small.id))
    ((last,),) = query(database, "SELECT sequence FROM organizations WHERE organization_id = 1")
    return Filled(folder, big, last)


async def _fill(database: Path, big: int, small: int) -> None:
    now = datetime(2026, 1, 1, 8, tzinfo=UTC)

    def clock() -> datetime:
        nonlocal now
        now += timedelta(seconds=1)
        return now

    ada = Actor(type="api_key", id=1, name="admin key", user_id=1)
    emile = Actor(type="user", id=2, name="Émile", user_id=2)
    async with open_services(config_of(database), clock) as made_of:
        for day in range(DAYS):
            now = datetime(2026, 1, 1 + day, 8, tzinfo=UTC)
            caller = Caller(organization_id=big, actor=(ada, emile)[day % 2])
            named = read_create({"name": f"Line {day}"})
            one = await made_of.writer.write(big, partial(_create, caller, named))
            for number, reason in enumerate(REASONS * 2):
                body = {
                    "description": f"day {day}\nnumber {number}",
                    "llm_settings": {"temperature": number / 10},
                    "change_description": reason,
                }
                wish = ChangeRequest(caller=caller, assistant_id=one)
                await made_of.writer.write(big, partial(_change, wish, read_patch(body)))
            await made_of.audit.keep_checkpoints(timedelta(), None)
        now = datetime(2026, 1, 3, tzinfo=UTC)
        caller = Caller(organization_id=small, actor=ada)
        for name in ("One", "Two"):
            await made_of.writer.write(small, partial(_create, caller, read_create({"name": name})))


def _create(caller: Caller, patch: SettingsPatch, unit: UnitOfWork) -> int:
    return changes.create(unit, caller, patch).id


def _change(wish: ChangeRequest, patch: SettingsPatch, unit: UnitOfWork) -> None:
    changes.change(unit, wish, patch, Cause(type="patch"))


@pytest.fixture
def database(filled: Filled, tmp_path: Path) -> Path:
    return filled.copy(tmp_path)


@pytest.fixture(scope="module")
def server(filled: Filled, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that holds a copy."""
    with serving(filled.copy(tmp_path_factory.mktemp("held"))) as running:
        yield running


# Flags, and the same as a query.
FILTERS: dict[str, tuple[str, str, str]] = {
    "everything": ("ndjson", "", ""),
    "a moment": ("csv", "--until 2026-01-02T08:00:05Z", "until=2026-01-02T08:00:05Z"),
    "days": (
        "json",
        "--since 2026-01-02T00:00:00Z --until 2026-01-03T00:00:00+00:00",
        "since=2026-01-02T00:00:00Z&until=2026-01-03T00:00:00%2B00:00",
    ),
    "an assistant": ("cloudevents", "--assistant 2", "assistant_id=2"),
    "an actor": ("ocsf", "--actor user:2", "actor=user:2"),
    "a type": (
        "ndjson",
        "--event-type assistant_settings_changed --path /llm_settings",
        "event_type=assistant_settings_changed&path=/llm_settings",
    ),
    "a part": ("csv", "--assistant 2 --actor Émile", "assistant_id=2&actor=Émile"),
}


class Answers(Struct, frozen=True):
    """What a server answers for all formats, and for all filters, up to the last sequence."""

    formats: dict[str, bytes]
    filters: dict[str, bytes]
    part: bytes  # what follows sequence 9
    keys: bytes
    checkpoint: bytes


@pytest.fixture(scope="module")
def answers(server: Running, filled: Filled) -> Answers:
    with client(server.url, filled.big.admin) as admin:

        def get(name: str, more: str = "") -> bytes:
            answer = admin.get(f"{EXPORT}?format={name}&until_sequence={filled.last}&{more}")
            assert answer.status_code == 200, answer.text
            return answer.content

        return Answers(
            formats={name: get(name) for name in FORMATS},
            filters={key: get(name, sent) for key, (name, _, sent) in FILTERS.items()},
            part=get("ndjson", "after=9"),
            keys=admin.get("/api/v1/audit/key").content,
            checkpoint=admin.get("/api/v1/audit/checkpoint").content,
        )


# -- running


Ended = subprocess.CompletedProcess[str]


def export(folder: Path, output: Path, *flags: str, **settings: str) -> Ended:
    """Export the big log of the folder's database."""
    whose = () if "--organization" in flags else ("--organization", BIG)
    return run(folder, "export", *whose, "--output", str(output), *flags, **settings)


def until(filled: Filled, *flags: str) -> tuple[str, ...]:
    return ("--until-sequence", str(filled.last), *flags)


def succeeded(ended: Ended) -> Ended:
    assert ended.returncode == 0, ended.stderr
    return ended


def events_of(database: Path, organization_id: int = 1) -> list[dict[str, Any]]:
    rows = query(
        database, f"SELECT body FROM events WHERE organization_id = {organization_id} ORDER BY 1"
    )
    return sorted((json.loads(body) for (body,) in rows), key=lambda event: event["sequence"])


def verified(text: bytes, keys: bytes) -> verify.Verified:
    """What the verifier proves of an export, in this process."""
    return verify.verify(text.splitlines(keepends=True), verify.read_keys(keys))


_MODULES = "from app.audit import archive\nfrom app.cli import audit as cli_audit"


def unguarded(folder: Path, guard: str, *arguments: str) -> Ended:
    """Run a command with one of its guards off."""
    return run(folder, *arguments, preamble=f"{_MODULES}\n{guard}")


# -- export writes what the server answers


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_beside_a_server_holds_the_bytes_of_its_answer(
    server: Running, answers: Answers, filled: Filled, tmp_path: Path, name: str
) -> None:
    output = tmp_path / "export"
    ended = export(server.database.parent, output, *until(filled, "--format", name))
    assert (ended.returncode, ended.stdout) == (0, f"{output}: up to sequence {filled.last}\n")
    assert output.read_bytes() == answers.formats[name]


@pytest.mark.parametrize("key", FILTERS)
def test_an_export_without_a_server_holds_the_bytes_that_a_server_would_answer(
    database: Path, answers: Answers, filled: Filled, key: str
) -> None:
    name, flags, _ = FILTERS[key]
    output = database.with_name("export")
    given = until(filled, "--format", name, *flags.split())
    succeeded(export(database.parent, output, *given))
    assert output.read_bytes() == answers.filters[key]


def test_the_answers_differ_by_their_filters(answers: Answers) -> None:
    """Else the comparisons above would show nothing."""
    assert len({*answers.filters.values()}) == len(FILTERS)
    assert all(answers.filters.values())


def test_a_table_has_its_header_whatever_its_filter(database: Path, filled: Filled) -> None:
    output = database.with_name("export.csv")
    flags = until(filled, "--format", "csv", "--since", "2026-01-03T00:00:00Z")
    succeeded(export(database.parent, output, *flags))
    assert output.read_bytes().startswith(b"sequence,time,")


def test_an_export_of_one_organization_of_several_must_name_it(server: Running) -> None:
    folder = server.database.parent
    unnamed = run(folder, "export", "--output", "export")
    assert (unnamed.returncode, said(unnamed)) == (1, "backstory: name the --organization")
    unknown = export(folder, folder / "export", "--organization", "Nobody")
    assert (unknown.returncode, said(unknown)) == (1, "backstory: there is no organization Nobody")
    assert not (folder / "export").exists()


# -- a file that was cut


def cuts_of(name: str, whole: bytes) -> list[int]:
    """Five places: three anywhere, one where a line ends, one that is special to the format."""
    chosen = random.Random(name)
    ends = [at + 1 for at, byte in enumerate(whole) if byte == ord("\n")]
    special = {
        "ndjson": len(whole),  # after the closing line
        "csv": whole.rfind(b"not a row\r\n") + 11,  # in a cell, after its last newline
        "cloudevents": 0,
        "ocsf": 5,  # in the first line
    }
    return [*chosen.sample(range(len(whole)), 3), chosen.choice(ends[:-1]), special[name]]


@pytest.mark.parametrize("name", LINES)
def test_a_file_that_was_cut_is_continued_to_the_same_bytes(
    server: Running, answers: Answers, filled: Filled, tmp_path: Path, name: str
) -> None:
    whole = answers.formats[name]
    cuts = cuts_of(name, whole)
    files = [tmp_path / f"cut-at-{cut}" for cut in cuts]
    for file, cut in zip(files, cuts, strict=True):
        file.write_bytes(whole[:cut])
    flags = until(filled, "--format", name)
    for file in files:
        ended = succeeded(export(server.database.parent, file, *flags))
        assert ended.stdout == f"{file}: up to sequence {filled.last}\n"
        assert file.read_bytes() == whole, file.name


def test_a_file_with_a_filter_that_was_cut_is_continued_to_the_same_bytes(
    server: Running, answers: Answers, filled: Filled, tmp_path: Path
) -> None:
    for key in ("a type", "a part"):
        name, flags, _ = FILTERS[key]
        whole = answers.filters[key]
        file = tmp_path / name
        file.write_bytes(whole[: len(whole) // 2])
        given = until(filled, "--format", name, *flags.split())
        succeeded(export(server.database.parent, file, *given))
        assert file.read_bytes() == whole


@pytest.mark.parametrize("name", ["json", "parquet"])
def test_one_document_that_was_cut_starts_over(
    server: Running, answers: Answers, filled: Filled, tmp_path: Path, name: str
) -> None:
    whole, file = answers.formats[name], tmp_path / "export"
    file.write_bytes(whole[: len(whole) // 2] * 3)
    succeeded(export(server.database.parent, file, *until(filled, "--format", name)))
    assert file.read_bytes() == whole


@pytest.mark.parametrize("name", ["ndjson", "csv"])
def test_a_complete_file_is_left_as_it_is_and_nothing_is_recorded(
    database: Path, answers: Answers, filled: Filled, name: str
) -> None:
    file = database.with_name("export")
    file.write_bytes(answers.formats[name])
    succeeded(export(database.parent, file, *until(filled, "--format", name)))
    assert file.read_bytes() == answers.formats[name]
    assert len(events_of(database)) == filled.last


def test_a_complete_file_grows_by_the_new_events_alone_and_then_no_more(
    database: Path, answers: Answers, filled: Filled
) -> None:
    file = database.with_name("export")
    file.write_bytes(answers.formats["ndjson"])
    flags = ("--output", str(file), "--organization", BIG)
    assert run(database.parent, "vault", "rotate").returncode == 0
    succeeded(start(database.parent, "export", *flags))
    once = file.read_bytes()
    assert once.startswith(answers.formats["ndjson"])
    assert verified(once, answers.keys).events == filled.last + 1
    succeeded(run(database.parent, "export", *flags))
    twice = file.read_bytes()  # the record of the export is an event
    assert twice.startswith(once)
    assert verified(twice, answers.keys).events == filled.last + 2
    succeeded(run(database.parent, "export", *flags))
    assert file.read_bytes() == twice
    assert len(events_of(database)) == filled.last + 2


# -- a file that holds something else


def refused(ended: Ended, file: Path, text: bytes) -> None:
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"{file} holds no such export" in said(ended)
    assert file.read_bytes() == text


@pytest.mark.parametrize("name", ["ndjson", "csv", "json"])
def test_a_file_of_somebody_else_is_refused_and_not_touched(
    database: Path, tmp_path: Path, name: str
) -> None:
    file, text = tmp_path / "notes", b"buy milk\ncall Ada"
    file.write_bytes(text)
    refused(export(tmp_path, file, "--format", name), file, text)
    assert events_of(database)[-1]["type"] != "audit_exported.v1"


@pytest.mark.sqlite
def test_the_database_itself_is_no_place_for_an_export(database: Path, tmp_path: Path) -> None:
    text = database.read_bytes()
    refused(export(tmp_path, database, "--format", "json"), database, text)


def test_the_log_of_another_organization_is_not_continued(
    server: Running, answers: Answers, tmp_path: Path
) -> None:
    for name in ("ndjson", "csv"):
        for cut in (len(answers.formats[name]), 9_000):
            file, text = tmp_path / "export", answers.formats[name][:cut]
            file.write_bytes(text)
            flags = ("--organization", SMALL, "--format", name)
            refused(export(server.database.parent, file, *flags), file, text)


def test_control_without_that_guard_two_logs_would_mix(
    server: Running, answers: Answers, tmp_path: Path
) -> None:
    file = tmp_path / "export"
    file.write_bytes(b"".join(answers.formats["ndjson"].splitlines(keepends=True)[:2]))
    guard = "cli_audit._belongs = lambda *_: True"
    command = ("export", "--organization", SMALL, "--output", str(file))
    succeeded(unguarded(server.database.parent, guard, *command))
    with pytest.raises(verify.Failed, match="foreign"):
        verified(file.read_bytes(), answers.keys)


def test_an_export_with_another_filter_is_not_continued(
    server: Running, answers: Answers, tmp_path: Path
) -> None:
    file = tmp_path / "export"
    text = answers.filters["a type"]
    file.write_bytes(text)
    refused(export(server.database.parent, file), file, text)
    cut = answers.formats["csv"][:9_000]
    file.write_bytes(cut)
    refused(export(server.database.parent, file, "--format", "csv", "--assistant", "4"), file, cut)


def test_an_export_that_goes_beyond_what_is_asked_for_is_not_cut_back(
    server: Running, answers: Answers, tmp_path: Path
) -> None:
    file, text = tmp_path / "export", answers.formats["csv"]
    file.write_bytes(text)
    flags = ("--format", "csv", "--until-sequence", "5")
    ended = export(server.database.parent, file, *flags)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "--until-sequence: expected a number from " in said(ended)
    assert file.read_bytes() == text


def test_an_export_into_a_folder_that_is_not_there_is_not_recorded(
    database: Path, filled: Filled
) -> None:
    ended = export(database.parent, database.parent / "elsewhere" / "export")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "elsewhere/export: No such file" in said(ended)
    assert len(events_of(database)) == filled.last


# -- exports are events


def test_an_export_is_recorded_where_nobody_holds_the_database(
    database: Path, filled: Filled
) -> None:
    ended = succeeded(
        export(database.parent, database.with_name("export"), "--assistant", "2", "--format", "csv")
    )
    assert "not in the log" not in ended.stderr
    *others, recorded = events_of(database)
    assert len(others) == filled.last
    assert recorded["type"] == "audit_exported.v1"
    assert recorded["actor"] == {
        "type": "system",
        "id": 0,
        "name": "backstory export",
        "user_id": 0,
    }
    assert (recorded["format"], recorded["filter"]) == ("csv", {"assistant_id": 2})
    assert (recorded["after"], recorded["until_sequence"]) == (0, filled.last)


@pytest.mark.sqlite
def test_an_export_beside_a_server_says_that_it_is_not_in_the_log(
    server: Running, tmp_path: Path
) -> None:
    before = len(events_of(server.database))
    ended = succeeded(export(server.database.parent, tmp_path / "export"))
    assert "backstory: this export is not in the log: " in ended.stderr
    assert f"is held by process {server.process.pid} (backstory serve)" in ended.stderr
    assert "exporting: " in ended.stderr
    assert len(events_of(server.database)) == before


# -- flags


ONE_LINE = {
    "export --since yesterday": "--since: Input should be an RFC 3339 date and time",
    "export --until 2026-13-01T00:00:00Z": "--until: Input should be an RFC 3339 date and time",
    "export --path llm_settings": (
        "--path: Input should be a JSON Pointer, such as /llm_settings/top_p"
    ),
    "export --until-sequence 999999": "--until-sequence: expected a number from 0 to ",
    "export --until-sequence -1": "--until-sequence: expected a number from 0 to ",
    "archive --to archive --before soon": "--before: Input should be ",
    "archive --to archive --before 2026-02-30": "--before: Input should be ",
    "archive --to archive --before 0123456789": "--before: Input should be ",
}
USAGE = {
    "export --output x --format xml": "--format",
    "export --output x --assistant 0": "--assistant",
    "export --output x --assistant 99999999999999999999": "--assistant",
    "export --output x --event-type rumour": "--event-type",
    "export --output x --until-sequence ten": "--until-sequence",
    "archive --to archive": "--before",
    "audit verify": "FILES",
    "audit verify --key nowhere x": "--key",
}


@pytest.mark.parametrize("command", ONE_LINE)
def test_a_wrong_value_is_exit_code_2_and_one_line_that_names_its_flag(
    server: Running, tmp_path: Path, command: str
) -> None:
    name, *flags = command.split()
    more = ("--output", "export", "--organization", BIG) if name == "export" else ()
    ended = run(tmp_path, name, *flags, *more, BACKSTORY_DATABASE_URL=text_of(server.database))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert said(ended).startswith(f"backstory: {ONE_LINE[command]}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", USAGE)
def test_a_wrong_call_is_exit_code_2_and_names_its_flag(command: str) -> None:
    ended = CliRunner().invoke(cli, [*command.split()])
    assert ended.exit_code == 2
    assert USAGE[command] in ended.stderr
    assert ended.stdout == ""


# -- the key


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


def new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(folder: Path, **settings: str) -> bytes:
    ended = succeeded(run(folder, "audit", "key", "--organization", BIG, **settings))
    return ended.stdout.encode()


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


# -- rotate-key


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


# -- audit verify


@pytest.fixture(scope="module")
def parts(answers: Answers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with exports, keys and checkpoints, and nothing of Backstory."""
    folder = tmp_path_factory.mktemp("auditor")
    whole = answers.formats["ndjson"]
    lines = whole.splitlines(keepends=True)
    files = {
        "whole": whole,
        "first": b"".join(lines[:9]),
        "second": answers.part,
        "tampered": whole.replace(b"Calmer", b"Louder", 1),
        "cut": b"".join(lines[:-1]),
        "keys": answers.keys,
        "note": answers.checkpoint,
        "no-keys": b"{}",
        "no-note": b"\xff",
        "csv": answers.formats["csv"],
    }
    for name, text in files.items():
        (folder / name).write_bytes(text)
    return folder


@pytest.mark.parametrize("command", ["whole", "whole --key keys", "first second --key keys"])
def test_an_export_and_its_parts_are_proven(parts: Path, filled: Filled, command: str) -> None:
    ended = succeeded(run(parts, "audit", "verify", *command.split()))
    assert ended.stderr == ""
    assert re.fullmatch(
        rf"verified: {filled.last} events of backstory/organizations/1/\w+, root \S+, .+\n",
        ended.stdout,
    )
    signed_by = json.loads((parts / "keys").read_bytes())["keys"][0]["key_id"]
    proof = f"signed by {signed_by}\n" if "--key" in command else "nobody's signature was checked\n"
    assert ended.stdout.endswith(proof)


UNPROVEN = {
    "tampered --key keys": "edited",
    "cut --key keys": "truncated",
    "second --key keys": "missing",
    "second first --key keys": "reordered",
    # The server's log had grown when it signed this one.
    "whole --key keys --checkpoint note": "truncated: earlier there were ",
}


@pytest.mark.parametrize("command", UNPROVEN)
def test_what_cannot_be_proven_is_exit_code_1_and_says_where(parts: Path, command: str) -> None:
    ended = run(parts, "audit", "verify", *command.split())
    assert (ended.returncode, ended.stdout) == (1, "")
    assert re.match(r"backstory: sequence \d+: ", said(ended))
    assert UNPROVEN[command] in said(ended)


@pytest.mark.parametrize("flags", ["--key no-keys", "--key csv", "--checkpoint no-note"])
def test_a_key_file_or_checkpoint_that_is_none_is_exit_code_2(parts: Path, flags: str) -> None:
    ended = run(parts, "audit", "verify", "whole", *flags.split())
    assert (ended.returncode, ended.stdout) == (2, "")
    assert said(ended)


@pytest.mark.usefixtures("database")
def test_the_keys_that_the_command_prints_prove_as_well_as_the_servers(
    answers: Answers, tmp_path: Path
) -> None:
    printed = key_of(tmp_path)
    assert json.loads(printed) == json.loads(answers.keys)
    (tmp_path / "keys").write_bytes(printed)
    succeeded(export(tmp_path, tmp_path / "export"))
    closing = json.loads((tmp_path / "export").read_bytes().splitlines()[-1])
    (tmp_path / "note").write_text(closing["checkpoint"], "utf-8")
    proven = ("audit", "verify", "export", "--key", "keys", "--checkpoint", "note")
    assert "verified" in succeeded(run(tmp_path, *proven)).stdout


def test_keys_of_another_log_prove_nothing(parts: Path, server: Running) -> None:
    ended = succeeded(run(server.database.parent, "audit", "key", "--organization", SMALL))
    (parts / "other-keys").write_text(ended.stdout)
    refusal = run(parts, "audit", "verify", "whole", "--key", "other-keys")
    assert (refusal.returncode, refusal.stdout) == (1, "")
    assert "foreign" in said(refusal)


# -- archive


ARCHIVED = 10  # events of the first day: a creation, eight changes and a checkpoint


def archive(folder: Path, before: str, *flags: str, **settings: str) -> Ended:
    return run(folder, "archive", "--to", "archive", "--before", before, *flags, **settings)


def names(folder: Path, organization_id: int = 1) -> list[str]:
    found = (folder / "archive" / f"organization-{organization_id}").iterdir()
    return sorted(path.name for path in found)


def part(first: int, last: int) -> list[str]:
    stem = f"events-{first:012}-{last:012}"
    return [f"{stem}.checkpoint", f"{stem}.ndjson", f"{stem}.parquet"]


@pytest.fixture(scope="module")
def archived(filled: Filled, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database, and an archive of its first day."""
    folder = tmp_path_factory.mktemp("archived")
    filled.copy(folder)
    ended = succeeded(start(folder, "archive", "--to", "archive", "--before", "2026-01-02"))
    assert ended.stdout.splitlines() == [
        f"archive/organization-1: sequences 1 to {ARCHIVED}, verified",
        "archive/organization-2: nothing new before 2026-01-02",
    ]
    return folder


@pytest.fixture
def first_day(archived: Path, tmp_path: Path) -> Path:
    copy_database(archived / FILE, tmp_path / FILE)
    shutil.copytree(archived / "archive", tmp_path / "archive")
    return tmp_path


def test_an_archive_holds_a_part_in_both_formats_that_stands_without_the_server(
    archived: Path, answers: Answers
) -> None:
    assert names(archived) == [*part(1, ARCHIVED), "key.json"]
    folder = archived / "archive" / "organization-1"
    checkpoint, lines, _ = (folder / name for name in part(1, ARCHIVED))
    text = lines.read_bytes()
    assert text.splitlines()[:-1] == answers.formats["ndjson"].splitlines()[:ARCHIVED]
    assert json.loads(text.splitlines()[-1])["checkpoint"] == checkpoint.read_text("utf-8")
    keys = (folder / "key.json").read_bytes()
    assert json.loads(keys) == json.loads(answers.keys)
    assert verified(text, keys).events == ARCHIVED


def test_a_later_run_adds_the_next_parts_and_the_log_stays_whole(
    first_day: Path, filled: Filled
) -> None:
    before = {path: path.read_bytes() for path in (first_day / "archive").rglob("events-*")}
    log = [events_of(first_day / FILE, one) for one in (1, 2)]
    # A date with a time ends with the moment before it.
    ended = succeeded(archive(first_day, "2026-01-02T08:00:03Z"))
    assert f"sequences {ARCHIVED + 1} to {ARCHIVED + 2}, verified" in ended.stdout
    ended = succeeded(archive(first_day, "2026-01-03T09:30:00+01:30"))
    assert f"sequences {ARCHIVED + 3} to {2 * ARCHIVED}, verified" in ended.stdout
    last = filled.last + 3  # the runs so far are events, too
    ended = succeeded(archive(first_day, "2027-01-01"))
    assert ended.stdout.splitlines() == [
        f"archive/organization-1: sequences {2 * ARCHIVED + 1} to {last}, verified",
        "archive/organization-2: sequences 3 to 3, verified",
    ]
    assert names(first_day, 2) == sorted([*part(1, 2), *part(3, 3), "key.json"])
    assert {path: path.read_bytes() for path in before} == before
    expected = [*part(1, 10), *part(11, 12), *part(13, 20), *part(21, last), "key.json"]
    assert names(first_day) == sorted(expected)
    for organization_id, its_log in enumerate(log, 1):
        assert events_of(first_day / FILE, organization_id)[: len(its_log)] == its_log
    folder = first_day / "archive" / "organization-1"
    lines = sorted(folder.glob("*.ndjson"))
    keys = verify.read_keys((folder / "key.json").read_bytes())
    assert verify.verify(verify.read_lines(lines), keys).events == last
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"SELECT sequence, body FROM '{folder}/*.parquet' ORDER BY sequence"
        ).fetchall()
    assert [json.loads(body) for _, body in rows] == events_of(first_day / FILE)[:last]
    assert [sequence for sequence, _ in rows] == [*range(1, last + 1)]


def test_where_nothing_is_new_a_run_says_so_and_changes_nothing(first_day: Path) -> None:
    before = {path: path.read_bytes() for path in (first_day / "archive").rglob("*.*")}
    for moment in ("2026-01-02", "2025-01-01"):
        ended = succeeded(archive(first_day, moment, "--organization", BIG))
        assert ended.stdout == f"archive/organization-1: nothing new before {moment}\n"
    assert {path: path.read_bytes() for path in (first_day / "archive").rglob("*.*")} == before


@pytest.mark.usefixtures("database")
def test_only_the_organization_that_is_named_is_archived(tmp_path: Path) -> None:
    ended = succeeded(archive(tmp_path, "2027-01-01", "--organization", SMALL))
    assert ended.stdout == "archive/organization-2: sequences 1 to 2, verified\n"
    assert [path.name for path in (tmp_path / "archive").iterdir()] == ["organization-2"]


def test_an_archive_beside_a_server_is_the_same(
    server: Running, archived: Path, tmp_path: Path
) -> None:
    setting = {"BACKSTORY_DATABASE_URL": text_of(server.database)}
    succeeded(archive(tmp_path, "2026-01-02", "--organization", BIG, **setting))
    for name in names(archived):
        one, other = (
            folder / "archive" / "organization-1" / name for folder in (archived, tmp_path)
        )
        assert one.read_bytes() == other.read_bytes()


def test_after_a_rotation_of_the_key_an_archive_goes_on(first_day: Path, filled: Filled) -> None:
    succeeded(run(first_day, "audit", "rotate-key"))
    succeeded(archive(first_day, "2027-01-01"))
    folder = first_day / "archive" / "organization-1"
    keys = verify.read_keys((folder / "key.json").read_bytes())
    lines = verify.read_lines(sorted(folder.glob("*.ndjson")))
    archived_before = 1  # and that is an event
    assert verify.verify(lines, keys).events == filled.last + archived_before


def test_an_archive_is_recorded_as_an_export(first_day: Path, filled: Filled) -> None:
    succeeded(archive(first_day, "2027-01-01", "--organization", BIG))
    recorded = events_of(first_day / FILE)[-1]
    assert recorded["type"] == "audit_exported.v1"
    assert recorded["actor"]["name"] == "backstory archive"
    assert recorded["until_sequence"] == filled.last + 1


# -- an archive that was tampered with


def forge_body(table: Path) -> None:
    rows = parquet.read_table(table)
    bodies = rows.column("body").to_pylist()
    bodies[4] = bodies[4].replace("day 0", "day 9")
    column = pa.array(bodies, pa.string())
    number = rows.schema.get_field_index("body")
    parquet.write_table(rows.set_column(number, "body", column), table)


def drop_row(table: Path) -> None:
    rows = parquet.read_table(table)
    parquet.write_table(rows.slice(0, len(rows) - 1), table)


def spoil(folder: Path, what: str) -> None:
    lines, table = folder / part(1, ARCHIVED)[1], folder / part(1, ARCHIVED)[2]
    match what:
        case "an event":
            lines.write_bytes(lines.read_bytes().replace(b"Calmer", b"Louder", 1))
        case "a line":
            text = lines.read_bytes().splitlines(keepends=True)
            lines.write_bytes(b"".join(text[:3] + text[4:]))
        case "the end of a part":
            lines.write_bytes(lines.read_bytes()[:-200])
        case "a part of another number":
            lines.rename(lines.with_name(part(1, ARCHIVED - 1)[1]))
        case "a row":
            forge_body(table)
        case "the last row":
            drop_row(table)
        case "a table":
            table.unlink()
        case _:
            table.write_bytes(b"PAR1")


SPOILT = {
    "an event": r"sequence \d+: edited",
    "a line": r"sequence 4: missing",
    "the end of a part": r"sequence \d+: ",
    "a part of another number": r"sequence \d+: ",
    "a row": r"parquet: not what was exported, from sequence 5",
    "the last row": r"parquet: not what was exported, from sequence 10",
    "a table": r"parquet: .*No such file",
    "the bytes of a table": r"parquet: ",
}


@pytest.mark.parametrize("what", SPOILT)
def test_an_archive_that_was_tampered_with_fails_the_next_run_and_gets_no_part(
    first_day: Path, what: str
) -> None:
    folder = first_day / "archive" / "organization-1"
    spoil(folder, what)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    ended = archive(first_day, "2026-01-03")
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = [one for one in ended.stderr.splitlines() if one.startswith("backstory: ")]
    assert re.search(SPOILT[what], line)
    final = [path for path in folder.iterdir() if path.suffix != ".part"]
    assert {path.name: path.read_bytes() for path in final} == before


def test_control_an_archive_that_is_not_read_back_would_grow(first_day: Path) -> None:
    spoil(first_day / "archive" / "organization-1", "an event")
    guard = "archive._prove = lambda *_: None"
    command = ("archive", "--to", "archive", "--before", "2026-01-03")
    succeeded(unguarded(first_day, guard, *command))
    assert part(11, 20)[1] in names(first_day)


def test_control_an_archive_that_nobody_touched_grows(first_day: Path) -> None:
    succeeded(archive(first_day, "2026-01-03"))
    assert part(11, 20)[1] in names(first_day)


def test_an_archive_of_a_later_day_of_the_same_log_is_not_shortened(
    first_day: Path, filled: Filled
) -> None:
    """The database was restored from an old backup: its log ends before the archive does."""
    succeeded(archive(first_day, "2027-01-01", "--organization", BIG))
    restored = first_day / FILE
    execute(restored, "UPDATE organizations SET sequence = 5 WHERE organization_id = 1")
    ended = archive(first_day, "2027-01-01", "--organization", BIG)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"it holds {filled.last + 1} events, the log 5" in ended.stderr


def test_what_an_interrupted_run_left_is_written_anew(first_day: Path) -> None:
    folder = first_day / "archive" / "organization-1"
    checkpoint, lines, table = part(ARCHIVED + 1, 15)
    for name in (checkpoint, f"{lines}.part", table):  # its lines had not got their name yet
        (folder / name).write_bytes(b"half")
    succeeded(archive(first_day, "2026-01-03"))
    assert names(first_day) == sorted([*part(1, 10), *part(11, 20), "key.json"])


# -- what an operator reads


def test_a_csv_export_can_be_read_by_rows(answers: Answers, filled: Filled) -> None:
    text = answers.formats["csv"].decode()
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert {int(row["sequence"]) for row in rows} == {*range(1, filled.last + 1)}
    assert REASONS[2] in {row["reason"] for row in rows}


def test_control_the_server_goes_on_after_all_of_this(server: Running, filled: Filled) -> None:
    with client(server.url, filled.big.admin) as admin:
        assert admin.post(ASSISTANTS, json={"name": "After"}).status_code == 201
