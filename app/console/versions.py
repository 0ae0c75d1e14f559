"""The versions of an assistant as its pages offer them, and the form that labels one."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from litestar import Router, post
from litestar.params import FromPath
from litestar.response import Redirect

from app.api.access import EDITOR
from app.console import cookies
from app.console.api_client import segment
from app.console.forms import first, idempotency, submitted
from app.console.rendering import redirect
from app.console.visitor import PageRequest

if TYPE_CHECKING:
    from app.console.visitor import Visitor

MOST = 1000  # of those that a page offers, the newest
_PAGE = 200
_REMOVE = "remove"


async def read_versions(visitor: Visitor, at: str) -> list[dict[str, Any]]:
    """The newest versions of the assistant at ``at``, with their people, reasons and labels."""
    found: list[dict[str, Any]] = []
    query = {"limit": str(_PAGE)}
    while query and len(found) < MOST:
        answer = await visitor.get(f"{at}/versions", **query)
        found += answer.or_raise()
        query = answer.next_query
    return found


@post("/versions/{version:str}/label", opt=EDITOR, status_code=HTTPStatus.OK)
async def set_label(
    request: PageRequest, assistant_id: FromPath[str], version: FromPath[str]
) -> Redirect:
    """Give a version the label of a form, or remove the one that it has."""
    visitor, form = await submitted(request)
    at = f"/assistants/{segment(assistant_id)}/versions/{segment(version)}"
    label = first(form, "label").strip()
    method = "DELETE" if _REMOVE in form or not label else "PUT"
    body = {"body": {"label": label}} if method == "PUT" else {}
    answer = await visitor.send(method, f"{at}/label", headers=idempotency(form), **body)
    answer.or_raise()
    return redirect(cookies.local(first(form, "back") or at))


ROUTER = Router("/assistants/{assistant_id:str}", route_handlers=[set_label])
