from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec import UNSET

from events.pointers import (
    Change,
    alike,
    apply,
    covers,
    diff,
    flatten,
    join,
    overlaps,
    same,
    split,
    unapply,
)
from tests.events.strategies import NAMES, TREES, VALUES, as_json, modest, pairs_of_trees

PAIRS = pairs_of_trees()

# RFC 6901, section 5: the document's members and their pointers.
PUBLISHED = [
    (("foo",), "/foo"),
    (("",), "/"),
    (("a/b",), "/a~1b"),
    (("c%d",), "/c%d"),
    (("e^f",), "/e^f"),
    (("g|h",), "/g|h"),
    (("i\\j",), "/i\\j"),
    (('k"l',), '/k"l'),
    ((" ",), "/ "),
    (("m~n",), "/m~0n"),
]


@pytest.mark.parametrize(("tokens", "pointer"), PUBLISHED)
def test_tokens_are_escaped_as_the_publication_shows(tokens: tuple[str, ...], pointer: str) -> None:
    assert join(tokens) == pointer
    assert split(pointer) == tokens


def test_the_empty_pointer_is_the_whole_document() -> None:
    assert join(()) == ""
    assert split("") == ()


def test_an_escaped_tilde_before_a_one_is_not_a_slash() -> None:
    assert split("/~01") == ("~1",)
    assert "~01".replace("~0", "~").replace("~1", "/") == "/", "the wrong order would make one"


@for_all(st.lists(NAMES, max_size=6).map(tuple))
def test_split_is_the_inverse_of_join(tokens: tuple[str, ...]) -> None:
    assert split(join(tokens)) == tokens


@for_all(st.lists(NAMES, max_size=4).map(tuple), st.lists(NAMES, max_size=4).map(tuple))
def test_different_places_have_different_pointers(
    one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    assert (join(one) == join(other)) == (one == other)


@pytest.mark.parametrize(
    ("prefix", "path", "does"),
    [
        ("/a", "/a", True),
        ("/a", "/a/b", True),
        ("/a", "/a/", True),
        ("/a", "/ab", False),
        ("/a/b", "/a", False),
        ("", "/a", True),
        ("/", "/", True),
        ("/", "/a", False),
        ("/", "//a", True),
    ],
)
def test_a_pointer_covers_itself_and_what_lies_below(prefix: str, path: str, *, does: bool) -> None:
    assert covers(prefix, path) is does


@for_all(st.lists(NAMES, max_size=4).map(tuple), st.lists(NAMES, max_size=4).map(tuple))
def test_covering_is_being_a_prefix_token_by_token(
    one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    assert covers(join(one), join(other)) == (other[: len(one)] == one)
    assert overlaps(join(one), join(other)) == overlaps(join(other), join(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        (0, False),
        (0.0, False),
        ("", None),
        ([], {}),
        ([1], [1.0]),
        ({"a": 1}, {"a": True}),
        ({"a": [{"b": 0}]}, {"a": [{"b": False}]}),
        ({"a": None}, {}),
        ([1], [1, 1]),
    ],
)
def test_values_that_differ_on_the_wire_are_not_the_same(one: Any, other: Any) -> None:
    assert not same(one, other)
    assert not same(other, one)
    assert diff({"x": one}, {"x": other})


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (1, True), ([0], [False])])
def test_python_alone_would_take_them_for_the_same(one: Any, other: Any) -> None:
    assert one == other


@for_all(VALUES)
def test_a_value_is_the_same_as_its_copy(value: Any) -> None:
    assert same(value, copy.deepcopy(value))


def test_an_empty_object_is_a_leaf_and_a_list_is_one_value() -> None:
    tree = {"a": {"b": {}, "c": [{"d": 1}]}, "": None}
    assert flatten(tree) == {"/a/b": {}, "/a/c": [{"d": 1}], "/": None}


@for_all(TREES.filter(bool))
def test_the_leaves_make_the_tree_again(tree: dict[str, Any]) -> None:
    leaves = {path: Change(after=value) for path, value in flatten(tree).items()}
    assert same(apply(leaves, {}), tree)


@modest
@for_all(PAIRS)
def test_a_diff_applied_to_what_was_before_gives_what_is_after(
    pair: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    before, after = pair
    assert same(apply(diff(before, after), before), after)


@modest
@for_all(PAIRS)
def test_a_diff_taken_back_from_what_is_after_gives_what_was_before(
    pair: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    before, after = pair
    assert same(unapply(diff(before, after), after), before)


@modest
@for_all(PAIRS)
def test_no_path_of_a_diff_lies_below_another(
    pair: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    paths = list(diff(*pair))
    assert not [(one, other) for one in paths for other in paths if one != other
                and overlaps(one, other)]  # fmt: skip


@modest
@for_all(PAIRS)
def test_a_diff_names_only_what_changed(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    before, after = pair
    for change in diff(before, after).values():
        assert not (change.before is UNSET and change.after is UNSET)
        assert not same(change.before, change.after)
    assert not diff(before, copy.deepcopy(before))


@modest
@for_all(PAIRS)
def test_nothing_is_changed_in_place(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    copies = copy.deepcopy(pair)
    changes = diff(*pair)
    changes_copy = copy.deepcopy(changes)
    apply(changes, pair[0])
    unapply(changes, pair[1])
    assert same(list(pair), list(copies))
    assert {path: (c.before, c.after) for path, c in changes.items()} == {
        path: (c.before, c.after) for path, c in changes_copy.items()
    }


@modest
@for_all(PAIRS, TREES)
def test_what_a_diff_does_not_name_is_left_alone(
    pair: tuple[dict[str, Any], dict[str, Any]], other: dict[str, Any]
) -> None:
    before, after = ({"ours": tree} for tree in pair)
    changed = apply(diff(before, after), before | {"theirs": other})
    assert same(changed, after | {"theirs": other})


def test_objects_on_the_way_are_made_as_needed() -> None:
    assert apply({"/a/b/c": Change(after=1)}, {}) == {"a": {"b": {"c": 1}}}


def test_a_side_without_a_value_is_not_null() -> None:
    changes = diff({"gone": None, "kept": None}, {"new": None, "kept": None})
    assert changes == {"/gone": Change(before=None), "/new": Change(after=None)}
    assert apply(changes, {"gone": None, "kept": None}) == {"new": None, "kept": None}


# -- equality

KINDS = [0, 0.0, -0.0, False, 1, 1.0, True, "1", "", None, [], {}, [1], [1.0], [True], {"a": 1}]
KINDS += [{"a": True}, {"a": 1.0}, {"a": None}, "\u00e9", "e\u0301", "\u00c9", 10**15, 1e15, 2**53]


@pytest.mark.parametrize("one", KINDS, ids=repr)
def test_no_two_of_these_values_are_the_same_and_each_is_a_change_from_the_other(one: Any) -> None:
    for other in KINDS:
        is_one = other is one
        assert same(one, other) == is_one
        assert (diff({"x": one}, {"x": other}) == {}) == is_one
        assert same({"x": [one]}, {"x": [other]}) == is_one


@modest
@for_all(VALUES, VALUES)
def test_what_is_the_same_has_the_same_bytes_but_for_the_order_of_members(
    one: Any, other: Any
) -> None:
    assert same(one, other) == (as_json(one) == as_json(other))
    assert same(one, copy.deepcopy(one))


def test_control_python_holds_many_of_them_to_be_equal() -> None:
    equal = [(a, b) for a in KINDS for b in KINDS if a is not b and a == b]
    assert len(equal) > 20


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (1, 1.0, True),
        (0.0, -0.0, True),
        (100, 1e2, True),
        (1, True, False),
        (0, False, False),
        ("1", 1, False),
        ([1, {"a": 2.0}], [1.0, {"a": 2}], True),
        ({"a": 1, "b": 2}, {"b": 2.0, "a": 1}, True),
        ([1, 2], [2, 1], False),
        ("\u00e9", "e\u0301", False),
        (None, 0, False),
    ],
)
def test_values_are_alike_where_their_numbers_are(one: Any, other: Any, *, expected: bool) -> None:
    assert alike(one, other) is expected
    assert alike(other, one) is expected
