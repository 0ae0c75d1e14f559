"""The benchmark of neighbours measures: one cheap neighbour, for a moment."""

from __future__ import annotations

import pytest

from tests.benchmarks import neighbours, steady
from tests.forking import ROOT


@pytest.mark.sqlite
def test_the_caller_is_answered_beside_a_neighbour_that_guesses_keys() -> None:
    measured = neighbours.measure(ROOT, "refused-keys", seconds=1.0, size=0.1)
    assert {kind: taken.failed for kind, taken in measured.taken.items()} == {"GET": 0, "PATCH": 0}
    assert [len(measured.taken[kind].times) for kind in steady.KINDS] == [50, 10]
    assert "x 401" in measured.answers
    assert 0 < measured.peak < 400
