"""Taking back one change, or all since a version: the plan is shown, then applied as shown."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import Any

from litestar import Request, get, post
from litestar.params import FromPath
from litestar.response import Redirect, Template
from msgspec import Struct

from app.api.access import EDITOR
from app.console.api_client import (
    MOST_FIELDS,
    Form,
    Visitor,
    first,
    once,
    part,
    signed_in,
    submitted,
)
from app.console.formatting import brought
from app.console.rendering import errors_of, go, page
from events.bodies.reasons import REASON
from events.errors import FieldError, InvalidSettings
from events.pointers import Paths
from projections import words

AnyRequest = Request[Any, Any, Any]

_UNDO = "/assistants/{assistant_id:str}/undo/{version:str}"
_ROLLBACK = "/assistants/{assistant_id:str}/rollback/{version:str}"
WHOLE = "whole"  # a field of a plan that is too long for a box at each setting
_MOST_BOXES = MOST_FIELDS - 100
_NUMBER = re.compile(r"[0-9]+")
_RULE = "Input should be a version's number"
_AGAIN = (HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED, HTTPStatus.UNPROCESSABLE_ENTITY)


class ReversalForm(Struct, frozen=True, kw_only=True):
    """What is to be taken back, and how the API is asked for it."""

    kind: str  # as the API names it, and the page
    assistant_id: str
    version: str
    on_conflict: str = "fail"

    @property
    def at(self) -> str:
        """The assistant, in the API and on pages."""
        return f"/assistants/{part(self.assistant_id)}"

    @property
    def body(self) -> dict[str, Any]:
        """The request's body, but for the reason."""
        if self.kind == "undo":
            return {"version": self.version, "on_conflict": self.on_conflict}
        return {"to_version": self.version}


@get(_UNDO, opt=EDITOR)
async def plan_undo(
    request: AnyRequest,
    assistant_id: FromPath[str],
    version: FromPath[str],
) -> Template:
    """What undoing one change would do."""
    visitor = await signed_in(request)
    how = request.query_params.get("on_conflict", "fail")
    number = await _named(visitor, assistant_id, version)
    wish = ReversalForm(kind="undo", assistant_id=assistant_id, version=number, on_conflict=how)
    return await _plan(visitor, wish)


@get(_ROLLBACK, opt=EDITOR)
async def plan_rollback(
    request: AnyRequest, assistant_id: FromPath[str], version: FromPath[str]
) -> Template:
    """What going back to a version would do."""
    visitor = await signed_in(request)
    number = await _named(visitor, assistant_id, version)
    wish = ReversalForm(kind="rollback", assistant_id=assistant_id, version=number)
    return await _plan(visitor, wish)


async def _named(visitor: Visitor, assistant_id: str, version: str) -> str:
    """The number of a version: what is planned must not become another when its name moves."""
    if _NUMBER.fullmatch(version):
        return version
    found = await visitor.get(f"/assistants/{part(assistant_id)}/versions/{part(version)}")
    return str(found.or_raise()["version"])


def _numbered(version: str) -> str:
    """The version of a form, which has its number; raises ``InvalidSettings`` for a name."""
    if not _NUMBER.fullmatch(version):
        error = FieldError(loc=("path", "version"), msg=_RULE, type="version")
        raise InvalidSettings((error,))
    return version


@post(_UNDO, opt=EDITOR, status_code=HTTPStatus.OK)
async def undo(
    request: AnyRequest, assistant_id: FromPath[str], version: FromPath[str]
) -> Template | Redirect:
    """Take one change back, as planned; all of it, or the fields that were chosen."""
    visitor, form = await submitted(request)
    how = first(form, "on_conflict") or "fail"
    number = _numbered(version)
    wish = ReversalForm(kind="undo", assistant_id=assistant_id, version=number, on_conflict=how)
    return await _apply(visitor, wish, form)


@post(_ROLLBACK, opt=EDITOR, status_code=HTTPStatus.OK)
async def roll_back(
    request: AnyRequest, assistant_id: FromPath[str], version: FromPath[str]
) -> Template | Redirect:
    """Go back to a version, as planned; all of it, or the fields that were chosen."""
    visitor, form = await submitted(request)
    wish = ReversalForm(kind="rollback", assistant_id=assistant_id, version=_numbered(version))
    return await _apply(visitor, wish, form)


async def _apply(visitor: Visitor, wish: ReversalForm, form: Form) -> Template | Redirect:
    """Do it over the version that the plan was made for, or show the plan as it is by now."""
    chosen, planned = [brought(one) for one in form.get("path", [])], first(form, "planned")
    is_whole = WHOLE in form or str(len(chosen)) == planned
    body = wish.body | ({} if is_whole else {"paths": chosen})
    body |= {REASON: first(form, REASON) or None}
    headers = once(form) | {"if-match": first(form, "etag")}
    answer = await visitor.send("POST", f"{wish.at}/{wish.kind}", body=body, headers=headers)
    if answer.status in _AGAIN:
        errors, reason = errors_of(answer.data), first(form, REASON)
        kept = None if is_whole else chosen
        return await _plan(visitor, wish, answer.status, errors, reason, kept)
    return go(f"{wish.at}/versions/{answer.or_raise()['version']}")


async def _plan(
    visitor: Visitor,
    wish: ReversalForm,
    status: int = HTTPStatus.OK,
    errors: list[str] | None = None,
    reason: str = "",
    chosen: list[str] | None = None,
) -> Template:
    shown = (await visitor.get(wish.at)).or_raise()
    # What a reason would settle is no news: the form asks for one.
    asked = wish.body | {"dry_run": True, REASON: "To be said"}
    answer = await visitor.send("POST", f"{wish.at}/{wish.kind}", body=asked)
    plan = answer.or_raise()
    await asyncio.to_thread(_add_words, plan["changes"])  # a long prompt takes its time
    return page(
        "plan",
        visitor,
        status,
        assistant=shown,
        wish=wish,
        plan=plan,
        wants_reason=await _wants_reason(visitor, plan),
        out_of_reach=_out_of_reach(plan),
        errors=errors or [],
        reason=reason,
        chosen=chosen,
        most_boxes=_MOST_BOXES,
        whole=WHOLE,
    )


def _out_of_reach(plan: dict[str, Any]) -> set[str]:
    """The paths of a plan that this key may not set back, or that today's rules refuse."""
    protected = {path for rule in plan["refused"] for path in rule["paths"]}
    return protected | {one["path"] for one in plan["not_accepted"]}


async def _wants_reason(visitor: Visitor, plan: dict[str, Any]) -> bool:
    """Whether the policy wants a reason for what a plan changes."""
    policy = (await visitor.get("/policy")).or_raise()
    wanting = Paths(policy["require_reason_for"])
    touched = any(wanting.overlap(change["path"]) for change in plan["changes"])
    return bool(policy["require_reason"]) or touched


def _add_words(changes: list[dict[str, Any]]) -> None:
    """Texts word by word, as the API's diffs have them."""
    for change in changes:
        hunks = words.between(change.get("before"), change.get("after"))
        if hunks is not None:
            change["words"] = hunks


HANDLERS = [plan_undo, plan_rollback, undo, roll_back]
