"""The organization's assistants: who changed what last, and a new one."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode

from litestar import Request, get, post
from litestar.params import QueryParameter
from litestar.response import Redirect, Template

from app.api.access import EDITOR, VIEWER
from app.console import sparkline
from app.console.api_client import Visitor, first, once, signed_in, submitted
from app.console.rendering import errors_of, go, page
from app.storage.tables import MAX_ID
from events.secrets.values import Plain, read_text

AnyRequest = Request[Any, Any, Any]

_AT_ONCE = 50
_SORTS = {"changed": "Last change", "name": "Name", "created": "Creation"}
_STATES = {"all": "All", "active": "On", "inactive": "Off", "deleted": "Deleted"}


@get("/", opt=VIEWER)
async def list_assistants(
    request: AnyRequest,
    search: Annotated[str, QueryParameter(max_length=200)] = "",
    status: Annotated[str, QueryParameter()] = "all",
    sort: Annotated[str, QueryParameter()] = "changed",
    skip: Annotated[int, QueryParameter(ge=0, le=MAX_ID)] = 0,
) -> Template:
    """All of them, or those that are sought, with their last change and a line of 90 days."""
    visitor = await signed_in(request)
    asked = {"search": search, "status": status, "sort": sort}
    found = await visitor.get("/assistants/activity", **asked, skip=skip, limit=_AT_ONCE)
    answer = found.or_raise()
    for one in answer["assistants"]:
        one["line"] = sparkline.draw(answer["since"], answer["until"], one["days"])
    total, after = answer["total"], skip + _AT_ONCE
    policy = (await visitor.get("/policy")).or_raise()
    return page(
        "assistants",
        visitor,
        asked=asked,
        sorts=_SORTS,
        states=_STATES,
        assistants=answer["assistants"],
        wants_reason=policy["require_reason"],
        total=total,
        first=skip + 1,
        newer=_address(asked, max(skip - _AT_ONCE, 0)) if skip else None,
        older=_address(asked, after) if after < total else None,
    )


def _address(asked: dict[str, str], skip: int) -> str:
    return f"/?{urlencode(asked | {'skip': skip})}"


@get("/assistants/new", opt=EDITOR)
async def show_new(request: AnyRequest) -> Template:
    """The form that makes an assistant."""
    visitor = await signed_in(request)
    return _form(visitor)


@post("/assistants/new", opt=EDITOR, status_code=HTTPStatus.OK)
async def create(request: AnyRequest) -> Template | Redirect:
    """Make an assistant, and show it."""
    visitor, form = await submitted(request)
    body = {name: text for name in ("name", "description") if (text := first(form, name))}
    made = await visitor.send("POST", "/assistants", body=body, headers=once(form))
    if made.status == HTTPStatus.UNPROCESSABLE_ENTITY:
        shown = {
            name: text for name, text in body.items() if not isinstance(read_text(text), Plain)
        }
        return _form(visitor, shown, errors_of(made.data))
    return go(f"/assistants/{made.or_raise()['id']}")


def _form(
    visitor: Visitor, filled: dict[str, str] | None = None, errors: list[str] | None = None
) -> Template:
    status = HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK
    return page("new", visitor, status, filled=filled or {}, errors=errors or [])


HANDLERS = [list_assistants, show_new, create]
