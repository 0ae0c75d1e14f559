"""The comparison of two checkouts: it finds each difference, and none where there is none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.end_to_end.same_bytes import compare, differences
from tests.forking import ROOT

_RECORD: dict[str, Any] = {
    "answers": [["GET /a", 200, {"etag": "1"}, "{}"], ["GET /b", 404, {}, ""]],
    "tables": {"events": [{"sequence": 1, "body": "{}"}]},
}


@pytest.mark.sqlite
def test_a_checkout_answers_and_stores_the_same_bytes_as_itself() -> None:
    found = compare(ROOT, 60)
    assert found["answers"].total == 60
    assert found["rows of events"].total > 20
    assert not [name for name, compared in found.items() if compared.differ]


@pytest.mark.parametrize(
    ("ours", "name", "kind"),
    [
        ({"answers": [["GET /a", 201, {"etag": "1"}, "{}"]]}, "answers", "GET /a, status"),
        ({"answers": [["GET /a", 200, {"etag": "2"}, "{}"]]}, "answers", "GET /a, header etag"),
        ({"answers": [["GET /a", 200, {}, "{}"]]}, "answers", "GET /a, header etag, only before"),
        ({"answers": [["GET /a", 200, {"etag": "1"}, "{ }"]]}, "answers", "GET /a, body"),
        ({"tables": {"events": [{"sequence": 1, "body": "1"}]}}, "rows of events", "body"),
        ({"tables": {"events": []}}, "rows of events", "body, only before"),
        ({"tables": {"new": [{"a": 1}]}}, "rows of new", "a, only now"),
    ],
)
def test_control_what_differs_is_found(ours: dict[str, Any], name: str, kind: str) -> None:
    if "answers" in ours:
        ours = {"answers": [*ours["answers"], _RECORD["answers"][1]]}
    compared = differences(_RECORD, _RECORD | ours)[name]
    assert (compared.differ, kind in compared.differences) == (1, True)
    same = differences(_RECORD, _RECORD)
    assert not any(one.differ for one in same.values())
