"""Bodies for tests, and how they are read."""

from __future__ import annotations

from typing import Any

import pytest

from events.bodies.patch import SettingsPatch, read_patch
from events.errors import FieldError, InvalidSettings
from events.pointers import Tree

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
