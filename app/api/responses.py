"""How assistants, and what came or would come of a wish, are answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Response
from msgspec import UNSET, Struct, UnsetType, field

from app.api import memento, openapi
from app.api.examples import ASSISTANT, PLAN
from app.api.media_types import JSON
from app.assistants import representation
from app.assistants.changes import Clash, Outcome
from app.assistants.policy import rule_of
from app.assistants.preconditions import etag
from events.assistant_bodies import AssistantResponse
from events.changed import changes_of
from events.policy import Warned
from events.secrets.references import mask
from projections.history import ChangedPath, ChangeSummary, changed_paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from app.api.preferences import Preferences
    from app.assistants.changes import Assistant
    from app.assistants.neighbours import Neighbours
    from app.assistants.preconditions import Condition
    from app.assistants.view_cache import View

_MAX_HEADER = 4000


class NotAcceptedPath(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A value that today's rules refuse; ``nearest`` is one that they do not, if one is near."""

    path: str
    type: str
    msg: str
    nearest: Any | UnsetType = UNSET


class RefusedRule(Struct, frozen=True, kw_only=True):
    """A rule of the organization's policy that stands against a change."""

    rule: str
    paths: list[str] = field(default_factory=list)


class Plan(Struct, frozen=True, kw_only=True):
    """What a change would do: nothing was recorded. Apply it with ``If-Match: <etag>``.

    ``changes`` are those of the event that would be recorded, as the history would show them.
    """

    dry_run: bool
    assistant_id: int
    version: int
    etag: str
    applicable: bool
    changes: list[ChangedPath]
    warnings: list[Warned]
    lost: list[ChangeSummary]
    came_between: list[ChangeSummary]
    conflicts: list[Clash]
    not_accepted: list[NotAcceptedPath]
    secrets_kept: list[str]
    refused: list[RefusedRule]
    ignored: list[str]


class Merge(Struct, frozen=True, kw_only=True):
    """What came between the version that the author had read and the current one."""

    base_version: int
    came_between: list[ChangeSummary]
    conflicts: list[Clash]


class ChangedAssistant(AssistantResponse, frozen=True, kw_only=True):
    """An assistant after a change; beside it, what is to be said of the change."""

    warnings: list[Warned] | UnsetType = UNSET
    merge: Merge | UnsetType = UNSET
    ignored: list[str] | UnsetType = UNSET  # with ``Prefer: handling=lenient``, all of it


class APIResponse(Struct, frozen=True, kw_only=True):
    """A done deed without an object to show."""

    success: bool
    message: str
    data: Any = None


ETAG = (
    f"The version and a digest, a strong validator: `{PLAN['etag']}`. It fits this representation"
    " of this assistant alone; the version alone is the member `version`."
)
_HEADERS = {
    "ETag": ETAG,
    "X-Ignored-Fields": "JSON Pointers of what was left out: unknown members, secrets not copied.",
}
ONE = openapi.Answer(AssistantResponse, example=ASSISTANT, headers={"ETag": ETAG})
CHANGED = openapi.Answer(ChangedAssistant, example=ASSISTANT, headers=_HEADERS)
CHANGED_OR_PLAN = openapi.Answer(
    ChangedAssistant, or_else=(Plan,), example=ASSISTANT, headers=_HEADERS
)
WRITE_ERRORS = (404, 409, 412, 422, 428)


def encode(assistant: Assistant, **members: Any) -> bytes:
    """An assistant as it is answered."""
    return representation.encode(
        assistant.organization_id, assistant.id, assistant.state, **members
    )


def read(
    body: bytes, tag: str, condition: Condition, headers: Mapping[str, str] | None = None
) -> Response[bytes]:
    """What has a tag to a reader, or 304 to one who has it."""
    said = {"etag": etag(tag)} | dict(headers or {})
    if condition.has(tag):
        return Response(b"", status_code=304, headers=said)
    return Response(body, status_code=200, media_type=JSON, headers=said)


def shown(view: View, condition: Condition, age: int | None) -> Response[bytes]:
    """An assistant as it is to a reader, or 304 to one who has it."""
    headers = None if age is None else {"age": str(age)}
    return read(view.body, view.tag, condition, headers)


def done(message: str, headers: dict[str, str] | None = None) -> Response[bytes]:
    """A done deed without an object to show."""
    body = msgspec.json.encode(APIResponse(success=True, message=message))
    return Response(body, status_code=200, media_type=JSON, headers=headers)


def past(
    found: tuple[Assistant, Neighbours], condition: Condition, address: str, asked: str
) -> Response[bytes]:
    """An assistant as it was: a memento (RFC 7089) of the one at an address."""
    assistant, around = found
    state = assistant.state
    if state.updated_at is None:
        raise TypeError("a version has a moment")
    headers = memento.headers(address, state.version, state.updated_at, around)
    then = representation.of(assistant.organization_id, assistant.id, state, asked)
    return read(then.body, then.tag, condition, headers)


def changed(
    outcome: Outcome,
    preferences: Preferences,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response[bytes]:
    """What came of a wish: the assistant, or with a dry run the plan."""
    state = outcome.before if preferences.dry_run else outcome.state
    current = representation.of(outcome.organization_id, outcome.id, state)
    said = {"etag": etag(current.tag)} | preferences.applied | (headers or {})
    if names := header_list(outcome.ignored):
        said["x-ignored-fields"] = names
    if preferences.dry_run:
        body = msgspec.json.encode(plan(outcome))
        return Response(body, status_code=200, media_type=JSON, headers=said)
    if preferences.minimal:
        return Response(b"", status_code=204, headers=said)
    beside = _beside(outcome)
    if preferences.lenient:
        beside["ignored"] = list(outcome.ignored)
    body = encode(outcome, **beside) if beside else current.body
    return Response(body, status_code=status, media_type=JSON, headers=said)


def _beside(outcome: Outcome) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if outcome.warnings:
        said["warnings"] = outcome.warnings
    if outcome.base_version is not None:
        said["merge"] = Merge(
            base_version=outcome.base_version,
            came_between=list(outcome.came_between),
            conflicts=list(outcome.clashes),
        )
    return said


def plan(outcome: Outcome) -> Plan:
    """What would come of a wish."""
    changes = changes_of(outcome.event)
    erased_version = outcome.state.erased_version
    return Plan(
        dry_run=True,
        assistant_id=outcome.id,
        version=outcome.before.version,
        etag=etag(representation.of(outcome.organization_id, outcome.id, outcome.before).tag),
        applicable=outcome.applicable,
        changes=changed_paths(changes, erased_version),
        warnings=list(outcome.warnings),
        lost=list(outcome.lost),
        came_between=list(outcome.came_between),
        conflicts=list(outcome.clashes),
        not_accepted=[
            NotAcceptedPath(
                path=one.path,
                type=one.error.type,
                msg=one.error.msg,
                nearest=mask(one.nearest, erased_version),
            )
            for one in outcome.not_accepted
        ],
        secrets_kept=list(outcome.secrets_kept),
        refused=[] if outcome.refused is None else [RefusedRule(**rule_of(outcome.refused))],
        ignored=list(outcome.ignored),
    )


def header_list(pointers: Iterable[str]) -> str:
    """JSON Pointers as one header value: percent-encoded as RFC 6901 does in a URI."""
    listed: list[str] = []
    room = _MAX_HEADER
    for pointer in pointers:
        if len(pointer) <= room and len(quoted := _quote(pointer)) <= room:
            listed.append(quoted)
            room -= len(quoted) + 2
    return ", ".join(listed)


def _quote(pointer: str) -> str:
    return "".join(
        c if c.isascii() and (c.isalnum() or c in "/_-.~") else _percent(c) for c in pointer
    )


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())
