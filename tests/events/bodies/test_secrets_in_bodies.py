"""Secrets and masks in a body, and references that a client forges."""

from __future__ import annotations

from typing import Any

import pytest

from events.bodies.patch import read_patch
from events.pointers import Tree
from events.secrets.masks import is_mask
from events.secrets.values import KEPT, Plain
from tests.events.given import at_path, settings_after
from tests.events.sent import HUNTER, body_at, errors_of, pointer

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
