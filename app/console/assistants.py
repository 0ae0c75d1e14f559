"""The organization's assistants, each with its last change; and a form that creates one."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlencode

from litestar import Router, get, post
from litestar.params import QueryParameter
from litestar.response import Redirect, Template

from app.api.access import EDITOR, VIEWER
from app.console import sparkline, texts
from app.console.forms import first, idempotency, submitted
from app.console.many import FIELDS
from app.console.problems import sentences
from app.console.rendering import page, redirect
from app.console.visitor import PageRequest, Visitor
from app.storage.tables import MAX_ID
from events.secrets.values import Plain, read_text

_PAGE_SIZE = 50
_MOST_PAGES = MAX_ID // _PAGE_SIZE


@get("/assistants", opt=VIEWER)
async def list_assistants(
    request: PageRequest,
    search: Annotated[str, QueryParameter(max_length=200)] = "",
    status: Annotated[str, QueryParameter()] = "all",
    sort: Annotated[str, QueryParameter()] = "changed",
    setting: Annotated[str, QueryParameter(max_length=1000)] = "",
    chosen: Annotated[str, QueryParameter(max_length=2000)] = "",
    note: Annotated[str, QueryParameter(max_length=20)] = "",
    skip: Annotated[int, QueryParameter(ge=0, le=MAX_ID)] = 0,
    number: Annotated[int, QueryParameter(name="page", ge=0, le=_MOST_PAGES)] = 0,
) -> Template:
    """Assistants by the filters, each with its last change and its changes of 90 days.

    ``skip`` or the number of a page says where the page starts; each link shows ``setting``.
    ``chosen`` are the ids that stay selected, and ``note`` is what the selection was too few for.
    """
    visitor = request.visitor
    filters = {"search": search, "status": status, "sort": sort}
    setting = setting if setting in FIELDS else ""
    skip = (number - 1) * _PAGE_SIZE if number else skip
    answer = await visitor.get("/assistants/activity", **filters, skip=skip, limit=_PAGE_SIZE)
    activity = answer.or_raise()
    for assistant in activity["assistants"]:
        days = assistant["days"]
        assistant["line"] = sparkline.draw(activity["since"], activity["until"], days)
    policy = (await visitor.get("/policy")).or_raise()
    return page(
        "assistants",
        visitor,
        filters=filters,
        carried=_carried(filters, setting),
        setting=setting,
        chosen=chosen.split(),
        note=texts.Many.notes.get(note, ""),
        assistants=activity["assistants"],
        needs_reason=policy["require_reason"],
        total=activity["total"],
        first=skip + 1,
        number=skip // _PAGE_SIZE + 1,
        pages=max(-(-activity["total"] // _PAGE_SIZE), 1),
        letters=[
            (one["initial"].upper(), _address(_carried(filters, setting), one["skip"]))
            for one in activity["initials"]
            if activity["total"] > _PAGE_SIZE
        ],
        previous=_address(_carried(filters, setting), max(skip - _PAGE_SIZE, 0)) if skip else None,
        next=answer.next_page("/assistants", _carried(filters, setting), "skip"),
    )


def _carried(filters: dict[str, str], setting: str) -> dict[str, str]:
    """What every link and form of the list carries on."""
    return filters | ({"setting": setting} if setting else {})


def _address(filters: dict[str, str], skip: int) -> str:
    return f"/assistants?{urlencode(filters | {'skip': skip})}"


@get("/assistants/new", opt=EDITOR)
async def show_form(request: PageRequest) -> Template:
    """The form that creates an assistant."""
    return _form(request.visitor)


@post("/assistants/new", opt=EDITOR, status_code=HTTPStatus.OK)
async def create(request: PageRequest) -> Template | Redirect:
    """Create an assistant, and show it."""
    visitor, form = await submitted(request)
    body = {name: text for name in ("name", "description") if (text := first(form, name))}
    answer = await visitor.send("POST", "/assistants", body=body, headers=idempotency(form))
    if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY:
        # No page shows a secret that was typed.
        typed = {n: text for n, text in body.items() if not isinstance(read_text(text), Plain)}
        return _form(visitor, typed, sentences(answer.data))
    return redirect(f"/assistants/{answer.or_raise()['id']}")


def _form(
    visitor: Visitor, typed: dict[str, str] | None = None, errors: list[str] | None = None
) -> Template:
    status = HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK
    return page("new", visitor, status, typed=typed or {}, errors=errors or [])


ROUTER = Router("/", route_handlers=[list_assistants, show_form, create])
