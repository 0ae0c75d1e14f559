from __future__ import annotations

import copy
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from events.bodies.patch import SettingsPatch, read_create, read_patch
from events.bodies.reasons import clean_reason
from events.bodies.validation import read_struct
from events.changed import Cause
from events.errors import FieldError, InvalidSettings
from events.pointers import Tree, same
from events.secrets.masks import is_mask
from events.secrets.values import KEPT, Plain
from events.settings import SETTING_NAMES, Settings
from tests.events.given import DEFAULTS, at_path, created, given, patch, settings_after
from tests.events.strategies import PLAIN_NAMES, VALUES, bodies, modest, secret_bodies

READ_ONLY = [
    "id",
    "organization_id",
    "user_id",
    "created_at",
    "updated_at",
    "version",
    "total_calls",
    "avg_call_duration",
    "success_rate",
]
SETTINGS_OBJECTS = [
    "llm_provider_config",
    "llm_settings",
    "interruption_settings",
    "tts_settings",
    "stt_settings",
    "tools_settings",
    "rag_settings",
    "llm_fallback_providers",
    "recording_settings",
]
NULL_IS_IGNORED = ["llm_provider", "is_active", "conversation_continuity_enabled"]
HUNTER = "sk_hunter2_of_the_vault"


def errors_of(body: Any, *, strict: bool = False) -> list[tuple[tuple[str | int, ...], str]]:
    with pytest.raises(InvalidSettings) as refusal:
        read_patch(body, strict=strict)
    return [(error.loc, error.type) for error in refusal.value.errors]


def read_or_errors(body: Any, *, strict: bool = False) -> SettingsPatch | tuple[FieldError, ...]:
    try:
        return read_patch(body, strict=strict)
    except InvalidSettings as refusal:
        return refusal.errors


def body_at(path: str, value: Any) -> Tree:
    *parents, name = path.split(".")
    body: Tree = {name: value}
    for parent in reversed(parents):
        body = {parent: body}
    return body


def pointer(path: str) -> str:
    return "/" + path.replace(".", "/")


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


# -- names and forms of other API versions


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        (
            {"backchannel_generation_settings": {"enabled": True}},
            {"backchannel_settings": {"enabled": True}},
        ),
        ({"tts_settings": {"tts_model_id": "m"}}, {"tts_settings": {"model_id": "m"}}),
        (
            {"tts_settings": {"tts_model_id": "m", "model_id": "n"}},
            {"tts_settings": {"model_id": "n"}},
        ),
        ({"llm_settings": {"model": "m"}}, {"llm_provider_config": {"model": "m"}}),
        (
            {"llm_settings": {"model": "m"}, "llm_provider_config": {"base_url": "u"}},
            {"llm_provider_config": {"model": "m", "base_url": "u"}},
        ),
        (
            {"llm_settings": {"model": "m"}, "llm_provider_config": {"model": "n"}},
            {"llm_provider_config": {"model": "n"}},
        ),
        (
            {"stt_settings": {"endpointing": 10}},
            {"stt_settings": {"endpointing": {"silence_threshold": 10}}},
        ),
        (
            {"stt_settings": {"keyterms": "pizza pasta"}},
            {"stt_settings": {"keyterms": ["pizza", "pasta"]}},
        ),
        (
            {"stt_settings": {"keyterms": "deep dish, pasta ,"}},
            {"stt_settings": {"keyterms": ["deep dish", "pasta"]}},
        ),
        ({"stt_settings": {"keyterms": " "}}, {"stt_settings": {"keyterms": []}}),
        (
            {"stt_settings": {"keywords": [{"keyword": "a", "boost": 2}]}},
            {"stt_settings": {"keywords": [{"keyword": "a", "intensifier": 2}]}},
        ),
    ],
)
def test_an_alias_means_what_todays_name_means(sent: Tree, meant: Tree) -> None:
    original = copy.deepcopy(sent)
    assert settings_after({}, sent) == settings_after({}, meant)
    assert read_patch(sent, strict=True).ignored == ()
    assert sent == original, "the body itself is left as it was sent"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("webhook_headers", {"x-trace": "a"}),
        ("recording_settings", {"disclosure_mode": "first_call_only"}),
        ("messaging_service_sid", "MG1"),
        ("stt_settings.vad_turnoff", 300),
        (
            "llm_fallback_providers.fallbacks",
            [{"provider": "a", "enabled": False, "config": {"b": 1}}],
        ),
    ],
)
def test_what_real_clients_send_beyond_the_schema_is_known(path: str, value: Any) -> None:
    assert read_patch(body_at(path, value), strict=True).tree


def test_a_fallback_is_enabled_until_it_is_said_otherwise() -> None:
    after = settings_after({"llm_fallback_providers": {"fallbacks": [{"provider": "groq"}]}})
    assert after["llm_fallback_providers"]["fallbacks"] == [
        {
            "provider": "groq",
            "enabled": True,
            "api_key": None,
            "base_url": None,
            "model": None,
            "config": {},
        }
    ]


# -- bypass_numbers


def test_phone_numbers_are_stripped_and_said_once_in_their_order() -> None:
    sent = ["+49 (30) 1234-567", "+1.415.555.1234", "[+49]301234567", "+1 415 555 1234"]
    assert read_patch({"bypass_numbers": sent}).tree == {
        "bypass_numbers": ["+49301234567", "+14155551234"]
    }


@pytest.mark.parametrize(
    "number",
    ["", "14155551234", "+0123456789", "+123456", "+1234567890123456", "+1415555123a", "++1415555",
     "+1415555\u0661\u0662", "+1415 5551234 x2"],
)  # fmt: skip
def test_a_number_that_is_not_e164_is_refused_at_its_place(number: str) -> None:
    assert errors_of({"bypass_numbers": ["+14155551234", number]}) == [
        (("body", "bypass_numbers", 1), "string_pattern_mismatch")
    ]


@pytest.mark.parametrize("number", ["+1234567", "+123456789012345"])
def test_the_shortest_and_the_longest_number_are_taken(number: str) -> None:
    assert read_patch({"bypass_numbers": [number]}).tree == {"bypass_numbers": [number]}


def test_a_number_that_is_no_text_is_refused_once() -> None:
    assert errors_of({"bypass_numbers": [4915112345678]}) == [
        (("body", "bypass_numbers", 0), "string_type")
    ]


# -- types


@pytest.mark.parametrize(
    ("path", "sent", "stored"),
    [
        ("llm_settings.max_tokens", "5", 5),
        ("llm_settings.max_tokens", 10.0, 10),
        ("tts_limit", "1000", 1000),
        ("llm_settings.temperature", "0.3", 0.3),
        ("llm_settings.temperature", 1, 1.0),
        ("llm_settings.temperature", "1", 1.0),
        *(("is_active", word, True) for word in ["yes", "true", "1", "on", "Y", "t", "True", 1]),
        *(("is_active", word, False) for word in ["no", "false", "0", "off", "N", "f", "FALSE", 0]),
        ("stt_settings.punctuate", "off", False),
    ],
)
def test_types_are_coerced_as_clients_are_used_to(path: str, sent: Any, stored: Any) -> None:
    read = at_path(read_patch(body_at(path, sent)).tree, pointer(path))
    assert same(read, stored)


@pytest.mark.parametrize(
    ("path", "sent", "kind"),
    [
        ("llm_settings.max_tokens", 10.5, "int_from_float"),
        ("llm_settings.max_tokens", "x", "int_parsing"),
        ("llm_settings.max_tokens", [], "int_type"),
        ("llm_settings.max_tokens", "9007199254740993", "int_parsing_size"),
        ("llm_settings.temperature", "x", "float_parsing"),
        ("llm_settings.temperature", {}, "float_type"),
        ("llm_settings.temperature", "nan", "finite_number"),
        ("llm_settings.temperature", "-inf", "finite_number"),
        ("is_active", "maybe", "bool_parsing"),
        ("is_active", [], "bool_type"),
        ("description", 5, "string_type"),
        ("description", ["x"], "string_type"),
        ("tts_limit", 0, "greater_than_equal"),
        ("tts_limit", 1001, "less_than_equal"),
        ("tts_limit", "x", "int_parsing"),
        ("tts_limit", 5.5, "int_from_float"),
        ("max_call_length", 0, "greater_than_equal"),
        ("idle_timeout", -1, "greater_than_equal"),
        ("tts_settings.background_sound.volume", 1.5, "less_than_equal"),
        ("stt_settings.flux_config.eot_threshold", 0.4, "greater_than_equal"),
        ("tools_settings.transfer_call.transfer_type", "hot", "literal_error"),
        ("tts_settings", "x", "model_attributes_type"),
        ("tts_settings", [], "model_attributes_type"),
        ("custom_settings", [], "dict_type"),
        ("api_keys", [], "dict_type"),
        ("api_keys.openai", 5, "string_type"),
        ("webhook_headers.x", {"a": "b"}, "string_type"),
        ("llm_provider_config.api_key", {"a": 1}, "string_type"),
        ("stt_settings.keyterms", 5, "list_type"),
        ("change_description", "x" * 501, "string_too_long"),
        ("change_description", 5, "string_type"),
    ],
)
def test_a_broken_rule_is_named_as_fastapi_names_it(path: str, sent: Any, kind: str) -> None:
    assert errors_of(body_at(path, sent)) == [(("body", *path.split(".")), kind)]


@pytest.mark.parametrize(
    ("sent", "loc", "kind"),
    [
        (
            {"llm_fallback_providers": {"fallbacks": [{"provider": "a"}, {}]}},
            ("llm_fallback_providers", "fallbacks", 1, "provider"),
            "missing",
        ),
        (
            {"stt_settings": {"keywords": [{"keyword": None}]}},
            ("stt_settings", "keywords", 0, "keyword"),
            "string_type",
        ),
        (
            {"stt_settings": {"keyterms": ["a", 1]}},
            ("stt_settings", "keyterms", 1),
            "string_type",
        ),
        (
            {"tools_settings": {"custom_tools": [1]}},
            ("tools_settings", "custom_tools", 0),
            "dict_type",
        ),
    ],
)
def test_positions_in_a_list_are_numbers(sent: Tree, loc: tuple[Any, ...], kind: str) -> None:
    assert errors_of(sent) == [(("body", *loc), kind)]


def test_every_broken_rule_of_a_body_is_named_at_once() -> None:
    body = {
        "name": "",
        "tts_limit": 0,
        "llm_settings": {"max_tokens": "x", "temperature": None},
        "bypass_numbers": ["1", "+14155551234", "2"],
        "custom_settings": {"structured_data_schema": "{"},
        "change_description": "x" * 501,
    }
    assert {loc[1:] for loc, _ in errors_of(body)} == {
        ("name",),
        ("tts_limit",),
        ("llm_settings", "max_tokens"),
        ("llm_settings", "temperature"),
        ("bypass_numbers", 0),
        ("bypass_numbers", 2),
        ("custom_settings", "structured_data_schema"),
        ("change_description",),
    }


def test_values_without_a_published_bound_are_not_refused() -> None:
    body = {"llm_settings": {"temperature": 99, "max_tokens": -1}, "llm_provider": "anything"}
    assert read_patch(body).tree == body


# -- the reason


def test_a_reason_is_no_setting() -> None:
    read = read_patch({"change_description": " calmer \n"}, strict=True)
    assert (read.tree, read.ignored, read.reason) == ({}, (), "calmer")


@pytest.mark.parametrize("sent", [None, "", "  "])
def test_a_blank_reason_is_none(sent: str | None) -> None:
    assert read_patch({"change_description": sent}).reason is None
    assert clean_reason(sent) is None


def test_a_reason_may_be_five_hundred_characters_long() -> None:
    assert read_patch({"change_description": "ä" * 500}).reason == "ä" * 500


@pytest.mark.parametrize("sent", ["ä" * 501, 5, [], {}])
def test_what_is_no_reason_is_refused(sent: Any) -> None:
    with pytest.raises(InvalidSettings):
        read_patch({"change_description": sent})


def test_a_reason_has_no_place_for_a_secret() -> None:
    sent = {"change_description": "https://user:pass@hook.example/"}
    assert read_patch(sent).reason == "https://********@hook.example/"


# -- small bodies of other wishes


class Key(msgspec.Struct, kw_only=True):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    role: Literal["viewer", "editor"] = "viewer"
    permissions: dict[str, bool] = {}
    uses: int | None = None


def test_a_small_body_is_read_as_its_struct() -> None:
    read = read_struct(Key, {"name": "a", "uses": "5", "unknown": 1})
    assert read == Key(name="a", uses=5)


@pytest.mark.parametrize(
    ("body", "loc", "kind"),
    [
        ({}, ("name",), "missing"),
        ({"name": ""}, ("name",), "string_too_short"),
        ({"name": 5}, ("name",), "string_type"),
        ({"name": "a", "role": HUNTER}, ("role",), "literal_error"),
        ({"name": "a", "uses": HUNTER}, ("uses",), "int_parsing"),
        ({"name": "a", "uses": 1.5}, ("uses",), "int_from_float"),
    ],
)
def test_a_broken_rule_of_a_small_body_is_named_at_its_place(
    body: Tree, loc: tuple[str, ...], kind: str
) -> None:
    with pytest.raises(InvalidSettings) as refusal:
        read_struct(Key, body)
    assert [(e.loc, e.type) for e in refusal.value.errors] == [(("body", *loc), kind)]
    assert HUNTER not in repr(refusal.value)


# -- structured_data_schema


def test_a_schema_may_arrive_as_a_string_of_json() -> None:
    after = settings_after({"custom_settings": {"structured_data_schema": '{"a": {"b": 1.0}}'}})
    assert same(after["custom_settings"], {"structured_data_schema": {"a": {"b": 1.0}}})


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ("{", "json_invalid"),
        ("", "json_invalid"),
        ('{"a": 1, "a": 2}', "json_invalid"),
        ('{"a": NaN}', "json_invalid"),
        ('{"a": "\\u0000"}', "json_invalid"),
        ("[1]", "dict_type"),
        ("null", None),
        (5, "dict_type"),
        ([], "dict_type"),
    ],
)
def test_a_schema_that_is_no_object_is_refused(schema: Any, kind: str | None) -> None:
    body = {"custom_settings": {"structured_data_schema": schema}}
    if kind is None:
        assert settings_after(body)["custom_settings"] == {"structured_data_schema": None}
        assert settings_after({}, body)["custom_settings"] == {}, "in a patch, null removes"
    else:
        assert errors_of(body) == [(("body", "custom_settings", "structured_data_schema"), kind)]


# -- secrets


SECRET_PLACES = [
    "llm_provider_config.api_key",
    "llm_provider_config.custom_config.apiKey",
    "llm_provider_config.custom_config.deeper.down.password",
    "tts_settings.provider_config.api-key",
    "stt_settings.provider_config.accessToken",
    "webhook_headers.x-anything",
    "api_keys.openai_api_key",
    "custom_settings.webhook_secret",
    "custom_settings.nested.Authorization",
    "recording_settings.secret_access_key",
    "custom_settings.credentials.user",
]


def found_in(tree: Any, kind: type) -> list[Any]:
    """Everything of a kind inside a patch tree, ``Replace`` included."""
    if isinstance(tree, kind):
        return [tree]
    if hasattr(tree, "value") and not isinstance(tree, Plain):
        return found_in(tree.value, kind)
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return [found for value in inner for found in found_in(value, kind)]


@pytest.mark.parametrize("path", SECRET_PLACES)
def test_a_secret_is_plain_from_the_moment_it_is_read(path: str) -> None:
    tree = read_patch(body_at(path, HUNTER)).tree
    assert [plain.value for plain in found_in(tree, Plain)] == [HUNTER]
    assert found_in(tree, str) == []
    assert HUNTER not in repr(tree)


def test_the_names_in_a_schema_are_those_of_data_to_come() -> None:
    schema = {"properties": {"api_key": {"type": "string"}, "token": {"type": "integer"}}}
    read = read_patch({"custom_settings": {"structured_data_schema": schema}})
    assert read.tree["custom_settings"]["structured_data_schema"].value == schema


@pytest.mark.parametrize(
    "body",
    [
        {"custom_settings": {"api_keys": [HUNTER, [HUNTER], {"a": HUNTER}]}},
        {"tools_settings": {"custom_tools": [{"tool_id": 1, "headers": {"X-Api-Key": HUNTER}}]}},
        {"llm_fallback_providers": {"fallbacks": [{"provider": "a", "api_key": HUNTER}]}},
        {"llm_fallback_providers": {"fallbacks": [{"provider": "a", "config": {"key": HUNTER}}]}},
        {"recording_settings": {"uploads": [{"to": {"secret": HUNTER}}]}},
        {"custom_settings": {"headers": [{"name": "Authorization", "value": HUNTER}]}},
    ],
)
def test_a_secret_inside_a_list_is_plain_too(body: Tree) -> None:
    tree = read_patch(body).tree
    plains = found_in(tree, Plain)
    assert plains
    assert {plain.value for plain in plains} == {HUNTER}
    assert HUNTER not in repr(tree)


def test_a_number_and_a_switch_are_no_credentials_whatever_their_names() -> None:
    free = {"pin_secret": 1234, "rate_secret": 0.5, "has_secret": True, "secrets": {"a": [1]}}
    tree = read_patch({"custom_settings": free}).tree["custom_settings"]
    assert {name: one.value for name, one in tree.items()} == free


def test_what_only_looks_like_a_secret_elsewhere_stays_readable() -> None:
    body: Tree = {
        "custom_settings": {"max_tokens": "5", "keyterms": ["a"]},
        "description": "api_key",
    }
    assert found_in(read_patch(body).tree, Plain) == []


@pytest.mark.parametrize("sent", ["********", "***...***", "*", "..."])
@pytest.mark.parametrize("path", SECRET_PLACES)
def test_a_mask_sent_back_means_unchanged(path: str, sent: str) -> None:
    tree = read_patch(body_at(path, sent)).tree
    assert found_in(tree, type(KEPT)) == [KEPT]
    assert is_mask(sent)


@pytest.mark.parametrize("sent", ["****a", "* *", "sk-***", ""])
def test_a_value_with_anything_else_is_no_mask(sent: str) -> None:
    assert not is_mask(sent)


def test_a_mask_where_no_secret_stands_is_ordinary_text() -> None:
    body = {"description": "***", "custom_settings": {"stars": "***"}}
    assert settings_after(body)["custom_settings"] == {"stars": "***"}


@pytest.mark.parametrize("path", SECRET_PLACES)
def test_an_empty_secret_removes_the_one_that_was_there(path: str) -> None:
    after = settings_after(body_at(path, HUNTER), body_at(path, ""))
    assert not at_path(after, pointer(path))


@pytest.mark.parametrize("path", ["llm_provider_config.api_key", "api_keys.a", "webhook_headers.a"])
def test_a_null_secret_removes_the_one_that_was_there(path: str) -> None:
    after = settings_after(body_at(path, HUNTER), body_at(path, None))
    assert not at_path(after, pointer(path))


# -- the reserved name


FORGED = {"$secret": {"id": "0" * 32, "fingerprint": "0" * 32}}


@pytest.mark.parametrize(
    "body",
    [
        {"api_keys": FORGED},
        {"webhook_headers": {"$secret": "x"}},
        {"custom_settings": FORGED},
        {"custom_settings": {"$secret": None}},
        {"custom_settings": {"a": FORGED}},
        {"custom_settings": {"api_key": FORGED}},
        {"custom_settings": {"a": [1, [FORGED]]}},
        {"custom_settings": {"structured_data_schema": '{"$secret": {"id": "0"}}'}},
        {"llm_provider_config": {"api_key": FORGED}},
        {"llm_provider_config": {"custom_config": FORGED}},
        {"llm_provider_config": {"custom_config": {"a": {"b": FORGED}}}},
        {"tts_settings": {"provider_config": {"a": FORGED}}},
        {"stt_settings": {"provider_config": FORGED}},
        {"stt_settings": {"soniox_config": {"context_general": [{"$secret": "x"}]}}},
        {"tools_settings": {"custom_tools": [FORGED]}},
        {"tools_settings": {"custom_tools": [{"a": {"api_key": FORGED}}]}},
        {"llm_fallback_providers": {"fallbacks": [{"provider": "a", "config": FORGED}]}},
        {"llm_fallback_providers": {"fallbacks": [{"provider": "a", "api_key": FORGED}]}},
        {"recording_settings": FORGED},
        {"recording_settings": {"a": FORGED}},
        {"recording_settings": {"a": [FORGED]}},
        {"api_keys": {"a": FORGED}},
        {"description": FORGED},
        {"bypass_numbers": [FORGED]},
    ],
)
def test_a_forged_reference_is_refused_wherever_it_could_be_stored(body: Tree) -> None:
    assert errors_of(body)


@pytest.mark.parametrize(
    "body",
    [
        FORGED,
        {"llm_settings": FORGED},
        {"llm_provider_config": FORGED},
        {"stt_settings": {"flux_config": FORGED}},
        {"stt_settings": {"keywords": [{"keyword": "a"} | FORGED]}},
        {"llm_fallback_providers": {"fallbacks": [{"provider": "a"} | FORGED]}},
    ],
)
def test_in_a_typed_object_a_forged_reference_is_a_member_that_nobody_knows(body: Tree) -> None:
    read = read_patch(body)
    assert "$secret" not in repr(read.tree)
    assert read.ignored[0].endswith("/$secret")
    assert errors_of(body, strict=True)


# -- what an error may say


TYPED_WRONG = st.sampled_from(
    [
        lambda value: [value],
        lambda value: {"a": value},
        lambda value: {"provider": value},
        lambda value: value,
        lambda value: [{"provider": value, "api_key": [value]}],
        lambda value: {"$secret": value},
        lambda value: {"api_key": {"a": value}, "model": [value]},
    ]
)


@modest
@for_all(
    st.lists(
        st.tuples(st.sampled_from([*SETTING_NAMES, "change_description", "unknown"]), TYPED_WRONG),
        max_size=6,
    ),
    st.booleans(),
)
def test_no_value_that_was_sent_is_in_any_error(wrongs: list[Any], strict: bool) -> None:  # noqa: FBT001 (drawn by position)
    read = read_or_errors({name: wrong(HUNTER) for name, wrong in wrongs}, strict=strict)
    said = read.ignored if isinstance(read, SettingsPatch) else read
    assert HUNTER not in repr(said)
    assert HUNTER.encode() not in msgspec.json.encode(said)


def test_the_decoders_own_words_would_have_repeated_it() -> None:
    with pytest.raises(msgspec.ValidationError, match=HUNTER):
        msgspec.convert(HUNTER, Literal["cold", "warm"])
    body = body_at("tools_settings.transfer_call.transfer_type", HUNTER)
    assert HUNTER not in repr(read_or_errors(body))


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
