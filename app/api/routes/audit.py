"""The audit log, and the proof that it was not rewritten. For admins."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from typing import Annotated

import msgspec
from litestar import Response, get
from litestar.openapi.spec import Parameter, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.params import FromQuery, QueryParameter

from app.api import routing
from app.api.access import ADMIN
from app.api.examples import (
    AUDIT_ENTRY,
    AUDIT_KEY,
    CHECKPOINT,
    CONSISTENCY_PROOF,
    INCLUSION_PROOF,
    RECORDED_CHECKPOINT,
)
from app.api.openapi.operations import Answer, operation
from app.api.paging import LINK, next_link, read_cursor, respond_with
from app.api.parameter_values import invalid_query, moment, query_number
from app.api.parameters import CURSOR
from app.api.request import ApiRequest
from app.audit import checkpoints, proofs
from app.audit.checkpoints import PublicKeys, RecordedCheckpoint
from app.audit.proofs import ConsistencyProof, InclusionProof
from app.audit.search import Search, log_page
from app.storage.tables import MAX_ID
from projections.audit import AuditLogEntry
from projections.event_types import EVENT_TYPES, EventType

_MAX_SEQUENCE = 2**53
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_SIZE = QueryParameter(
    ge=0,
    le=_MAX_SEQUENCE,
    description="Events that the tree is made of; all, by default.",
    schema_extra={"minimum": 0},  # which the framework leaves out where it is nothing
)
# No argument of a handler can have this name.
_FROM = Parameter(
    name="from",
    param_in="query",
    required=True,
    schema=Schema(type=OpenAPIType.INTEGER, minimum=0, maximum=_MAX_SEQUENCE),
    description="Events of the earlier tree.",
)
_DAY = QueryParameter(
    description="RFC 3339, or a date; inclusive.",
    schema_extra={
        "anyOf": [
            Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.DATE_TIME),
            Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.DATE),
        ]
    },
)


class AuditLogsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the log, newest first; ``total`` counts what the filters find."""

    logs: list[AuditLogEntry]
    total: int
    limit: int
    offset: int


class EventTypes(msgspec.Struct, frozen=True, kw_only=True):
    """The types of events that a log can hold."""

    event_types: list[EventType]


@get(
    "/logs",
    opt=ADMIN,
    summary="List the audit log",
    operation_class=operation(
        Answer(
            AuditLogsResponse,
            example={"logs": [AUDIT_ENTRY], "total": 1, "limit": 50, "offset": 0},
            headers=LINK,
        ),
        errors=(422,),
    ),
)
async def list_logs(
    request: ApiRequest,
    user_id: Annotated[int | None, QueryParameter(le=MAX_ID)] = None,
    event_type: FromQuery[str | None] = None,
    resource_type: FromQuery[str | None] = None,
    resource_id: FromQuery[str | None] = None,
    start_date: Annotated[str | None, _DAY] = None,
    end_date: Annotated[str | None, _DAY] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    offset: Annotated[int, QueryParameter(ge=0, le=_MAX_SEQUENCE)] = 0,
    cursor: Annotated[str | None, CURSOR] = None,
    *,
    phi_only: Annotated[
        bool, QueryParameter(description="Accepted; settings hold no health information.")
    ] = False,
) -> Response[bytes]:
    """Newest first. Values of secrets are masked and long texts cut; exports are whole."""
    principal = request.principal
    search = Search(
        user_id=None if user_id is None else max(user_id, -1),  # no smaller id exists
        event_type=event_type,
        resource_type=resource_type,
        resource_id=resource_id,
        start=_day("start_date", start_date, time.min),
        end=_day("end_date", end_date, time.max),
        phi_only=phi_only,
        before=read_cursor(cursor),
    )
    page, total = await request.snapshot(
        log_page, principal.organization_id, search, limit=limit, skip=0 if cursor else offset
    )
    answer = {"logs": msgspec.Raw(page.body), "total": total, "limit": limit, "offset": offset}
    return respond_with(request, page, msgspec.json.encode(answer))


@get(
    "/event-types",
    opt=ADMIN,
    summary="List the types of events",
    operation_class=operation(Answer(EventTypes, example={"event_types": EVENT_TYPES[:1]})),
)
async def list_event_types() -> EventTypes:
    """What ``event_type`` and ``resource_type`` can be."""
    return EventTypes(event_types=EVENT_TYPES)


@get(
    "/checkpoint",
    opt=ADMIN,
    summary="Sign the log as it is now",
    operation_class=operation(
        Answer(Schema(type=OpenAPIType.STRING), example=CHECKPOINT, media_type="text/plain")
    ),
)
async def get_checkpoint(request: ApiRequest) -> Response[str]:
    """The signed root of the tree over all events: a C2SP tlog-checkpoint."""
    services = request.services
    note = await services.database.read(
        checkpoints.current_checkpoint, services.signer, request.principal.organization_id
    )
    headers = {"cache-control": "no-store"}
    return Response(note, media_type="text/plain", headers=headers)


@get(
    "/checkpoints",
    opt=ADMIN,
    summary="List the recorded checkpoints",
    operation_class=operation(
        Answer(RecordedCheckpoint, example=[RECORDED_CHECKPOINT], many=True, headers=LINK),
        errors=(422,),
    ),
)
async def list_checkpoints(
    request: ApiRequest,
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, CURSOR] = None,
) -> Response[bytes]:
    """Newest first. They are events themselves: each signs all events before it."""
    principal = request.principal
    newest = await request.snapshot(
        checkpoints.recorded_checkpoints,
        principal.organization_id,
        limit + 1,
        read_cursor(cursor),
    )
    page = newest[:limit]
    headers = {"link": next_link(request, page[-1].sequence)} if len(newest) > limit else None
    return Response(msgspec.json.encode(page), media_type="application/json", headers=headers)


@get(
    "/proof/inclusion",
    opt=ADMIN,
    summary="Prove that the log holds an event",
    operation_class=operation(Answer(InclusionProof, example=INCLUSION_PROOF), errors=(422,)),
)
async def prove_inclusion(
    request: ApiRequest,
    sequence: Annotated[int, QueryParameter(ge=0, le=_MAX_SEQUENCE)],
    size: Annotated[int | None, _SIZE] = None,
) -> InclusionProof:
    """RFC 6962, 2.1.1: the hashes that lead from an event's leaf to the root."""
    principal = request.principal
    return await request.snapshot(proofs.prove_inclusion, principal.organization_id, sequence, size)


@get(
    "/proof/consistency",
    opt=ADMIN,
    summary="Prove that the log only grew",
    operation_class=operation(
        Answer(ConsistencyProof, example=CONSISTENCY_PROOF),
        errors=(422,),
        parameters=(_FROM,),
    ),
)
async def prove_consistency(
    request: ApiRequest,
    to: Annotated[int | None, _SIZE] = None,
) -> ConsistencyProof:
    """RFC 6962, 2.1.2: the hashes that lead from an earlier root to a later one."""
    principal = request.principal
    size = query_number(request, "from")
    return await request.snapshot(proofs.prove_consistency, principal.organization_id, size, to)


@get(
    "/key",
    opt=ADMIN,
    summary="Get the public keys of the log",
    operation_class=operation(Answer(PublicKeys, example=AUDIT_KEY)),
)
async def get_key(request: ApiRequest) -> PublicKeys:
    """The key that signs checkpoints, and those that did before it was rotated."""
    services = request.services
    return await services.database.read(
        checkpoints.public_keys, services.signer, request.principal.organization_id
    )


def _day(name: str, text: str | None, at: time) -> datetime | None:
    """A moment; a date alone means its first or its last."""
    if text is None or not _DATE.fullmatch(text):
        return moment(name, text)
    try:
        return datetime.combine(date.fromisoformat(text), at, UTC)
    except ValueError:
        raise invalid_query(name, "Input should be a date") from None


ROUTER = routing.ApiRouter(
    path=routing.AUDIT,
    route_handlers=[
        list_logs,
        list_event_types,
        get_checkpoint,
        list_checkpoints,
        prove_inclusion,
        prove_consistency,
        get_key,
    ],
    tags=["Audit"],
)
