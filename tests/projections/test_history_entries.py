from __future__ import annotations

import copy
import itertools
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from events.changed import Actor, AssistantSettingsChanged, Cause, Event, fold
from events.commands import ChangeSettings, DeleteAssistant, RestoreAssistant, RestoreSettings
from events.errors import InvalidSettings
from events.pointers import Tree, covers, diff
from events.secrets.masks import MASK
from events.secrets.references import mask
from projections.history import (
    NO_LINKS,
    Entry,
    Filter,
    Links,
    before,
    entries,
    version_entry,
)
from projections.history import entry as entry_of
from tests.events.given import (
    ACTOR,
    ASSISTANT,
    NAME,
    Given,
    at,
    changed,
    create,
    created,
    deleted,
    given,
    patch,
    secret,
)
from tests.events.model import Model
from tests.events.strategies import bodies, few, many, modest, secret_bodies

OTHER = Actor(type="user", id=9, name="Émile", user_id=4)
EVERYTHING = Filter()
KEY = "/llm_provider_config/api_key"


def shown(story: Given, event_filter: Filter = EVERYTHING) -> list[Entry]:
    emails = {ACTOR.user_id: "front@example.com"}
    matching = entries(story.state, reversed(story.events), event_filter)
    return [entry_of(event, before, emails) for event, before in matching]


def versions(story: Given, **event_filter: Any) -> list[int]:
    return [entry.version_id for entry in shown(story, Filter(**event_filter))]


# -- an entry


def test_the_creation_has_no_entry() -> None:
    assert shown(given(created())) == []
    assert shown(given()) == []


def test_an_entry_shows_a_change_and_the_settings_before_it() -> None:
    story = given(created(), changed({"/llm_settings/temperature": (0.5, 0.9)}))
    (entry,) = shown(story)
    assert entry.settings_snapshot == given(created()).state.settings
    assert msgspec.to_builtins(entry) | {"settings_snapshot": None} == {
        "id": 2,
        "version_id": 2,
        "version": 2,
        "assistant_id": ASSISTANT,
        "event": "AssistantSettingsChanged",
        "settings_snapshot": None,
        "changed_fields": ["llm_settings"],
        "changes": [{"path": "/llm_settings/temperature", "before": 0.5, "after": 0.9}],
        "changed_by": {
            "user_id": 3,
            "email": "front@example.com",
            "type": "api_key",
            "name": "Front office",
        },
        "change_description": None,
        "cause": {"type": "patch"},
        "created_at": "2026-01-02T03:06:00Z",
        "reverts": [],
        "reverted_by": [],
    }


def test_the_newest_entry_comes_first_and_each_names_its_version() -> None:
    story = given(
        created(),
        changed({"/name": (NAME, "B")}),
        changed({"/name": ("B", "C"), "/description": (None, "d")}),
        deleted(),
    )
    gone, renamed_again, renamed = shown(story)
    assert [gone.version_id, renamed_again.version_id, renamed.version_id] == [4, 3, 2]
    assert (gone.event, gone.changed_fields) == ("AssistantDeleted", [])
    assert gone.settings_snapshot["name"] == "C"
    assert renamed_again.changed_fields == ["name", "description"]
    assert renamed_again.settings_snapshot["name"] == "B"
    assert renamed.settings_snapshot["name"] == NAME


def test_a_member_that_was_absent_is_absent_in_the_entry() -> None:
    story = given(
        created({"custom_settings": {}}), changed({"/custom_settings/a": (msgspec.UNSET, None)})
    )
    (entry,) = shown(story)
    assert msgspec.to_builtins(entry.changes) == [{"path": "/custom_settings/a", "after": None}]
    assert entry.settings_snapshot["custom_settings"] == {}


def test_a_field_is_named_once_and_with_its_own_letters() -> None:
    paths = {"/custom_settings/a~1b": (1, 2), "/custom_settings/~0": (1, 2)}
    before_it = {"custom_settings": {"a/b": 1, "~": 1}}
    (entry,) = shown(given(created(before_it), changed(paths)))
    assert entry.changed_fields == ["custom_settings"]


def test_an_address_that_is_not_known_is_null() -> None:
    (entry,) = shown(given(created()).after(patch({"name": "B"}), OTHER))
    assert (entry.changed_by.email, entry.changed_by.name) == (None, "Émile")


def test_an_entry_says_what_it_took_back_and_what_took_it_back() -> None:
    story = given(created(), changed({"/name": (NAME, "B")}), changed({"/name": ("B", "C")}))
    links = {1: NO_LINKS, 2: Links([], [3, 7]), 3: Links([2, 1], [])}
    matching = entries(story.state, reversed(story.events), EVERYTHING)
    shown = [entry_of(event, state, {}, links[event.version]) for event, state in matching]
    shown_as_versions = [
        version_entry(event, None, {}, links[event.version]) for event in story.events
    ]
    for one in (shown, reversed(shown_as_versions[1:])):
        assert [(entry.reverts, entry.reverted_by) for entry in one] == [([2, 1], []), ([], [3, 7])]
    assert shown_as_versions[0].reverted_by == []


# -- backwards


def test_each_event_can_be_taken_back() -> None:
    story = given(created(), changed({"/name": (NAME, "B")}), deleted())
    story = story.after(RestoreAssistant(undoes=3))
    state = before(story.events[3], story.state)
    assert (state.deleted, state.version, state.settings["name"]) == (True, 3, "B")
    state = before(story.events[2], state)
    assert (state.deleted, state.version, state.settings["name"]) == (False, 2, "B")
    state = before(story.events[1], state)
    assert (state.version, state.settings) == (1, given(created()).state.settings)


def test_there_is_nothing_before_the_creation() -> None:
    with pytest.raises(ValueError, match="before the first"):
        before(given(created()).events[0], given(created()).state)


def backwards_is_forwards(first: Tree, steps: list[Any], *, ends: bool) -> None:
    model = Model(first)
    story = given().after(create(first))
    for step in steps:
        if isinstance(step, int):
            version = step % model.version + 1
            model.restore(version)
            then = fold(story.events[:version]).settings
            story = story.after(RestoreSettings(settings=then, to_version=version))
        else:
            model.patch(step)
            story = story.after(patch(step))
    if ends:
        model.delete()
        story = story.after(DeleteAssistant())
        if not len(steps) % 2:
            model.revive()
            story = story.after(RestoreAssistant(undoes=model.version - 1))
    state = copy.deepcopy(story.state)
    found = shown(story)
    assert [entry.version_id for entry in found] == list(range(model.version, 1, -1))
    for entry in found:
        assert diff(entry.settings_snapshot, model.copies[entry.version_id - 2]) == {}
    assert diff(story.state.settings, state.settings) == {}


STEPS = st.lists(bodies() | st.integers(0, 20), max_size=8)


@few
@for_all(bodies(), STEPS, st.booleans())
def test_snapshots_made_backwards_are_the_states_that_were(
    first: Tree,
    steps: list[Any],
    ends: bool,  # noqa: FBT001 (drawn by position)
) -> None:
    backwards_is_forwards(first, steps, ends=ends)


@pytest.mark.long
@many
@for_all(bodies(), STEPS, st.booleans())
def test_all_snapshots_made_backwards_are_the_states_that_were(
    first: Tree,
    steps: list[Any],
    ends: bool,  # noqa: FBT001 (drawn by position)
) -> None:
    """Run it with: pytest -m long tests/projections/test_history_entries.py."""
    backwards_is_forwards(first, steps, ends=ends)


# -- secrets


@pytest.mark.parametrize(
    ("old", "new"),
    [(None, secret("A")), (secret("A"), secret("B")), (secret("A"), None)],
    ids=["set", "rotated", "removed"],
)
def test_a_changed_secret_shows_that_it_changed_and_nothing_more(old: Any, new: Any) -> None:
    command = ChangeSettings(
        patch={"llm_provider_config": {"api_key": new}}, cause=Cause(type="patch")
    )
    before_it = {} if old is None else {"llm_provider_config": {"api_key": old}}
    (entry,) = shown(given(created(before_it)).after(command))
    assert msgspec.to_builtins(entry.changes) == [
        {"path": KEY, "before": old and MASK, "after": new and MASK}
    ]
    assert b"$secret" not in msgspec.json.encode(entry)


@modest
@for_all(st.lists(secret_bodies() | st.integers(0, 20), min_size=2, max_size=6))
def test_no_entry_shows_a_secret_or_what_stands_for_it(steps: list[Any]) -> None:
    story = given().after(create({}))
    numbers = itertools.count()
    for step in steps:
        with suppress(InvalidSettings):
            if isinstance(step, int):
                then = fold(story.events[: step % len(story.events) + 1]).settings
                story = story.after(RestoreSettings(settings=then, to_version=1))
            else:
                story = story.after(patch(step, numbers))
    for entry in shown(story):
        written = msgspec.json.encode(entry)
        for hidden in (b"$secret", b"fingerprint", b"id-", b"sk-very"):
            assert hidden not in written
        state = fold(story.events[: entry.version_id - 1])
        assert diff(entry.settings_snapshot, mask(state.settings)) == {}


def test_a_state_that_is_not_masked_would_show_what_stands_for_it() -> None:
    story = given(created({"llm_provider_config": {"api_key": secret("A")}}))
    assert b"$secret" in msgspec.json.encode(story.state.settings)


# -- filters


STORY = (
    given(created())
    .after(patch({"llm_settings": {"temperature": 0.9}}))
    .after(patch({"llm_settings": {"top_p": 0.9}, "name": "B"}), OTHER)
    .after(patch({"llm_provider": "groq"}))
    .after(patch({"stt_settings": {"flux_config": {"tag": "a"}}}), OTHER)
    .after(patch({"stt_settings": {"flux_config": {"tag": "b"}}}))
    .after(DeleteAssistant())
)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/llm_settings", [3, 2]),
        ("/llm_settings/temperature", [2]),
        ("/llm_settings/temperature/deeper", [2]),
        ("/llm", []),
        ("/llm_provider", [4]),
        ("/stt_settings/flux_config", [6, 5]),
        ("/stt_settings/flux_config/tag", [6, 5]),
        ("/stt_settings/flux_config/eot_threshold", [5]),
        ("", [6, 5, 4, 3, 2]),
        ("/description", []),
    ],
)
def test_entries_are_found_by_path(path: str, found: list[int]) -> None:
    assert versions(STORY, paths=(path,)) == found


@pytest.mark.parametrize(
    ("actor", "found"),
    [
        ("api_key:7", [7, 6, 4, 2]),
        ("Front office", [7, 6, 4, 2]),
        ("FRONT OFFICE", [7, 6, 4, 2]),
        ("user:9", [5, 3]),
        ("émile", [5, 3]),
        ("Front", []),
        ("api_key:9", []),
        ("user", []),
    ],
)
def test_entries_are_found_by_who_did_it(actor: str, found: list[int]) -> None:
    assert versions(STORY, actor=actor) == found


def test_entries_are_found_by_when_it_was() -> None:
    assert versions(STORY, since=at(5)) == [7, 6, 5]
    assert versions(STORY, until=at(3)) == [3, 2]
    assert versions(STORY, since=at(3), until=at(4)) == [4, 3]
    assert versions(STORY, since=at(3) + timedelta(microseconds=1), until=at(4)) == [4]
    assert versions(STORY, since=at(8)) == []
    assert versions(STORY, until=at(1)) == []


def test_entries_are_found_below_a_version() -> None:
    assert versions(STORY, before_version=5) == [4, 3, 2]
    assert versions(STORY, before_version=2) == []
    assert versions(STORY, before_version=99) == [7, 6, 5, 4, 3, 2]


def test_what_is_left_out_still_counts_for_the_snapshots() -> None:
    (entry,) = shown(STORY, Filter(paths=("/llm_settings/temperature",)))
    assert entry.settings_snapshot == given(created()).state.settings


def test_nothing_older_than_wanted_is_read() -> None:
    read: list[int] = []

    def newest_first() -> Any:
        for event in reversed(STORY.events):
            read.append(event.version)
            yield event

    assert list(entries(STORY.state, newest_first(), Filter(since=at(6))))
    assert min(read) == 5
    del read[:]
    assert next(entries(STORY.state, newest_first(), EVERYTHING))
    assert read == [7]


def is_expected(event: Event, event_filter: Filter) -> bool:
    """The filter once more, as its words say it and as slowly as can be."""
    if event_filter.before_version is not None and event.version >= event_filter.before_version:
        return False
    if event_filter.since is not None and event.occurred_at < event_filter.since:
        return False
    if event_filter.until is not None and event.occurred_at > event_filter.until:
        return False
    if (
        event_filter.actor is not None
        and event_filter.actor != f"{event.actor.type}:{event.actor.id}"
    ):
        return False
    if event_filter.causes and event.cause.type not in event_filter.causes:
        return False
    if not event_filter.paths:
        return True
    changed = event.changes if isinstance(event, AssistantSettingsChanged) else {}
    return any(
        covers(path, one) or covers(one, path) for path in event_filter.paths for one in changed
    )


FILTERS = st.builds(
    Filter,
    paths=st.lists(
        st.sampled_from(["/llm_settings", "/name", "/stt_settings/flux_config/tag"]), max_size=2
    ).map(tuple),
    causes=st.frozensets(st.sampled_from(["patch", "rollback", "delete"]), max_size=2),
    actor=st.none() | st.sampled_from(["api_key:7", "user:9"]),
    since=st.none() | st.integers(0, 9).map(at),
    until=st.none() | st.integers(0, 9).map(at),
    before_version=st.none() | st.integers(0, 9),
)


@for_all(FILTERS)
def test_filters_work_together(event_filter: Filter) -> None:
    expected = [e.version for e in reversed(STORY.events[1:]) if is_expected(e, event_filter)]
    assert [entry.version_id for entry in shown(STORY, event_filter)] == expected
