"""The banner on an assistant's pages that reports changes by others while a page is open.

The page polls with the version that it shows and the last one that it knows; the answer is 204
until there is a newer one.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from litestar import Response, Router, get
from litestar.params import FromPath, QueryParameter
from litestar.response import Template

from app.api.access import VIEWER
from app.console.api_client import segment
from app.console.rendering import page
from app.console.visitor import PageRequest
from app.storage.tables import MAX_ID


@get("/live", opt=VIEWER)
async def show_latest(
    request: PageRequest,
    assistant_id: FromPath[str],
    since: Annotated[int, QueryParameter(ge=0, le=MAX_ID)] = 0,
    known: Annotated[int, QueryParameter(ge=0, le=MAX_ID)] = 0,
) -> Template | Response[None]:
    """The last change, for a page that shows version ``since``; 204 where it is ``known``."""
    visitor = request.visitor
    at = f"/assistants/{segment(assistant_id)}"
    answer = await visitor.get(at)
    if answer.status == HTTPStatus.NOT_FOUND:
        return page("live", visitor, answer.status, last=None)
    version = answer.or_raise()["version"]
    if version == known:
        return Response(None, status_code=HTTPStatus.NO_CONTENT)
    last = (await visitor.get(f"{at}/versions/{version}")).or_raise()
    return page("live", visitor, assistant=answer.data, last=last, since=since)


ROUTER = Router("/assistants/{assistant_id:str}", route_handlers=[show_latest])
