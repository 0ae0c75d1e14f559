"""What the organization demands of every change: for all to read, for admins to change."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from litestar import Request, get, post
from litestar.response import Redirect, Template

from app.api.access import ADMIN, VIEWER
from app.console.api_client import Form, Visitor, first, once, signed_in, submitted
from app.console.line_ends import as_typed
from app.console.rendering import errors_of, go, page
from events.bodies.reasons import REASON

AnyRequest = Request[Any, Any, Any]

_SWITCHES = ("require_reason", "require_condition")
_LISTS = ("require_reason_for", "admin_paths", "secret_paths", "plain_paths")
_REFUSED = (HTTPStatus.PRECONDITION_FAILED, HTTPStatus.UNPROCESSABLE_ENTITY)


@get("/policy", opt=VIEWER)
async def show_policy(request: AnyRequest) -> Template:
    """The policy as it is; admins may change it."""
    visitor = await signed_in(request)
    answer = await visitor.get("/policy")
    return _page(visitor, answer.or_raise(), answer.headers["etag"])


@post("/policy", opt=ADMIN, status_code=HTTPStatus.OK)
async def change_policy(request: AnyRequest) -> Template | Redirect:
    """Demand what the form says, if the policy is still the one that it was made from."""
    visitor, form = await submitted(request)
    wanted = _wanted(form, (await visitor.get("/policy")).or_raise())
    body = wanted | {REASON: first(form, REASON) or None}
    headers = once(form) | {"if-match": first(form, "etag")}
    answer = await visitor.send("PUT", "/policy", body=body, headers=headers)
    if answer.status not in _REFUSED:
        answer.or_raise()
        return go("/policy")
    etag, now = first(form, "etag"), None
    if answer.status == HTTPStatus.PRECONDITION_FAILED:
        # What was typed is shown beside the policy of now: sent again, it is a choice.
        latest = await visitor.get("/policy")
        etag, now = latest.headers["etag"], latest.or_raise()
    errors, reason = _errors(answer.data, wanted), first(form, REASON)
    return _page(visitor, wanted, etag, answer.status, errors=errors, reason_text=reason, now=now)


def _page(
    visitor: Visitor,
    policy: dict[str, Any],
    etag: str,
    status: int = HTTPStatus.OK,
    *,
    errors: list[str] | None = None,
    reason_text: str = "",
    now: dict[str, Any] | None = None,
) -> Template:
    """A policy to be changed, as it is or as it was typed; beside that ``now``, if it differs."""
    said = {"errors": errors or [], "reason_text": reason_text, "now": now}
    return page("policy", visitor, status, policy=policy, etag=etag, **said)


def _errors(said: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """What is wrong; a path of a list by itself, not by its place in the list."""
    named = []
    for one in said["detail"] if isinstance(said["detail"], list) else ():
        match one["loc"]:
            case [_, name, int(place)]:
                named.append(one | {"loc": [], "msg": f"{wanted[name][place]}: {one['msg']}"})
            case _:
                named.append(one)
    return errors_of(said | {"detail": named} if named else said)


def _wanted(form: Form, now: dict[str, Any]) -> dict[str, Any]:
    lists = {name: _paths(first(form, name), now[name]) for name in _LISTS}
    return {name: name in form for name in _SWITCHES} | lists


def _paths(text: str, now: list[str]) -> list[str]:
    """The paths of a text, one on each line; a list that was left alone stays as it is."""
    if text == as_typed("\n".join(now)):
        return now
    return [line for line in text.split("\n") if line.strip()]


HANDLERS = [show_policy, change_policy]
