from __future__ import annotations

from functools import reduce
from typing import Any

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from events import pointers
from events.changed import AssistantCreated, AssistantSettingsChanged, evolve, fold
from events.pointers import Change, Tree, same
from events.shape import SETTINGS, with_defaults
from events.upcasters import NAMES_SETTINGS, Upcaster, former, upcast
from tests.events.given import create, given, patch

Event = dict[str, Any]


def changed(changes: Event, **members: Any) -> Event:
    event = {"type": "assistant_settings_changed.v1", "version": 3, "cause": {"type": "patch"}}
    return event | {"changes": changes} | members


def created(tree: Tree) -> Event:
    changes = {path: {"after": value} for path, value in pointers.flatten(tree).items()}
    return changed(changes, type="assistant_created.v1", version=1)


# -- one event at a time


@pytest.mark.parametrize(
    ("upcaster", "before", "after"),
    [
        pytest.param(
            Upcaster(moved={"/a": "/b"}),
            {"/a/x": {"before": 1, "after": 2}, "/ab": {"after": 3}},
            {"/b/x": {"before": 1, "after": 2}, "/ab": {"after": 3}},
            id="an object moves with all below it, and nothing beside it",
        ),
        pytest.param(
            Upcaster(moved={"/a/x": "/a/y"}),
            {"/a": {"before": None, "after": {"x": 1, "z": 2}}},
            {"/a": {"before": None, "after": {"y": 1, "z": 2}}},
            id="a member moves in an object that came at once",
        ),
        pytest.param(
            Upcaster(moved={"/a/x": "/top"}),
            {"/a": {"before": {"x": 1, "z": 2}, "after": None}},
            {"/a": {"before": {"z": 2}, "after": None}, "/top": {"before": 1}},
            id="a member leaves an object that went at once",
        ),
        pytest.param(
            Upcaster(moved={"/a": "/b", "/b": "/a", "/l/*/x": "/l/*/y", "/l/*/y": "/l/*/x"}),
            {"/a": {"after": 1}, "/b": {"after": 2}, "/l": {"after": [{"x": 1, "y": 2}]}},
            {"/a": {"after": 2}, "/b": {"after": 1}, "/l": {"after": [{"y": 1, "x": 2}]}},
            id="two values trade places",
        ),
        pytest.param(
            Upcaster(moved={"/a": "/b", "/b": "/c"}),
            {"/a": {"before": 1, "after": 2}, "/b": {"before": 3, "after": 4}},
            {"/b": {"before": 1, "after": 2}, "/c": {"before": 3, "after": 4}},
            id="a value moves to where another was",
        ),
        pytest.param(
            Upcaster(moved={"/o": "/n"}, replaced={"/o/x": {"/n/x": str}}, retired=("/o/y",)),
            {"/o/x": {"after": 1}, "/o/y": {"after": 2}, "/o/z": {"after": 3}},
            {"/n/x": {"after": "1"}, "/n/z": {"after": 3}},
            id="an object moves, and what it holds is converted and retired",
        ),
        pytest.param(
            Upcaster(retired=("/a",)),
            {"/a/x": {"after": 1}, "/b": {"after": 1}},
            {"/b": {"after": 1}},
            id="what is retired is in no change",
        ),
        pytest.param(
            Upcaster(replaced={"/a": {"/a": lambda seconds: seconds * 1000}}),
            {"/a": {"before": 1, "after": 2}},
            {"/a": {"before": 1000, "after": 2000}},
            id="a value is converted on both sides",
        ),
        pytest.param(
            Upcaster(replaced={"/l/*/a": {"/l/*/b": lambda value: [value]}}),
            {"/l": {"before": [], "after": [{"a": 1}, {"c": 2}, "text"]}},
            {"/l": {"before": [], "after": [{"b": [1]}, {"c": 2}, "text"]}},
            id="elements are converted in a list that stays one value",
        ),
        pytest.param(
            Upcaster(filled={"/l/*/a": 5, "/o/a": 6, "/a": 7}),
            {"/l": {"after": [{"a": 1}, {}]}, "/o": {"before": None, "after": {}}},
            {"/l": {"after": [{"a": 1}, {"a": 5}]}, "/o": {"before": None, "after": {"a": 6}}},
            id="a change fills what it sets as a whole, and nothing else",
        ),
        pytest.param(
            Upcaster(moved={"/a": "/b"}),
            {"/c": {"before": {"$secret": {"id": "1.x"}}, "after": 1}, "/a": {"after": True}},
            {"/c": {"before": {"$secret": {"id": "1.x"}}, "after": 1}, "/b": {"after": True}},
            id="a reference is one value",
        ),
    ],
)
def test_changes_have_the_shape_of_today(upcaster: Upcaster, before: Event, after: Event) -> None:
    event = upcast(changed(before), upcaster)
    assert same(event["changes"], after)
    assert event["type"] == "assistant_settings_changed.v2"


def test_an_event_that_names_nothing_of_it_stays_as_it_is() -> None:
    event = changed({"/b/x": {"before": None, "after": {"y": []}}})
    upcaster = Upcaster(moved={"/a": "/c"}, retired=("/d",))
    assert upcast(event, upcaster)["changes"] == event["changes"]


def test_a_creation_is_filled_where_it_is_silent() -> None:
    event = upcast(created({"a": 1, "o": {"x": 1}}), Upcaster(filled={"/a": 9, "/b": 8, "/o/y": 7}))
    assert event["changes"] == {
        "/a": {"after": 1},
        "/b": {"after": 8},
        "/o/x": {"after": 1},
        "/o/y": {"after": 7},
    }


def test_a_creation_is_not_filled_below_null() -> None:
    event = upcast(created({"o": None}), Upcaster(filled={"/o/y": 7}))
    assert event["changes"] == {"/o": {"after": None}}


def test_paths_that_events_name_are_todays_too() -> None:
    upcaster = Upcaster(
        moved={"/a": "/b"}, replaced={"/s": {"/t": str, "/u": str}}, retired=("/z",)
    )
    paths = ["/a", "/a/x", "/s", "/z", "/c"]
    today = ["/b", "/b/x", "/t", "/u", "/z", "/c"]
    rollback = changed({}, cause={"type": "rollback", "to_version": 1, "paths": paths})
    assert upcast(rollback, upcaster)["cause"]["paths"] == today
    revealed = {"type": "secrets_revealed.v1", "paths": paths}
    assert upcast(revealed, upcaster) == {"type": "secrets_revealed.v2", "paths": today}
    policy = {
        "type": "policy_changed.v1",
        "changes": {"/admin_paths": {"before": [], "after": paths}},
    }
    assert upcast(policy, upcaster)["changes"] == {"/admin_paths": {"before": [], "after": today}}


def protecting(*paths: str) -> Event:
    """What a policy says that demands something of some paths."""
    changes = {"/admin_paths": {"before": [], "after": list(paths)}}
    return {"type": "policy_changed.v1", "changes": changes}


@pytest.mark.parametrize(
    ("path", "today"),
    [
        pytest.param("/o", ["/o", "/x"], id="of the object that it leaves"),
        pytest.param("/*/x", ["/*/x", "/x"], id="of a name in any object"),
        pytest.param("/l", ["/l"], id="of the list in which it moves"),
        pytest.param("/l/*/k", ["/l/*/s"], id="of every element"),
        pytest.param("/l/0/k/t", ["/l/0/s/t"], id="of one element"),
    ],
)
def test_a_policy_still_covers_what_moved(path: str, today: list[str]) -> None:
    upcaster = Upcaster(moved={"/o/x": "/x", "/l/*/k": "/l/*/s"})
    event = upcast(protecting(path), upcaster)
    assert event["changes"]["/admin_paths"]["after"] == today


# -- secrets


def test_what_was_plain_is_a_reference_that_says_nothing_of_it() -> None:
    upcaster = Upcaster(made_secret=("/sid", "/l/*/key", "/map/*"))
    changes: Event = {
        "/sid": {"before": "one", "after": "two"},
        "/l": {"after": [{"key": "three"}, {"key": None}, {"key": ""}, {}]},
        "/map/x": {"after": "four"},
    }
    found: dict[str, Any] = {}
    event = upcast(changed(changes), upcaster, made_secret=found)
    assert sorted(found.values()) == ["four", "one", "three", "two"]
    text = msgspec.json.encode(event).decode()
    assert not any(value in text for value in found.values())
    assert event["changes"]["/l"]["after"][1:] == [{"key": None}, {"key": ""}, {}]
    assert upcast(changed(changes), upcaster) == event  # whenever it is read
    other = changed({path: dict.fromkeys(one, "other") for path, one in changes.items()})
    assert upcast(other, upcaster)["changes"]["/sid"] == event["changes"]["/sid"]
    assert event["changes"]["/sid"]["after"]["$secret"]["id"].startswith("3.")


@pytest.mark.parametrize("place", ["/map", "/map/*"])
def test_what_is_made_secret_is_so_with_all_below_it(place: str) -> None:
    """However an event came to name it: the object at once, or one member of it."""
    changes: Event = {"/map": {"before": {"x": "one", "y": ""}, "after": {"x/y": "two", "z": {}}}}
    member: Event = {"/map/x": {"before": "three", "after": ["four", {"k": "five"}]}}
    for event in (changes, member):
        found: dict[str, Any] = {}
        text = msgspec.json.encode(upcast(changed(event), Upcaster(made_secret=(place,)), found))
        assert not any(value in text.decode() for value in ("one", "two", "three", "four", "five"))
        assert len(found) == (2 if event is changes else 3)
    nested = {"/map": {"after": {"a/b": "one", "a": {"b": "two"}}}}
    found = {}
    upcast(changed(nested), Upcaster(made_secret=(place,)), found)
    assert sorted(found.values()) == ["one", "two"]  # each has a reference of its own


def test_a_value_was_sealed_at_each_place_that_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = (
        Upcaster(moved={"/a": "/b"}),
        Upcaster(moved={"/b/k": "/c", "/x": "/y", "/o": "/n", "/p": "/n/k"}),
    )
    monkeypatch.setattr("events.upcasters.UPCASTERS", steps)
    assert list(former("/c")) == ["/b/k", "/a/k"]
    assert list(former("/y/z")) == ["/x/z"]
    assert list(former("/n/k")) == ["/p"]
    assert list(former("/d")) == []


# -- streams

LEAVES = (
    st.none()
    | st.integers(0, 3)
    | st.lists(st.fixed_dictionaries({"k": st.integers(0, 3)}), max_size=2)
)
TREES = st.recursive(
    st.dictionaries(st.sampled_from("abc"), LEAVES, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), LEAVES | inner, max_size=3),
    max_leaves=6,
)
UPCASTERS = st.sampled_from(
    [
        Upcaster(moved={"/a": "/x"}),
        Upcaster(moved={"/a/b": "/a/x"}),
        Upcaster(moved={"/a/b": "/x"}, retired=("/b/c",)),
        Upcaster(replaced={"/v": {"/x": lambda one: [one], "/y": lambda one: {"was": one}}}),
        Upcaster(moved={"/c/*/k": "/c/*/x"}),
        Upcaster(replaced={"/o/z": {"/o/z": str}}, retired=("/b",), moved={"/c": "/o/y"}),
        Upcaster(moved={"/a": "/b", "/b": "/c", "/c": "/a"}),
        Upcaster(moved={"/a": "/x", "/a/b": "/y"}, retired=("/a/c",)),
    ]
)


def applied(event: Event, tree: Tree) -> Tree:
    changes = {path: Change(**sides) for path, sides in event["changes"].items()}
    return pointers.apply(changes, tree)


def without_empty(value: Any) -> Any:
    """An object without members says as much as none: settings are completed by defaults."""
    if not isinstance(value, dict):
        return value
    found = {name: without_empty(one) for name, one in value.items()}
    return {name: one for name, one in found.items() if one != {}}


def stream_law(trees: list[Tree], upcaster: Upcaster) -> None:
    """Upcasting each event of a stream is upcasting what the stream led to."""
    # Where a value moves to is an object, and what is converted is a value.
    trees = [tree | {"v": len(tree), "o": {"z": len(tree)}} for tree in trees]
    first, *rest = trees
    stream = [created(first)]
    for old, new in zip(trees, rest, strict=False):
        changes = pointers.diff(old, new)
        stream.append(changed(msgspec.to_builtins(changes)))
    nothing: Tree = {}
    event = reduce(lambda tree, event: applied(upcast(event, upcaster), tree), stream, nothing)
    once = applied(upcast(created(trees[-1]), upcaster), {})
    assert same(without_empty(event), without_empty(once))


@settings(max_examples=150, deadline=None)
@for_all(st.lists(TREES, min_size=1, max_size=4), UPCASTERS)
def test_a_stream_folds_to_what_it_meant(trees: list[Tree], upcaster: Upcaster) -> None:
    """The long form: ``pytest -m long tests/events/test_upcasters.py``."""
    stream_law(trees, upcaster)


@pytest.mark.long
@settings(max_examples=20_000, deadline=None)
@for_all(st.lists(TREES, min_size=1, max_size=4), UPCASTERS)
def test_long_a_stream_folds_to_what_it_meant(trees: list[Tree], upcaster: Upcaster) -> None:
    stream_law(trees, upcaster)


# -- younger members


def test_a_member_that_is_younger_than_a_change_has_its_default() -> None:
    story = given().after(create({})).after(patch({"backchannel_settings": {"enabled": True}}))
    made, change = story.events
    assert isinstance(made, AssistantCreated)
    assert isinstance(change, AssistantSettingsChanged)
    old = {path: one for path, one in made.changes.items() if path != "/llm_settings/top_p"}
    young = fold([msgspec.structs.replace(made, changes=old)])
    assert young.settings["llm_settings"]["top_p"] == 1.0
    part = {"/backchannel_settings": Change(before=None, after={"enabled": True})}
    state = evolve(young, msgspec.structs.replace(change, changes=part))
    assert state.settings["backchannel_settings"] == {"enabled": True, "frequency": 3}
    assert same(with_defaults(state.settings, SETTINGS), state.settings)


def test_every_event_that_names_settings_gets_a_new_tag() -> None:
    assert {f"{name}.v1" for name in NAMES_SETTINGS} == {
        "assistant_created.v1",
        "assistant_settings_changed.v1",
        "secrets_revealed.v1",
        "policy_changed.v1",
    }
