from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from hypothesis import given as for_all
from msgspec import UNSET

from events.merging import Replace, merge, seal
from events.pointers import Path, Tree, same
from events.secrets.values import KEPT, Plain
from tests.events.given import merged, secret
from tests.events.strategies import TREES, VALUES, modest


def removing(patch: Any) -> Any:
    """A patch of RFC 7396 as ours is: what removes is UNSET, so that null is a value."""
    if isinstance(patch, dict):
        return {n: UNSET if v is None else removing(v) for n, v in patch.items()}
    return patch


SUITE = pathlib.Path(__file__).parents[1] / "suites" / "rfc7396" / "examples.json"
PUBLISHED = [
    (one["original"], one["patch"], one["result"]) for one in json.loads(SUITE.read_text("utf-8"))
]


@pytest.mark.parametrize(("original", "patch", "result"), PUBLISHED)
def test_patches_are_merged_as_the_publication_shows(
    original: Any, patch: Any, result: Any
) -> None:
    assert same(merge(original, removing(patch)), result)


@modest
@for_all(VALUES, TREES)
def test_any_patch_is_merged_as_the_publication_says(original: Any, patch: Tree) -> None:
    assert same(merge(original, removing(patch)), merged(original, patch))


def test_null_is_a_value() -> None:
    assert merge({"a": 1, "b": 2}, {"a": None}) == {"a": None, "b": 2}


def test_a_replacement_takes_the_place_of_the_whole() -> None:
    assert merge({"a": {"b": 1}}, {"a": Replace({"c": 2})}) == {"a": {"c": 2}}
    assert merge({"a": {"b": 1}}, {"a": {"c": 2}}) == {"a": {"b": 1, "c": 2}}


@pytest.mark.parametrize("old", [secret("old"), {"a": 1}, "text", None, [1]])
def test_a_secret_takes_the_place_of_whatever_was_there(old: Any) -> None:
    assert merge({"key": old}, {"key": secret("new")}) == {"key": secret("new")}


def test_an_object_takes_the_place_of_a_secret_and_does_not_merge_with_it() -> None:
    assert merge({"key": secret("old")}, {"key": {"a": 1}}) == {"key": {"a": 1}}


def test_every_plain_secret_is_sealed_at_its_place_and_nothing_else_is() -> None:
    places: list[Path] = []

    def reference_to(plain: Plain, path: Path) -> Tree:
        places.append(path)
        return secret(str(plain.value))

    patch = {
        "a": Plain("1"),
        "b": {"c": [Plain("2"), {"d": Plain("3")}]},
        "e": Replace({"f": [Plain("4")]}),
        "g": [KEPT, UNSET, None, "text", 5],
    }
    assert seal(patch, reference_to) == {
        "a": secret("1"),
        "b": {"c": [secret("2"), {"d": secret("3")}]},
        "e": Replace({"f": [secret("4")]}),
        "g": [KEPT, UNSET, None, "text", 5],
    }
    # A secret moves with its element: its place in a list is no part of its path.
    assert places == [("a",), ("b", "c", "*"), ("b", "c", "*", "d"), ("e", "f", "*")]
