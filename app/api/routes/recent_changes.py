"""The changes of all assistants, newest first."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, get
from litestar.params import QueryParameter

from app.api import routing
from app.api.access import VIEWER
from app.api.examples import RECENT_CHANGE
from app.api.openapi.operations import Answer, operation
from app.api.paging import LINK, read_cursor, respond_with
from app.api.parameter_values import moment
from app.api.parameters import CURSOR
from app.api.request import ApiRequest
from app.assistants import recent_changes
from app.assistants.recent_changes import RecentChange

_SINCE = QueryParameter(
    description="RFC 3339: changes at or after this moment.", schema_extra={"format": "date-time"}
)


@get(
    "/changes",
    opt=VIEWER,
    summary="List the changes of all assistants",
    operation_class=operation(
        Answer(RecentChange, example=[RECENT_CHANGE], many=True, headers=LINK), errors=(422,)
    ),
)
async def list_changes(
    request: ApiRequest,
    since: Annotated[str | None, _SINCE] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, CURSOR] = None,
) -> Response[bytes]:
    """Newest first: who changed what, when and why, and what is suspicious about it."""
    page = await request.snapshot(
        recent_changes.read,
        request.principal.organization_id,
        before=read_cursor(cursor),
        since=moment("since", since),
        limit=limit,
    )
    return respond_with(request, page)


ROUTER = routing.ApiRouter(path=routing.API, route_handlers=[list_changes], tags=["History"])
