"""Calls: what one is to run, what it ran, and the calls of an assistant."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from litestar import Response, get, post
from litestar.params import PathParameter, QueryParameter
from msgspec import Meta, Struct

from app.accounts.principals import REVEAL
from app.api import routing
from app.api.access import RESOLVING, VIEWER
from app.api.conditional import etag, respond
from app.api.errors import ScopeMissing
from app.api.examples import ASSISTANT, RECEIPT, RESOLVED
from app.api.media_types import JSON
from app.api.openapi.headers import IF_NONE_MATCH
from app.api.openapi.operations import Answer, Body, operation
from app.api.paging import LINK, link_to
from app.api.parameter_values import invalid_query, moment
from app.api.parameters import Number
from app.api.reply import Reply
from app.api.request import ApiRequest
from app.api.responses import ETAG
from app.assistants import current, representation
from app.assistants.references import Reference
from app.calls import receipts, resolving
from app.calls.digests import digest_of
from app.calls.receipts import CallNotFound, Filter, Position
from app.calls.resolving import Ran, Resolved, ResolveRequest
from app.metrics import catalog
from app.storage.tables import MAX_ID
from events.assistant_bodies import AssistantResponse
from events.assistant_key import AssistantKey
from events.bodies.parsing import MAX_SAFE_INTEGER
from events.errors import FieldError, InvalidSettings
from events.phone_numbers import E164

if TYPE_CHECKING:
    import sqlalchemy as sa

    from app.assistants.requests import Assistant
    from app.transactions.unit_of_work import UnitOfWork
    from events.pointers import Tree

# A call id is part of paths: no slash, and no segment of dots alone.
_CALL_ID = "^[A-Za-z0-9][A-Za-z0-9._~:@+=-]*$"
_LONGEST_CALL_ID = 200
_DIGEST = "^sha256:[0-9a-f]{64}$"
_CallId = Annotated[str, Meta(pattern=_CALL_ID, max_length=_LONGEST_CALL_ID)]
CallInPath = Annotated[
    str, PathParameter(schema_extra={"pattern": _CALL_ID, "maxLength": _LONGEST_CALL_ID})
]
_PREFIX = f"{routing.API}/calls"
_Position = tuple[Annotated[int, Meta(ge=-(2**62), le=2**62)], _CallId]
_SINCE = QueryParameter(
    description="RFC 3339: calls at or after this moment.", schema_extra={"format": "date-time"}
)
_UNTIL = QueryParameter(
    description="RFC 3339: calls before this moment.", schema_extra={"format": "date-time"}
)
_CURSOR = QueryParameter(
    description="From the `Link` header of the previous page.",
    schema_extra={"pattern": "^W[A-Za-z0-9_-]+$", "maxLength": 320},
)


class RanVersion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a call ran while the server could not be asked."""

    version: Annotated[int, Meta(ge=1, le=MAX_SAFE_INTEGER)]
    digest: Annotated[str, Meta(pattern=_DIGEST)]


class Resolve(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call, and the assistant that it is for, or the number that was called.

    ``caller`` is stored as a keyed hash alone.

    ``ran`` reports what a call ran while the server could not be asked, and ``at`` when.
    """

    call_id: _CallId
    assistant_id: Annotated[int, Meta(ge=1, le=MAX_ID)] | None = None
    phone_number: Annotated[str, Meta(pattern=E164, max_length=40)] | None = None
    caller: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    at: Annotated[str, Meta(extra_json_schema={"format": "date-time"})] | None = None
    secrets: bool = False
    ran: RanVersion | None = None


class CallLinks(Struct, frozen=True, kw_only=True):
    """Where the call, its settings and the assistant are."""

    call: str
    settings: str
    version: str
    assistant: str


class ResolvedCall(Struct, frozen=True, kw_only=True):
    """What a call is to run: a version, and its settings."""

    call_id: str
    assistant_id: int
    version: int
    digest: str
    reason: Literal["direct", "phone_number", "pinned", "offline"]
    receipt_id: str
    resolved_at: datetime
    settings: AssistantResponse
    links: CallLinks


class CallReceipt(Struct, frozen=True, kw_only=True):
    """What a call ran. ``digest`` is that of its settings as they were answered."""

    call_id: str
    receipt_id: str
    assistant_id: int
    version: int
    digest: str
    reason: Literal["direct", "phone_number", "offline"]
    resolved_at: datetime
    caller_hash: str | None = None


@post(
    "/resolve",
    opt=RESOLVING,
    status_code=200,
    summary="Resolve what a call is to run",
    operation_class=operation(
        Answer(ResolvedCall, example=RESOLVED, headers={"ETag": ETAG}),
        body=Body(Resolve, {"call_id": "CA9f1c", "assistant_id": 1, "caller": "+15550100"}),
        errors=(404, 409, 422),
    ),
)
async def resolve_call(request: ApiRequest) -> Response[bytes]:
    """Needs a key with the scope ``calls:resolve``. A call that asks again gets its first version.

    Name the assistant by ``assistant_id``, or by the ``phone_number`` that it answers.

    The settings are those of ``GET /api/v1/assistants/{assistant_id}?version=N``; with ``secrets``,
    for a key with ``secrets:reveal``, their secrets are in plain text, and the log says so. The
    answer comes once the receipt is durable. ``digest`` is of the masked settings: SHA-256 of their
    JSON with sorted members, without spaces or escapes of what is not ASCII.
    """
    await request.refuse_dry_run()
    body = await request.body_as(Resolve, strict=True)
    question = _question(request, body)
    views = request.services.views

    def work(unit: UnitOfWork) -> Resolved:
        return resolving.resolve(unit, question, views)

    size = len(await request.body())
    resolved = await request.services.writer.write(question.organization_id, work, size)
    catalog.RESOLVES.add(resolved.reason)
    return _answer(resolved)


def _question(request: ApiRequest, body: Resolve) -> ResolveRequest:
    """The question in a body; raises ``ScopeMissing`` and ``InvalidSettings``."""
    if (body.assistant_id is None) == (body.phone_number is None):
        rule = "Input should have either 'assistant_id' or 'phone_number'"
        raise InvalidSettings((FieldError(loc=("body",), msg=rule, type="value_error"),))
    caller = request.caller()
    if body.secrets and not caller.may_reveal:
        raise ScopeMissing(REVEAL)
    return ResolveRequest(
        caller=caller,
        call_id=body.call_id,
        assistant_id=body.assistant_id,
        number=body.phone_number,
        phone=body.caller,
        ran=_ran(body),
        with_secrets=body.secrets,
    )


def _ran(body: Resolve) -> Ran | None:
    at = moment("at", body.at, "body")
    if body.ran is None and at is not None:
        rule = "Input should be given with 'ran' alone; GET of the assistant has as_of"
        raise InvalidSettings((FieldError(loc=("body", "at"), msg=rule, type="value_error"),))
    if body.ran is None:
        return None
    return Ran(version=body.ran.version, digest=body.ran.digest, at=at)


def _answer(resolved: Resolved) -> Response[bytes]:
    receipt, view = resolved.receipt, resolved.view
    settings = _with_secrets(view.body, resolved.secrets) if resolved.secrets else view.body
    members = {
        "call_id": receipt.call_id,
        "assistant_id": receipt.assistant_id,
        "version": receipt.version,
        "digest": digest_of(view),
        "reason": resolved.reason,
        "receipt_id": receipt.receipt_id,
        "resolved_at": receipt.resolved_at,
        "settings": msgspec.Raw(settings),
        "links": _links(receipt.call_id, receipt.assistant_id, receipt.version),
    }
    headers = {"etag": etag(view.tag), "cache-control": "no-store"}
    return Reply(msgspec.json.encode(members), status_code=200, media_type=JSON, headers=headers)


def _links(call_id: str, assistant_id: int, version: int) -> CallLinks:
    assistant = f"{routing.ASSISTANTS}/{assistant_id}"
    return CallLinks(
        call=f"{_PREFIX}/{call_id}",
        settings=f"{_PREFIX}/{call_id}/settings",
        version=f"{assistant}/versions/{version}",
        assistant=assistant,
    )


def _with_secrets(body: bytes, values: dict[str, Any]) -> bytes:
    settings: Tree = msgspec.json.decode(body)
    for path, value in values.items():
        resolving.put(settings, path, value)
    return msgspec.json.encode(settings)


@get(
    "/calls/{call_id:str}",
    opt=VIEWER,
    summary="Get the receipt of a call",
    operation_class=operation(Answer(CallReceipt, example=RECEIPT), errors=(404,)),
)
async def get_call(request: ApiRequest, call_id: CallInPath) -> Response[bytes]:
    """Which version it ran, why that one, and since when. Kept for ``BACKSTORY_RECEIPT_TTL``."""
    receipt = await request.snapshot(
        receipts.load, request.principal.organization_id, known_call(call_id)
    )
    return Reply(msgspec.json.encode(receipt), status_code=200, media_type=JSON)


@get(
    "/calls/{call_id:str}/settings",
    opt=VIEWER,
    summary="Get the settings that a call ran",
    operation_class=operation(
        Answer(
            AssistantResponse,
            example=ASSISTANT,
            headers={
                "ETag": "Of these settings.",
                "Link": 'The version in the assistant\'s history: `<...>; rel="version-history"`.',
            },
        ),
        errors=(304, 404, 422),
        parameters=(IF_NONE_MATCH,),
    ),
)
async def get_call_settings(request: ApiRequest, call_id: CallInPath) -> Response[bytes]:
    """As the call got them, masked. Secrets that were erased since are erased in them, too."""
    condition, organization_id = request.condition, request.principal.organization_id
    ran = await request.snapshot(_settings_of, organization_id, known_call(call_id))
    query = f"version={ran.state.version}"
    then = representation.of(organization_id, ran.id, ran.state, query)
    version = f"{routing.ASSISTANTS}/{ran.id}/versions/{ran.state.version}"
    link = f'<{version}>; rel="version-history"'
    return respond(then.body, then.tag, condition, {"link": link})


def _settings_of(connection: sa.Connection, organization_id: int, call_id: str) -> Assistant:
    receipt = receipts.load(connection, organization_id, call_id)
    key = AssistantKey(organization_id, receipt.assistant_id)
    version = Reference(text=str(receipt.version), number=receipt.version)
    ran, _ = current.at(connection, key, version)
    return ran


def known_call(text: str) -> str:
    """The id of a call that can exist; raises ``CallNotFound`` for another text."""
    try:
        return msgspec.convert(text, _CallId)
    except msgspec.ValidationError:
        raise CallNotFound(text[:_LONGEST_CALL_ID]) from None


@get(
    "/assistants/{assistant_id:str}/calls",
    opt=VIEWER,
    summary="List the calls of an assistant",
    operation_class=operation(
        Answer(CallReceipt, example=[RECEIPT], many=True, headers=LINK), errors=(404, 422)
    ),
)
async def list_calls(
    request: ApiRequest,
    assistant_id: Number,
    since: Annotated[str | None, _SINCE] = None,
    until: Annotated[str | None, _UNTIL] = None,
    version: Annotated[int | None, QueryParameter(ge=1, le=MAX_SAFE_INTEGER)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, _CURSOR] = None,
) -> Response[bytes]:
    """Newest first: the receipts of its calls, or of those that ran one version."""
    filter_ = Filter(
        since=moment("since", since),
        until=moment("until", until),
        version=version,
        before=_read_cursor(cursor),
    )
    key = request.assistant_key(assistant_id)
    page, end = await request.snapshot(receipts.of_assistant, key, filter_, limit)
    headers = None if end is None else {"link": link_to(request, cursor=_write_cursor(end))}
    body = msgspec.json.encode(page)
    return Reply(body, status_code=200, media_type=JSON, headers=headers)


def _write_cursor(position: Position) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).rstrip(b"=").decode()


def _read_cursor(cursor: str | None) -> Position | None:
    if cursor is None:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        position: Position = msgspec.json.decode(text, type=_Position)
    except (ValueError, msgspec.MsgspecError):
        raise invalid_query("cursor", "Input should be a cursor that this endpoint gave") from None
    return position


ROUTER = routing.ApiRouter(
    path=routing.API,
    route_handlers=[resolve_call, get_call, get_call_settings, list_calls],
    tags=["Calls"],
)
