"""The form that labels a version, or removes its label."""

from __future__ import annotations

from http import HTTPStatus

from litestar import Router, post
from litestar.params import FromPath
from litestar.response import Redirect, Template

from app.api.access import EDITOR
from app.console import cookies
from app.console.api_client import segment
from app.console.comparing import change_page
from app.console.forms import first, idempotency, submitted
from app.console.problems import sentences
from app.console.rendering import redirect
from app.console.visitor import PageRequest

_REMOVE = "remove"


@post("/versions/{version:str}/label", opt=EDITOR, status_code=HTTPStatus.OK)
async def set_label(
    request: PageRequest, assistant_id: FromPath[str], version: FromPath[str]
) -> Template | Redirect:
    """Give a version the label of a form, or remove the one that it has."""
    visitor, form = await submitted(request)
    at = f"/assistants/{segment(assistant_id)}"
    path = f"{at}/versions/{segment(version)}"
    label = first(form, "label").strip()
    method = "DELETE" if _REMOVE in form or not label else "PUT"
    body = {"body": {"label": label}} if method == "PUT" else {}
    answer = await visitor.send(method, f"{path}/label", headers=idempotency(form), **body)
    if answer.is_problem:
        errors = sentences(answer.data)
        return await change_page(request, at, version, errors=errors, status=answer.status)
    return redirect(cookies.local(first(form, "back") or path))


ROUTER = Router("/assistants/{assistant_id:str}", route_handlers=[set_label])
