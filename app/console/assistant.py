"""One assistant: its settings, each with who set it; and switching, copying and deleting it."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

from litestar import Router, get, post
from litestar.params import FromPath, QueryParameter
from litestar.response import Redirect, Template

from app.api.access import EDITOR, VIEWER
from app.console.api_client import Answer, segment
from app.console.blame import read_blame
from app.console.forms import Form, first, idempotency, submitted
from app.console.policy import read_policy
from app.console.problems import sentences
from app.console.rendering import page, redirect
from app.console.rows import ONLY, Filter, Reader, sections
from app.console.visitor import PageRequest, Visitor
from app.storage.tables import MAX_ID
from events.bodies.reasons import REASON
from events.pointers import Paths

_ALL = Filter()
_Only = Annotated[list[str] | None, QueryParameter()]
_Text = Annotated[str, QueryParameter(max_length=200)]
_Number = Annotated[int, QueryParameter(ge=0, le=MAX_ID)]


@get("/", opt=VIEWER)
async def show_assistant(
    request: PageRequest,
    assistant_id: FromPath[str],
    q: _Text = "",
    only: _Only = None,
    base: _Number = 0,
    saved: _Number = 0,
) -> Template:
    """The settings in groups, each with who set it, when and why.

    ``q`` and ``only`` filter them; ``base`` is an earlier version, over which an old draft is
    edited on; ``saved`` is the version that a form has just made.
    """
    visitor = request.visitor
    query = {"version": base} if base else {}
    assistant = (await visitor.get(f"/assistants/{segment(assistant_id)}", **query)).or_raise()
    shown = Filter(text=q.strip(), only=tuple(name for name in ONLY if name in (only or ())))
    return await assistant_page(visitor, assistant, shown=shown, is_older=bool(base), saved=saved)


async def assistant_page(
    visitor: Visitor,
    assistant: dict[str, Any],
    status: int = HTTPStatus.OK,
    *,
    typed: Form | None = None,
    errors: Mapping[str, str] | None = None,
    shown: Filter = _ALL,
    is_older: bool = False,
    saved: int = 0,
    note: str = "",
) -> Template:
    """The page of an assistant; ``typed`` replaces what its fields hold, ``errors`` are by path.

    ``note`` is said above the form.
    """
    policy = await read_policy(visitor)
    blame = await read_blame(visitor, assistant["id"], assistant["version"])
    reader = Reader(
        principal=visitor.principal, now=visitor.now(), secret_paths=Paths(policy.secret_paths)
    )
    return page(
        "assistant",
        visitor,
        status,
        assistant=assistant,
        sections=sections(assistant, blame, reader),
        shown=shown,
        is_older=is_older,
        saved=saved if saved == assistant["version"] else 0,
        note=note,
        typed=typed or {},
        errors=errors or {},
        needs_reason=policy.require_reason,
        paths_needing_reason=Paths(policy.require_reason_for),
        locked=Paths([] if visitor.is_admin else policy.admin_paths),
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
    switched = answer.or_raise()
    is_new = first(form, "etag") != f'"{switched["version"]}"'
    return redirect(f"{at}?saved={switched['version']}" if is_new else at)


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
    return redirect("/assistants")


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
