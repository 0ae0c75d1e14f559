"""What GET showed can be sent back: what came back is no change, whatever stands there."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from hypothesis import assume
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec import UNSET

from events import meaning
from events.bodies.json_patch import read_json_patch
from events.bodies.merge_patch import read_merge_patch
from events.bodies.patch import read_create, read_edit
from events.commands import CreateAssistant
from events.derived import COMPUTED
from events.errors import InvalidSettings
from events.pointers import Tree, ancestors, at, diff, flatten, join, put, same
from events.secrets.references import mask, places
from tests.events.given import (
    DEFAULTS,
    NAME,
    Given,
    changed,
    create,
    created,
    given,
    patch,
    secret,
    sent_to,
)
from tests.events.strategies import PLAIN_NAMES, VALUES, bodies, few, many, secret_bodies

if TYPE_CHECKING:
    from events.bodies.patch import SettingsPatch

MASK = "********"
brief = hypothesis.settings(max_examples=8, deadline=None)  # each builds a story with secrets


def shown(story: Given) -> Tree:
    """The settings as GET shows them."""
    state = story.state
    tree: Tree = mask(copy.deepcopy(state.settings), state.erased_version)
    return tree


@st.composite
def odd_stories(draw: st.DrawFn) -> Given:
    """An assistant with secrets, in which any values stand that older rules may have let in."""
    story, numbers = given().after(create(draw(bodies()))), itertools.count()
    for body in draw(st.lists(secret_bodies(), max_size=2)):
        try:
            story = story.after(patch(body, numbers))
        except InvalidSettings:  # a mask for a secret that is not there
            continue
    settings = story.state.settings
    paths = [path for path in flatten(settings) if path not in COMPUTED]
    odd = st.none() | st.booleans() | st.sampled_from([0, 0.0, -0.0, 1, "", " ", " x\r\n"]) | VALUES
    chosen = draw(st.lists(st.sampled_from(paths), max_size=4, unique=True))
    chosen += draw(st.sampled_from([[], ["/custom_settings/more"]]))
    after = settings
    for path in chosen:
        after = put(after, path, draw(odd))
    after = put(after, "/name", draw(st.sampled_from([NAME, " Desk ", ""])))
    sides = {path: (one.before, one.after) for path, one in diff(settings, after).items()}
    event = changed(sides)(len(story.events) + 1)
    return Given((*story.events, event)) if sides else story


def as_json(story: Given, body: Tree) -> SettingsPatch:
    del story
    return read_edit(body)


def as_operations(story: Given, body: Tree) -> SettingsPatch:
    operations = [
        {"op": "replace", "path": f"/{name}", "value": value} for name, value in body.items()
    ]
    return read_json_patch(operations, story.state.settings, story.state.erased_version)


def as_merge_patch(story: Given, body: Tree) -> SettingsPatch:
    return read_merge_patch(body, story.state.settings, story.state.erased_version)


def comes_back(story: Given) -> None:
    for read in (as_json, as_operations):
        story.when(sent_to(story, read(story, shown(story)))).then()


@brief
@for_all(odd_stories())
def test_all_that_is_shown_can_be_sent_back_and_changes_nothing(story: Given) -> None:
    comes_back(story)


@pytest.mark.long
@many
@for_all(odd_stories())
def test_all_that_is_shown_can_be_sent_back_often_and_changes_nothing(story: Given) -> None:
    """Run it with: pytest -m long tests/events/bodies/test_untouched.py."""
    comes_back(story)


@brief
@for_all(odd_stories())
def test_a_merge_patch_of_what_is_shown_only_removes_what_null_removes(story: Given) -> None:
    """RFC 7396 has no way to say null: in a free-form map it removes."""
    settings, body = story.state.settings, shown(story)
    try:
        after = story.after(sent_to(story, as_merge_patch(story, body))).state.settings
    except InvalidSettings as refusal:  # of an object in a place where no rule of today has one
        for error in refusal.errors:
            assert "None" in repr(at(settings, join(tuple(map(str, error.loc[1:])))))
        return
    for path, change in diff(settings, after).items():
        nulls = {one for one, value in flatten({"": change.before}).items() if value is None}
        assert nulls or path in COMPUTED, path


@brief
@for_all(odd_stories(), st.data())
def test_an_edit_of_one_value_in_all_that_is_shown_is_that_change_alone(
    story: Given, data: st.DataObject
) -> None:
    settings, body = story.state.settings, shown(story)
    edits = {"/llm_settings/top_p": 0.125, "/description": " New\r\n", "/tts_settings/speed": 1.5}
    edits |= {"/stt_settings/punctuate": not at(settings, "/stt_settings/punctuate")}
    edits |= {"/custom_settings/edited": {"b": 1, "a": " x "}}
    path = data.draw(st.sampled_from(sorted(edits)))
    above = ancestors(path)[0]
    assume(above == "" or isinstance(at(settings, above), dict))
    assume(not same(at(settings, path), edits[path]))
    edited = put(body, path, edits[path])
    for read in (as_json, as_operations):
        after = story.after(sent_to(story, read(story, edited))).state.settings
        assert [one for one in diff(settings, after) if one not in COMPUTED] == [path]
        assert same(at(after, path), edits[path])


@brief
@for_all(odd_stories(), bodies())
def test_what_others_changed_since_is_kept_where_all_that_was_read_comes_back(
    story: Given, later: Tree
) -> None:
    base, body = story.state.settings, shown(story)
    try:
        since = story.after(patch(later))
    except InvalidSettings:  # it would send a secret to another provider
        return
    command = sent_to(since, read_edit(body), base=base)
    since.when(command).then()


# -- examples of what older rules let in, one for each kind

ODD: dict[str, Any] = {
    "/llm_settings/max_tokens": "many",
    "/tts_settings/background_sound/volume": 9.0,
    "/tts_limit": 5000,
    "/bypass_numbers": ["911", "911", "+1 415"],
    "/name": " Front desk ",
    "/description": "   ",
    "/llm_provider_config/custom_config": {"a": None, "b": {"c": None}},
    "/custom_settings": {"a": None, "structured_data_schema": "{"},
    "/stt_settings/keywords": [{"keyword": "a", "future": 1}, {"keyword": 5}],
    "/stt_settings/keyterms": "a, b",
    "/tts_settings/provider_config": {"headers": [{"key": "Authorization", "value": ""}]},
    "/stt_settings/provider_config": {"token": "readable", "auth": {"password": ""}},
    "/llm_fallback_providers/fallbacks": [{"provider": "x", "api_key": ""}],
    "/tools_settings/end_call/enabled": "yes",
    "/idle_message": "********",
    "/recording_settings/of_another_release": 1,
    "/llm_settings/of_another_release": {"x": 1},
}


@pytest.mark.parametrize("path", ODD)
def test_what_an_older_rule_let_in_comes_back_as_it_stands(path: str) -> None:
    story = given(created(), changed({path: (at(DEFAULTS, path), ODD[path])}))
    for read in (as_json, as_operations):
        story.when(sent_to(story, read(story, shown(story)))).then()
        beside = put(shown(story), "/end_call_message", "Bye")
        after = story.after(sent_to(story, read(story, beside))).state.settings
        assert set(diff(story.state.settings, after)) <= {"/end_call_message", *COMPUTED}
        assert same(at(after, path), at(story.state.settings, path))


@pytest.mark.parametrize("count", [2, 3000])
def test_an_element_that_breaks_a_rule_comes_back_once(count: int) -> None:
    """However many there are: a comparison of each with each would take minutes."""
    path, odd = "/stt_settings/keyterms", [5, *(f"term {n}" for n in range(count))]
    story = given(created(), changed({path: (at(DEFAULTS, path), odd)}))
    body = {"stt_settings": {"keyterms": [5] * count}}
    with pytest.raises(InvalidSettings) as refusal:
        sent_to(story, read_edit(body))
    first = refusal.value.errors[0]
    assert first.loc == ("body", "stt_settings", "keyterms", 1)


@pytest.mark.parametrize("path", ["/tts_limit", "/llm_settings/max_tokens", "/bypass_numbers"])
def test_a_new_value_that_breaks_a_rule_is_refused_beside_one_that_came_back(path: str) -> None:
    story = given(created(), changed({path: (at(DEFAULTS, path), ODD[path])}))
    body = put(shown(story), "/stt_limit", 5001)
    for read in (as_json, as_operations):
        with pytest.raises(InvalidSettings) as refusal:
            sent_to(story, read(story, body))
        assert [error.loc for error in refusal.value.errors] == [("body", "stt_limit")]


def test_more_errors_than_an_answer_names_about_what_came_back_hide_no_other() -> None:
    wrong = [{"keyword": number} for number in range(300)]
    story = given(created(), changed({"/stt_settings/keywords": ([], wrong)}))
    body = put(shown(story), "/tts_limit", 5001)
    with pytest.raises(InvalidSettings) as refusal:
        sent_to(story, read_edit(body))
    assert [error.loc for error in refusal.value.errors] == [("body", "tts_limit")]


def test_control_without_the_rule_what_came_back_is_a_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = "/llm_provider_config/custom_config"
    story = given(created(), changed({path: (at(DEFAULTS, path), ODD[path])}))
    monkeypatch.setattr(meaning, "untouched", lambda patch, *_: patch)
    event = story.when(sent_to(story, read_edit(shown(story)))).decided()
    assert event is not None


def test_control_without_the_rule_what_came_back_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    story = given(created(), changed({"/tts_limit": (None, 5000)}))
    monkeypatch.setattr(meaning, "broken_by", lambda errors, *_: errors)
    with pytest.raises(InvalidSettings):
        sent_to(story, read_edit(shown(story)))


def test_elements_of_an_edited_list_that_came_back_stand_as_they_stood() -> None:
    numbers = ["911", "+1 415 555", "112"]
    story = given(created(), changed({"/bypass_numbers": (None, numbers)}))
    body = {"bypass_numbers": ["112", "+1 (415) 555-1234", "911"]}
    after = story.after(sent_to(story, read_edit(body))).state.settings
    assert after["bypass_numbers"] == ["112", "+14155551234", "911"]


def test_two_elements_that_look_alike_keep_their_secrets_at_their_positions() -> None:
    """The first of them is edited: the mask of the second must not mean the secret of the first."""
    twins = [{"tool_id": "a", "headers": {"Cookie": secret(f"1.{n}")}} for n in "ab"]
    story = given(created({"tools_settings": {"custom_tools": twins}}))
    body = shown(story)["tools_settings"]["custom_tools"]
    body[0] = {"tool_id": "a", "headers": {"Cookie": "c=1"}}
    sent = read_edit({"tools_settings": {"custom_tools": body}})
    after = story.after(sent_to(story, sent)).state.settings
    kept = [place.reference["$secret"]["id"] for place in places(after)]
    assert kept == ["id-1000", "1.b"]


# -- creation


@few
@for_all(bodies(), st.dictionaries(PLAIN_NAMES, VALUES, max_size=3))
def test_what_is_shown_of_an_assistant_without_secrets_makes_the_same_one(
    body: Tree, free: Tree
) -> None:
    story = given().after(create(body | {"custom_settings": free}))
    assume(not list(places(story.state.settings)) and MASK not in repr(story.state.settings))
    again = given().after(CreateAssistant(patch=read_create(shown(story)).tree))
    assert diff(story.state.settings, again.state.settings) == {}


@few
@for_all(st.lists(secret_bodies(), min_size=1, max_size=3))
def test_a_creation_from_what_is_shown_names_each_secret_that_does_not_come_along(
    sent: list[Tree],
) -> None:
    story, numbers = given().after(create({})), itertools.count()
    for body in sent:
        try:
            story = story.after(patch(body, numbers))
        except InvalidSettings:
            continue
    there = {("body", *_integers(place.at)) for place in places(story.state.settings)}
    assume(there)
    with pytest.raises(InvalidSettings) as refusal:
        read_create(shown(story))
    assert {error.loc for error in refusal.value.errors} == there
    read = read_create(shown(story), lenient=True)
    assert len(read.ignored) == len(there)
    made = given().after(CreateAssistant(patch=read.tree)).state.settings
    assert list(places(made)) == []
    assert MASK not in repr(made)


def _integers(place: tuple[str, ...]) -> tuple[str | int, ...]:
    found: Any = DEFAULTS
    read: list[str | int] = []
    for token in place:
        in_list = isinstance(found, list) or (found is None and token.isdecimal())
        read.append(int(token) if in_list or token.isdecimal() else token)
        found = found.get(token) if isinstance(found, dict) else None
    return tuple(read)


@pytest.mark.parametrize(
    ("sent", "path", "left"),
    [
        ({"webhook_url": "https://********@h.example/"}, "/webhook_url", "https://h.example/"),
        ({"api_keys": {"a": "erased"}}, "/api_keys/a", UNSET),
        ({"custom_settings": {"token": "***"}}, "/custom_settings/token", UNSET),
        ({"custom_settings": {"note": MASK}}, "/custom_settings/note", UNSET),
        ({"description": MASK}, "/description", None),
    ],
)
def test_each_kind_of_mask_is_named_or_left_out(sent: Tree, path: str, left: Any) -> None:
    with pytest.raises(InvalidSettings) as refusal:
        read_create({"name": NAME} | sent)
    assert [error.type for error in refusal.value.errors] == ["secret_mask_unmatched"]
    read = read_create({"name": NAME} | sent, lenient=True)
    assert read.ignored == (path,)
    settings = given().after(CreateAssistant(patch=read.tree)).state.settings
    assert at(settings, path) == left


@pytest.mark.parametrize("text", ["...", "***", "erased", "."])
def test_an_ordinary_text_that_only_might_be_a_mask_comes_along(text: str) -> None:
    read = read_create({"name": NAME, "idle_message": text, "custom_settings": {"note": text}})
    settings = given().after(CreateAssistant(patch=read.tree)).state.settings
    assert settings["idle_message"] == settings["custom_settings"]["note"] == text


def test_a_url_that_brings_other_credentials_beside_masked_ones_is_refused_leniently_too() -> None:
    body = {"name": NAME, "webhook_url": "https://********@h.example/?api_key=k-1"}
    for lenient in (False, True):
        with pytest.raises(InvalidSettings):
            read_create(body, lenient=lenient)
