"""What a command imports is most of what its start takes: it imports what it needs, and no more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import rich_click as click

from app.cli.main import Listed, cli
from tests.conftest import ASSISTANTS, make_organizations
from tests.databases import text_of
from tests.end_to_end import command_tree, processes
from tests.end_to_end.processes import NOT_FORKED

_ENDS = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr))"
# What no help needs: it shows names, options and sentences.
_ROOMS = {"events", "projections", "app.storage", "app.services", "app.api"}
_LIBRARIES = {"asyncio", "cryptography", "litestar", "msgspec", "sqlalchemy", "structlog"}
_SERVER = {"aiosqlite", "jinja2", "litestar", "uvicorn", "uvloop", "zstandard"}
# Modules that only some requests, options or databases need.
_RARE = {
    "alembic",
    "asyncpg",
    "email_validator",
    "litestar.plugins.attrs",
    "litestar.plugins.pydantic",
    "phonenumbers",
    "psycopg",
    "pyarrow",
    "pygments",
    "rich.progress",
    "sqlalchemy.ext.asyncio",
    "sqlalchemy.orm",
}
# One command for each module that commands are in, and what it does not need beside the rare.
_COMMANDS = {
    "archive": _SERVER,
    "audit key": _SERVER,
    "audit verify": _SERVER | _ROOMS | _LIBRARIES - {"cryptography"},
    "backup": _SERVER,
    "backup verify": _SERVER,
    "check": _SERVER,
    "doctor": _SERVER,
    "export": _SERVER,
    "keys create": _SERVER,
    "restore": _SERVER,
    "serve": set(),
    "vault purge": _SERVER,
}


def imported(folder: Path, *arguments: str) -> set[str]:
    """What a process of the command has imported when it ends."""
    with processes.started(folder, *arguments, preamble=_ENDS, **NOT_FORKED) as process:
        assert process.wait(60) == 0
    return _last_line(folder)


def _last_line(folder: Path) -> set[str]:
    return set((folder / "log").read_text().splitlines()[-1].split())


@pytest.mark.parametrize("group", ["", "audit", "keys", "vault"])
def test_the_help_of_a_group_imports_no_command(tmp_path: Path, group: str) -> None:
    modules = imported(tmp_path, *group.split(), "--help")
    assert "rich_click" in modules  # the control: imports are seen
    assert not modules & (_SERVER | _RARE | _ROOMS | _LIBRARIES)


@pytest.mark.parametrize("command", _COMMANDS)
def test_a_command_imports_no_more_than_it_needs(tmp_path: Path, command: str) -> None:
    modules = imported(tmp_path, *command.split(), "--help")
    assert "app.cli.main" in modules
    assert not modules & (_RARE | _COMMANDS[command])


@pytest.mark.sqlite
def test_a_server_that_has_answered_has_imported_nothing_rare(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    (keys,) = make_organizations(database, 1)
    arguments = ("serve", "--port", "0", "--database", text_of(database))
    with processes.started(tmp_path, *arguments, preamble=_ENDS, **NOT_FORKED) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with processes.client(url, keys.viewer) as client:
            assert client.get(ASSISTANTS).status_code == 200
        process.terminate()
        assert process.wait(60) == 0
    modules = _last_line(tmp_path)
    assert modules > {"litestar", "sqlalchemy", "uvicorn"}
    assert not modules & _RARE


def test_the_framework_by_itself_would_import_the_plugins_of_what_is_installed() -> None:
    program = "import litestar, sys; litestar.Litestar(); print(*sys.modules)"
    command = [sys.executable, "-c", program]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "litestar.plugins.pydantic" in printed.split()


def test_help_says_of_each_command_what_the_command_says_first() -> None:
    for path, command in command_tree.commands():
        listed = _listed(path)
        assert isinstance(listed, Listed)
        if listed.name != path[-1]:
            continue
        assert command.name == listed.name
        assert command.help is not None
        first, _, _ = command.help.partition("\n\n")
        assert listed.help == " ".join(first.split())


def _listed(path: tuple[str, ...]) -> object:
    group: object = cli
    for name in path:
        if isinstance(group, Listed):  # what is below an imported command is not listed apart
            return group
        assert isinstance(group, click.Group)
        group = group.commands[name]
    return group
