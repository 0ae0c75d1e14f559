"""Some settings of one assistant, copied to others as one change set; never its secrets."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from litestar import Router, get, post
from litestar.params import QueryParameter
from litestar.response import Redirect, Template
from msgspec import UNSET

from app.api.access import EDITOR
from app.console import texts
from app.console.api_client import segment
from app.console.field import Field
from app.console.forms import Form, first, submitted
from app.console.many import FIELDS, Copied, Typed, change, show_plan
from app.console.rendering import page
from app.console.selection import selected
from app.console.typed_secrets import is_masked
from app.console.visitor import PageRequest, Visitor
from events import pointers
from events.errors import FieldError, InvalidSettings

_SHOWN = 200
_Text = Annotated[str, QueryParameter(max_length=200)]


@get("/", opt=EDITOR)
async def choose_targets(request: PageRequest, source: _Text = "", search: _Text = "") -> Template:
    """The assistants to which the settings can be copied."""
    visitor = request.visitor
    settings = request.query_params.getall("setting", [])
    assistant = await _read(visitor, source, "")
    typed, left_out = _values(assistant, settings)
    query = {"search": search, "sort": "name", "limit": _SHOWN}
    activity = (await visitor.get("/assistants/activity", **query)).or_raise()
    return page(
        "copying",
        visitor,
        source=assistant,
        fields=typed.fields,
        values=typed.patch,
        at=pointers.at,
        left_out=left_out,
        search=search,
        total=activity["total"],
        targets=[one for one in activity["assistants"] if one["id"] != assistant["id"]],
    )


@post("/plan", opt=EDITOR, status_code=HTTPStatus.OK)
async def plan(request: PageRequest) -> Template:
    """What the copy would change of each assistant."""
    visitor, form = await submitted(request)
    ids, typed, copied = await _copied(visitor, form)
    return await show_plan(visitor, ids, typed, form, copied=copied)


@post("/apply", opt=EDITOR, status_code=HTTPStatus.OK)
async def apply(request: PageRequest) -> Template | Redirect:
    """Copy the settings as planned, to all or to none; then show the change set."""
    visitor, form = await submitted(request)
    ids, typed, copied = await _copied(visitor, form)
    return await change(visitor, ids, typed, form, copied)


async def _copied(visitor: Visitor, form: Form) -> tuple[list[int], Typed, Copied]:
    """The targets, and the values of the source at the version that the page showed."""
    source_id = first(form, "source")
    version = first(form, "version") or first(form, f"version:{source_id}")
    source = await _read(visitor, source_id, version)
    ids = [one for one in await selected(visitor, form) if one != source["id"]]
    typed, left_out = _values(source, form.get("setting", []))
    if not typed.fields or not ids:
        message = texts.Copying.no_target if typed.fields else texts.Copying.nothing_left
        raise InvalidSettings((FieldError(loc=("body",), msg=message, type="copying"),))
    return ids, typed, Copied(source=source, left_out=left_out)


async def _read(visitor: Visitor, source: str, version: str) -> dict[str, Any]:
    path = f"/assistants/{segment(source or 0)}"
    assistant: dict[str, Any] = (await visitor.get(path, version=version)).or_raise()
    return assistant


def _values(source: dict[str, Any], settings: list[str]) -> tuple[Typed, list[str]]:
    """The values of settings as a patch, and the settings that hold secrets: those are left out."""
    fields: list[Field] = []
    patch: dict[str, Any] = {}
    left_out: list[str] = []
    for field in [FIELDS[path] for path in dict.fromkeys(settings) if path in FIELDS]:
        value = pointers.at(source, field.path)
        if field.kind == "secret" or is_masked(value):
            left_out.append(field.path)
            continue
        fields.append(field)
        patch = pointers.put(patch, field.path, None if value is UNSET else value)
    return Typed(fields=fields, patch=patch, errors={}), left_out


ROUTER = Router("/assistants/copy", route_handlers=[choose_targets, plan, apply])
