"""Writes and syncs that fail: no false answer, the next start recovers, and writing goes on."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from app.services import open_services
from tests.databases import config_of
from tests.end_to_end import traced_writes
from tests.end_to_end.acknowledged import log_of, prove
from tests.end_to_end.changing_process import Answer, Plan, reason
from tests.end_to_end.processes import EQUAL, run
from tests.end_to_end.traced_writes import failing

pytestmark = pytest.mark.sqlite

# From which call on they fail: a thread that makes the database ready begins with some writes.
_FIRST = {"pwrite64": 40, "fdatasync": 1, "ftruncate": 3}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "backstory.db"
    traced_writes.make_database(path)
    return path


def false_answers(database: Path, answers: list[Answer]) -> list[Answer]:
    """Changes that were reported as done and are not there, or as refused and are there."""
    there = {event.reason for event in log_of(database, 1)}
    return [
        answer
        for answer in answers
        if answer.outcome == ("refused" if reason(answer.number) in there else "done")
    ]


def start_again(database: Path) -> None:
    """Open the database as the next process does, and prove that all of it is sound."""

    async def opened() -> None:
        async with open_services(config_of(database)) as services:
            await services.database.check()

    asyncio.run(opened())
    prove([], log_of(database, 1))
    checked = run(database.parent, "check")
    assert (checked.returncode, checked.stdout) == (0, EQUAL)


@pytest.mark.parametrize(
    ("call", "error", "step"),
    [("pwrite64", "ENOSPC", 97), ("fdatasync", "EIO", 5)],
)
def test_what_fails_is_not_reported_as_done_and_writing_goes_on(
    database: Path, call: str, error: str, step: int
) -> None:
    answers = traced_writes.run(database, Plan(count=20), *failing(call, error, _FIRST[call], step))
    outcomes = [answer.outcome for answer in answers]
    assert outcomes.count("done") == 20
    assert outcomes.count("done") < len(outcomes)
    start_again(database)
    assert false_answers(database, answers) == []


def test_control_where_errors_of_a_commit_are_ignored_some_answers_are_false(
    database: Path,
) -> None:
    answers = traced_writes.run(
        database, Plan(count=8, guard="commit"), *failing("fdatasync", "EIO", 3, 5)
    )
    assert false_answers(database, answers)


@pytest.mark.long
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize(("call", "step"), [("pwrite64", 5), ("fdatasync", 1), ("ftruncate", 1)])
def test_each_write_and_each_sync_may_fail(
    tmp_path: Path, call: str, step: int, error: str
) -> None:
    """The long form: ``.venv/bin/pytest -m long tests/end_to_end/test_disk_errors.py``."""
    for first in itertools.count(_FIRST[call], step):
        database = tmp_path / str(first) / "backstory.db"
        database.parent.mkdir()
        traced_writes.make_database(database)
        trace = database.with_name("trace")
        answers = traced_writes.run(
            database, Plan(count=8), *failing(call, error, first), trace=trace
        )
        start_again(database)
        assert false_answers(database, answers) == []
        if "INJECTED" not in trace.read_text():
            return  # there were not so many calls
