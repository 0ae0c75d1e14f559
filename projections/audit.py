"""The audit log as its readers see it: one entry for each event, secrets masked, texts cut short.

The log is for looking; the exports (``projections.exports``) hold every event whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Struct

from events.changed import (
    ApiKeyChanged,
    ApiKeyCreated,
    ApiKeyRevoked,
    AssistantCreated,
    AssistantDeleted,
    AssistantRestored,
    AssistantSettingsChanged,
    AuditExported,
    Cause,
    CheckpointRecorded,
    LogEvent,
    LoginRefused,
    PolicyChanged,
    SecretKeysRotated,
    SecretsErased,
    SecretsRevealed,
    VersionLabelled,
)
from events.codec import tag_of, tags_of
from events.secrets.references import mask
from events.setting_types import Moment
from projections.exports import event_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from events.pointers import Changes

_LONGEST_TEXT = 1000  # characters of a value
_MOST_PATHS = 20  # of a reveal or a rollback
_LARGEST_ENTRY = 60_000  # bytes of values


class Kind(Struct, frozen=True):
    """What events of one type are about, and what they do to it."""

    resource_type: str
    action: str
    description: str


class EventType(Struct, frozen=True, kw_only=True):
    """A type of event, as the filter ``event_type`` names it."""

    event_type: str
    resource_type: str
    action: str
    description: str


class AuditLogEntry(Struct, frozen=True, kw_only=True):
    """One event of an organization's log."""

    id: int
    event_type: str
    event_timestamp: Moment
    user_id: int | None = None
    user_email: str | None = None
    organization_id: int | None = None
    ip_address: str | None = None
    user_agent: str | None = None
    request_id: str | None = None
    api_key_id: int | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    resource_name: str | None = None
    action: str | None = None
    status: str | None = None
    details: dict[str, Any] | None = None
    old_values: dict[str, Any] | None = None
    new_values: dict[str, Any] | None = None
    phi_accessed: str | None = None
    error_message: str | None = None


_KINDS: dict[type[LogEvent], Kind] = {
    AssistantCreated: Kind("assistant", "create", "An assistant was created or copied"),
    AssistantSettingsChanged: Kind("assistant", "update", "Settings were changed or rolled back"),
    AssistantDeleted: Kind("assistant", "delete", "An assistant was deleted"),
    AssistantRestored: Kind("assistant", "restore", "A deleted assistant was restored"),
    VersionLabelled: Kind("assistant", "label", "A version was named, or its name taken away"),
    PolicyChanged: Kind("policy", "update", "What is demanded of changes was changed"),
    SecretsErased: Kind("assistant", "erase", "Sealed secrets were destroyed"),
    SecretsRevealed: Kind("assistant", "reveal", "Secrets were read back"),
    ApiKeyCreated: Kind("api_key", "create", "An API key was made"),
    ApiKeyChanged: Kind("api_key", "update", "An API key was renamed, narrowed or switched on"),
    ApiKeyRevoked: Kind("api_key", "revoke", "An API key was switched off"),
    LoginRefused: Kind("api_key", "login", "A key that is unknown or revoked was turned away"),
    SecretKeysRotated: Kind("secret_keys", "rotate", "The keys that seal secrets were rotated"),
    AuditExported: Kind("audit_log", "export", "This log was exported"),
    CheckpointRecorded: Kind("audit_log", "checkpoint", "The root of this log was signed"),
}


_TAGS = {tag: kind for event, kind in _KINDS.items() for tag in tags_of(event)}

EVENT_TYPES = [
    EventType(
        event_type=event_type(tag),
        resource_type=kind.resource_type,
        action=kind.action,
        description=kind.description,
    )
    for tag, kind in ((tags_of(event)[-1], kind) for event, kind in _KINDS.items())
]


def tags(wanted: str | None, resource_type: str | None) -> tuple[str, ...] | None:
    """The tags of a type of event, of a type of resource, or of both; None for all."""
    if wanted is None and resource_type is None:
        return None
    return tuple(
        tag
        for tag, kind in _TAGS.items()
        if wanted in (None, event_type(tag)) and resource_type in (None, kind.resource_type)
    )


def entry(
    event: LogEvent,
    *,
    emails: Mapping[int, str | None],
    names: Mapping[int, str],
    erased: Mapping[int, int],
) -> AuditLogEntry:
    """An event's entry.

    The users' addresses, the assistants' names and the versions up to which their secrets were
    erased are today's, by id: no event holds them.
    """
    kind = _KINDS[type(event)]
    actor = event.actor
    refused = isinstance(event, LoginRefused)
    return AuditLogEntry(
        id=event.sequence,
        event_type=event_type(tag_of(event)),
        event_timestamp=event.occurred_at,
        user_id=actor.user_id or None,
        user_email=emails.get(actor.user_id),
        organization_id=event.organization_id,
        ip_address=event.ip_address if isinstance(event, LoginRefused) else None,
        request_id=event.request_id,
        api_key_id=actor.id if actor.type == "api_key" else getattr(event, "key_id", None),
        resource_type=kind.resource_type,
        resource_id=_resource_id(event),
        resource_name=None if event.assistant_id is None else names.get(event.assistant_id),
        action=kind.action,
        status="failure" if refused else "success",
        error_message="The API key is unknown or revoked" if refused else None,
        **_values(event, erased.get(event.assistant_id or 0, 0)),
    )


def _resource_id(event: LogEvent) -> str | None:
    found = event.assistant_id or getattr(event, "key_id", None)
    return None if found is None else str(found)


_SAID_ELSEWHERE = frozenset(
    (
        "organization_id", "sequence", "assistant_id", "occurred_at", "actor", "request_id",
        "changes", "idempotency_key", "ip_address",
    )
)  # fmt: skip


def _values(event: LogEvent, erased_version: int) -> dict[str, Any]:
    details = {
        name: _short(msgspec.to_builtins(value))
        for name in event.__struct_fields__
        if name not in _SAID_ELSEWHERE and (value := getattr(event, name)) not in (None, UNSET)
    }
    if isinstance(event, SecretsRevealed):
        details |= _some(event.paths)
    cause: Cause | None = getattr(event, "cause", None)
    if cause is not None and cause.paths is not UNSET:
        details["cause"] = msgspec.to_builtins(cause) | _some(cause.paths)
    details["actor"] = f"{event.actor.type}:{event.actor.id}"
    details["actor_name"] = event.actor.name
    changes: Changes | None = getattr(event, "changes", None)
    if changes is None:
        return {"details": details}
    old, new, left_out = _sides(changes, erased_version)
    if left_out:
        details["paths_left_out"] = left_out
    return {"details": details, "old_values": old or None, "new_values": new or None}


def _some(paths: list[str]) -> dict[str, Any]:
    """The first paths, and how many there are beyond those."""
    shown: dict[str, Any] = {"paths": [_short(path) for path in paths[:_MOST_PATHS]]}
    left_out = len(paths) - _MOST_PATHS
    return shown | ({"paths_left_out": left_out} if left_out > 0 else {})


def _sides(changes: Changes, erased_version: int) -> tuple[dict[str, Any], dict[str, Any], int]:
    """What the paths held before and after, while there is room; how many were left out."""
    old: dict[str, Any] = {}
    new: dict[str, Any] = {}
    room = _LARGEST_ENTRY
    for count, (path, change) in enumerate(changes.items()):
        sides = [
            (side, _short(mask(value, erased_version)))
            for side, value in ((old, change.before), (new, change.after))
            if value is not UNSET
        ]
        room -= sum(len(msgspec.json.encode({path: value})) for _, value in sides)
        if room < 0:
            return old, new, len(changes) - count
        for side, value in sides:
            side[path] = value
    return old, new, 0


def _short(value: Any) -> Any:
    """A value; where its text is long, the beginning of that, and how long it is."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if len(text) <= _LONGEST_TEXT:
        return value
    return f"{text[:_LONGEST_TEXT]}\u2026 ({len(text)} characters)"
