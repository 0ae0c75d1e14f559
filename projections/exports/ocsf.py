"""OCSF 1.7.0: a record of class Entity Management (3004) for each event, on a line of its own."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Struct

from events import codec
from events.changed import LoginRefused, PhoneNumberEvent
from projections.event_types import KINDS, OTHER, Activity
from projections.exports.format import Coverage, Format, LineEncoder
from projections.exports.resuming import Resumption, resume_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from events.changed import Actor, LogEvent
    from events.log_search import Stored

OCSF_VERSION = "1.7.0"

_CLASS: dict[str, Any] = {
    "category_uid": 3,
    "category_name": "Identity & Access Management",
    "class_uid": 3004,
    "class_name": "Entity Management",
}
_START = b'{"category_uid":'
_ENTITY_NUMBERS = {"Policy": 5}  # the entities that OCSF has a number for
_SEVERITIES = {1: "Informational", 2: "Low", 3: "Medium"}
_USERS = {"user": (1, "User"), "system": (3, "System"), "api_key": (4, "Service")}
# Without the product's version: the one that exports need not be the one that stored the event.
_PRODUCT = {"name": "Backstory", "vendor_name": "Backstory"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_MAPPED = {
    "organization_id",
    "sequence",
    "assistant_id",
    "occurred_at",
    "actor",
    "reason",
    "request_id",
    "version",
    "key_id",
    "webhook_id",
    "ip_address",
}


def _encoder(coverage: Coverage) -> LineEncoder:
    origin = coverage.origin

    def encode_page(page: Sequence[Stored]) -> bytes:
        return b"".join([msgspec.json.encode(_record(stored, origin)) + b"\n" for stored in page])

    return LineEncoder(encode_page)


def _record(stored: Stored, origin: str) -> dict[str, Any]:
    event = codec.decode(stored.body, stored.type)
    activity = KINDS[type(event)].activity
    entity = _entity(event, activity)
    name = entity.get("uid", entity.get("name"))
    return _present(
        _CLASSIFICATIONS[type(event)]
        | {
            "time": (event.occurred_at - _EPOCH) // _MILLISECOND,
            "message": f"{event.actor.name} {activity.message} {name}",
            "comment": event.reason,
            "actor": {"user": _user(event.actor)},
            "src_endpoint": _source(event),
            "entity": entity,
            "metadata": _metadata(event, stored.type, origin),
            "unmapped": _unmapped(event) or None,
        }
    )


def _present(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value not in (None, UNSET)}


def _classification(activity: Activity) -> dict[str, Any]:
    """The members that all records of one type of event share."""
    caption = "Other" if activity.activity_id == OTHER else activity.caption
    return _CLASS | {
        "activity_id": activity.activity_id,
        "activity_name": activity.caption,
        "type_uid": _CLASS["class_uid"] * 100 + activity.activity_id,
        "type_name": f"{_CLASS['class_name']}: {caption}",
        "severity_id": activity.severity_id,
        "severity": _SEVERITIES[activity.severity_id],
        "status_id": 2 if activity.failed else 1,
        "status": "Failure" if activity.failed else "Success",
    }


_CLASSIFICATIONS: Mapping[type[LogEvent], dict[str, Any]] = {
    event: _classification(kind.activity) for event, kind in KINDS.items()
}


def _user(actor: Actor) -> dict[str, Any]:
    """The actor: ``uid`` is what exports are filtered by, ``uid_alt`` the user that owns a key."""
    type_id, caption = _USERS[actor.type]
    return {
        "uid": f"{actor.type}:{actor.id}",
        "uid_alt": f"user:{actor.user_id}",
        "name": actor.name,
        "type_id": type_id,
        "type": caption,
    }


def _entity(event: LogEvent, activity: Activity) -> dict[str, Any]:
    """What the event is about."""
    return {
        "type_id": _ENTITY_NUMBERS.get(activity.entity, OTHER),
        "type": activity.entity,
        **_identity(event),
    }


def _identity(event: LogEvent) -> dict[str, str]:
    """An assistant, with its version then; a key, number or webhook; or the organization."""
    if isinstance(event, PhoneNumberEvent):
        return {"uid": event.phone_number, "name": event.phone_number}
    if hasattr(event, "version"):
        return {"uid": str(event.assistant_id), "version": str(event.version)}
    if event.assistant_id is not None:
        return {"uid": str(event.assistant_id)}
    if isinstance(event, LoginRefused) and event.key_id is None:  # no such key has an id
        return {"name": event.key_prefix}
    own = getattr(event, "webhook_id", event.organization_id)
    return {"uid": str(getattr(event, "key_id", own))}


def _source(event: LogEvent) -> dict[str, str] | None:
    """Where a refused request came from, if that is known."""
    if not isinstance(event, LoginRefused) or event.ip_address is None:
        return None
    try:
        ipaddress.ip_address(event.ip_address)
    except ValueError:  # a proxy may send anything
        return {"name": event.ip_address}
    return {"ip": event.ip_address}


def _metadata(event: LogEvent, tag: str, origin: str) -> dict[str, Any]:
    return _present(
        {
            "version": OCSF_VERSION,
            "product": _PRODUCT,
            "uid": f"{origin}/{event.sequence}",
            "sequence": event.sequence,
            "event_code": tag,
            "correlation_uid": event.request_id,
            "tenant_uid": str(event.organization_id),
            "original_time": event.occurred_at,
            "log_name": "audit",
        }
    )


def _unmapped(event: LogEvent) -> dict[str, Any]:
    """The members that OCSF has no place for; secrets are references there."""
    return _present({name: getattr(event, name) for name in _unmapped_names(type(event))})


@cache
def _unmapped_names(event: type[LogEvent]) -> tuple[str, ...]:
    return tuple(name for name in event.__struct_fields__ if name not in _MAPPED)


# -- resuming


class _Metadata(Struct):
    sequence: int


class _Record(Struct):
    metadata: _Metadata


_records = msgspec.json.Decoder(_Record)


def _resume(lines: Iterable[bytes]) -> Resumption:
    return resume_lines(lines, _sequence_of)


def _sequence_of(line: bytes) -> int:
    return _records.decode(line).metadata.sequence


OCSF = Format(
    name="ocsf",
    media_type="application/x-ndjson",
    extension="ocsf.ndjson",
    encoder=_encoder,
    starts=(_START,),
    resume=_resume,
)
