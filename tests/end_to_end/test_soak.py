"""A server stays as it is under mixed work: its memory, its descriptors, and how long it takes.

The long form takes an hour: ``pytest -m long tests/end_to_end/test_soak.py``.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.benchmarks import soak, steadiness
from tests.benchmarks.steadiness import Answer, Sample

pytestmark = pytest.mark.sqlite
# A process that does something for each line, and says when it has.
_PROGRAM = """
import os, sys
kept = []
for _ in sys.stdin:
    {deed}
    print(flush=True)
"""
_DEEDS = {
    "nothing": "bytes(1_000_000)",
    "memory": "kept.append(b'a' * 1_000_000)",
    "descriptors": "kept.append(os.dup(0))",
}
_MINUTES = 30


def _samples(deed: str) -> list[Sample]:
    """A process that does it once a minute, were each line a minute."""
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM.format(deed=_DEEDS[deed])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        samples = []
        for minute in range(1, _MINUTES + 1):
            process.stdin.write("\n")
            process.stdin.flush()
            process.stdout.readline()
            samples.append(steadiness.sample(process.pid, at=60.0 * minute))
        process.stdin.close()
        return samples


@pytest.mark.parametrize("deed", _DEEDS)
def test_a_leak_is_found_and_a_process_without_one_is_flat(deed: str) -> None:
    missed = {one.what for one in steadiness.flatness(_samples(deed)) if not one.is_kept}
    assert missed == ({deed} - {"nothing"})


def _answers(times: Sequence[float], status: str = "200") -> list[Answer]:
    """One GET and one PATCH a second."""
    return [
        Answer(float(second), kind, time, status, status == "200")
        for second, time in enumerate(times)
        for kind in ("GET", "PATCH")
    ]


def _missed(answers: Sequence[Answer]) -> set[str]:
    flat = _samples("nothing")
    return {one.what for one in steadiness.verdicts(flat, answers) if not one.is_kept}


def test_a_tail_that_grows_is_found() -> None:
    steady = _answers([2.0, 3.0] * 900)
    assert _missed(steady) == set()
    slower = _answers([2.0, 3.0] * 600 + [2.0, 5.0] * 300)
    assert _missed(slower) == {"GET p99, last / first", "PATCH p99, last / first"}


def test_an_answer_that_was_not_expected_is_found() -> None:
    steady = _answers([2.0, 3.0] * 900)
    assert _missed([*steady, Answer(7.0, "list", 2.0, "500", is_expected=False)]) == {
        "unexpected answers"
    }


def test_mixed_work_is_answered_as_expected_and_leaves_a_database_without_differences() -> None:
    """Too short to judge memory by."""
    rows: list[str] = []
    done = soak.soak(minutes=0.25, rate=30, show=rows.append)
    verdicts = {one.what: one for one in done.verdicts()}
    for what in ("unexpected answers", "check of the database"):
        assert verdicts[what].is_kept, verdicts[what].measured
    kinds = {answer.kind for answer in done.answers}
    assert {"GET", "PATCH", "list", "history", "guess", "follow", "archive"} <= kinds
    assert len(rows) == 2 + len(done.samples)
    assert done.samples[-1].memory < 400


@pytest.mark.long
def test_for_an_hour_nothing_grows_and_nothing_gets_slower() -> None:
    done = soak.soak(minutes=60, rate=50, show=print)
    assert [verdict for verdict in done.verdicts() if not verdict.is_kept] == []
