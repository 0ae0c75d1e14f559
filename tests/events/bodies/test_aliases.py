"""Names and forms of other versions of the API mean what today's mean."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from events.bodies.patch import read_patch
from events.pointers import Tree
from tests.events.given import settings_after
from tests.events.sent import body_at


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
