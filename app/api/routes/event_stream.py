"""The change stream: the events of the organization's log, as they come."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Literal

from litestar import get
from litestar.openapi.spec import Parameter, Reference, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import QueryParameter

from app.accounts.principals import Role
from app.api import routing
from app.api.access import VIEWER
from app.api.event_stream import EventStream
from app.api.examples import STREAM
from app.api.media_types import EVENT_STREAM, JSON
from app.api.middleware.authentication import bearer_token
from app.api.middleware.concurrency import StreamLimiting
from app.api.openapi.operations import REFERENCE, Answer, operation
from app.api.parameter_values import invalid_header, known_event_type
from app.api.parameters import EVENT_TYPE, PATH
from app.api.request import ApiRequest
from app.audit.bounds import BeyondLog
from app.audit.following import Start, start_of
from app.storage.tables import MAX_ID
from projections.messages import MessageFilter, StreamedEvent, is_open

_MAX_SEQUENCE = 2**53
_SEQUENCE = re.compile(r"[0-9]{1,16}")
_LAST_EVENT_ID = "Last-Event-ID"
_RESUMING = Parameter(
    name=_LAST_EVENT_ID,
    param_in="header",
    schema=Schema(type=OpenAPIType.STRING, pattern=f"^{_SEQUENCE.pattern}$"),
    description="The `id` of the last event that was received; it takes precedence over `after`.",
)
_STRING = Schema(type=OpenAPIType.STRING)
# As OpenAPI 3.2 has it: the schema is that of one event, by the fields of its block.
_EVENT = Schema(
    type=OpenAPIType.OBJECT,
    description="One event: `id` is its sequence, and `data` is a `StreamedEvent` as JSON.",
    properties={
        "id": _STRING,
        "event": Schema(type=OpenAPIType.STRING, enum=["message"]),
        "data": Schema(
            type=OpenAPIType.STRING,
            content_media_type=JSON,
            content_schema=Reference(ref=REFERENCE.format(name=StreamedEvent.__name__)),
        ),
        "retry": Schema(type=OpenAPIType.INTEGER),
    },
)
_HEADERS = {
    "X-After-Sequence": "The sequence after which the stream starts. Until the first event, give"
    " it as `after` to go on.",
    "X-Accel-Buffering": "`no`, so that a proxy passes events on as they come.",
}


@get(
    "/stream",
    middleware=[StreamLimiting()],
    opt=VIEWER,
    summary="Follow the log",
    operation_class=operation(
        Answer(
            _EVENT,
            mentions=(StreamedEvent,),
            example=STREAM,
            media_type=EVENT_STREAM,
            headers=_HEADERS,
        ),
        errors=(422,),
        parameters=(_RESUMING,),
    ),
)
async def follow_log(
    request: ApiRequest,
    after: Annotated[
        int | None,
        QueryParameter(
            ge=0,
            le=_MAX_SEQUENCE,
            description="Start after this sequence, however old; without it, after the newest.",
        ),
    ] = None,
    assistant_id: Annotated[int | None, QueryParameter(ge=1, le=MAX_ID)] = None,
    event_type: Annotated[str | None, EVENT_TYPE] = None,
    path: Annotated[str | None, PATH] = None,
    include: Annotated[
        Literal["changes"] | None,
        QueryParameter(description="`changes`: with the masked values before and after."),
    ] = None,
    *,
    follow: Annotated[
        bool, QueryParameter(description="`false`: end with the newest event.")
    ] = True,
) -> EventStream:
    """Each event once, in order, oldest first. Only admins get those that are not in a history."""
    principal, services = request.principal, request.services
    if (kind := known_event_type(event_type)) is not None and not is_open(kind):
        request.require(Role.admin)
    chosen = MessageFilter(
        assistant_id=assistant_id,
        event_type=event_type,
        path=path or None,
        only_open=principal.role < Role.admin,
    )
    start = await _start(request, after)
    with_values = include is not None
    return EventStream(
        services.followers.following(
            principal.organization_id, start, chosen, with_values=with_values
        ),
        check=partial(services.authenticator.principal, bearer_token(request.scope)),
        heartbeat=services.heartbeat_seconds,
        until=None if follow else start.last,
        with_values=with_values,
        headers={
            "cache-control": "no-store",
            "x-accel-buffering": "no",
            "x-after-sequence": str(start.after),
        },
    )


async def _start(request: ApiRequest, after: int | None) -> Start:
    organization_id = request.principal.organization_id
    last_event_id = _last_event_id(request)
    if last_event_id is None:
        return await request.snapshot(start_of, organization_id, after)
    try:
        return await request.snapshot(start_of, organization_id, last_event_id)
    except BeyondLog as error:
        rule = f"Input should be from {error.least} to {error.most}: the log has no other"
        raise invalid_header(_LAST_EVENT_ID, rule, "beyond_log") from None


def _last_event_id(request: ApiRequest) -> int | None:
    """The sequence in the header; None where it is absent or empty, as before the first event."""
    lines = [line for line in request.headers.getall(_LAST_EVENT_ID.lower(), []) if line.strip()]
    if not lines:
        return None
    if len(lines) > 1 or not _SEQUENCE.fullmatch(lines[0].strip()):
        raise invalid_header(_LAST_EVENT_ID, "Input should be the id of one event of a stream")
    return int(lines[0])


ROUTER = routing.ApiRouter(path=routing.EVENTS, route_handlers=[follow_log], tags=["Events"])
