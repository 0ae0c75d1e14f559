"""An undo takes back one change, and keeps the others."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import assume
from hypothesis import given as for_all
from hypothesis import strategies as st

from events.changed import AssistantSettingsChanged, changes_of
from events.commands import OnConflict
from events.derived import COMPUTED, derive
from events.errors import InvalidSettings
from events.merging import MergeConflict
from events.pointers import Paths, Tree, at, covers, diff, overlaps, same
from tests.events.given import create, given, patch
from tests.events.model import patched
from tests.events.reversals import (
    BODIES,
    back_to,
    history,
    history_with_a_change,
    ids_of,
    paths_of,
    undoing,
    undone,
)
from tests.events.strategies import bodies, few, many, secret_bodies

_WAYS: tuple[OnConflict, ...] = ("skip", "force")


def takes_back_one_change(sent: list[Tree], data: st.DataObject) -> None:
    story, model = history(sent)
    assume(model.version > 1)
    version = data.draw(st.integers(2, model.version))
    expected = undone(model, version)
    if expected.conflicts:
        refusal = story.when(undoing(story, version)).refused(MergeConflict)
        assert {conflict.path for conflict in refusal.conflicts} == expected.conflicts
    else:
        after = story.after(undoing(story, version)).state.settings
        assert diff(after, expected.settings) == {}
    skipping = story.after(undoing(story, version, "skip")).state.settings
    assert diff(skipping, expected.settings) == {}
    forced = story.after(undoing(story, version, "force")).state.settings
    assert diff(forced, undone(model, version, forcing=True).settings) == {}


@few
@for_all(BODIES, st.data())
def test_an_undo_takes_back_one_change_or_names_the_paths_that_were_changed_again(
    sent: list[Tree], data: st.DataObject
) -> None:
    takes_back_one_change(sent, data)


@pytest.mark.long
@many
@for_all(BODIES, st.data())
def test_many_undoes_take_back_one_change_each(sent: list[Tree], data: st.DataObject) -> None:
    """Run it with: pytest -m long tests/events/test_undo.py."""
    takes_back_one_change(sent, data)


@few
@for_all(BODIES, st.data())
def test_an_undo_of_some_paths_does_there_what_the_whole_one_does_and_nothing_elsewhere(
    sent: list[Tree], data: st.DataObject
) -> None:
    story, model, event = history_with_a_change(sent, data)
    version = event.version
    chosen = tuple(data.draw(st.lists(st.sampled_from(sorted(event.changes)), min_size=1)))
    whole = story.after(undoing(story, version, "skip")).state.settings
    some = story.after(undoing(story, version, "skip", chosen)).state.settings
    assert same(some, derive(some))
    for path in paths_of(whole, some):
        if any(covers(path, one) for one in COMPUTED):
            continue  # it follows from others, be it chosen or not
        if any(covers(one, path) for one in chosen):
            assert same(at(some, path), at(whole, path))
        elif not any(overlaps(path, one) for one in chosen):
            assert same(at(some, path), at(model.settings, path))
    every = story.after(undoing(story, version, "skip", tuple(event.changes))).state.settings
    assert diff(every, whole) == {}


def test_a_computed_setting_is_taken_back_with_what_it_follows_from_and_not_by_itself() -> None:
    switch, (computed,) = "/tools_settings/end_call/enabled", COMPUTED
    story, _ = history([{"tools_settings": {"end_call": {"enabled": True}}}])
    event = story.events[-1]
    assert isinstance(event, AssistantSettingsChanged)
    assert set(event.changes) == {switch, computed}
    now = story.state.settings
    assert story.after(undoing(story, 2, paths=(computed,))).state.settings == now
    without = story.after(undoing(story, 2, paths=(switch,))).state.settings
    assert at(without, computed) == []


@few
@for_all(BODIES, st.data())
def test_an_undo_keeps_every_later_change_of_other_paths(
    sent: list[Tree], data: st.DataObject
) -> None:
    story, model, event = history_with_a_change(sent, data)
    version = event.version
    for on_conflict in _WAYS:
        after = story.after(undoing(story, version, on_conflict)).state.settings
        for path in paths_of(after, model.settings):
            if path not in COMPUTED and not any(overlaps(path, one) for one in event.changes):
                assert same(at(after, path), at(model.settings, path))


@few
@for_all(BODIES, bodies(), st.data())
def test_an_undo_of_an_undo_is_as_if_neither_had_been(
    sent: list[Tree], later: Tree, data: st.DataObject
) -> None:
    story, model = history(sent)
    assume(model.version > 1)
    version = data.draw(st.integers(2, model.version))
    taken_back = story.after(undoing(story, version, "skip"))
    assume(len(taken_back.events) > len(story.events))
    again = taken_back.after(undoing(taken_back, len(taken_back.events)))
    assert diff(again.state.settings, model.settings) == {}
    # Also where other paths were changed in between.
    wanted = Paths(changes_of(story.events[version - 1]))
    edit = diff(model.settings, patched(model.settings, later))
    assume(edit and not any(map(wanted.overlap, edit)))
    between = taken_back.after(patch(later))
    try:
        again = between.after(undoing(between, len(taken_back.events)))
    except MergeConflict:
        return
    assert diff(again.state.settings, patched(model.settings, later)) == {}


@few
@for_all(BODIES)
def test_undoing_the_newest_change_is_rolling_back_one_version(sent: list[Tree]) -> None:
    story, model = history(sent)
    assume(model.version > 1)
    undo, rollback = undoing(story, model.version), back_to(story, model.version - 1)
    one, other = (story.when(command).decided() for command in (undo, rollback))
    assert isinstance(one, AssistantSettingsChanged)
    assert isinstance(other, AssistantSettingsChanged)
    assert one.changes == other.changes


@few
@for_all(BODIES, st.data())
def test_an_undo_of_what_was_changed_back_records_nothing(
    sent: list[Tree], data: st.DataObject
) -> None:
    story, model = history(sent)
    assume(model.version > 1)
    version = data.draw(st.integers(2, model.version))
    returned = story.after(back_to(story, version - 1))
    assert returned.when(undoing(returned, version)).decided() is None


@few
@for_all(st.lists(secret_bodies(), min_size=1, max_size=4), st.data())
def test_an_undo_keeps_the_current_secrets(sent: list[Tree], data: st.DataObject) -> None:
    story, numbers = given().after(create({})), itertools.count()
    for body in sent:
        try:
            story = story.after(patch(body, numbers))
        except InvalidSettings:  # a mask for a secret that is not there
            continue
    assume(len(story.events) > 1)
    version = data.draw(st.integers(2, len(story.events)))
    after = story.after(undoing(story, version, "skip")).state.settings
    assert ids_of(after) <= ids_of(story.state.settings)


def test_an_undo_of_the_removal_of_a_map_of_secrets_meets_nobody_else() -> None:
    """Its secrets do not come back: null was all that there was to take back, and it stays."""
    story = given().after(create({})).after(patch({"webhook_headers": {"A": "one"}}))
    story = story.after(patch({"webhook_headers": None}))
    story.when(undoing(story, 3)).then()
    story = story.after(patch({"webhook_headers": {"B": "two"}}))
    story.when(undoing(story, 3)).then()
