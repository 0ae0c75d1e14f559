"""The change policy: what every change of an assistant needs. All read it, admins change it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from litestar import Router, get, post
from litestar.response import Redirect, Template
from msgspec import convert

from app.api.access import ADMIN, VIEWER
from app.console import policy_rules
from app.console.formatting import decode_path
from app.console.forms import Form, first, idempotency, submitted
from app.console.problems import sentences
from app.console.rendering import page, redirect
from app.console.visitor import PageRequest, Visitor
from events.bodies.reasons import REASON
from events.policy import Policy

_SWITCHES = ("require_reason", "require_condition")
_LISTS = ("require_reason_for", "admin_paths", "secret_paths", "plain_paths")
KEEP = "keep:"  # before a list's name: the name of the boxes whose paths stay
_ASK_AGAIN = (HTTPStatus.PRECONDITION_FAILED, HTTPStatus.UNPROCESSABLE_ENTITY)


async def read_policy(visitor: Visitor) -> Policy:
    """The organization's policy."""
    return convert((await visitor.get("/policy")).or_raise(), Policy)


@get("/", opt=VIEWER)
async def show_policy(request: PageRequest) -> Template:
    """The policy; a form for admins."""
    answer = await request.visitor.get("/policy")
    is_saved = "saved" in request.query_params
    return _page(request.visitor, answer.or_raise(), answer.headers["etag"], is_saved=is_saved)


@post("/", opt=ADMIN, status_code=HTTPStatus.OK)
async def change_policy(request: PageRequest) -> Template | Redirect:
    """Save a form, unless the policy was changed since its page was opened."""
    visitor, form = await submitted(request)
    typed = _typed_policy(form)
    etag, reason = first(form, "etag"), first(form, REASON)
    body = typed | {REASON: reason or None}
    headers = idempotency(form) | {"if-match": etag}
    answer = await visitor.send("PUT", "/policy", body=body, headers=headers)
    if answer.status not in _ASK_AGAIN:
        answer.or_raise()
        return redirect("/policy?saved=on")
    current = None
    if answer.status == HTTPStatus.PRECONDITION_FAILED:
        # Sent again, with the current policy beside it, the form overwrites knowingly.
        latest = await visitor.get("/policy")
        etag, current = latest.headers["etag"], latest.or_raise()
    errors = _errors(answer.data, typed)
    return _page(visitor, typed, etag, answer.status, errors, reason_text=reason, current=current)


def _page(
    visitor: Visitor,
    policy: dict[str, Any],
    etag: str,
    status: int = HTTPStatus.OK,
    errors: list[str] | None = None,
    *,
    reason_text: str = "",
    is_saved: bool = False,
    current: dict[str, Any] | None = None,
) -> Template:
    """The form with a policy; ``current`` is the saved one, shown where it differs."""
    return page(
        "policy",
        visitor,
        status,
        policy=policy,
        rules={name: [policy_rules.rule(path) for path in policy[name]] for name in _LISTS},
        settings=policy_rules.PATHS,
        keep=KEEP,
        etag=etag,
        errors=errors or [],
        reason_text=reason_text,
        current=current,
        is_saved=is_saved,
    )


def _errors(problem: dict[str, Any], typed: dict[str, Any]) -> list[str]:
    """The errors as sentences; those of a list name the typed path, not its position."""
    errors = []
    for error in problem["detail"] if isinstance(problem["detail"], list) else ():
        match error["loc"]:
            case [_, name, int(position)]:
                message = f"{typed[name][position]}: {error['msg']}"
                errors.append(error | {"loc": [], "msg": message})
            case _:
                errors.append(error)
    return sentences(problem | {"detail": errors} if errors else problem)


def _typed_policy(form: Form) -> dict[str, Any]:
    return {name: name in form for name in _SWITCHES} | {
        name: policy_rules.paths_of(map(decode_path, form.get(KEEP + name, ())), form.get(name, ()))
        for name in _LISTS
    }


ROUTER = Router("/policy", route_handlers=[show_policy, change_policy])
