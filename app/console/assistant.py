"""One assistant: its settings, each with who set it; and switching, copying and deleting it."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from litestar import Router, get, post
from litestar.params import FromPath
from litestar.response import Redirect, Template

from app.api.access import EDITOR, VIEWER
from app.console import fields
from app.console.api_client import Answer, segment
from app.console.blame import read_blame
from app.console.forms import Form, first, idempotency, submitted
from app.console.problems import sentences
from app.console.rendering import page, redirect
from app.console.visitor import PageRequest, Visitor
from events.bodies.reasons import REASON
from events.pointers import Paths


@get("/", opt=VIEWER)
async def show_assistant(request: PageRequest, assistant_id: FromPath[str]) -> Template:
    """The settings in groups, each with who set it, when and why."""
    visitor = request.visitor
    assistant = (await visitor.get(f"/assistants/{segment(assistant_id)}")).or_raise()
    return await assistant_page(visitor, assistant)


async def assistant_page(
    visitor: Visitor,
    assistant: dict[str, Any],
    status: int = HTTPStatus.OK,
    *,
    typed: Form | None = None,
    errors: Mapping[str, str] | None = None,
) -> Template:
    """The page of an assistant; ``typed`` replaces what its fields hold, ``errors`` are by path."""
    policy = (await visitor.get("/policy")).or_raise()
    return page(
        "assistant",
        visitor,
        status,
        assistant=assistant,
        groups=fields.groups(assistant),
        blame=await read_blame(visitor, assistant["id"]),
        typed=typed or {},
        errors=errors or {},
        needs_reason=policy["require_reason"],
        paths_needing_reason=Paths(policy["require_reason_for"]),
        locked=Paths([] if visitor.is_admin else policy["admin_paths"]),
    )


@post("/status", opt=EDITOR, status_code=HTTPStatus.OK)
async def switch(request: PageRequest, assistant_id: FromPath[str]) -> Template | Redirect:
    """Switch an assistant on or off, unless it was changed since its page was opened."""
    visitor, form = await submitted(request)
    at = f"/assistants/{segment(assistant_id)}"
    query = {"is_active": first(form, "is_active")} | _reason(form)
    answer = await visitor.send("PATCH", f"{at}/status", query=query, headers=_unchanged(form))
    if answer.status == HTTPStatus.PRECONDITION_FAILED:
        return await _show_changed(visitor, at, answer)
    return redirect(f"/assistants/{answer.or_raise()['id']}")


@post("/duplicate", opt=EDITOR, status_code=HTTPStatus.OK)
async def duplicate(request: PageRequest, assistant_id: FromPath[str]) -> Redirect:
    """Copy an assistant, without its secrets, and show the copy."""
    visitor, form = await submitted(request)
    at = f"/assistants/{segment(assistant_id)}"
    answer = await visitor.send("POST", f"{at}/duplicate", headers=idempotency(form))
    return redirect(f"/assistants/{answer.or_raise()['id']}")


@post("/delete", opt=EDITOR, status_code=HTTPStatus.OK)
async def delete(request: PageRequest, assistant_id: FromPath[str]) -> Template | Redirect:
    """Delete an assistant, unless it was changed since its page was opened; its history stays."""
    visitor, form = await submitted(request)
    at = f"/assistants/{segment(assistant_id)}"
    answer = await visitor.send("DELETE", at, query=_reason(form), headers=_unchanged(form))
    if answer.status == HTTPStatus.PRECONDITION_FAILED:
        return await _show_changed(visitor, at, answer)
    answer.or_raise()
    return redirect("/")


@post("/restore", opt=EDITOR, status_code=HTTPStatus.OK)
async def restore(request: PageRequest, assistant_id: FromPath[str]) -> Redirect:
    """Restore a deleted assistant, and show it."""
    visitor, form = await submitted(request)
    path = f"/assistants/{segment(assistant_id)}/restore"
    answer = await visitor.send("POST", path, body=_reason(form), headers=idempotency(form))
    return redirect(f"/assistants/{answer.or_raise()['id']}")


async def _show_changed(visitor: Visitor, at: str, answer: Answer) -> Template:
    """The assistant as it is now, to look at before the form is sent again."""
    assistant = (await visitor.get(at)).or_raise()
    errors = {"": sentences(answer.data)[0]}
    return await assistant_page(visitor, assistant, HTTPStatus.PRECONDITION_FAILED, errors=errors)


def _reason(form: Form) -> dict[str, str]:
    reason = first(form, REASON)
    return {REASON: reason} if reason else {}


def _unchanged(form: Form) -> dict[str, str]:
    """The headers that refuse the form if the assistant was changed meanwhile."""
    return idempotency(form) | {"if-match": first(form, "etag")}


ROUTER = Router(
    "/assistants/{assistant_id:str}",
    route_handlers=[show_assistant, switch, duplicate, delete, restore],
)
