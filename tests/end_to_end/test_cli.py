"""The ``backstory`` command as an operator meets it: what it prints, where, and how it ends.

Starting a process is what costs time here, so those that several tests look at are shared, and
few tests start the installed command itself.
"""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from msgspec import Struct

from app.assistants import changes
from app.assistants.requests import ChangeRequest
from app.cli.main import cli
from app.services import open_services
from app.transactions.caller import Caller
from app.transactions.unit_of_work import UnitOfWork
from events.bodies.patch import SettingsPatch, read_create, read_patch
from events.changed import Actor, Cause
from tests.conftest import ASSISTANTS, Organization, make_organizations
from tests.databases import (
    chosen,
    config_of,
    copy_database,
    edited,
    execute,
    query,
    text_of,
    unguarded,
)
from tests.end_to_end.processes import EQUAL, FILE, Running, client, run, serving, start, started

KEY = re.compile(r"bks_[0-9A-Za-z]{36}")
COMMANDS = ("serve", "demo", "check", "rebuild", "keys")


def said(ended: subprocess.CompletedProcess[str]) -> str:
    """The one line with which a command says why it failed."""
    lines = ended.stderr.splitlines()
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith("backstory: ")
    return lines[0]


# -- help


@pytest.mark.sqlite
def test_help_explains_every_command(tmp_path: Path) -> None:
    helped = start(tmp_path, "--help")
    assert helped.returncode == 0
    for command in COMMANDS:
        assert re.search(rf"^\W*{command}\s+[A-Z]\w+.*\w", helped.stdout, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [*COMMANDS, "keys create", "keys list", "keys revoke"], ids=str)
def test_each_command_explains_itself_and_its_options(command: str) -> None:
    helped = CliRunner().invoke(cli, [*command.split(), "--help"], prog_name="backstory")
    assert helped.exit_code == 0
    assert f"Usage: backstory {command}" in helped.stdout
    for option in re.findall(r"^\W*(--[a-z]+)", helped.stdout, re.MULTILINE):
        assert re.search(rf"{option} .*\w{{4,}}", helped.stdout), option


def test_an_unknown_command_is_exit_code_2() -> None:
    assert CliRunner().invoke(cli, ["restore"]).exit_code == 2


# -- keys


class Made(Struct, frozen=True):
    """A database that the command made, with two keys in one organization."""

    folder: Path
    first: subprocess.CompletedProcess[str]
    second: subprocess.CompletedProcess[str]

    @property
    def admin(self) -> str:
        return self.first.stdout.strip()

    @property
    def editor(self) -> str:
        return self.second.stdout.strip()

    def copy(self, folder: Path) -> Path:
        return copy_database(self.folder / FILE, folder / FILE)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    create = ("keys", "create", "--organization", "Acme", "--role")
    return Made(
        folder,
        start(folder, *create, "admin"),
        run(folder, *create, "editor", "--name", "Ada", "--email", "ada@example.com"),
    )


def test_a_new_key_stands_alone_on_stdout_and_logs_on_stderr(made: Made) -> None:
    assert made.first.returncode == 0
    assert KEY.fullmatch(made.admin)
    assert made.first.stdout == f"{made.admin}\n"
    assert made.admin not in made.first.stderr


@pytest.mark.sqlite
def test_the_master_key_file_of_a_new_database_is_its_owners_alone(made: Made) -> None:
    assert "master_key_made" in made.first.stderr
    file = made.folder / f"{FILE}.key"
    assert len(base64.b64decode(file.read_text())) == 32
    assert file.stat().st_mode & 0o777 == 0o600


def test_keys_are_listed_without_the_keys(made: Made, tmp_path: Path) -> None:
    made.copy(tmp_path)
    listed = run(tmp_path, "keys", "list")
    assert listed.returncode == 0
    assert [line.split("\t") for line in listed.stdout.splitlines()] == [
        [made.admin[:12], "admin", "active", "Acme", "admin"],
        [made.editor[:12], "editor", "active", "Acme", "Ada"],
    ]


def test_a_revoked_key_is_refused_and_the_other_still_names_its_user(
    made: Made, tmp_path: Path
) -> None:
    database = made.copy(tmp_path)
    revoked = run(tmp_path, "keys", "revoke", made.admin[:12])
    assert (revoked.returncode, revoked.stdout) == (0, f"revoked {made.admin[:12]}\n")
    with serving(database) as running:
        with client(running.url, made.admin) as admin:
            assert admin.get(ASSISTANTS).status_code == 401
        with client(running.url, made.editor) as editor:
            assert editor.get(f"{ASSISTANTS}/me/organization").json() == {
                "organization_id": 1,
                "organization_name": "Acme",
                "user_id": 2,
                "user_email": "ada@example.com",
                "user_role": "editor",
            }


@pytest.mark.parametrize(("prefix", "count"), [("", 0), ("bks_", 2)])
def test_revoking_an_unknown_or_ambiguous_prefix_fails_and_revokes_none(
    made: Made, tmp_path: Path, prefix: str, count: int
) -> None:
    database = made.copy(tmp_path)
    refused = run(tmp_path, "keys", "revoke", prefix)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"{count} active keys start with {prefix}" in said(refused)
    assert query(database, "SELECT is_active FROM api_keys") == [(True,), (True,)]


# -- one process holds the file


@pytest.fixture(scope="module")
def holder(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(made.copy(tmp_path_factory.mktemp("held"))) as running:
        yield running


CREATE = "keys create --organization Acme --role admin"
HELD = {
    CREATE: "POST /api/v1/users/me/api-keys",
    "keys revoke bks_": "DELETE /api/v1/users/me/api-keys/{key_id}",
    "rebuild": "stop it first",
    "serve --port 0": "",
}


@pytest.mark.sqlite
@pytest.mark.parametrize("command", HELD)
def test_a_command_that_writes_says_who_holds_the_file_and_what_to_do_instead(
    holder: Running, command: str
) -> None:
    refused = run(holder.database.parent, *command.split())
    assert (refused.returncode, refused.stdout) == (1, "")
    line = said(refused)
    assert f"{FILE} is held by process {holder.process.pid} (backstory serve)" in line
    assert line.endswith(HELD[command])


@pytest.mark.sqlite
def test_a_file_is_held_by_whatever_name_it_is_called(holder: Running, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(holder.database)
    master_key = holder.database.with_name(f"{FILE}.key").read_text().strip()
    command = [*CREATE.split(), "--database", text_of(link)]
    refused = run(tmp_path, *command, BACKSTORY_MASTER_KEY=master_key)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"is held by process {holder.process.pid} (backstory serve)" in said(refused)


def test_while_a_server_runs_its_file_can_be_checked_and_its_keys_listed(
    holder: Running, made: Made
) -> None:
    held = holder.database.parent
    with client(holder.url, made.admin) as admin:
        assert admin.post(ASSISTANTS, json={"name": "Front desk"}).status_code == 201
        checked = run(held, "check")
        assert (checked.returncode, checked.stdout) == (0, EQUAL)
        assert made.admin[:12] in run(held, "keys", "list").stdout


@pytest.mark.sqlite
def test_control_once_its_holder_is_gone_a_file_can_be_written(made: Made, tmp_path: Path) -> None:
    database = made.copy(tmp_path)
    with serving(database) as running:
        running.process.kill()
        running.process.wait()
        assert run(tmp_path, *CREATE.split()).returncode == 0


def test_where_many_processes_write_a_command_is_one_of_them(tmp_path: Path) -> None:
    with chosen("postgresql"):
        make_organizations(tmp_path / FILE, 1)
        whose = ("--organization", "Organization 0")
        with serving(tmp_path / FILE) as running:
            made = run(tmp_path, "keys", "create", *whose, "--role", "admin")
            with client(running.url, made.stdout.strip()) as admin:
                assert admin.post(ASSISTANTS, json={"name": "Front desk"}).status_code == 201
                exported = run(tmp_path, "export", *whose, "--output", "export")
                assert exported.returncode == 0
                assert "not in the log" not in exported.stderr
                newest = admin.get("/api/v1/audit/logs").json()["logs"][0]
                assert newest["action"] == "export"
                assert run(tmp_path, "rebuild").stdout == "equal to what was there\n"
                revoked = run(tmp_path, "keys", "revoke", made.stdout[:12])
                assert revoked.returncode == 0
                assert admin.get(ASSISTANTS).status_code == 401


# -- check and rebuild


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose database holds three assistants with a change each."""
    folder = tmp_path_factory.mktemp("filled")
    asyncio.run(_fill(folder / FILE, make_organizations(folder / FILE, 1)[0]))
    return folder


async def _fill(database: Path, organization: Organization) -> None:
    actor = Actor(type="api_key", id=1, name="admin key", user_id=1)
    caller = Caller(organization_id=organization.id, actor=actor)
    async with open_services(config_of(database)) as services:
        for number in range(3):
            named = read_create({"name": f"Line {number}"})
            patch = read_patch({"llm_settings": {"temperature": 0.25}})
            await services.writer.write(
                organization.id, partial(_create_and_change, caller, named, patch)
            )


def _create_and_change(
    caller: Caller, named: SettingsPatch, patch: SettingsPatch, unit: UnitOfWork
) -> None:
    one = changes.create(unit, caller, named)
    change_request = ChangeRequest(caller=caller, assistant_id=one.id)
    changes.change(unit, change_request, patch, Cause(type="patch"))


@pytest.fixture
def database(filled: Path, tmp_path: Path) -> Path:
    return copy_database(filled / FILE, tmp_path / FILE)


def rows(database: Path) -> list[Any]:
    return query(database, "SELECT * FROM assistants ORDER BY organization_id, assistant_id")


WRONG = {
    "UPDATE assistants SET version = 1 WHERE assistant_id = 1": "1, version\n- 1\n+ 2\n",
    "DELETE FROM assistants WHERE assistant_id = 3": "3, name\n- None\n+ Line 2\n",
    # A setting, inside the bytes.
    f"UPDATE assistants SET settings = {edited('settings', '0.25', '0.75')}"
    " WHERE assistant_id = 2": '"temperature":0.75',
}
WITHOUT_EVENTS = {
    "INSERT INTO assistants SELECT organization_id, 99, version, deleted, erased_version, user_id,"
    " 'Ghost',"
    " description, is_active, created_at, updated_at, settings, settings_digest, folded_name,"
    " folded_description"
    " FROM assistants"
    " WHERE assistant_id = 1": "99, name\n- Ghost\n+ None\n",
}


@pytest.mark.parametrize("damage", [WRONG, WITHOUT_EVENTS], ids=["wrong", "without events"])
def test_check_shows_rows_that_are_no_fold_of_the_log_and_rebuild_repairs_them(
    database: Path, tmp_path: Path, damage: dict[str, str]
) -> None:
    intact = rows(database)
    for statement in damage:
        execute(database, statement)
    checked = run(tmp_path, "check")
    assert checked.returncode == 1
    for shown in damage.values():
        assert shown in checked.stdout
    assert "'backstory rebuild' repairs them" in checked.stderr
    assert rows(database) != intact
    rebuilt = run(tmp_path, "rebuild")
    assert rebuilt.returncode == 0
    assert re.fullmatch(r"[1-9]\d* differences were repaired\n", rebuilt.stdout)
    assert rows(database) == intact
    assert run(tmp_path, "check").stdout == EQUAL


def test_check_asks_to_fold_what_a_release_with_other_settings_folded(
    database: Path, tmp_path: Path
) -> None:
    execute(database, "UPDATE assistants SET settings_digest = 'of another'")
    checked = run(tmp_path, "check")
    assert (checked.returncode, checked.stdout) == (1, "")
    assert "run 'backstory migrate' first" in checked.stderr
    assert run(tmp_path, "migrate").returncode == 0
    assert run(tmp_path, "check").stdout == EQUAL


def test_check_names_an_event_that_was_edited_behind_the_logs_back(
    database: Path, tmp_path: Path
) -> None:
    execute(database, unguarded("events_are_not_updated"))
    execute(database, f"UPDATE events SET body = {edited('body', '0.25', '0.75')}")
    checked = run(tmp_path, "check")
    assert checked.returncode == 1
    assert "organization 1, sequence 2\n" in checked.stdout
    assert "the log is not what was hashed when it was written" in checked.stderr


@pytest.mark.parametrize("command", ["check", "keys list", "audit key"])
def test_a_database_of_an_older_release_is_said_to_be_one(
    database: Path, tmp_path: Path, command: str
) -> None:
    execute(database, "UPDATE alembic_version SET version_num = '0001'")
    ended = run(tmp_path, *command.split())
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "does not have this release's schema; run 'backstory migrate'" in said(ended)


def test_two_checks_of_the_same_damage_print_the_same(database: Path, tmp_path: Path) -> None:
    execute(database, "DELETE FROM assistants WHERE assistant_id = 3")
    one, other = (start(tmp_path, "check", PYTHONHASHSEED=seed).stdout for seed in ("1", "2"))
    assert one == other


def test_control_an_untouched_view_is_rebuilt_to_the_same_bytes(
    database: Path, tmp_path: Path
) -> None:
    intact = rows(database)
    rebuilt = start(tmp_path, "rebuild")
    assert (rebuilt.returncode, rebuilt.stdout) == (0, "equal to what was there\n")
    assert rows(database) == intact


@pytest.mark.sqlite
def test_check_of_a_database_that_is_not_there_fails_and_makes_none(tmp_path: Path) -> None:
    checked = run(tmp_path, "check")
    assert checked.returncode == 1
    assert "there is no database" in said(checked)
    assert said(checked).endswith(FILE)
    assert list(tmp_path.iterdir()) == []


# -- the master key


@pytest.mark.sqlite
def test_a_database_whose_master_key_file_is_gone_is_not_opened(
    database: Path, tmp_path: Path
) -> None:
    file = database.with_name(f"{FILE}.key")
    file.unlink()
    refused = run(tmp_path, "serve", "--port", "0")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"{file.name} is missing" in said(refused)
    assert not file.exists()


@pytest.mark.usefixtures("database")
def test_a_wrong_master_key_is_refused(tmp_path: Path) -> None:
    wrong = base64.b64encode(secrets.token_bytes(32)).decode()
    refused = run(tmp_path, "serve", "--port", "0", BACKSTORY_MASTER_KEY=wrong)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "does not open this database's keys" in said(refused)
    assert wrong not in refused.stderr


@pytest.mark.sqlite
def test_control_the_right_master_key_opens_a_database_without_its_file(database: Path) -> None:
    file = database.with_name(f"{FILE}.key")
    right = file.read_text().strip()
    file.unlink()
    with serving(database, BACKSTORY_MASTER_KEY=right) as running:
        assert httpx.get(f"{running.url}/ready").status_code == 200
    assert not file.exists()


# -- serve


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_prints_its_url_alone_and_ends_with_exit_code_0_when_told_to(
    tmp_path: Path, number: signal.Signals
) -> None:
    with started(tmp_path, "serve", "--port", "0") as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        assert httpx.get(f"{url}/ready").json() == {"status": "ready"}
        process.send_signal(number)
        assert process.stdout.read() == ""
        assert process.wait(20) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_port_that_is_taken_is_exit_code_1(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        refused = run(tmp_path, "serve", "--port", str(port))
    assert (refused.returncode, refused.stdout) == (1, "")
    said = refused.stderr.splitlines()[-1]
    assert said == f"backstory: 127.0.0.1, port {port}: Address already in use"
    assert "Traceback" not in refused.stderr


@pytest.mark.sqlite
@pytest.mark.parametrize("command", ["serve --port 0", "check"])
def test_a_file_that_is_no_database_is_one_clear_line(tmp_path: Path, command: str) -> None:
    text = "not a database, but long enough to be taken for one\n" * 100
    (tmp_path / FILE).write_text(text)
    refused = run(tmp_path, *command.split())
    assert (refused.returncode, refused.stdout) == (1, "")
    assert FILE in said(refused)
    assert (tmp_path / FILE).read_text() == text


@pytest.mark.sqlite
def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    database = tmp_path / "file" / FILE
    refused = run(tmp_path, "serve", "--port", "0", "--database", text_of(database))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert str(database.parent) in said(refused)


@pytest.mark.sqlite
@pytest.mark.parametrize(
    "command",
    ["rebuild", "vault rotate", "vault purge", "keys revoke bks_x", "erase --assistant 1 --yes"],
)
def test_a_mistyped_name_makes_no_database(tmp_path: Path, command: str) -> None:
    refused = run(tmp_path, *command.split())
    assert refused.returncode == 1
    assert "there is no database" in said(refused)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.sqlite
def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    refused = run(tmp_path, "serve", "--database", text_of(tmp_path / "elsewhere" / "x.db"))
    assert refused.returncode == 1
    assert "there is no folder" in said(refused)
    assert list(tmp_path.iterdir()) == []
