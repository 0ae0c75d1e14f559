"""Members that only another release knows: a body never touches them, and the past brings them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec.structs import replace

from events import patching
from events.bodies.json_patch import read_json_patch
from events.bodies.patch import SettingsPatch, read_patch
from events.changed import Cause, State, changes_of, evolve
from events.commands import ChangeSettings, Command, RestoreSettings
from events.decider import propose
from events.errors import InvalidSettings
from events.pointers import Change, Tree, apply, at, is_reference, same
from events.shape import SETTINGS, Listing, Mapping, Record, Shape, are_known, known
from tests.events.given import PATCH, create, created, envelope, given, patch, sealed, secret
from tests.events.strategies import bodies, few, many, secret_bodies

NEW: Tree = {"younger": {"a": 1}, "younger_key": secret("1.0f")}
FALLBACKS = "/llm_fallback_providers/fallbacks"
TWO = [{"provider": "openai", "model": "a"}, {"provider": "groq", "model": "b"}]
SENT = st.lists(bodies() | secret_bodies(), min_size=1, max_size=3)


def with_new_ones(value: Any, shape: Shape = SETTINGS) -> Any:
    """The settings as a newer release leaves them: each typed object has members more."""
    match shape:
        case Record(members=members) if isinstance(value, dict):
            new = {} if shape.open else NEW
            return new | {
                name: with_new_ones(one, members[name].shape) if name in members else one
                for name, one in value.items()
            }
        case Listing(item=item) if isinstance(value, list):
            return [with_new_ones(one, item) for one in value]
        case Mapping(value=inner) if isinstance(value, dict) and not is_reference(value):
            return {name: with_new_ones(one, inner) for name, one in value.items()}
        case _:
            return value


def objects(value: Any, shape: Shape = SETTINGS, path: str = "") -> Iterator[str]:
    """Where typed objects stand, but for those in lists."""
    if isinstance(shape, Record) and isinstance(value, dict):
        if not shape.open:
            yield path
        for name, member in shape.members.items():
            yield from objects(value.get(name), member.shape, f"{path}/{name}")


def after(command: Command, state: State) -> State:
    event = propose(command, state, envelope(state.version + 1), may_reveal=True).event
    return state if event is None else evolve(state, event)


def beside(state: State) -> State:
    return replace(state, settings=with_new_ones(state.settings))


@for_all(
    bodies() | secret_bodies(), st.sampled_from(sorted(objects(given(created()).state.settings)))
)
def test_the_stored_bytes_tell_whether_all_members_are_known(body: Tree, path: str) -> None:
    settings = given(created(body)).state.settings
    assert are_known(msgspec.json.encode(settings))
    if isinstance(at(settings, path), dict):
        beside = apply({f"{path}/younger": Change(after=1)}, settings)
        assert not are_known(msgspec.json.encode(beside))
        assert are_known(msgspec.json.encode(known(beside)))


def _check_bodies(sent: list[Tree]) -> None:
    story = given().after(create({"llm_fallback_providers": {"fallbacks": TWO}}))
    ours, theirs = story.state, beside(story.state)
    numbers, same_numbers = itertools.count(), itertools.count()
    standing = set(objects(ours.settings))  # without a break: null takes an object's all
    for body in sent:
        one, other = patch(body, numbers), patch(body, same_numbers)
        with suppress(InvalidSettings):
            ours = after(one, ours)
            theirs = after(other, theirs)
        assert same(known(theirs.settings), ours.settings)
        standing &= set(objects(ours.settings))
        for path in standing:
            holder = at(theirs.settings, path)
            assert {name: holder.get(name) for name in NEW} == NEW


@few
@for_all(SENT)
def test_a_body_changes_nothing_of_what_this_release_does_not_know(sent: list[Tree]) -> None:
    """The long form: ``pytest -m long tests/events/test_unknown.py``."""
    _check_bodies(sent)


@pytest.mark.long
@many
@for_all(SENT)
def test_no_body_ever_changes_what_this_release_does_not_know(sent: list[Tree]) -> None:
    _check_bodies(sent)


@few
@for_all(bodies())
def test_what_is_known_is_all_of_what_this_release_made(body: Tree) -> None:
    settings = given().after(create({"llm_fallback_providers": {"fallbacks": TWO}})).state.settings
    settings = after(patch(body), replace(State(version=1), settings=settings)).settings
    assert known(settings) is settings
    assert same(known(with_new_ones(settings)), settings)


STATE = beside(given().after(create({"llm_fallback_providers": {"fallbacks": TWO}})).state)


def edits() -> dict[str, tuple[SettingsPatch, list[Any]]]:
    """Bodies of a list, and which old element each of its elements continues."""
    one, other = TWO
    third = {"provider": "xai", "model": "c"}

    def of(*fallbacks: Any) -> SettingsPatch:
        return read_patch({"llm_fallback_providers": {"fallbacks": list(fallbacks)}})

    def by(*operations: Any) -> SettingsPatch:
        return read_json_patch(list(operations), STATE.settings)

    return {
        "as it was": (of(one, other), [0, 1]),
        "turned round": (of(other, one), [1, 0]),
        "one edited": (of(one | {"enabled": False}, other), [0, 1]),
        "one renamed": (of(one | {"model": "z"}, other), [0, 1]),
        "one removed": (of(other), [1]),
        "one more": (of(third, one, other), [None, 0, 1]),
        "another in its place": (of(third, other), [None, 1]),
        "JSON Patch": (by({"op": "replace", "path": f"{FALLBACKS}/1/model", "value": "z"}), [0, 1]),
        "JSON Patch, whole": (
            by({"op": "replace", "path": FALLBACKS, "value": [one, other | {"model": "z"}]}),
            [0, 1],
        ),
    }


@pytest.mark.parametrize(("sent", "continued"), edits().values(), ids=edits())
def test_an_element_keeps_what_this_release_does_not_know(
    sent: SettingsPatch, continued: list[int | None]
) -> None:
    settings = after(ChangeSettings(patch=sealed(sent.tree), cause=PATCH), STATE).settings
    elements = settings["llm_fallback_providers"]["fallbacks"]
    assert [one.get("younger") for one in elements] == [
        None if old is None else NEW["younger"] for old in continued
    ]


def test_without_the_guard_an_element_loses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control."""
    monkeypatch.setattr(patching, "unknown", lambda *_: {})
    sent, _ = edits()["one edited"]
    settings = after(ChangeSettings(patch=sealed(sent.tree), cause=PATCH), STATE).settings
    assert "younger" not in settings["llm_fallback_providers"]["fallbacks"][0]


def test_a_rollback_brings_back_what_this_release_does_not_know() -> None:
    plain = known(STATE.settings)
    back = after(RestoreSettings(settings=plain, to_version=1), STATE)
    assert "younger" not in back.settings  # its version had none
    again = after(RestoreSettings(settings=STATE.settings, to_version=2), back)
    assert again.settings["younger"] == NEW["younger"]
    assert again.settings["llm_settings"]["younger"] == NEW["younger"]


def test_a_rollback_of_a_path_leaves_it_alone() -> None:
    command = RestoreSettings(
        settings=known(STATE.settings), to_version=1, paths=("/tts_settings",)
    )
    event = propose(command, STATE, envelope(2)).event
    assert not any(path.startswith("/younger") for path in changes_of(event))


def test_a_json_patch_meets_what_is_shown_and_no_more() -> None:
    with pytest.raises(InvalidSettings):
        read_json_patch([{"op": "remove", "path": "/llm_settings/younger"}], STATE.settings)
    added = [{"op": "add", "path": "/llm_settings/younger", "value": 2}]
    assert read_json_patch(added, STATE.settings).ignored == ("/llm_settings/younger",)


def test_a_merge_over_an_older_version_leaves_it_alone() -> None:
    base = known(STATE.settings)
    tree = read_patch({"llm_settings": {"top_p": 0.5}}).tree
    cause = Cause(type="patch", base_version=1)
    event = propose(ChangeSettings(patch=tree, cause=cause, base=base), STATE, envelope(2)).event
    assert list(changes_of(event)) == ["/llm_settings/top_p"]
