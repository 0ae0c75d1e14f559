"""The audit log for reading: one entry for each event, secrets masked, long texts cut short.

Exports (``projections.exports``) hold the whole events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Struct

from events.changed import Cause, LogEvent, LoginRefused, PhoneNumberEvent, SecretsRevealed
from events.codec import tag_of
from events.secrets.references import mask
from events.setting_types import Moment
from projections.event_types import KINDS, event_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from events.pointers import Changes

_MAX_TEXT = 1000  # characters of a value
_MAX_PATHS = 20  # of a reveal or a rollback
_MAX_ENTRY = 60_000  # bytes of values


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


def entry(
    event: LogEvent,
    *,
    emails: Mapping[int, str | None],
    names: Mapping[int, str],
    erased: Mapping[int, int],
) -> AuditLogEntry:
    """An event's entry.

    No event holds the users' email addresses, the assistants' names, and the versions up to which
    their secrets were erased. The caller looks up the current ones: ``emails`` by user id,
    ``names`` and ``erased`` by assistant id.
    """
    kind = KINDS[type(event)]
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
        resource_name=_resource_name(event, names),
        action=kind.action,
        status="failure" if refused else "success",
        error_message="The API key is unknown or revoked" if refused else None,
        **_values(event, erased.get(event.assistant_id or 0, 0)),
    )


def _resource_name(event: LogEvent, names: Mapping[int, str]) -> str | None:
    if isinstance(event, PhoneNumberEvent):
        return event.phone_number
    return None if event.assistant_id is None else names.get(event.assistant_id)


def _resource_id(event: LogEvent) -> str | None:
    if isinstance(event, PhoneNumberEvent):
        return str(event.phone_number_id)
    resource_id = event.assistant_id or getattr(event, "key_id", getattr(event, "webhook_id", None))
    return None if resource_id is None else str(resource_id)


_SHOWN_ELSEWHERE = frozenset(
    (
        "organization_id", "sequence", "assistant_id", "occurred_at", "actor", "request_id",
        "changes", "idempotency_key", "ip_address",
    )
)  # fmt: skip


def _values(event: LogEvent, erased_version: int) -> dict[str, Any]:
    details = {
        name: _short(msgspec.to_builtins(value))
        for name in event.__struct_fields__
        if name not in _SHOWN_ELSEWHERE and (value := getattr(event, name)) not in (None, UNSET)
    }
    if isinstance(event, PhoneNumberEvent) and event.assistant_id is not None:
        details["assistant_id"] = event.assistant_id
    if isinstance(event, SecretsRevealed):
        details |= _first(event.paths)
    cause: Cause | None = getattr(event, "cause", None)
    if cause is not None and cause.paths is not UNSET:
        details["cause"] = msgspec.to_builtins(cause) | _first(cause.paths)
    details["actor"] = f"{event.actor.type}:{event.actor.id}"
    details["actor_name"] = event.actor.name
    changes: Changes | None = getattr(event, "changes", None)
    if changes is None:
        return {"details": details}
    old, new, left_out = _sides(changes, erased_version)
    if left_out:
        details["paths_left_out"] = left_out
    return {"details": details, "old_values": old or None, "new_values": new or None}


def _first(paths: list[str]) -> dict[str, Any]:
    """The first paths, and the number of those that are left out."""
    first: dict[str, Any] = {"paths": [_short(path) for path in paths[:_MAX_PATHS]]}
    left_out = len(paths) - _MAX_PATHS
    return first | ({"paths_left_out": left_out} if left_out > 0 else {})


def _sides(changes: Changes, erased_version: int) -> tuple[dict[str, Any], dict[str, Any], int]:
    """What the paths held before and after, while there is room, and the number left out."""
    old: dict[str, Any] = {}
    new: dict[str, Any] = {}
    room = _MAX_ENTRY
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
    """A value; in place of a long one, the beginning of its text and the length of that."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if len(text) <= _MAX_TEXT:
        return value
    return f"{text[:_MAX_TEXT]}\u2026 ({len(text)} characters)"
