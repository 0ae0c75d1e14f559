"""An archive holds the log in parts that need no server, and a later run adds the next."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from app.audit import verify
from tests.databases import (
    text_of,
)
from tests.end_to_end.audit.commands import (
    ARCHIVED,
    BIG,
    SMALL,
    Answers,
    Filled,
    archive,
    events_of,
    names,
    part,
    succeeded,
    verified,
)
from tests.end_to_end.processes import FILE, Running, run


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
