from __future__ import annotations

import itertools
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example
from hypothesis import given as for_all
from hypothesis import strategies as st

from events import codec
from events.changed import fold
from events.commands import DeleteAssistant, RestoreAssistant, RestoreSettings
from events.errors import AssistantNotFound, InvalidSettings, NotDeleted
from events.pointers import MARK, Tree, diff, is_reference
from events.secrets.references import places
from tests.events.given import Given, create, given, patch, read_back
from tests.events.model import Model
from tests.events.strategies import bodies, few, many, secret_bodies

# A patch, or the rollback to a state; the number chooses among those that there are.
STEPS = st.lists(bodies() | st.integers(0, 20), max_size=8)
SECRET_STEPS = st.lists(secret_bodies() | st.integers(0, 20), max_size=8)


def told_against_the_model(first: Tree, steps: list[Any]) -> None:
    model = Model(first)
    story = given().after(create(first))
    for step in steps:
        if isinstance(step, int):
            to_version = step % model.version + 1
            then = fold(story.events[:to_version]).settings
            changed = model.restore(to_version)
            after = story.after(RestoreSettings(settings=then, to_version=to_version))
        else:
            changed = model.patch(step)
            after = story.after(patch(step))
        assert changed == (len(after.events) > len(story.events))
        story = after
        assert diff(story.state.settings, model.settings) == {}
        assert story.state.version == model.version
    the_past_is_as_it_was(story, model)
    story = story.after(DeleteAssistant())
    model.delete()
    the_past_is_as_it_was(story, model)
    story.when(patch({"name": "too late"})).refused(AssistantNotFound)
    assert story.state.deleted == model.deleted
    revival = RestoreAssistant(undoes=model.version)
    story = story.after(revival)
    model.revive()
    the_past_is_as_it_was(story, model)
    story.when(revival).refused(NotDeleted)
    assert story.state.deleted == model.deleted
    assert model.patch({"name": "in time"})
    story = story.after(patch({"name": "in time"}))
    the_past_is_as_it_was(story, model)


def the_past_is_as_it_was(story: Given, model: Model) -> None:
    read = [read_back(event) for event in story.events]
    assert [event.version for event in read] == list(range(1, model.version + 1))
    for version, kept in enumerate(model.copies, 1):
        assert diff(fold(read[:version]).settings, kept) == {}


@few
@for_all(bodies(), STEPS)
def test_any_story_is_what_the_published_rules_make_of_it(first: Tree, steps: list[Any]) -> None:
    told_against_the_model(first, steps)


@pytest.mark.long
@many
@for_all(bodies(), STEPS)
def test_many_stories_are_what_the_published_rules_make_of_them(
    first: Tree, steps: list[Any]
) -> None:
    """Run it with: pytest -m long tests/events/test_model.py."""
    told_against_the_model(first, steps)


@few
@for_all(st.lists(bodies(), min_size=1, max_size=6), st.data())
def test_a_rollback_restores_exactly(sent: list[Tree], data: st.DataObject) -> None:
    story = given().after(create({}))
    for body in sent:
        story = story.after(patch(body))
    version = data.draw(st.integers(1, len(story.events)))
    then = fold(story.events[:version]).settings
    restored = story.after(RestoreSettings(settings=then, to_version=version))
    assert diff(restored.state.settings, then) == {}
    again = RestoreSettings(settings=story.state.settings, to_version=len(story.events))
    assert diff(restored.after(again).state.settings, story.state.settings) == {}


def plain_leaves(value: Any, at: str = "") -> dict[str, Any]:
    """What is said of an assistant but for its secrets and what only holds them."""
    if isinstance(value, list):
        kept = [item for item in value if not is_reference(item) and item != ""]
        members = {str(position): item for position, item in enumerate(kept)}
    elif isinstance(value, dict) and not is_reference(value):
        members = value
    else:
        return {} if value is None or is_reference(value) else {at: value}
    found: dict[str, Any] = {}
    for name, member in members.items():
        found |= plain_leaves(member, f"{at}/{name}")
    return found


def restores_all_but_secrets(steps: list[Any]) -> None:
    story = given().after(create({}))
    numbers = itertools.count()
    for step in steps:
        if not isinstance(step, int):
            with suppress(InvalidSettings):
                story = story.after(patch(step, numbers))
            continue
        version = step % len(story.events) + 1
        then = fold(story.events[:version]).settings
        now = story.state.settings
        try:
            story = story.after(RestoreSettings(settings=then, to_version=version))
        except InvalidSettings as refused:
            if {error.type for error in refused.errors} != {"secret_address_changed"}:
                raise
            continue  # a secret that is kept would be sent elsewhere
        restored = story.state.settings
        assert plain_leaves(restored) == plain_leaves(then)
        assert ids_of(restored) <= ids_of(now)
        codec.encode(story.events[-1])


def ids_of(settings: Tree) -> set[str]:
    return {place.reference[MARK]["id"] for place in places(settings)}


@few
@example([{"tts_settings": {"provider_config": {"auth": {"user": "0.aa", "token": "x"}}}}, 0])
@for_all(SECRET_STEPS)
def test_a_rollback_restores_all_but_the_secrets_which_stay_those_of_now(steps: list[Any]) -> None:
    restores_all_but_secrets(steps)


@pytest.mark.long
@many
@for_all(SECRET_STEPS)
def test_many_rollbacks_restore_all_but_the_secrets(steps: list[Any]) -> None:
    """Run it with: pytest -m long tests/events/test_model.py."""
    restores_all_but_secrets(steps)
