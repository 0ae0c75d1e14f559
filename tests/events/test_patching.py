"""What a patch makes of a value: each part of the walk has a law of its own."""

from __future__ import annotations

import copy
import itertools
import json
import pathlib
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType

from events.bodies.patch import read_patch
from events.errors import InvalidSettings
from events.merging import Replace, seal
from events.patching import patched
from events.pointers import MARK, Path, Tree, is_reference, same
from events.secrets.references import AT, URL, places
from events.secrets.values import KEPT, Kept, Plain
from events.shape import SETTINGS, with_defaults
from tests.events.given import create, given, merged, patch, sealed, secret
from tests.events.strategies import TREES, VALUES, as_json, bodies, few, modest, secret_bodies


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
    assert same(patched(removing(patch), original), result)


@modest
@for_all(VALUES, TREES)
def test_any_patch_is_merged_as_the_publication_says(original: Any, patch: Tree) -> None:
    assert same(patched(removing(patch), original), merged(original, patch))


def test_null_is_a_value() -> None:
    assert patched({"a": None}, {"a": 1, "b": 2}) == {"a": None, "b": 2}


def test_a_replacement_takes_the_place_of_the_whole() -> None:
    assert patched({"a": Replace({"c": 2})}, {"a": {"b": 1}}) == {"a": {"c": 2}}
    assert patched({"a": {"c": 2}}, {"a": {"b": 1}}) == {"a": {"b": 1, "c": 2}}


@pytest.mark.parametrize("old", [secret("old"), {"a": 1}, "text", None, [1]])
def test_a_secret_takes_the_place_of_whatever_was_there(old: Any) -> None:
    assert patched({"key": secret("new")}, {"key": old}) == {"key": secret("new")}


def test_an_object_takes_the_place_of_a_secret_and_does_not_merge_with_it() -> None:
    assert patched({"key": {"a": 1}}, {"key": secret("old")}) == {"key": {"a": 1}}


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


# -- settings: defaults, masks, and what is not named


@st.composite
def edits(draw: st.DrawFn) -> tuple[Tree, Tree]:
    """Settings with secrets in them, and a patch of them with new secrets and without masks."""
    numbers = itertools.count()
    story = given().after(create(draw(bodies())))
    for body in draw(st.lists(secret_bodies(), max_size=2)):
        with suppress(InvalidSettings):  # a mask for a secret that is not there
            story = story.after(patch(body, numbers))
    trees = [sealed(without(Kept, read_patch(draw(some)).tree)) for some in (bodies(), SECRETS)]
    return story.state.settings, trees[0] | trees[1]


SECRETS = secret_bodies()


def without(kind: type, value: Any) -> Any:
    """A patch without what is of a kind."""
    if isinstance(value, Replace):
        return Replace(without(kind, value.value))
    if isinstance(value, dict):
        return {n: without(kind, v) for n, v in value.items() if not isinstance(v, kind)}
    if isinstance(value, list):
        return [without(kind, v) for v in value if not isinstance(v, kind)]
    return value


def masks(value: Any) -> Any:
    """A stored value as it is read when it comes back: a mask in place of each secret."""
    if is_reference(value):
        at = value.get(AT)
        return Kept(url=value.get(URL), at=None if at is None else tuple(at))
    if isinstance(value, dict):
        return {name: masks(member) for name, member in value.items()}
    return [masks(item) for item in value] if isinstance(value, list) else value


@few
@for_all(edits())
def test_typed_objects_are_complete_and_in_order_and_nothing_else_is_added(
    edit: tuple[Tree, Tree],
) -> None:
    settings, tree = edit
    plain, typed = patched(tree, settings), patched(tree, settings, SETTINGS)
    assert msgspec.json.encode(typed) == msgspec.json.encode(with_defaults(plain))


@few
@for_all(edits())
def test_what_a_patch_does_not_name_stays_the_same_object(edit: tuple[Tree, Tree]) -> None:
    settings, tree = edit
    kept = copy.deepcopy(settings)
    after = patched(tree, settings, SETTINGS)
    assert after.keys() == settings.keys()
    assert all(after[name] is settings[name] for name in settings.keys() - tree.keys())
    assert as_json(settings) == as_json(kept), "nothing is changed in place"


@few
@for_all(edits())
def test_a_whole_value_leaves_nothing_of_the_one_before(edit: tuple[Tree, Tree]) -> None:
    settings, tree = edit
    whole = Replace(without(UnsetType, tree))
    assert same(patched(whole, settings, SETTINGS), patched(whole, {}, SETTINGS))


@few
@for_all(edits())
def test_masks_that_come_back_change_nothing(edit: tuple[Tree, Tree]) -> None:
    settings, tree = edit
    for stored in (settings, patched(tree, settings, SETTINGS)):
        for sent in (masks(stored), Replace(masks(stored))):
            assert same(patched(sent, stored, SETTINGS), stored)


@few
@for_all(edits())
def test_a_new_secret_that_equals_the_stored_one_changes_nothing(edit: tuple[Tree, Tree]) -> None:
    stored = patched(edit[1], edit[0], SETTINGS)
    fresh = msgspec.json.decode(as_json(stored).replace(b'{"id":"', b'{"id":"new-'))
    olds = {place.reference[MARK]["id"] for place in places(stored)}
    equal = {f"new-{identity}": frozenset((identity,)) for identity in olds}
    assert same(patched(fresh, stored, SETTINGS, equal=equal), stored)
    assert same(patched(fresh, stored, SETTINGS), fresh), "the control: nobody knows"
