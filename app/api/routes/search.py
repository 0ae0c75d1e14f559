"""One search over assistants, settings, values of settings, reasons, people and labels."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Response, get
from litestar.params import QueryParameter

from app.api import routing
from app.api.access import VIEWER
from app.api.examples import FOUND
from app.api.media_types import JSON
from app.api.openapi.operations import Answer, operation
from app.api.parameter_values import invalid_query
from app.api.parameters import PATH
from app.api.request import ApiRequest
from app.assistants import finding
from app.assistants.finding import KINDS, Found, Kind, Query

_Q = QueryParameter(
    description="A text, found caselessly.",
    min_length=1,
    max_length=200,
    schema_extra={"pattern": "^[^\\x00]*$"},
)


@get(
    "/search",
    opt=VIEWER,
    summary="Search assistants, settings, values, reasons, people and labels",
    operation_class=operation(Answer(Found, example=FOUND), errors=(422,)),
)
async def search(
    request: ApiRequest,
    q: Annotated[str, _Q],
    kind: Annotated[Kind | None, QueryParameter(description="Search only these.")] = None,
    path: Annotated[str, PATH] = "",
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 20,
) -> Response[bytes]:
    """What holds the text, by kind. ``stopped`` are kinds that may have more results."""
    if "\x00" in q:
        raise invalid_query("q", "No text holds NUL")
    query = Query(text=q, kinds=KINDS if kind is None else (kind,), path=path, limit=limit)
    found = await request.snapshot(finding.search, request.principal.organization_id, query)
    return Response(msgspec.json.encode(found), media_type=JSON)


ROUTER = routing.ApiRouter(path=routing.API, route_handlers=[search], tags=["Assistants"])
