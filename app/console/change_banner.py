"""What others do to an assistant while somebody looks at a page of it: a bar that says so.

The page asks with the version that it was told of last, at first the one that it shows. Until
somebody changes the assistant, the answer is 204.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.params import FromPath, QueryParameter
from litestar.response import Template

from app.api.access import VIEWER
from app.console.api_client import part, signed_in
from app.console.rendering import page
from app.storage.tables import MAX_ID

AnyRequest = Request[Any, Any, Any]


@get("/assistants/{assistant_id:str}/live", opt=VIEWER)
async def show_latest(
    request: AnyRequest,
    assistant_id: FromPath[str],
    since: Annotated[int, QueryParameter(ge=0, le=MAX_ID)] = 0,
    known: Annotated[int, QueryParameter(ge=0, le=MAX_ID)] = 0,
) -> Template | Response[None]:
    """The last change, for a page that shows the version ``since``; 204 to one that knows it."""
    visitor = await signed_in(request)
    at = f"/assistants/{part(assistant_id)}"
    answer = await visitor.get(at)
    if answer.status == HTTPStatus.NOT_FOUND:
        return page("live", visitor, answer.status, last=None)
    version = answer.or_raise()["version"]
    if version == known:
        return Response(None, status_code=HTTPStatus.NO_CONTENT)
    last = (await visitor.get(f"{at}/versions/{version}")).or_raise()
    return page("live", visitor, assistant=answer.data, last=last, since=since)


HANDLERS = [show_latest]
