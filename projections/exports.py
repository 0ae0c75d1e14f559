"""Stored events as the bytes of an audit export: NDJSON, CSV, JSON, CloudEvents and OCSF.

An export is ``head()``, then ``lines()`` of each page of events in order, then ``tail()``. Its
bytes depend on the stored events and their log's origin alone: not on where the pages were cut, on
a clock, or on a name that is looked up when the export is made. The same range gives the same
bytes, always.
"""

from __future__ import annotations

import ipaddress
from binascii import hexlify
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec import UNSET, Raw, Struct, field

from events import codec, pointers
from events.changed import (
    Actor,
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
from events.merkle import HASH_BYTES
from projections.history import is_by
from projections.spreadsheets import Table

if TYPE_CHECKING:
    from events.log_search import Stored
    from projections.spreadsheets import Cell

OCSF_VERSION = "1.7.0"


class ParquetMissing(Exception):
    """Parquet was asked for, and the extra that writes it is not installed."""

    def __init__(self) -> None:
        super().__init__("Parquet needs pyarrow: pip install 'backstory[parquet]'")


class Encoder(Protocol):
    """One export on its way. It may remember what it wrote: a new export takes a new one."""

    def head(self) -> bytes:
        """What comes before the first event."""

    def lines(self, page: Sequence[Stored], /) -> bytes:
        """The next events, in order of sequence."""

    def tail(self, last_sequence: int, /) -> bytes:
        """What comes after the last event; the export covers the log up to a sequence."""


class Format(Struct, frozen=True, kw_only=True):
    """What an export can be written as."""

    name: str
    media_type: str
    extension: str
    encoder: Callable[[str], Encoder]  # of the log with this origin


class Lines(Struct, frozen=True):
    """The encoder of a format whose events stand one after another, with nothing between."""

    write: Callable[[Sequence[Stored]], bytes]
    header: bytes = b""

    def head(self) -> bytes:
        """The header; leave it out where an export continues an earlier one."""
        return self.header

    def lines(self, page: Sequence[Stored], /) -> bytes:
        """The next events."""
        return self.write(page)

    def tail(self, _: int, /) -> bytes:
        """Nothing: such a file can be continued."""
        return b""


# -- reading no more than is shown


class Sides(Struct, frozen=True):
    """What a path held before and after, as the JSON text of the event; empty if nothing."""

    before: Raw = Raw()
    after: Raw = Raw()


class Outline(Struct, frozen=True, kw_only=True):
    """The members of any event that exports show as columns; values stay unread."""

    organization_id: int
    assistant_id: int | None
    occurred_at: Raw
    actor: Actor
    reason: str | None
    request_id: str | None
    version: int | None = None
    key_id: int | None = None
    cause: Cause | None = None
    changes: dict[str, Sides] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)

    @property
    def time(self) -> str:
        """When it occurred, as the event says it: RFC 3339 in UTC."""
        return bytes(self.occurred_at)[1:-1].decode()

    @property
    def touched(self) -> list[str]:
        """The paths that the event changed, or revealed."""
        return [*self.changes, *self.paths]


_outlines = msgspec.json.Decoder(Outline)


def outline(stored: Stored) -> Outline:
    """An event's outline, in today's shape."""
    return _outlines.decode(_today(stored).body)


def _today(stored: Stored) -> Stored:
    """An event in today's shape, in which what became secret is a reference."""
    if stored.type not in codec.UPCASTERS:
        return stored
    return stored._replace(body=codec.encode(codec.decode(stored.body, stored.type)))


def event_type(tag: str) -> str:
    """'assistant_settings_changed.v1' -> 'assistant_settings_changed'."""
    return tag.partition(".")[0]


# -- which events


class Wanted(Struct, frozen=True, kw_only=True):
    """Which events an export holds. ``path`` is a JSON Pointer or the beginning of one."""

    assistant_id: int | None = None
    actor: str | None = None
    event_type: str | None = None
    path: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether every event is wanted."""
        return not self.as_dict()

    def as_dict(self) -> dict[str, str | int]:
        """The members that are set: what the export's own event and closing line say."""
        members = msgspec.structs.asdict(self)
        return {name: value for name, value in members.items() if value is not None}

    def takes(self, stored: Stored) -> bool:
        """Whether an event is wanted. Its tag can spare reading it."""
        if self.event_type not in (None, event_type(stored.type)):
            return False
        if self.assistant_id is None and self.actor is None and self.path is None:
            return True
        event = outline(stored)
        return (
            self.assistant_id in (None, event.assistant_id)
            and (self.actor is None or is_by(event.actor, self.actor))
            and (self.path is None or _touches(event, self.path))
        )


def _touches(event: Outline, path: str) -> bool:
    return any(pointers.overlaps(path, touched) for touched in event.touched)


# -- NDJSON: what a verifier reads


def _ndjson(page: Sequence[Stored]) -> bytes:
    # A million events pass here: one format string for each, and no event is read.
    return b"".join(
        [
            b'{"leaf_index":%d,"leaf_hash":"%b","event":%b}\n'
            % (sequence - 1, hexlify(hashes[:HASH_BYTES]), body)
            for sequence, body, hashes in page
        ]
    )


def closing_line(last_sequence: int, checkpoint: str, wanted: Mapping[str, str | int]) -> bytes:
    """The last line of an NDJSON export: how far it goes, of what, and the signed root.

    ``wanted`` is the export's filter; without one, the line has no such member.
    """
    line: dict[str, Any] = {"last_sequence": last_sequence}
    if wanted:
        line["filter"] = wanted
    return msgspec.json.encode(line | {"checkpoint": checkpoint}) + b"\n"


# -- CSV: what a spreadsheet reads

COLUMNS = (
    "sequence",
    "time",
    "assistant",
    "version",
    "actor",
    "reason",
    "path",
    "before",
    "after",
    "event",
    "api_key",
)


def csv_format(table: Table) -> Format:
    """CSV, written as the table says."""

    def write(page: Sequence[Stored]) -> bytes:
        return table.rows(row for stored in page for row in _rows(stored))

    return Format(
        name="csv",
        media_type="text/csv",
        extension="csv",
        encoder=lambda _: Lines(write, table.header(COLUMNS)),
    )


def _rows(stored: Stored) -> Iterator[Sequence[Cell]]:
    """One row for each path; an event that touched none is one row."""
    event = outline(stored)
    said = (
        stored.sequence,
        event.time,
        event.assistant_id,
        event.version,
        event.actor.name,
        event.reason,
    )
    about = event_type(stored.type), event.key_id
    for path in event.touched or [""]:
        sides = event.changes.get(path, _NO_SIDES)
        yield (*said, path, bytes(sides.before).decode(), bytes(sides.after).decode(), *about)


_NO_SIDES = Sides()


# -- JSON: one document


class Document:
    """The encoder of one JSON document, with an event on each line."""

    def __init__(self) -> None:
        self._between = b""

    def head(self) -> bytes:
        """The document's opening."""
        return b'{"events":[\n'

    def lines(self, page: Sequence[Stored], /) -> bytes:
        """The next events; a comma parts them from those before."""
        if not page:
            return b""
        between, self._between = self._between, b",\n"
        return between + b",\n".join([_today(stored).body for stored in page])

    def tail(self, last_sequence: int, /) -> bytes:
        """The document's end: it says how far the log was read, whether events came or not."""
        return b'\n],\n"last_sequence":%d}\n' % last_sequence


# -- CloudEvents 1.0


def _cloudevents(origin: str) -> Encoder:
    source = origin.encode()
    return Lines(lambda page: b"".join([_cloudevent(stored, source) for stored in page]))


def _cloudevent(stored: Stored, source: bytes) -> bytes:
    """A batch of one event on a line. The extension ``sequence`` sorts as text, so it is padded.

    The source is the log: two installations both have an organization 1 with an event 1.
    """
    stored = _today(stored)
    event = outline(stored)
    subject = _subject(event)
    return (
        b'[{"specversion":"1.0","id":"%d/%d","source":"%b","type":"backstory.%b",%b"time":%b,'
        b'"datacontenttype":"application/json","sequence":"%019d","data":%b}]\n'
    ) % (
        event.organization_id,
        stored.sequence,
        source,
        stored.type.encode(),
        b'"subject":"%b",' % subject.encode() if subject else b"",
        bytes(event.occurred_at),
        stored.sequence,
        stored.body,
    )


def _subject(event: Outline) -> str | None:
    if event.assistant_id is not None:
        return f"assistants/{event.assistant_id}"
    return None if event.key_id is None else f"api-keys/{event.key_id}"


# -- OCSF 1.7.0, class Entity Management


_CLASS: dict[str, Any] = {
    "category_uid": 3,
    "category_name": "Identity & Access Management",
    "class_uid": 3004,
    "class_name": "Entity Management",
}
_OTHER = 99
_ENTITIES = {"Policy": 5}  # what OCSF has a number for
_SEVERITIES = {1: "Informational", 2: "Low", 3: "Medium"}


class Kind(Struct, frozen=True):
    """What an event is in OCSF's words."""

    activity_id: int
    activity: str  # the published caption; our own beside 99
    entity: str
    message: str  # between the actor's name and the entity's id
    severity_id: int = 1
    failed: bool = False

    @property
    def classification(self) -> dict[str, Any]:
        """The members that are the same for every event of the kind."""
        caption = "Other" if self.activity_id == _OTHER else self.activity
        return _CLASS | {
            "activity_id": self.activity_id,
            "activity_name": self.activity,
            "type_uid": _CLASS["class_uid"] * 100 + self.activity_id,
            "type_name": f"{_CLASS['class_name']}: {caption}",
            "severity_id": self.severity_id,
            "severity": _SEVERITIES[self.severity_id],
            "status_id": 2 if self.failed else 1,
            "status": "Failure" if self.failed else "Success",
        }


_KINDS: Mapping[type[LogEvent], Kind] = {
    AssistantCreated: Kind(1, "Create", "assistant", "created assistant"),
    AssistantSettingsChanged: Kind(3, "Update", "assistant", "changed assistant"),
    AssistantDeleted: Kind(4, "Delete", "assistant", "deleted assistant"),
    AssistantRestored: Kind(_OTHER, "Restore", "assistant", "restored assistant"),
    VersionLabelled: Kind(3, "Update", "assistant", "labelled a version of assistant"),
    PolicyChanged: Kind(3, "Update", "Policy", "changed the policy of organization"),
    SecretsErased: Kind(4, "Delete", "secrets", "erased the secrets of assistant", 2),
    SecretsRevealed: Kind(2, "Read", "secrets", "revealed secrets of assistant", 2),
    ApiKeyCreated: Kind(1, "Create", "api_key", "created API key"),
    ApiKeyChanged: Kind(3, "Update", "api_key", "changed API key"),
    ApiKeyRevoked: Kind(9, "Disable", "api_key", "revoked API key"),
    LoginRefused: Kind(_OTHER, "Refuse", "api_key", "was refused with API key", 3, failed=True),
    SecretKeysRotated: Kind(3, "Update", "secret_keys", "rotated the secret keys of organization"),
    AuditExported: Kind(2, "Read", "audit_log", "exported the audit log of organization"),
    CheckpointRecorded: Kind(_OTHER, "Sign", "audit_log", "signed the audit log of organization"),
}
_CLASSIFIED = {event: kind.classification for event, kind in _KINDS.items()}
_USERS = {"user": (1, "User"), "system": (3, "System"), "api_key": (4, "Service")}
# The product's version is left out: today's has nothing to do with what was stored.
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
    "ip_address",
}


def _ocsf(origin: str) -> Encoder:
    def write(page: Sequence[Stored]) -> bytes:
        return b"".join([msgspec.json.encode(_record(stored, origin)) + b"\n" for stored in page])

    return Lines(write)


def _record(stored: Stored, origin: str) -> dict[str, Any]:
    event = codec.decode(stored.body, stored.type)
    kind = _KINDS[type(event)]
    entity = _entity(event, kind)
    return _present(
        _CLASSIFIED[type(event)]
        | {
            "time": (event.occurred_at - _EPOCH) // _MILLISECOND,
            "message": f"{event.actor.name} {kind.message} {entity.get('uid', entity.get('name'))}",
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


def _user(actor: Actor) -> dict[str, Any]:
    """The actor, under the name by which exports are filtered; a key also says whose it is."""
    type_id, caption = _USERS[actor.type]
    return {
        "uid": f"{actor.type}:{actor.id}",
        "uid_alt": f"user:{actor.user_id}",
        "name": actor.name,
        "type_id": type_id,
        "type": caption,
    }


def _entity(event: LogEvent, kind: Kind) -> dict[str, Any]:
    """What it was done to. A refused key that never was has no id: its prefix names it."""
    entity: dict[str, Any] = {
        "type_id": _ENTITIES.get(kind.entity, _OTHER),
        "type": kind.entity,
    }
    match event:
        case ApiKeyCreated() | ApiKeyChanged() | ApiKeyRevoked():
            entity["uid"] = str(event.key_id)
        case LoginRefused(key_id=None):
            entity["name"] = event.key_prefix
        case LoginRefused():
            entity["uid"] = str(event.key_id)
        case SecretKeysRotated() | AuditExported() | CheckpointRecorded() | PolicyChanged():
            entity["uid"] = str(event.organization_id)
        case SecretsRevealed() | VersionLabelled():
            entity["uid"] = str(event.assistant_id)
        case _:
            entity |= {"uid": str(event.assistant_id), "version": str(event.version)}
    return entity


def _source(event: LogEvent) -> dict[str, str] | None:
    """Where a refused caller was, if that is known."""
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
    """What the event says and OCSF has no place for; secrets are the references it holds."""
    return _present({name: getattr(event, name) for name in _names_unmapped(type(event))})


@cache
def _names_unmapped(event: type[LogEvent]) -> tuple[str, ...]:
    return tuple(name for name in event.__struct_fields__ if name not in _MAPPED)


# -- all of them; Parquet stands apart, in ``projections.parquet``, because it is an extra

_NDJSON = "application/x-ndjson"
_FORMATS = (
    Format(
        name="ndjson",
        media_type=_NDJSON,
        extension="ndjson",
        encoder=lambda _: Lines(_ndjson),
    ),
    csv_format(Table()),
    Format(
        name="json",
        media_type="application/json",
        extension="json",
        encoder=lambda _: Document(),
    ),
    Format(
        name="cloudevents",
        media_type=_NDJSON,
        extension="cloudevents.ndjson",
        encoder=_cloudevents,
    ),
    Format(
        name="ocsf",
        media_type=_NDJSON,
        extension="ocsf.ndjson",
        encoder=_ocsf,
    ),
)
FORMATS: Mapping[str, Format] = {format_.name: format_ for format_ in _FORMATS}
