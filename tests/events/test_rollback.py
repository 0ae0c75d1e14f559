"""A rollback restores the settings of a version, or some paths of them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec import UNSET

from events.changed import Cause, fold
from events.derived import COMPUTED
from events.errors import AssistantNotFound, InvalidSettings
from events.pointers import Tree, at, covers, diff, flatten, overlaps, same
from tests.events.given import DEFAULTS, changed, create, created, deleted, given, patch
from tests.events.reversals import (
    BODIES,
    back_to,
    body_at,
    history,
    ids_of,
    paths_of,
    undoing,
    with_paths_of,
)
from tests.events.strategies import few, many, secret_bodies


def restores_the_chosen_paths_alone(sent: list[Tree], data: st.DataObject) -> None:
    story, model = history(sent)
    version = data.draw(st.integers(1, model.version))
    now, then = model.settings, model.copies[version - 1]
    differing = paths_of(*(side for one in diff(now, then) for side in (body_at(one, 0),)))
    choices = st.sampled_from(paths_of(now, then)) | st.sampled_from(differing or [""])
    paths = data.draw(st.lists(choices, min_size=1, max_size=3))
    after = story.after(back_to(story, version, *paths)).state.settings
    assert diff(after, with_paths_of(now, then, paths)) == {}
    for path in flatten(after):
        if path not in COMPUTED and not any(overlaps(path, one) for one in paths):
            assert same(at(after, path), at(now, path))
    for path in paths:
        if at(then, path) is not UNSET and not any(covers(path, one) for one in COMPUTED):
            assert same(at(after, path), at(then, path))


@few
@for_all(BODIES, st.data())
def test_a_rollback_restores_the_chosen_paths_and_leaves_the_others(
    sent: list[Tree], data: st.DataObject
) -> None:
    restores_the_chosen_paths_alone(sent, data)


@pytest.mark.long
@many
@for_all(BODIES, st.data())
def test_many_rollbacks_restore_the_chosen_paths_and_leave_the_others(
    sent: list[Tree], data: st.DataObject
) -> None:
    """Run it with: pytest -m long tests/events/test_rollback.py."""
    restores_the_chosen_paths_alone(sent, data)


@few
@for_all(BODIES, st.data())
def test_all_paths_and_no_paths_are_the_same_rollback(
    sent: list[Tree], data: st.DataObject
) -> None:
    story, model = history(sent)
    version = data.draw(st.integers(1, model.version))
    for paths in ((), ("",), tuple(f"/{name}" for name in DEFAULTS)):
        restored = story.after(back_to(story, version, *paths)).state.settings
        assert diff(restored, model.copies[version - 1]) == {}


STATES: list[tuple[Any, Any]] = [
    (None, {"x": 1}),
    ({"x": 1}, None),
    ({"x": 1, "y": 2}, {"x": 3}),
    ({}, {"x": {"z": 1}}),
    ({"x": {"z": 1, "y": 2}}, {"x": {}}),
    ({"x": [1]}, {"x": {"z": None}}),
]


@pytest.mark.parametrize(("then", "now"), STATES)
@pytest.mark.parametrize(
    "paths", [p for n in (1, 2, 3) for p in itertools.permutations(["", "/x", "/x/z"], n)]
)
def test_paths_that_hold_each_other_restore_what_the_wider_one_does(
    then: Any, now: Any, paths: tuple[str, ...]
) -> None:
    story = given(created({"custom_settings": then}), changed({"/custom_settings": (then, now)}))
    chosen = [f"/custom_settings{path}" for path in paths]
    after = story.after(back_to(story, 1, *chosen)).state.settings["custom_settings"]
    alone = story.after(back_to(story, 1, min(chosen))).state.settings["custom_settings"]
    assert after == alone
    if "" in paths:
        assert after == then


def test_a_rollback_says_how_far_it_went_and_where() -> None:
    story, _ = history([{"description": "b", "idle_message": "b"}, {"description": "c"}])
    cause = Cause(type="rollback", to_version=1, paths=["/description"])
    story.when(back_to(story, 1, "/description")).then(
        changed({"/description": ("c", None)}, cause)
    )
    whole = {"/description": ("c", None), "/idle_message": ("b", DEFAULTS["idle_message"])}
    story.when(back_to(story, 1)).then(changed(whole, Cause(type="rollback", to_version=1)))


def test_a_rollback_of_paths_that_are_as_they_were_records_nothing() -> None:
    story, _ = history([{"description": "b"}])
    story.when(back_to(story, 1, "/llm_settings", "/name")).then()
    story.when(back_to(story, 2)).then()


def test_a_deleted_assistant_is_neither_rolled_back_nor_undone() -> None:
    story = given(created(), changed({"/description": (None, "b")}), deleted())
    story.when(back_to(story, 1, "/description")).refused(AssistantNotFound)
    story.when(undoing(story, 2)).refused(AssistantNotFound)


@few
@for_all(st.lists(secret_bodies(), min_size=1, max_size=4), st.data())
def test_a_rollback_of_paths_keeps_the_current_secrets(
    sent: list[Tree], data: st.DataObject
) -> None:
    story, numbers = given().after(create({})), itertools.count()
    for body in sent:
        try:
            story = story.after(patch(body, numbers))
        except InvalidSettings:  # a mask for a secret that is not there
            continue
    version = data.draw(st.integers(1, len(story.events)))
    now, then = story.state.settings, fold(story.events[:version]).settings
    paths = data.draw(st.lists(st.sampled_from(paths_of(now, then)), min_size=1, max_size=3))
    after = story.after(back_to(story, version, *paths)).state.settings
    assert ids_of(after) <= ids_of(now)
    # The control: an admin can have all of those of then.
    old = frozenset(ids_of(then))
    asked = story.after(back_to(story, version, restorable=old)).state.settings
    assert ids_of(then) <= ids_of(asked)
