"""What the tests of assistants read of answers."""

from __future__ import annotations

import httpx

ASSISTANTS = "/api/v1/assistants"


PLAIN = "sk-live-do-not-show"


def errors(answer: httpx.Response) -> list[tuple[list[str | int], str]]:
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/json"
    return [(error["loc"], error["type"]) for error in answer.json()["detail"]]


SECRETS = {
    "llm_provider_config": {"api_key": PLAIN, "custom_config": {"auth_token": PLAIN}},
    "api_keys": {"deepgram_api_key": PLAIN},
    "webhook_headers": {"authorization": PLAIN},
    "tts_settings": {"provider_config": {"api_key": PLAIN}},
    "stt_settings": {"provider_config": {"apiKey": PLAIN}},
    "llm_fallback_providers": {
        "fallbacks": [{"provider": "groq", "api_key": PLAIN, "config": {"api_key": PLAIN}}]
    },
    "custom_settings": {"crm": {"password": PLAIN}},
}
