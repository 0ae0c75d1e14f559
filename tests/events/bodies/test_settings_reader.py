"""Values are converted to the types of their settings, and broken rules are named."""

from __future__ import annotations

from typing import Any

import pytest

from events.bodies.patch import read_patch
from events.pointers import Tree, same
from tests.events.given import at_path, settings_after
from tests.events.sent import body_at, errors_of, pointer

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
