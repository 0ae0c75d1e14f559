"""What the organization demands of every change: for all to read, for admins to change."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from litestar import Request, post
from litestar.response import Redirect, Template

from app.console.asking import Form, first, once, signed_in, submitted
from app.console.pages import errors_of, go, page, show
from events.patch import REASON

AnyRequest = Request[Any, Any, Any]

_SWITCHES = ("require_reason", "require_condition")
_LISTS = ("require_reason_for", "admin_paths")
_REFUSED = (HTTPStatus.PRECONDITION_FAILED, HTTPStatus.UNPROCESSABLE_ENTITY)


@show("/policy")
async def show_policy(request: AnyRequest) -> Template:
    """The policy as it is; admins may change it."""
    visitor = await signed_in(request)
    answer = await visitor.get("/policy")
    policy = answer.or_raise()
    return page("policy", visitor, policy=policy, etag=answer.headers["etag"], errors=[])


@post("/policy", status_code=HTTPStatus.OK)
async def change_policy(request: AnyRequest) -> Template | Redirect:
    """Demand what the form says, if the policy is still the one that it was made from."""
    visitor, form = await submitted(request)
    wanted = _wanted(form)
    body = wanted | {REASON: first(form, REASON) or None}
    headers = once(form) | {"if-match": first(form, "etag")}
    answer = await visitor.send("PUT", "/policy", body=body, headers=headers)
    if answer.status not in _REFUSED:
        answer.or_raise()
        return go("/policy")
    # What was typed is shown over the policy of now: sent again, it is a choice.
    now = await visitor.get("/policy")
    now.or_raise()
    errors = errors_of(answer.data)
    return page(
        "policy", visitor, answer.status, policy=wanted, etag=now.headers["etag"], errors=errors
    )


def _wanted(form: Form) -> dict[str, Any]:
    lists = {name: first(form, name).split() for name in _LISTS}
    return {name: name in form for name in _SWITCHES} | lists


HANDLERS = [show_policy, change_policy]
