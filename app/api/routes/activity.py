"""What happens where: the assistants by their last change."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, get
from litestar.params import QueryParameter
from msgspec import Struct

from app.api import openapi
from app.api.access import VIEWER
from app.api.examples import ACTIVITY
from app.api.request import JSON, invalid, principal, services
from app.api.routes.assistants import PREFIX
from app.storage.tables import MAX_ID
from projections.activity import ActiveAssistant
from projections.current import Selection

AnyRequest = Request[Any, Any, Any]

_ACTIVE = {"active": True, "inactive": False}


class Activity(Struct, frozen=True, kw_only=True):
    """A page of the chosen assistants, of ``total``, and the days (UTC) that are counted."""

    since: date
    until: date
    total: int
    assistants: list[ActiveAssistant]


COMPONENTS = (Activity,)


@get(
    f"{PREFIX}/activity",
    opt=VIEWER,
    tags=["Assistants"],
    summary="Tell who changed what last, and how often",
    operation_class=openapi.operation(openapi.Answer(Activity, example=ACTIVITY), errors=(422,)),
)
async def list_activity(
    request: AnyRequest,
    days: Annotated[int, QueryParameter(ge=1, le=366)] = 90,
    search: Annotated[str, openapi.SEARCH] = "",
    status: Annotated[
        Literal["active", "inactive", "all", "deleted"],
        QueryParameter(description="`all` are the living ones; `deleted` ones can be restored."),
    ] = "all",
    sort: Annotated[Literal["changed", "created", "name"], QueryParameter()] = "changed",
    skip: Annotated[int, QueryParameter(ge=0, le=MAX_ID)] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
) -> Response[bytes]:
    """Each assistant with its last change, and how many changes each of the last days had."""
    who = principal(request)
    if "\x00" in search:
        raise invalid("search", "No name holds NUL")
    selection = Selection(deleted=status == "deleted", active=_ACTIVE.get(status), search=search)
    until = services(request).clock().date()
    since, total, found = await services(request).assistants.activity(
        who.organization_id, selection, sort, until, days=days, skip=skip, limit=limit
    )
    answer = Activity(since=since, until=until, total=total, assistants=found)
    return Response(msgspec.json.encode(answer), media_type=JSON)


HANDLERS = [list_activity]
