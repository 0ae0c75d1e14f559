"""What was acknowledged is there after the power failed, at every sync, whatever the disk kept."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Literal

import pytest

from tests.end_to_end import traced_writes
from tests.end_to_end.changing_process import Answer, Plan, reason
from tests.end_to_end.traced_writes import TRACED, Step, Sync, failing
from tests.end_to_end.unsynced_disk import UnsyncedDisk

pytestmark = pytest.mark.sqlite

_KEPT = (0, 1, 0.5, 0.9, 0.99)  # of what was not synced


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "written" / "backstory.db"
    path.parent.mkdir()
    traced_writes.make_database(path)
    return path


@pytest.fixture
def disk(database: Path) -> UnsyncedDisk:
    """The disk before anything is changed."""
    return UnsyncedDisk((database, database.with_name(f"{database.name}-wal")))


def steps_of(database: Path, plan: Plan, *options: str) -> list[Step]:
    """What a process did that made changes."""
    trace = database.parent.parent / "trace"
    traced_writes.run(database, plan, *TRACED, *options, trace=trace)
    return list(traced_writes.read_trace(trace))


def lost(
    disk: UnsyncedDisk, steps: Iterable[Step], folder: Path, seed: int, times: int = 1
) -> Iterator[int]:
    """For each power cut, how many acknowledged changes are lost."""
    folder.mkdir()
    chance = Random(seed)
    done: set[str] = set()
    for step in steps:
        match step:
            case Answer(number, outcome):
                done |= {reason(number)} if outcome == "done" else set()
            case Sync():
                for newest in _KEPT * times:
                    disk.cut_power(folder, chance, newest)
                    yield len(done - recovered(folder / "backstory.db"))
                disk.sync(step)
            case _:
                disk.do(step)


def recovered(database: Path) -> set[str]:
    """The changes that are there when the database is opened, which must be sound."""
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute("SELECT version, body FROM events WHERE assistant_id = 1")
        events = {version: json.loads(body)["reason"] for version, body in rows}
        shown = connection.execute("SELECT version FROM assistants").fetchall()
    assert sorted(events) == list(range(1, len(events) + 1))
    assert shown == [(len(events),)] * len(shown)  # the view is of the same transaction
    return set(events.values())


def test_no_acknowledged_change_is_lost_by_a_power_cut(
    database: Path, disk: UnsyncedDisk, tmp_path: Path
) -> None:
    steps = steps_of(database, Plan(count=24))
    assert set(lost(disk, steps, tmp_path / "cut", 20_260)) == {0}


def test_control_without_a_sync_for_each_commit_some_are_lost(
    database: Path, disk: UnsyncedDisk, tmp_path: Path
) -> None:
    steps = steps_of(database, Plan(count=12, guard="sync"))
    assert max(lost(disk, steps, tmp_path / "cut", 20_260)) > 0


def test_no_acknowledged_change_is_lost_where_syncs_fail_before_the_power_cut(
    database: Path, disk: UnsyncedDisk, tmp_path: Path
) -> None:
    steps = steps_of(database, Plan(count=10), *failing("fdatasync", "EIO", first=3, step=5))
    assert {"unknown"} <= {step.outcome for step in steps if isinstance(step, Answer)}
    assert set(lost(disk, steps, tmp_path / "cut", 20_260)) == {0}


@pytest.mark.parametrize("guard", ["", "log"])
def test_no_acknowledged_change_is_lost_where_a_process_ended_after_a_sync_that_failed(
    database: Path, disk: UnsyncedDisk, tmp_path: Path, guard: Literal["", "log"]
) -> None:
    fails = failing("fdatasync", "EIO", first=6)
    steps = steps_of(database, Plan(count=40, is_patient=False), *fails)
    last = steps[-1]
    assert isinstance(last, Answer)
    assert last.outcome == "unknown"
    steps += steps_of(database, Plan(count=5, first=last.number + 1, guard=guard))
    most = max(lost(disk, steps, tmp_path / "cut", 20_260))
    assert most == 0 if not guard else most > 0  # without the guard, what follows is lost


@pytest.mark.long
def test_no_acknowledged_change_is_lost_by_any_of_many_power_cuts(
    database: Path, disk: UnsyncedDisk, tmp_path: Path
) -> None:
    """The long form: ``.venv/bin/pytest -m long tests/end_to_end/test_power_cut.py``."""
    steps = steps_of(database, Plan(count=300))
    assert set(lost(disk, steps, tmp_path / "cut", 4, times=3)) == {0}
