"""The examples that the OpenAPI description shows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from events.changed import State
from events.settings import Settings
from projections.current import represent

CREATE: dict[str, Any] = {
    "name": "Front desk",
    "llm_settings": {"temperature": 0.4, "system_prompt": "You answer calls for Acme Dental."},
    "tts_settings": {"provider": "elevenlabs", "voice_id": "rachel"},
}

PATCH: dict[str, Any] = {
    "llm_settings": {"temperature": 0.2},
    "change_description": "Callers said that answers wander",
}

_MOMENT = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
_STATE = State(
    version=1,
    settings=msgspec.to_builtins(Settings(name="Front desk")),
    user_id=1,
    created_at=_MOMENT,
    updated_at=_MOMENT,
)
ASSISTANT: dict[str, Any] = msgspec.to_builtins(represent(1, 1, _STATE))

ENTRY: dict[str, Any] = {
    "id": 12,
    "version_id": 4,
    "version": 4,
    "assistant_id": 1,
    "event": "AssistantSettingsChanged",
    "settings_snapshot": msgspec.to_builtins(Settings(name="Front desk")),
    "changed_fields": ["llm_settings"],
    "changes": [{"path": "/llm_settings/temperature", "before": 0.5, "after": 0.2}],
    "changed_by": {
        "user_id": 1, "email": "ada@example.com", "type": "api_key", "name": "Ada's laptop",
    },
    "change_description": "Callers said that answers wander",
    "cause": {"type": "patch"},
    "created_at": "2026-03-02T10:30:00Z",
}  # fmt: skip

KEY: dict[str, Any] = {
    "id": 2,
    "user_id": 1,
    "name": "CI",
    "key_prefix": "bks_4fQ2xZ9K",
    "role": "editor",
    "permissions": {"read": True, "write": True},
    "is_active": True,
    "usage_count": 0,
    "last_used_at": "2026-03-02T10:30:00Z",
    "rate_limit": None,
    "created_at": "2026-03-01T09:00:00Z",
    "updated_at": "2026-03-01T09:00:00Z",
}
