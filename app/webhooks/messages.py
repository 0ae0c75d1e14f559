"""What is sent to an endpoint: the body in its format, and the headers that sign it.

The bodies are thin: who, what, why and which paths, never a value. ``standard`` is a CloudEvent
in structured mode, signed as Standard Webhooks says; ``slack`` and ``teams`` are a text to read.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets as entropy
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from app.escaping import printable
from events.codec import tags_of
from events.setting_types import Moment
from projections.event_types import KINDS, event_type
from projections.messages import StreamedEvent

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from projections.messages import Message

Format = Literal["standard", "slack", "teams"]
PREFIX = "whsec_"
_KEY_BYTES = 32
_MOST_BYTES = 16 * 1024  # of the data of a message; Standard Webhooks wants less than 20 kB in all
_MOST_CAUSE = 1024
_MOST_REASON = 1000  # characters
_SHOWN_PATHS = 5
_DOINGS = {
    event_type(tag): kind.activity.message
    for event, kind in KINDS.items()
    for tag in tags_of(event)
}
_MARKUP = re.compile(r"([\\`*_{}\[\]()#+!|~<>-])")


class CloudEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a webhook in the format ``standard``: a CloudEvent 1.0."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str | UnsetType = UNSET
    time: Moment
    datacontenttype: str
    sequence: str | UnsetType = UNSET
    data: StreamedEvent | dict[str, Any]


class Told(Struct, frozen=True, kw_only=True):
    """What is sent: its id, the same each time, and its body."""

    id: str
    body: bytes


class Log(Struct, frozen=True, kw_only=True):
    """Whose events are told: the organization, the name of its log, and where its console is."""

    organization_id: int
    origin: str
    console: str  # a URL; empty if it is not known


def tell(kind: Format, log: Log, message: Message) -> Told:
    """An event of the log in the format of an endpoint."""
    event = _thin(message)
    body = (
        msgspec.json.encode(_cloudevent(log, event))
        if kind == "standard"
        else _as_text(kind, _sentence(event), _link(log, event))
    )
    return Told(id=_id(log, message.sequence), body=body)


def tell_test(kind: Format, log: Log, webhook_id: int, number: int, now: datetime) -> Told:
    """A test, which is no event of the log."""
    name = f"{log.organization_id}/test/{webhook_id}/{number}"
    text = "This is a test of Backstory: the endpoint works."
    if kind != "standard":
        return Told(id=name, body=_as_text(kind, text, log.console))
    event = CloudEvent(
        specversion="1.0",
        id=name,
        source=log.origin,
        type="backstory.webhook_test",
        subject=f"webhooks/{webhook_id}",
        time=now,
        datacontenttype="application/json",
        data={"webhook_id": webhook_id, "message": text},
    )
    return Told(id=name, body=msgspec.json.encode(event))


def headers(kind: Format, told: Told, keys: Iterable[str], now: datetime) -> dict[str, str]:
    """The headers of a message, with a signature by each secret (Standard Webhooks)."""
    timestamp = str(int(now.timestamp()))
    signatures = (sign(key, told.id, timestamp, told.body) for key in keys)
    structured = "application/cloudevents+json; charset=utf-8"
    return {
        "content-type": structured if kind == "standard" else "application/json",
        "user-agent": "Backstory-Webhooks/1",
        "webhook-id": told.id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(signatures),
    }


def make_secret() -> str:
    """A new secret, as its receiver needs it."""
    return PREFIX + base64.b64encode(entropy.token_bytes(_KEY_BYTES)).decode()


def sign(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    """One signature: the scheme, a comma, HMAC-SHA256 in base64."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = b"%b.%b.%b" % (message_id.encode(), timestamp.encode(), body)
    return f"v1,{base64.b64encode(hmac.digest(key, signed, 'sha256')).decode()}"


# -- the event


def _id(log: Log, sequence: int) -> str:
    return f"{log.organization_id}/{sequence}"


def _thin(message: Message) -> StreamedEvent:
    """The event with as many paths as there is room for."""
    event = msgspec.json.decode(message.body, type=StreamedEvent)
    if len(message.body) <= _MOST_BYTES:
        return event
    paths: list[str] = []
    room = _MOST_BYTES // 2
    for path in event.paths:
        room -= len(msgspec.json.encode(path)) + 1
        if room < 0:
            break
        paths.append(path)
    return msgspec.structs.replace(
        event,
        paths=paths,
        more_paths=event.more_paths + len(event.paths) - len(paths),
        reason=event.reason and event.reason[:_MOST_REASON],
        cause=UNSET if len(msgspec.json.encode(event.cause)) > _MOST_CAUSE else event.cause,
    )


def _cloudevent(log: Log, event: StreamedEvent) -> CloudEvent:
    return CloudEvent(
        specversion="1.0",
        id=_id(log, event.sequence),
        source=log.origin,
        type=f"backstory.{event.event_type}",
        subject=_subject(event),
        time=event.occurred_at,
        datacontenttype="application/json",
        sequence=f"{event.sequence:019}",
        data=event,
    )


def _subject(event: StreamedEvent) -> str | UnsetType:
    if event.assistant_id is not UNSET:
        return f"assistants/{event.assistant_id}"
    if event.key_id is not UNSET:
        return f"api-keys/{event.key_id}"
    return UNSET if event.webhook_id is UNSET else f"webhooks/{event.webhook_id}"


# -- texts to read


def _sentence(event: StreamedEvent) -> str:
    """Who did what to which, where, and why."""
    ids = (event.assistant_id, event.key_id, event.webhook_id)
    about = next((f" {one}" for one in ids if one is not UNSET), "")
    version = "" if event.version is UNSET else f" (version {event.version})"
    more = len(event.paths) - _SHOWN_PATHS + event.more_paths
    paths = ", ".join(event.paths[:_SHOWN_PATHS]) + (f" and {more} more" if more > 0 else "")
    at = f": {paths}" if paths else ""
    why = f" \N{EM DASH} {event.reason}" if event.reason else ""
    said = f"{event.actor.name} {_DOINGS[event.event_type]}{about}{version}{at}{why}"
    return printable(said)


def _link(log: Log, event: StreamedEvent) -> str:
    if not log.console:
        return ""
    place = "audit" if event.assistant_id is UNSET else f"assistants/{event.assistant_id}/history"
    return f"{log.console.rstrip('/')}/{place}"


def _as_text(kind: Format, sentence: str, link: str) -> bytes:
    shown = _slack(sentence, link) if kind == "slack" else _teams(sentence, link)
    return msgspec.json.encode(shown)


def _slack(sentence: str, link: str) -> dict[str, Any]:
    text = sentence.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": f"{text} <{link}|Open in Backstory>" if link else text}


def _teams(sentence: str, link: str) -> dict[str, Any]:
    """An adaptive card, as the workflows of Microsoft Teams take it."""
    text = {"type": "TextBlock", "wrap": True, "text": _MARKUP.sub(r"\\\1", sentence)}
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [text],
    }
    if link:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Open in Backstory", "url": link}]
    kind = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": kind, "content": card}]}
