"""The settings history of an assistant."""

from __future__ import annotations

from typing import Annotated, get_args

import msgspec
from litestar import Response, get
from litestar.params import QueryParameter

from app.accounts.principals import Role
from app.api import routing
from app.api.access import VIEWER
from app.api.examples import ENTRY
from app.api.media_types import JSON
from app.api.openapi.operations import Answer, operation
from app.api.paging import LINK, read_cursor, respond_with
from app.api.parameter_values import known_version, moment
from app.api.parameters import CURSOR, INCLUDE_DELETED, PATHS, Number, Pointer, repeated
from app.api.request import ApiRequest
from app.assistants import history
from events.changed import CauseType
from projections.history import Entry, Filter

_CAUSE = repeated(
    "Kinds of changes, such as `rollback`: a change is of one of these.",
    20,
    enum=list(get_args(CauseType)),
)
_MOMENT = QueryParameter(description="RFC 3339, inclusive.", schema_extra={"format": "date-time"})


@get(
    "/settings-history",
    opt=VIEWER,
    summary="List an assistant's settings history",
    operation_class=operation(
        Answer(
            Entry,
            example=[ENTRY],
            many=True,
            headers=LINK,
        ),
        errors=(404, 422),
    ),
)
async def list_history(
    request: ApiRequest,
    assistant_id: Number,
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, CURSOR] = None,
    path: Annotated[list[Pointer] | None, PATHS] = None,
    actor: Annotated[
        str | None, QueryParameter(description="A key's name, or `type:id`, such as `api_key:3`.")
    ] = None,
    cause: Annotated[list[CauseType] | None, _CAUSE] = None,
    since: Annotated[str | None, _MOMENT] = None,
    until: Annotated[str | None, _MOMENT] = None,
    *,
    include_deleted: Annotated[bool, INCLUDE_DELETED] = False,
) -> Response[bytes]:
    """Newest first, each with the settings as they were before it. Creation is no entry."""
    if include_deleted:
        request.require(Role.admin)
    filters = Filter(
        paths=tuple(path or ()),
        actor=actor,
        causes=frozenset(cause or ()),
        since=moment("since", since),
        until=moment("until", until),
        before_version=read_cursor(cursor),
    )
    page = await request.snapshot(
        history.entries,
        request.assistant_key(assistant_id),
        filters,
        limit,
        include_deleted=include_deleted,
    )
    return respond_with(request, page)


@get(
    "/settings-history/{version_id:str}",
    opt=VIEWER,
    summary="Get an entry of the settings history",
    operation_class=operation(Answer(Entry, example=ENTRY), errors=(404, 422)),
)
async def get_history_entry(
    request: ApiRequest,
    assistant_id: Number,
    version_id: Number,
    *,
    include_deleted: Annotated[bool, INCLUDE_DELETED] = False,
) -> Response[bytes]:
    """The entry of the change that made this version."""
    if include_deleted:
        request.require(Role.admin)
    key = request.assistant_key(assistant_id)
    version = known_version(assistant_id, version_id)
    entry = await request.snapshot(history.entry, key, version, include_deleted=include_deleted)
    return Response(msgspec.json.encode(entry), media_type=JSON)


ROUTER = routing.ApiRouter(
    path=routing.ASSISTANT,
    route_handlers=[list_history, get_history_entry],
    tags=["History"],
)
