"""An archive that was tampered with fails the next run."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.databases import (
    execute,
)
from tests.end_to_end.audit.commands import (
    ARCHIVED,
    BIG,
    Filled,
    archive,
    names,
    part,
    succeeded,
    unguarded,
)
from tests.end_to_end.processes import FILE


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
