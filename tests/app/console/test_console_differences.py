"""What differences show: the edits of a text with a little context, and JSON by its members."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.console import differences
from app.console.differences import details, folded
from events.pointers import same
from projections import words

_TOOLS: list[dict[str, Any]] = [
    {"name": "book", "parameters": {"properties": {"day": {"description": "The day to book"}}}},
    {"type": "function", "function": {"name": "cancel", "parameters": {}}},
    {"name": "move", "parameters": {"required": ["day"]}},
]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text("ab ", max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=12,
)
_HELD = st.lists(_JSON, min_size=1, max_size=6)


def said(before: Any, after: Any) -> list[tuple[str, str]]:
    return [(one.op, one.place) for one in details(before, after)]


def test_one_letter_in_the_schema_of_a_tool_is_one_difference() -> None:
    edited = copy.deepcopy(_TOOLS)
    edited[0]["parameters"]["properties"]["day"]["description"] = "The days to book"
    place = "book › parameters › properties › day › description"  # noqa: RUF001
    assert said(_TOOLS, edited) == [("changed", place)]
    (one,) = details(_TOOLS, edited)
    assert (one.before, one.after) == ("The day to book", "The days to book")


def test_a_moved_element_is_moved_and_neither_removed_nor_added() -> None:
    book, cancel, move = _TOOLS
    assert said(_TOOLS, [cancel, move, book]) == [("moved", "book")]
    assert said(["a", "b", "c"], ["c", "a", "b"]) == [("moved", "c")]
    (one,) = details(_TOOLS, [cancel, move, book])
    assert (one.before, one.after) == (1, 3)


def test_added_and_removed_elements_leave_the_others_alone() -> None:
    book, cancel, move = _TOOLS
    assert said([book, move], [book, cancel, move]) == [("added", "cancel")]
    assert said([book, cancel, move], [book, move]) == [("removed", "cancel")]
    assert said(["a", "b"], ["a", "c", "b"]) == [("added", "")]


@given(_HELD, _HELD)
def test_there_are_details_exactly_where_two_lists_differ(before: Any, after: Any) -> None:
    assert bool(details(before, after)) == (not same(before, after))


def test_a_value_with_too_many_differences_is_shown_whole() -> None:
    assert details([*range(500)], [*range(1000, 1500)]) == []


_TEXT = st.text("ab. \n", max_size=400)


@given(_TEXT, _TEXT, st.sampled_from([differences.BRIEF, differences.CONTEXT]))
def test_folds_leave_out_nothing_and_touch_no_edit(before: str, after: str, context: int) -> None:
    hunks = words.hunks(before, after)
    parts = folded(hunks, context)
    kept = ("equal", "folded")
    assert "".join(part.text for part in parts if part.op in (*kept, "delete")) == before
    assert "".join(part.text for part in parts if part.op in (*kept, "insert")) == after
    edits = [hunk.text for hunk in hunks if hunk.op != "equal"]
    assert [part.text for part in parts if part.op not in kept] == edits


def test_what_is_far_from_an_edit_is_folded() -> None:
    long = "Greet the caller. " * 40
    parts = folded(words.hunks(f"{long}Then book.{long}", f"{long}Then move.{long}"))
    assert [part.op for part in parts] == [
        "folded", "equal", "delete", "insert", "equal", "folded",
    ]  # fmt: skip
    assert all(len(part.text) <= differences.CONTEXT for part in parts if part.op == "equal")
