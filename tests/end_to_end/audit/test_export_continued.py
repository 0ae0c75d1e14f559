"""A file that was cut is continued to the same bytes; one that holds something else is refused."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from app.audit import verify
from tests.end_to_end.audit.commands import (
    BIG,
    FILTERS,
    LINES,
    SMALL,
    Answers,
    Filled,
    events_of,
    export,
    refused,
    succeeded,
    unguarded,
    until,
    verified,
)
from tests.end_to_end.processes import Running, run, start
from tests.end_to_end.test_cli import said


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
    guard = "resume.belongs = lambda *_: True"
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
