"""What others do to an assistant while somebody looks at a page of it: a bar that says so.

The page asks with the tag of the version that it shows. That is the API's own tag, so the answer
is 304 until somebody changes the assistant.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from litestar import Request, Response
from litestar.params import FromPath, QueryParameter
from litestar.response import Template

from app.access import VIEWER
from app.accounts import MAX_ID
from app.console.asking import part, signed_in
from app.console.pages import page, show

AnyRequest = Request[Any, Any, Any]

_TAG = "if-none-match"


@show("/assistants/{assistant_id:str}/live", opt=VIEWER)
async def show_latest(
    request: AnyRequest,
    assistant_id: FromPath[str],
    since: Annotated[int, QueryParameter(ge=0, le=MAX_ID)] = 0,
) -> Template | Response[bytes]:
    """The last change, for a page that shows the version ``since``; 304 to one that knows it."""
    visitor = await signed_in(request)
    at = f"/assistants/{part(assistant_id)}"
    held = {_TAG: request.headers[_TAG]} if _TAG in request.headers else {}
    answer = await visitor.send("GET", at, headers=held)
    if answer.status == HTTPStatus.NOT_FOUND:
        return page("live", visitor, answer.status, last=None)
    tag = {"etag": answer.headers.get("etag", "")}
    if answer.status == HTTPStatus.NOT_MODIFIED:
        return Response(b"", status_code=answer.status, headers=tag)
    version = answer.or_raise()["version"]
    last = (await visitor.get(f"{at}/versions/{version}")).or_raise()
    said = page("live", visitor, assistant=answer.data, last=last, since=since)
    said.headers.update(tag)
    return said


HANDLERS = [show_latest]
