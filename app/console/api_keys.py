"""API keys: all of the organization, and a form that creates one. For admins."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from litestar import Router, get, post
from litestar.params import FromPath
from litestar.response import Redirect, Template

from app.accounts.principals import REVEAL, Role
from app.api.access import ADMIN
from app.console.api_client import segment
from app.console.forms import Form, first, idempotency, submitted
from app.console.problems import sentences
from app.console.rendering import page, redirect
from app.console.visitor import PageRequest, Visitor

_KEYS = "/users/me/api-keys"


@get("/", opt=ADMIN)
async def show_keys(request: PageRequest) -> Template:
    """Every key of the organization, and a form that creates one."""
    return await _page(request.visitor)


@post("/", opt=ADMIN, status_code=HTTPStatus.OK)
async def create_key(request: PageRequest) -> Template:
    """Create a key, and show it: this page is the only one that does."""
    visitor, form = await submitted(request)
    body = {
        "name": first(form, "name"),
        "role": first(form, "role") or "viewer",
        "scopes": [REVEAL] if "reveals" in form else [],
    }
    answer = await visitor.send("POST", _KEYS, body=body, headers=idempotency(form))
    if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return await _page(visitor, form, sentences(answer.data))
    return await _page(visitor, created=answer.or_raise())


@post("/{key_id:str}", opt=ADMIN, status_code=HTTPStatus.OK)
async def change_key(request: PageRequest, key_id: FromPath[str]) -> Redirect | Template:
    """Rename a key, revoke it, or activate it again."""
    visitor, form = await submitted(request)
    body: dict[str, Any] = {"name": first(form, "name")} if "name" in form else {}
    if "is_active" in form:
        body["is_active"] = first(form, "is_active") == "true"
    path = f"{_KEYS}/{segment(key_id)}"
    answer = await visitor.send("PUT", path, body=body, headers=idempotency(form))
    if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return await _page(visitor, errors=sentences(answer.data))
    answer.or_raise()
    return redirect("/keys")


async def _page(
    visitor: Visitor,
    typed: Form | None = None,
    errors: list[str] | None = None,
    created: dict[str, Any] | None = None,
) -> Template:
    answer = await visitor.get(_KEYS)
    errors = list(errors or ())
    # A new key is shown even where the list cannot be read.
    is_key_alone = created is not None and answer.is_problem
    if is_key_alone:
        errors += sentences(answer.data)
    return page(
        "keys",
        visitor,
        HTTPStatus.UNPROCESSABLE_ENTITY if errors and created is None else HTTPStatus.OK,
        keys=[] if is_key_alone else answer.or_raise(),
        roles=[role.name for role in Role],
        typed=typed or {},
        errors=errors,
        created=created,
    )


ROUTER = Router("/keys", route_handlers=[show_keys, create_key, change_key])
