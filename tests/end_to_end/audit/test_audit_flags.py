"""A wrong value of a flag is one line that names it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli.main import cli
from tests.databases import (
    text_of,
)
from tests.end_to_end.audit.commands import BIG
from tests.end_to_end.processes import Running, run
from tests.end_to_end.test_cli import said

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
