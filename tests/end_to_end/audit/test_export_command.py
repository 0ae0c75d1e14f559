"""An export by the command holds the bytes that a server answers, and is recorded."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from tests.conftest import ASSISTANTS
from tests.end_to_end.audit.commands import (
    FILTERS,
    FORMATS,
    REASONS,
    Answers,
    Filled,
    events_of,
    export,
    succeeded,
    until,
)
from tests.end_to_end.processes import Running, client, run
from tests.end_to_end.test_cli import said


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


def test_a_csv_export_can_be_read_by_rows(answers: Answers, filled: Filled) -> None:
    text = answers.formats["csv"].decode()
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert {int(row["sequence"]) for row in rows} == {*range(1, filled.last + 1)}
    assert REASONS[2] in {row["reason"] for row in rows}


def test_control_the_server_goes_on_after_all_of_this(server: Running, filled: Filled) -> None:
    with client(server.url, filled.big.admin) as admin:
        assert admin.post(ASSISTANTS, json={"name": "After"}).status_code == 201
