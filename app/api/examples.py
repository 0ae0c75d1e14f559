"""The examples that the OpenAPI description shows."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.audit.signing import Signer
from events import merkle
from events.changed import State
from events.settings import Settings
from projections import assistant_json

CREATE: dict[str, Any] = {
    "name": "Front desk",
    "llm_settings": {"temperature": 0.4, "system_prompt": "You answer calls for Acme Dental."},
    "tts_settings": {"provider": "elevenlabs", "voice_id": "rachel"},
}

PATCH: dict[str, Any] = {
    "llm_settings": {"temperature": 0.2},
    "change_description": "Callers said that answers wander",
}

MERGE_PATCH_EXAMPLE: dict[str, Any] = {
    "custom_settings": {"crm": {"region": "eu", "queue": None}},
    "change_description": "The queue is gone",
}

_MOMENT = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
_STATE = State(
    version=1,
    settings=msgspec.to_builtins(Settings(name="Front desk")),
    user_id=1,
    created_at=_MOMENT,
    updated_at=_MOMENT,
)
ASSISTANT: dict[str, Any] = msgspec.json.decode(assistant_json.encode(1, 1, _STATE))

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
    "reverts": [],
    "reverted_by": [6],
}  # fmt: skip

JSON_PATCH_EXAMPLE: list[dict[str, Any]] = [
    {"op": "test", "path": "/llm_settings/temperature", "value": 0.5},
    {"op": "replace", "path": "/llm_settings/temperature", "value": 0.2},
]

_ACTOR: dict[str, Any] = {"type": "api_key", "id": 2, "name": "Ada's laptop", "user_id": 1}
_SUMMARY: dict[str, Any] = {
    "version": 4,
    "actor": _ACTOR,
    "reason": "Callers said that answers wander",
    "created_at": "2026-03-02T10:30:00Z",
    "paths": ["/llm_settings/temperature"],
}
_CHANGES = [{"path": "/llm_settings/temperature", "before": 0.5, "after": 0.2}]

ACTIVITY: dict[str, Any] = {
    "since": "2025-12-03",
    "until": "2026-03-02",
    "total": 1,
    "assistants": [
        {
            "id": 1,
            "name": "Front desk",
            "description": "Answers the main line",
            "is_active": True,
            "created_at": "2026-03-01T09:00:00Z",
            "last_change": _SUMMARY,
            "days": [{"day": "2026-03-01", "changes": 1}, {"day": "2026-03-02", "changes": 3}],
        }
    ],
    "initials": [{"initial": "f", "skip": 0}],
}

VERSION_ENTRY: dict[str, Any] = {
    "version": 4,
    "label": "before-launch",
    "event": "AssistantSettingsChanged",
    "created_at": "2026-03-02T10:30:00Z",
    "changed_by": ENTRY["changed_by"],
    "change_description": "Callers said that answers wander",
    "cause": {"type": "patch"},
    "changed_paths": ["/llm_settings/temperature"],
    "reverts": [],
    "reverted_by": [6],
}

DIFF_ENTRY: dict[str, Any] = {
    "path": "/llm_settings/temperature",
    "op": "replace",
    "before": 0.5,
    "after": 0.2,
    "changed_by": [4],
}

BLAME_ENTRY: dict[str, Any] = {
    "path": "/llm_settings/temperature", "changed_by": _SUMMARY, "value": 0.2,
}  # fmt: skip

PLAN: dict[str, Any] = {
    "dry_run": True,
    "assistant_id": 1,
    "assistant_name": "Front desk",
    "version": 5,
    "etag": '"5-73300871f44c168e7c949de2c750e60c"',
    "applicable": True,
    "changes": [{"path": "/llm_settings/temperature", "before": 0.2, "after": 0.5}],
    "takes_effect": "next_turn",
    "warnings": [],
    "lost": [_SUMMARY],
    "came_between": [],
    "conflicts": [],
    "not_accepted": [],
    "secrets_kept": [],
    "refused": [],
    "ignored": [],
}

POLICY: dict[str, Any] = {
    "require_condition": False,
    "require_reason": False,
    "require_reason_for": ["/llm_settings/system_prompt"],
    "admin_paths": ["/tools_settings/transfer_call"],
    "secret_paths": ["/custom_settings/crm/*/account"],
    "plain_paths": ["/tools_settings/custom_tools/*/key"],
}

SET_OUTCOME: dict[str, Any] = {
    "change_set_id": 57,
    "assistants": [
        {
            "assistant_id": 1, "version": 4, "etag": '"4-73300871f44c168e7c949de2c750e60c"',
            "changes": _CHANGES, "warnings": [], "secrets_kept": [],
        }
    ],
    "unchanged": [2],
    "skipped": [],
}  # fmt: skip

CHANGE_SET: dict[str, Any] = {
    "change_set_id": 57,
    "type": "change_set",
    "created_at": "2026-03-02T10:30:00Z",
    "actor": _ACTOR,
    "change_description": "Calmer everywhere",
    "assistants": [
        {
            "assistant_id": 1, "assistant_name": "Front desk", "version": 4,
            "changed_paths": ["/llm_settings/temperature"],
        }
    ],
}  # fmt: skip

RECENT_CHANGE: dict[str, Any] = {
    "sequence": 57,
    "assistant_id": 1,
    "assistant_name": "Front desk",
    "version": 4,
    "event": "AssistantSettingsChanged",
    "created_at": "2026-03-02T10:30:00Z",
    "actor": _ACTOR,
    "change_description": "Callers said that answers wander",
    "cause": {"type": "patch"},
    "changed_paths": ["/llm_settings/temperature"],
    "more_paths": 0,
    "changes": _CHANGES,
    "warnings": [],
}
_FOUND_CHANGE: dict[str, Any] = {
    "assistant_id": 1,
    "assistant_name": "Front desk",
    "version": 4,
    "created_at": "2026-03-02T10:30:00Z",
    "actor": _ACTOR,
    "change_description": "Acme became Globex",
}
FOUND: dict[str, Any] = {
    "q": "acme",
    "assistants": [],
    "settings": [
        {
            "assistant_id": 1, "assistant_name": "Front desk",
            "path": "/llm_settings/system_prompt", "excerpt": "You answer for Acme Dental.",
        }
    ],
    "changes": [_FOUND_CHANGE],
    "people": [],
    "labels": [],
    "stopped": [],
}  # fmt: skip

CHANGE_SET_DIFF: dict[str, Any] = {
    "assistant_id": 1,
    "assistant_name": "Front desk",
    "version": 4,
    "diff": [DIFF_ENTRY],
}

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

USER: dict[str, Any] = {"id": 1, "name": "Ada Okafor", "email": "ada@example.com"}

AUDIT_ENTRY: dict[str, Any] = {
    "id": 42,
    "event_type": "assistant_settings_changed",
    "event_timestamp": "2026-03-02T10:30:00Z",
    "user_id": 1,
    "user_email": "ada@example.com",
    "organization_id": 1,
    "ip_address": None,
    "user_agent": None,
    "request_id": "7e1091de884944c8bcb8b8f54a3f8a5a",
    "api_key_id": 2,
    "resource_type": "assistant",
    "resource_id": "1",
    "resource_name": "Front desk",
    "action": "update",
    "status": "success",
    "details": {"version": 4, "reason": "Callers said that answers wander"},
    "old_values": {"/llm_settings/temperature": 0.5},
    "new_values": {"/llm_settings/temperature": 0.2},
    "phi_accessed": None,
    "error_message": None,
}

STREAMED_EVENT: dict[str, Any] = {
    "sequence": 42,
    "event_type": "assistant_settings_changed",
    "occurred_at": "2026-03-02T10:30:00Z",
    "actor": _ACTOR,
    "reason": "Callers said that answers wander",
    "request_id": "7e1091de884944c8bcb8b8f54a3f8a5a",
    "assistant_id": 1,
    "version": 4,
    "cause": {"type": "patch"},
    "takes_effect": "next_turn",
    "paths": ["/llm_settings/temperature"],
    "links": {"assistant": "/api/v1/assistants/1", "version": "/api/v1/assistants/1/versions/4"},
}
STREAM: dict[str, Any] = {
    "id": "42",
    "event": "message",
    "data": msgspec.json.encode(STREAMED_EVENT).decode(),
}

_SIGNER = Signer(Ed25519PrivateKey.from_private_bytes(bytes(32)))
_ORIGIN = "backstory/organizations/1/0f1e2d3c4b5a69788796a5b4c3d2e1f0"
_LEAVES = [merkle.leaf_hash(b"1"), merkle.leaf_hash(b"2")]
_FRONTIER = merkle.add(merkle.add(b"", 0, b"1")[0], 1, b"2")[0]
_HASHES = [base64.b64encode(leaf).decode() for leaf in _LEAVES]
_ROOT = base64.b64encode(merkle.root(_FRONTIER)).decode()

CHECKPOINT = _SIGNER.checkpoint(_ORIGIN, 2, merkle.root(_FRONTIER))
AUDIT_KEY: dict[str, Any] = {
    "origin": _ORIGIN,
    "keys": msgspec.to_builtins(_SIGNER.keys(_ORIGIN)),
}
RECORDED_CHECKPOINT: dict[str, Any] = {
    "sequence": 3,
    "size": 2,
    "recorded_at": "2026-03-02T11:00:00Z",
    "checkpoint": CHECKPOINT,
}
INCLUSION_PROOF: dict[str, Any] = {
    "origin": _ORIGIN,
    "sequence": 2,
    "leaf_index": 1,
    "leaf_hash": _HASHES[1],
    "size": 2,
    "root": _ROOT,
    "proof": [_HASHES[0]],
}
CONSISTENCY_PROOF: dict[str, Any] = {
    "origin": _ORIGIN,
    "from_size": 1,
    "from_root": _HASHES[0],
    "to_size": 2,
    "to_root": _ROOT,
    "proof": [_HASHES[1]],
}

RECEIPT: dict[str, Any] = {
    "call_id": "CA9f1c",
    "receipt_id": "rcp_0f4e2a9c51d7b8e36a20c4f1",
    "assistant_id": 1,
    "version": 1,
    "digest": "sha256:" + "5d" * 32,
    "reason": "direct",
    "resolved_at": "2026-03-02T10:31:00Z",
    "caller_hash": "a7" * 32,
}
RESOLVED: dict[str, Any] = {name: RECEIPT[name] for name in RECEIPT if name != "caller_hash"} | {
    "settings": ASSISTANT,
    "links": {
        "call": "/api/v1/calls/CA9f1c",
        "settings": "/api/v1/calls/CA9f1c/settings",
        "version": "/api/v1/assistants/1/versions/1",
        "assistant": "/api/v1/assistants/1",
    },
}
