"""The assistants by their last change."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

import msgspec
from litestar import Response, get
from litestar.params import QueryParameter
from msgspec import Struct

from app.api import routing
from app.api.access import VIEWER
from app.api.examples import ACTIVITY
from app.api.media_types import JSON
from app.api.openapi.operations import Answer, operation
from app.api.paging import LINK, link_to
from app.api.parameter_values import invalid_query
from app.api.parameters import SEARCH
from app.api.request import ApiRequest
from app.assistants import current
from app.storage.tables import MAX_ID
from projections.activity import ActiveAssistant, Initial
from projections.current import Selection

_ACTIVE = {"active": True, "inactive": False}


class Activity(Struct, frozen=True, kw_only=True):
    """A page of the chosen assistants, of ``total``, and the days (UTC) that are counted.

    ``initials`` are the first letters of all names, where they are sorted by name: a page that
    starts at ``skip`` begins with the letter.
    """

    since: date
    until: date
    total: int
    assistants: list[ActiveAssistant]
    initials: list[Initial]


@get(
    "/activity",
    opt=VIEWER,
    summary="List assistants with their recent activity",
    operation_class=operation(Answer(Activity, example=ACTIVITY, headers=LINK), errors=(422,)),
)
async def list_activity(
    request: ApiRequest,
    days: Annotated[int, QueryParameter(ge=1, le=366)] = 90,
    search: Annotated[str, SEARCH] = "",
    status: Annotated[
        Literal["active", "inactive", "all", "deleted"],
        QueryParameter(description="`all` are the living ones; `deleted` ones can be restored."),
    ] = "all",
    sort: Annotated[Literal["changed", "created", "name"], QueryParameter()] = "changed",
    skip: Annotated[int, QueryParameter(ge=0, le=MAX_ID)] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
) -> Response[bytes]:
    """Each assistant with its last change, and the number of changes on each of the last days."""
    principal = request.principal
    if "\x00" in search:
        raise invalid_query("search", "No name holds NUL")
    selection = Selection(deleted=status == "deleted", active=_ACTIVE.get(status), search=search)
    until = request.services.clock().date()
    since, total, page, initials = await request.snapshot(
        current.activity,
        principal.organization_id,
        selection,
        sort,
        until,
        days=days,
        skip=skip,
        limit=limit,
    )
    headers = None if page.end is None else {"link": link_to(request, skip=str(page.end))}
    assistants = msgspec.Raw(page.body)
    answer = {
        "since": since,
        "until": until,
        "total": total,
        "assistants": assistants,
        "initials": initials,
    }
    return Response(msgspec.json.encode(answer), media_type=JSON, headers=headers)


ROUTER = routing.ApiRouter(
    path=routing.ASSISTANTS, route_handlers=[list_activity], tags=["Assistants"]
)
