"""API keys: a new one, which is shown once, and those that there are. For admins."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from litestar import Request, get, post
from litestar.params import FromPath
from litestar.response import Redirect, Template

from app.accounts.principals import REVEAL, Role
from app.api.access import ADMIN
from app.console.api_client import Form, Visitor, first, once, part, signed_in, submitted
from app.console.rendering import errors_of, go, page

AnyRequest = Request[Any, Any, Any]

_KEYS = "/users/me/api-keys"


@get("/keys", opt=ADMIN)
async def show_keys(request: AnyRequest) -> Template:
    """Every key of the organization, and a form that makes one."""
    visitor = await signed_in(request)
    return await _page(visitor)


@post("/keys", opt=ADMIN, status_code=HTTPStatus.OK)
async def create_key(request: AnyRequest) -> Template:
    """Make a key, and show it this once."""
    visitor, form = await submitted(request)
    body = {
        "name": first(form, "name"),
        "role": first(form, "role") or "viewer",
        "scopes": [REVEAL] if "reveals" in form else [],
    }
    made = await visitor.send("POST", _KEYS, body=body, headers=once(form))
    if made.status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return await _page(visitor, form, errors_of(made.data))
    return await _page(visitor, made=made.or_raise())


@post("/keys/{key_id:str}", opt=ADMIN, status_code=HTTPStatus.OK)
async def change_key(request: AnyRequest, key_id: FromPath[str]) -> Redirect | Template:
    """Rename a key, switch it off, or on again."""
    visitor, form = await submitted(request)
    body: dict[str, Any] = {"name": first(form, "name")} if "name" in form else {}
    if "is_active" in form:
        body["is_active"] = first(form, "is_active") == "true"
    answer = await visitor.send("PUT", f"{_KEYS}/{part(key_id)}", body=body, headers=once(form))
    if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return await _page(visitor, errors=errors_of(answer.data))
    answer.or_raise()
    return go("/keys")


async def _page(
    visitor: Visitor,
    typed: Form | None = None,
    errors: list[str] | None = None,
    made: dict[str, Any] | None = None,
) -> Template:
    found = await visitor.get(_KEYS)
    errors = list(errors or ())
    if made is not None and found.refused:  # whatever the list is: the key is there, and shown
        errors += errors_of(found.data)
    return page(
        "keys",
        visitor,
        HTTPStatus.UNPROCESSABLE_ENTITY if errors and made is None else HTTPStatus.OK,
        keys=[] if made is not None and found.refused else found.or_raise(),
        roles=[role.name for role in Role],
        typed=typed or {},
        errors=errors,
        made=made,
    )


HANDLERS = [show_keys, create_key, change_key]
