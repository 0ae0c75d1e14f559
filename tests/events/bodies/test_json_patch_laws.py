"""Laws of JSON Patches over any settings."""

from __future__ import annotations

import copy
import itertools
import json
from contextlib import suppress
from typing import Any

import jsonpatch
import pytest
from hypothesis import example
from hypothesis import given as for_all
from hypothesis import strategies as st

from events import pointers
from events.bodies import parsing
from events.bodies.json_patch import PatchTestFailed, read_json_patch
from events.changed import AssistantSettingsChanged
from events.commands import ChangeSettings
from events.errors import InvalidSettings
from events.pointers import MARK, Tree, same
from events.secrets.masks import MASK
from events.secrets.references import mask
from tests.events.given import PATCH, at_path, created, given, patch
from tests.events.operations import (
    NEW,
    PLACES,
    STOCKED,
    after,
    command,
    elsewhere,
    op,
    sealed,
    story,
)
from tests.events.strategies import NAMES, VALUES, bodies, many, modest, secret_bodies

TOUCHED = {
    "/llm_provider_config/model": "touched",
    "/tts_settings/voice_id": "touched",
    "/stt_settings/model": "touched",
    "/tools_settings/end_call/custom_message": "touched",
    "/recording_settings/format": "touched",
    "/llm_fallback_providers/enabled": True,
    "/custom_settings/touched": "touched",
}


@modest
@for_all(st.lists(secret_bodies() | bodies(), max_size=4))
@example([{"custom_settings": {"pair": {"key": "Authorization", "value": "x"}}}])
@example([{"custom_settings": {"hooks": [{"url": "https://a:b@c.d/e"}, "https://u:p/w@h"]}}])
def test_what_an_operation_does_not_touch_stays_as_it_is(sent: list[Tree]) -> None:
    assistant = story(*sent)
    settings = assistant.state.settings
    touched = {
        path: value
        for path, value in TOUCHED.items()
        if isinstance(at_path(settings, path.rpartition("/")[0]), dict)
        and at_path(settings, path) != value
    }
    operations = [op("add", path, value) for path, value in touched.items()]
    event = assistant.when(command(assistant, *operations)).decided()
    assert isinstance(event, AssistantSettingsChanged)
    assert event.changes.keys() == touched.keys()


@modest
@for_all(bodies(), bodies(), st.booleans())
def test_the_difference_of_two_settings_makes_one_of_the_other(
    one: Tree,
    other: Tree,
    kin: bool,  # noqa: FBT001 (drawn)
) -> None:
    a = story(one)
    b = story(one, other) if kin else story(other)
    shown, wanted = (mask(assistant.state.settings) for assistant in (a, b))
    operations = jsonpatch.make_patch(shown, wanted, generate_test_ops=kin).patch
    settings = after(a, *operations)
    assert same(settings, b.state.settings)
    assert read_json_patch(operations, a.state.settings, strict=True).ignored == ()


@modest
@for_all(st.lists(secret_bodies(), max_size=3), secret_bodies(), st.booleans())
def test_the_difference_of_settings_with_secrets_makes_what_it_shows_or_is_refused(
    sent: list[Tree],
    last: Tree,
    moves: bool,  # noqa: FBT001 (drawn)
) -> None:
    a, b = story(*sent), story(*sent, last)
    shown, wanted = (mask(assistant.state.settings) for assistant in (a, b))
    operations = jsonpatch.JsonPatch.from_diff(shown, wanted, optimization=moves).patch
    with suppress(InvalidSettings):
        settings = after(a, *operations)
        assert not elsewhere(a, settings)
        # A mask that is sent for a secret which is not stored is nothing.
        assert same(mask(settings), wanted) or MASK in repr(operations)


@modest
@for_all(bodies(nulls=False))
def test_to_replace_a_value_is_to_merge_it(body: Tree) -> None:
    assistant = given(created())
    settings = assistant.state.settings
    merged: Tree = {}
    operations = []
    for path, value in pointers.flatten(body).items():
        if value not in ({}, None) and isinstance(at_path(settings, path), type(value)):
            operations.append(op("replace", path, value))
            merged = pointers.put(merged, path, value)
    assert same(after(assistant, *operations), assistant.after(patch(merged)).state.settings)


ODD_TOKENS = st.sampled_from(
    ["-", "0", "1", "2", "01", "-1", "~0", "~1", "~2", "~", "", "²", "9" * 25, "$secret", "a"]
)
ODD_PATHS = st.one_of(
    st.sampled_from(PLACES),
    st.builds("{}/{}".format, st.sampled_from(PLACES), ODD_TOKENS | NAMES),
    st.lists(ODD_TOKENS | NAMES, max_size=40).map("/".join),
)
ODD_VALUES = VALUES | st.sampled_from([MASK, "erased", f"https://{MASK}@example.com", {MARK: {}}])
OPERATIONS = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
        "path": ODD_PATHS,
        "from": ODD_PATHS,
        "value": ODD_VALUES,
    }
)
MALFORMED = st.fixed_dictionaries(
    {},
    optional={
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]) | VALUES,
        "path": ODD_PATHS | VALUES,
        "from": ODD_PATHS | VALUES,
        "value": ODD_VALUES,
    },
)
ANY_JSON = st.lists(OPERATIONS, max_size=5) | st.lists(OPERATIONS | MALFORMED | VALUES) | VALUES


@modest
@for_all(ANY_JSON)
def test_any_json_is_understood_or_refused_and_changes_nothing_itself(body: Any) -> None:
    understood_or_refused(body)


@pytest.mark.long
@many
@for_all(ANY_JSON)
def test_all_json_is_understood_or_refused_and_changes_nothing_itself(body: Any) -> None:
    """Run it with: pytest -m long tests/events/bodies/test_json_patch_laws.py."""
    understood_or_refused(body)


def understood_or_refused(body: Any) -> None:
    settings, sent = copy.deepcopy(STOCKED.state.settings), copy.deepcopy(body)
    try:
        read = read_json_patch(body, STOCKED.state.settings)
    except (InvalidSettings, PatchTestFailed):
        return
    finally:
        assert same(STOCKED.state.settings, settings)
        assert same(body, sent)
    result = STOCKED.after(
        ChangeSettings(patch=sealed(read.tree, itertools.count(NEW)), cause=PATCH)
    )
    assert not elsewhere(STOCKED, result.state.settings)
    assert same(mask(result.state.settings), parsing.parse(as_text(mask(result.state.settings))))


def as_text(value: Any) -> bytes:
    return json.dumps(value).encode()
