"""``application/merge-patch+json``: RFC 7396 itself; and how a change as plain JSON differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec import Struct

from events.bodies.merge_patch import read_merge_patch
from events.bodies.patch import read_edit
from events.errors import InvalidSettings
from events.pointers import Tree, at, same
from tests.events.given import DEFAULTS, Given, changed, create, created, given, merged, sent_to
from tests.events.strategies import bodies, few, modest

if TYPE_CHECKING:
    from collections.abc import Callable

SUITE = Path(__file__).parents[2] / "suites" / "rfc7396" / "examples.json"
EXAMPLES: list[dict[str, Any]] = json.loads(SUITE.read_text("utf-8"))
PAGE = Path(__file__).parents[3] / "events" / "README.md"
FREE = [  # every map that takes any member, as the path of what holds it
    "/custom_settings",
    "/llm_provider_config/custom_config",
    "/tts_settings/provider_config",
    "/stt_settings/provider_config",
    "/recording_settings",
]


def holding(path: str, value: Any) -> Tree:
    for name in reversed(path.split("/")[1:]):
        value = {name: value}
    return dict(value)


def with_values(values: Tree) -> Given:
    """An assistant that stores values at some paths, whatever the rules say."""
    paths = {path: (at(DEFAULTS, path), value) for path, value in values.items()}
    return given(created(), changed(paths))


def after_merge_patch(story: Given, body: Any) -> Tree:
    read = read_merge_patch(body, story.state.settings, story.state.erased_version)
    return story.after(sent_to(story, read)).state.settings


def after_json(story: Given, body: Any) -> Tree:
    return story.after(sent_to(story, read_edit(body))).state.settings


# -- the publication


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: json.dumps(one["patch"]))
@pytest.mark.parametrize("path", FREE)
def test_each_published_example_holds_inside_every_free_form_map(
    path: str, example: dict[str, Any]
) -> None:
    """A member of the map is the original: what it is, an object or not, is the example's."""
    story = with_values({f"{path}/document": example["original"]})
    body = holding(path, {"document": example["patch"]})
    expected = merged({"document": example["original"]}, {"document": example["patch"]})
    found = at(after_merge_patch(story, body), path)
    assert same({n: v for n, v in found.items() if n == "document"}, expected)
    if example["patch"] is not None:  # which removes the member itself
        assert same(found["document"], example["result"])


@pytest.mark.parametrize(
    "example",
    [
        one
        for one in EXAMPLES
        if isinstance(one["original"], dict) and isinstance(one["patch"], dict)
    ],
    ids=lambda one: json.dumps(one["patch"]),
)
def test_each_published_example_of_two_objects_holds_for_a_map_itself(
    example: dict[str, Any],
) -> None:
    story = with_values({"/custom_settings": example["original"]})
    settings = after_merge_patch(story, {"custom_settings": example["patch"]})
    assert same(settings["custom_settings"], example["result"])


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.floats(0, 3) | st.sampled_from(["", " x "]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=8,
)
_MAPS = st.dictionaries(st.sampled_from("abc"), _VALUES)


@modest
@for_all(_MAPS | st.none(), _MAPS, st.sampled_from(FREE[:-1]))
def test_any_patch_of_a_free_form_map_is_merged_as_the_publication_says(
    stored: Tree | None, patch: Tree, path: str
) -> None:
    story = with_values({path: stored})
    assert same(at(after_merge_patch(story, holding(path, patch)), path), merged(stored, patch))


@few
@for_all(bodies(), bodies(nulls=False))
def test_a_patch_without_null_does_what_the_same_members_do_as_json_but_in_what_is_replaced(
    stored: Tree, patch: Tree
) -> None:
    patch.pop("custom_settings", None)
    story = given().after(create(stored))
    assert same(after_merge_patch(story, patch), after_json(story, patch))


# -- how the two differ: one table, which stands in the documentation


DEFAULT = "the default"


class Case(Struct, frozen=True, kw_only=True):
    """What a body does to settings, sent as the one and as the other."""

    what: str
    stored: str
    sent: str
    as_json: str  # what is stored then, or the type of the error
    as_merge_patch: str
    path: str  # what is looked at


CASES = [
    Case(
        what="a member of a free-form map",
        stored='{"a": {"x": 1}}',
        sent='{"a": {"y": 2}}',
        as_json='{"a": {"x": 1, "y": 2}}',
        as_merge_patch='{"a": {"x": 1, "y": 2}}',
        path="/llm_provider_config/custom_config",
    ),
    Case(
        what="a member of `custom_settings`",
        stored='{"a": {"x": 1}}',
        sent='{"a": {"y": 2}}',
        as_json='{"a": {"y": 2}}',
        as_merge_patch='{"a": {"x": 1, "y": 2}}',
        path="/custom_settings",
    ),
    Case(
        what="null for such a member",
        stored='{"a": 1, "b": 2}',
        sent='{"a": null}',
        as_json='{"b": 2}',
        as_merge_patch='{"b": 2}',
        path="/custom_settings",
    ),
    Case(
        what="null where null stands: as it was read",
        stored='{"a": null, "b": 2}',
        sent='{"a": null}',
        as_json='{"a": null, "b": 2}',
        as_merge_patch='{"b": 2}',
        path="/llm_provider_config/custom_config",
    ),
    Case(
        what="null inside a member of `custom_settings`",
        stored="null",
        sent='{"a": {"x": null, "y": 1}}',
        as_json='{"a": {"x": null, "y": 1}}',
        as_merge_patch='{"a": {"y": 1}}',
        path="/custom_settings",
    ),
    Case(
        what="an object where none is",
        stored='{"a": [1]}',
        sent='{"a": {"x": {"y": null}}}',
        as_json='{"a": {"x": {}}}',
        as_merge_patch='{"a": {"x": {}}}',
        path="/tts_settings/provider_config",
    ),
    Case(
        what="null in a list",
        stored='{"a": [1]}',
        sent='{"a": [null, {"x": null}]}',
        as_json='{"a": [null, {"x": null}]}',
        as_merge_patch='{"a": [null, {"x": null}]}',
        path="/tts_settings/provider_config",
    ),
    Case(
        what="an empty text under a credential's name",
        stored='{"token_url": "x"}',
        sent='{"token": ""}',
        as_json='{"token_url": "x"}',
        as_merge_patch='{"token_url": "x", "token": ""}',
        path="/tts_settings/provider_config",
    ),
    Case(
        what="null for a setting that may be null",
        stored='"Hold on"',
        sent="null",
        as_json="null",
        as_merge_patch="null",
        path="/idle_message",
    ),
    Case(
        what="null for a nested setting that may not be null",
        stored="0.9",
        sent="null",
        as_json="422 float_type",
        as_merge_patch=DEFAULT,
        path="/llm_settings/temperature",
    ),
    Case(
        what="null for an object of settings",
        stored='{"enabled": true}',
        sent="null",
        as_json=DEFAULT,
        as_merge_patch=DEFAULT,
        path="/rag_settings",
    ),
    Case(
        what="null for the name, `llm_provider`, `is_active`, `conversation_continuity_enabled`",
        stored="false",
        sent="null",
        as_json="false",
        as_merge_patch="422 not_removable",
        path="/is_active",
    ),
    Case(
        what="a list",
        stored='["a", "b"]',
        sent='["b"]',
        as_json='["b"]',
        as_merge_patch='["b"]',
        path="/stt_settings/keyterms",
    ),
]


def outcome(story: Given, case: Case, door: Callable[[Given, Tree], Tree]) -> str:
    """What a body leaves at the path as JSON, or the type of its error."""
    try:
        left = at(door(story, holding(case.path, json.loads(case.sent))), case.path)
    except InvalidSettings as refusal:
        return f"422 {refusal.errors[0].type}"
    return DEFAULT if same(left, at(DEFAULTS, case.path)) else json.dumps(left)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_each_row_of_the_table_says_what_either_media_type_does(case: Case) -> None:
    story = with_values({case.path: json.loads(case.stored)})
    assert outcome(story, case, after_json) == case.as_json
    assert outcome(story, case, after_merge_patch) == case.as_merge_patch


def test_the_documentation_has_that_table() -> None:
    rows = [
        f"| {case.what} | {_code(case.stored)} | {_code(case.sent)} | {_code(case.as_json)} |"
        f" {_code(case.as_merge_patch)} |"
        for case in CASES
    ]
    head = ["| sent for | stored | sent | as JSON | as a merge patch |", "|---|---|---|---|---|"]
    assert "\n".join([*head, *rows]) in PAGE.read_text("utf-8")


def _code(text: str) -> str:
    return text if text == DEFAULT or text.startswith("422") else f"`{text}`"
