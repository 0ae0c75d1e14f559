"""Many events are folded in one tree that is changed in place: it is as if each had its own."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec import UNSET, structs

from events import codec
from events.changed import NOTHING, AssistantSettingsChanged, Event, State, evolve, fold
from events.pointers import Change, Draft, join
from tests.events.given import create, given
from tests.events.strategies import EVENTS, NAMES, VALUES, many, modest

# Objects, members of objects, and names that only another release knows, again and again.
_NAMES = st.sampled_from(["llm_settings", "tools_settings", "custom_settings", "name", "a/b", ""])
_PATHS = st.tuples(_NAMES, *[st.sampled_from(["temperature", "custom_tools", "a", "~"])] * 2)
_SHORTENED = st.builds(lambda path, length: join(path[:length]), _PATHS, st.integers(1, 3))
_OBJECTS = st.dictionaries(NAMES | st.sampled_from(["temperature", "a"]), VALUES, max_size=2)
_REFERENCE = st.just({"$secret": {"id": "a", "fingerprint": "b"}})
_CHANGES = st.dictionaries(
    _SHORTENED,
    st.builds(Change, after=st.just(UNSET) | _OBJECTS | VALUES | _REFERENCE),
    max_size=3,
)
_CREATED = given().after(create({"name": "Front desk"})).events[0]


def changed(changes: dict[str, Change]) -> Event:
    said = {name: getattr(_CREATED, name) for name in _CREATED.__struct_fields__}
    return AssistantSettingsChanged(**said | {"changes": changes})


STREAMS = st.lists(st.one_of(_CHANGES.map(changed), EVENTS), max_size=6).map(
    lambda events: [
        structs.replace(event, version=version) for version, event in enumerate([_CREATED, *events])
    ]
)


def folding_is_evolving(events: list[Event], cut: int) -> None:
    bodies = [codec.encode(event) for event in events]
    one_by_one, on_the_way, kept = NOTHING, [], []
    for event in events:
        one_by_one = evolve(one_by_one, event)
        on_the_way.append(one_by_one)
        kept.append(bytes_of(one_by_one))
    first = fold(events[:cut])
    half = bytes_of(first)
    assert bytes_of(fold(events)) == bytes_of(fold(events[cut:], first)) == bytes_of(one_by_one)
    assert bytes_of(first) == half
    assert [bytes_of(state) for state in on_the_way] == kept
    assert [codec.encode(event) for event in events] == bodies


def bytes_of(state: State) -> bytes:
    """A state as bytes, which also show the order of its members."""
    return msgspec.json.encode(state)


@modest
@for_all(STREAMS, st.integers(0, 6))
def test_folding_a_run_is_evolving_one_by_one_and_changes_no_event_and_no_state(
    events: list[Event], cut: int
) -> None:
    folding_is_evolving(events, cut)


@pytest.mark.long
@many
@for_all(STREAMS, st.integers(0, 6))
def test_folding_any_run_is_evolving_one_by_one_and_changes_no_event_and_no_state(
    events: list[Event], cut: int
) -> None:
    """Run it with: pytest -m long tests/events/test_folding.py."""
    folding_is_evolving(events, cut)


# An object is set, and a later event sets a member of it.
SHARED = [
    structs.replace(event, version=version)
    for version, event in enumerate(
        [
            _CREATED,
            changed({"/custom_settings/a": Change(after={"b": {"c": 1}})}),
            changed({"/custom_settings/a/b/c": Change(before=1, after=2)}),
        ]
    )
]


def test_a_member_that_is_set_later_is_not_set_in_the_event_that_set_the_object() -> None:
    folding_is_evolving(SHARED, 2)
    assert fold(SHARED).settings["custom_settings"]["a"] == {"b": {"c": 2}}


def test_control_a_draft_that_takes_a_value_for_its_own_changes_an_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put = Draft.put

    def put_as_its_own(draft: Draft, path: str, value: Any) -> bool:
        put_in = value
        while isinstance(value, dict):
            draft._copies[id(value)] = value  # noqa: SLF001  # the guard
            value = value.get("b")
        return put(draft, path, put_in)

    monkeypatch.setattr(Draft, "put", put_as_its_own)
    with pytest.raises(AssertionError):
        folding_is_evolving(copy.deepcopy(SHARED), 2)
