"""Undo of one change, and rollback to a version: a plan is shown first, then applied as shown."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import Any

from litestar import Router, get, post
from litestar.params import FromPath
from litestar.response import Redirect, Template
from msgspec import Struct

from app.api.access import EDITOR
from app.console import texts
from app.console.api_client import segment
from app.console.formatting import decode_path
from app.console.forms import MAX_FIELDS, Form, first, idempotency, submitted
from app.console.problems import sentences
from app.console.rendering import page, redirect
from app.console.visitor import PageRequest, Visitor
from events.bodies.reasons import REASON
from events.errors import FieldError, InvalidSettings
from events.pointers import Paths
from projections import words

_UNDO = "/undo/{version:str}"
_ROLLBACK = "/rollback/{version:str}"
_WHOLE = "whole"  # the field of a plan with too many settings to choose from
_MAX_BOXES = MAX_FIELDS - 100
_NUMBER = re.compile(r"[0-9]+")
_PLAN_AGAIN = (HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED, HTTPStatus.UNPROCESSABLE_ENTITY)


class Reversal(Struct, frozen=True, kw_only=True):
    """What is to be reversed, and how the API is asked for it."""

    kind: str  # "undo" or "rollback", in the API's paths and the console's
    assistant_id: str
    version: str
    on_conflict: str = "fail"

    @property
    def at(self) -> str:
        """The path of the assistant, in the API and the console."""
        return f"/assistants/{segment(self.assistant_id)}"

    @property
    def body(self) -> dict[str, Any]:
        """The body of the API request, without a reason."""
        if self.kind == "undo":
            return {"version": self.version, "on_conflict": self.on_conflict}
        return {"to_version": self.version}


@get(_UNDO, opt=EDITOR)
async def plan_undo(
    request: PageRequest, assistant_id: FromPath[str], version: FromPath[str]
) -> Template:
    """What the undo of one change would do."""
    number = await _resolve(request.visitor, assistant_id, version)
    how = request.query_params.get("on_conflict", "fail")
    return await _plan(request.visitor, _undo(assistant_id, number, how))


@get(_ROLLBACK, opt=EDITOR)
async def plan_rollback(
    request: PageRequest, assistant_id: FromPath[str], version: FromPath[str]
) -> Template:
    """What a rollback to a version would do."""
    number = await _resolve(request.visitor, assistant_id, version)
    return await _plan(request.visitor, _rollback(assistant_id, number))


@post(_UNDO, opt=EDITOR, status_code=HTTPStatus.OK)
async def undo(
    request: PageRequest, assistant_id: FromPath[str], version: FromPath[str]
) -> Template | Redirect:
    """Undo one change as planned; the whole of it, or the chosen settings."""
    visitor, form = await submitted(request)
    how = first(form, "on_conflict") or "fail"
    return await _apply(visitor, _undo(assistant_id, _check_number(version), how), form)


@post(_ROLLBACK, opt=EDITOR, status_code=HTTPStatus.OK)
async def roll_back(
    request: PageRequest, assistant_id: FromPath[str], version: FromPath[str]
) -> Template | Redirect:
    """Roll back to a version as planned; all settings, or the chosen ones."""
    visitor, form = await submitted(request)
    return await _apply(visitor, _rollback(assistant_id, _check_number(version)), form)


def _undo(assistant_id: str, version: str, how: str) -> Reversal:
    return Reversal(kind="undo", assistant_id=assistant_id, version=version, on_conflict=how)


def _rollback(assistant_id: str, version: str) -> Reversal:
    return Reversal(kind="rollback", assistant_id=assistant_id, version=version)


async def _resolve(visitor: Visitor, assistant_id: str, version: str) -> str:
    """The number of a version: a label may move between the plan and its form."""
    if _NUMBER.fullmatch(version):
        return version
    answer = await visitor.get(f"/assistants/{segment(assistant_id)}/versions/{segment(version)}")
    return str(answer.or_raise()["version"])


def _check_number(version: str) -> str:
    """The version of a form; raises ``InvalidSettings`` for anything but a number."""
    if not _NUMBER.fullmatch(version):
        error = FieldError(loc=("path", "version"), msg=texts.Plan.not_a_version, type="version")
        raise InvalidSettings((error,))
    return version


async def _apply(visitor: Visitor, reversal: Reversal, form: Form) -> Template | Redirect:
    """Apply a plan, unless the assistant was changed since; then show the plan anew."""
    chosen = [decode_path(path) for path in form.get("path", [])]
    is_whole = _WHOLE in form or str(len(chosen)) == first(form, "planned")
    reason = first(form, REASON)
    body = reversal.body | ({} if is_whole else {"paths": chosen}) | {REASON: reason or None}
    headers = idempotency(form) | {"if-match": first(form, "etag")}
    path = f"{reversal.at}/{reversal.kind}"
    answer = await visitor.send("POST", path, body=body, headers=headers)
    if answer.status in _PLAN_AGAIN:
        errors = sentences(answer.data)
        kept = None if is_whole else chosen
        return await _plan(visitor, reversal, answer.status, errors, reason, kept)
    return redirect(f"{reversal.at}/versions/{answer.or_raise()['version']}")


async def _plan(
    visitor: Visitor,
    reversal: Reversal,
    status: int = HTTPStatus.OK,
    errors: list[str] | None = None,
    reason: str = "",
    chosen: list[str] | None = None,
) -> Template:
    """The page of a plan; ``chosen`` are the paths whose boxes are checked, None for all."""
    assistant = (await visitor.get(reversal.at)).or_raise()
    # With a reason, so that the dry run does not report a missing one: the form asks for it.
    body = reversal.body | {"dry_run": True, REASON: "To be given"}
    answer = await visitor.send("POST", f"{reversal.at}/{reversal.kind}", body=body)
    plan = answer.or_raise()
    await asyncio.to_thread(_add_words, plan["changes"])  # slow for a long prompt
    return page(
        "plan",
        visitor,
        status,
        assistant=assistant,
        reversal=reversal,
        plan=plan,
        needs_reason=await _needs_reason(visitor, plan),
        blocked=_blocked_paths(plan),
        errors=errors or [],
        reason=reason,
        chosen=chosen,
        max_boxes=_MAX_BOXES,
        whole=_WHOLE,
    )


def _blocked_paths(plan: dict[str, Any]) -> set[str]:
    """The paths of a plan that this key may not change, or whose old values are invalid today."""
    protected = {path for rule in plan["refused"] for path in rule["paths"]}
    return protected | {error["path"] for error in plan["not_accepted"]}


async def _needs_reason(visitor: Visitor, plan: dict[str, Any]) -> bool:
    """Whether the policy requires a reason for the changes of a plan."""
    policy = (await visitor.get("/policy")).or_raise()
    with_reason = Paths(policy["require_reason_for"])
    is_touched = any(with_reason.overlap(change["path"]) for change in plan["changes"])
    return bool(policy["require_reason"]) or is_touched


def _add_words(changes: list[dict[str, Any]]) -> None:
    """Add to changes of texts the word-by-word difference, as the API's diffs have it."""
    for change in changes:
        hunks = words.between(change.get("before"), change.get("after"))
        if hunks is not None:
            change["words"] = hunks


ROUTER = Router(
    "/assistants/{assistant_id:str}", route_handlers=[plan_undo, plan_rollback, undo, roll_back]
)
