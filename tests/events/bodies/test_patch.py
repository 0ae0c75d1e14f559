"""How the body of a change or a creation is read: merged, cleared, refused."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from events.bodies.patch import SettingsPatch, read_create, read_patch
from events.changed import Cause
from events.errors import InvalidSettings
from events.pointers import Tree, same
from events.settings import SETTING_NAMES, Settings
from tests.events.given import DEFAULTS, at_path, created, given, patch, settings_after
from tests.events.sent import (
    NULL_IS_IGNORED,
    READ_ONLY,
    SETTINGS_OBJECTS,
    body_at,
    errors_of,
    pointer,
    read_or_errors,
)
from tests.events.strategies import PLAIN_NAMES, VALUES, bodies, modest, secret_bodies

# -- one update rule: objects merge, lists and scalars replace


def test_what_is_not_sent_keeps_its_value_inside_nested_objects_too() -> None:
    before = settings_after({"stt_settings": {"endpointing": {"silence_threshold": 9}}})
    after = settings_after(
        {"stt_settings": {"endpointing": {"silence_threshold": 9}}},
        {"stt_settings": {"endpointing": {"min_silence_duration": 7}}},
    )
    assert after["stt_settings"]["endpointing"] == {
        "silence_threshold": 9,
        "min_silence_duration": 7,
    }
    after["stt_settings"]["endpointing"] = before["stt_settings"]["endpointing"]
    assert after == before


def test_null_is_a_value_in_the_maps_of_a_creation_and_removes_in_those_of_a_change() -> None:
    body = {"custom_settings": {"a": None, "b": 1}}
    assert settings_after(body)["custom_settings"] == body["custom_settings"]
    assert settings_after(body, body)["custom_settings"] == {"b": 1}


def test_a_list_takes_the_place_of_the_old_one() -> None:
    after = settings_after(
        {"stt_settings": {"keyterms": ["a", "b"]}}, {"stt_settings": {"keyterms": ["c"]}}
    )
    assert after["stt_settings"]["keyterms"] == ["c"]


@pytest.mark.parametrize(
    ("path", "element"),
    [
        ("llm_fallback_providers.fallbacks", {"provider": "groq", "config": {"a": {"b": None}}}),
        ("tools_settings.custom_tools", {"tool_id": 1, "config": {"a": {"b": None}}}),
        ("recording_settings.unknown", {"config": {"a": {"b": None}}}),
        ("llm_provider_config.custom_config.unknown", {"config": {"a": {"b": None}}}),
    ],
)
def test_an_element_of_a_list_merges_with_nothing_and_keeps_its_nulls(
    path: str, element: Tree
) -> None:
    (stored,) = at_path(settings_after(body_at(path, [element])), pointer(path))
    assert stored["config"] == {"a": {"b": None}}


def test_the_elements_of_a_list_are_completed_with_their_defaults() -> None:
    after = settings_after({"stt_settings": {"keywords": [{"keyword": "pizza"}]}})
    assert after["stt_settings"]["keywords"] == [{"keyword": "pizza", "intensifier": 1.0}]


def test_free_form_maps_merge_deeply() -> None:
    after = settings_after(
        {"llm_provider_config": {"custom_config": {"a": {"b": 1, "c": 2}, "d": 3}}},
        {"llm_provider_config": {"custom_config": {"a": {"b": None, "e": 4}}}},
    )
    assert after["llm_provider_config"]["custom_config"] == {"a": {"c": 2, "e": 4}, "d": 3}


def test_custom_settings_merge_one_level_deep() -> None:
    after = settings_after(
        {"custom_settings": {"structured_data_schema": {"a": {"b": 1}}, "kept": 1, "gone": 2}},
        {"custom_settings": {"structured_data_schema": {"c": {"d": None}}, "gone": None}},
    )
    assert after["custom_settings"] == {
        "structured_data_schema": {"c": {"d": None}},
        "kept": 1,
    }


def test_recording_settings_merge_members_that_nobody_knows() -> None:
    after = settings_after(
        {"recording_settings": {"bucket": {"region": "eu", "name": "a"}, "format": "wav"}},
        {"recording_settings": {"bucket": {"name": "b"}}},
    )
    assert after["recording_settings"] == DEFAULTS["recording_settings"] | {
        "bucket": {"region": "eu", "name": "b"},
        "format": "wav",
    }


# -- null and blank


def nullable_scalars() -> list[str]:
    objects = {*SETTINGS_OBJECTS, *NULL_IS_IGNORED, "name"}
    return [name for name in SETTING_NAMES if name not in objects]


@pytest.mark.parametrize("name", nullable_scalars())
def test_null_for_a_nullable_setting_is_stored_as_null(name: str) -> None:
    assert settings_after({}, {name: None})[name] is None


@pytest.mark.parametrize("name", SETTINGS_OBJECTS)
def test_null_for_a_settings_object_restores_its_defaults(name: str) -> None:
    changed = {
        "llm_provider_config": {"base_url": "https://a"},
        "llm_settings": {"temperature": 2},
        "interruption_settings": {"interruption_threshold": 9},
        "tts_settings": {"background_sound": {"volume": 1}},
        "stt_settings": {"flux_config": {"tag": "a"}},
        "tools_settings": {"end_call": {"enabled": True}},
        "rag_settings": {"enabled": True},
        "llm_fallback_providers": {"fallbacks": [{"provider": "groq"}]},
        "recording_settings": {"unknown": 1},
    }[name]
    assert settings_after({name: changed})[name] != DEFAULTS[name]
    assert settings_after({name: changed}, {name: None})[name] == DEFAULTS[name]


@pytest.mark.parametrize("name", [*NULL_IS_IGNORED, "name"])
def test_null_is_ignored_where_it_means_nothing(name: str) -> None:
    given(created()).when(patch({name: None})).then()
    body = {name: None}
    assert read_patch(body, strict=True) == SettingsPatch(tree={}, sent=body)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("stt_settings.model", "string_type"),
        ("llm_settings.max_tokens", "int_type"),
        ("llm_settings.temperature", "float_type"),
        ("stt_settings.punctuate", "bool_type"),
        ("stt_settings.keyterms", "list_type"),
        ("tts_settings.background_sound", "model_attributes_type"),
        ("tools_settings.transfer_call.transfer_type", "string_type"),
    ],
)
def test_null_for_a_nested_member_that_must_have_a_value_is_refused(path: str, kind: str) -> None:
    assert errors_of(body_at(path, None)) == [(("body", *path.split(".")), kind)]


@pytest.mark.parametrize(
    "path",
    ["stt_settings.flux_config", "llm_settings.welcome_message", "tts_settings.provider_config"],
)
def test_null_for_a_nested_member_that_may_be_null_is_stored(path: str) -> None:
    assert at_path(settings_after({}, body_at(path, None)), pointer(path)) is None


@pytest.mark.parametrize("blank", ["", "  ", "\t\n"])
@pytest.mark.parametrize("name", ["description", "webhook_url", "idle_message", "tts_limit"])
def test_a_blank_string_at_the_top_is_null(name: str, blank: str) -> None:
    assert read_patch({name: blank}).tree == {name: None}


@pytest.mark.parametrize(
    "name",
    ["bypass_numbers", "custom_settings", "api_keys", "webhook_headers", "backchannel_settings"],
)
def test_a_blank_string_at_the_top_is_null_for_lists_and_objects_too(name: str) -> None:
    assert read_patch({name: ""}).tree == {name: None}


@pytest.mark.parametrize("blank", ["", "  "])
@pytest.mark.parametrize("read", [read_patch, read_create])
def test_a_blank_name_is_refused(read: Any, blank: str) -> None:
    with pytest.raises(InvalidSettings) as refusal:
        read({"name": blank})
    assert [(e.loc, e.type) for e in refusal.value.errors] == [
        (("body", "name"), "string_too_short")
    ]


def test_a_nested_blank_string_stays_as_it_is() -> None:
    assert settings_after({"llm_settings": {"welcome_message": ""}})["llm_settings"][
        "welcome_message"
    ] == ""  # fmt: skip


def test_a_name_is_trimmed_before_it_is_measured() -> None:
    assert read_patch({"name": " " + "n" * 100 + " "}).tree == {"name": "n" * 100}
    assert errors_of({"name": "n" * 101}) == [(("body", "name"), "string_too_long")]


# -- a creation


def test_a_creation_needs_a_name() -> None:
    for body, kind in (({}, "missing"), ({"name": None}, "string_type")):
        with pytest.raises(InvalidSettings) as refusal:
            read_create(body)
        assert [(e.loc, e.type) for e in refusal.value.errors] == [(("body", "name"), kind)]


def test_a_creation_without_a_name_still_hears_of_its_other_errors() -> None:
    with pytest.raises(InvalidSettings) as refusal:
        read_create({"tts_limit": 0})
    assert {e.loc for e in refusal.value.errors} == {("body", "name"), ("body", "tts_limit")}


@pytest.mark.parametrize("body", [None, [], "x", 5, True])
def test_a_body_that_is_no_object_is_refused(body: Any) -> None:
    assert errors_of(body) == [(("body",), "model_attributes_type")]


# -- unknown and read-only members


def test_unknown_members_are_named_by_pointer_and_never_stored() -> None:
    read = read_patch(
        {
            "colour": "red",
            "llm_settings": {"a/b~c": 1, "temperature": 0.1},
            "stt_settings": {"keywords": [{"keyword": "a"}, {"keyword": "b", "weight": 2}]},
            "tools_settings": {"end_call": {"": None}},
        }
    )
    assert read.ignored == (
        "/colour",
        "/llm_settings/a~1b~0c",
        "/stt_settings/keywords/1/weight",
        "/tools_settings/end_call/",
    )
    assert read.tree == {
        "llm_settings": {"temperature": 0.1},
        "stt_settings": {"keywords": [{"keyword": "a"}, {"keyword": "b"}]},
        "tools_settings": {"end_call": {}},
    }


def test_the_strict_reader_suggests_the_nearest_known_name() -> None:
    with pytest.raises(InvalidSettings) as refusal:
        read_patch({"llm_setings": {}, "llm_settings": {"temprature": 1, "qqq": 1}}, strict=True)
    assert [(e.loc, e.type) for e in refusal.value.errors] == [
        (("body", "llm_setings"), "extra_forbidden"),
        (("body", "llm_settings", "temprature"), "extra_forbidden"),
        (("body", "llm_settings", "qqq"), "extra_forbidden"),
    ]
    near, nearer, far = (error.msg for error in refusal.value.errors)
    assert "'llm_settings'" in near
    assert "'temperature'" in nearer
    assert "did you mean" not in far


@pytest.mark.parametrize("strict", [False, True])
def test_read_only_members_are_ignored_silently(*, strict: bool) -> None:
    body = {name: {"anything": [1]} for name in READ_ONLY}
    assert read_patch(body, strict=strict) == SettingsPatch(tree={}, sent=body)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    "path",
    [
        "custom_settings",
        "llm_provider_config.custom_config",
        "tts_settings.provider_config",
        "stt_settings.provider_config",
        "recording_settings",
    ],
)
def test_free_form_maps_take_any_member(path: str, *, strict: bool) -> None:
    value = {"colour": {"~/": [1, 1.0, True, None, "x", {"": {}}]}, "": False}
    read = read_patch(body_at(path, value), strict=strict)
    assert read.ignored == ()
    stored = at_path(settings_after(body_at(path, value)), pointer(path))
    assert same({name: stored[name] for name in value}, value)


def test_a_fallbacks_config_takes_any_member() -> None:
    fallback = {"provider": "groq", "config": {"anything": {"a": 1}}}
    read = read_patch({"llm_fallback_providers": {"fallbacks": [fallback]}}, strict=True)
    assert read.tree["llm_fallback_providers"]["fallbacks"] == [fallback]


# -- laws


@modest
@for_all(bodies())
def test_every_body_within_the_published_bounds_is_taken_whole(body: Tree) -> None:
    original = copy.deepcopy(body)
    read = read_patch(body, strict=True)
    assert read.ignored == ()
    assert same(body, original)
    after = settings_after(body)
    assert msgspec.to_builtins(msgspec.convert(after, Settings)).keys() == after.keys()


@modest
@for_all(st.dictionaries(st.sampled_from([*SETTING_NAMES, "change_description"]), VALUES))
def test_any_json_is_read_or_refused_and_nothing_else(body: Tree) -> None:
    read = read_or_errors(body)
    assert isinstance(read, SettingsPatch) or read


@modest
@for_all(st.dictionaries(PLAIN_NAMES, VALUES, max_size=2), secret_bodies())
def test_a_patch_sent_twice_changes_nothing_the_second_time(free: Tree, body: Tree) -> None:
    first = patch(body | {"recording_settings": free})
    story = given(created(cause=Cause(type="create")))
    try:
        once = story.after(first)
    except InvalidSettings:
        return
    once.when(patch(body | {"recording_settings": free})).then()
