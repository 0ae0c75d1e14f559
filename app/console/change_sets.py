"""Change sets: the list, one of them with what it changed, and taking it back by a plan."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated, Any

from litestar import Router, get, post
from litestar.params import FromPath, QueryParameter
from litestar.response import Redirect, Template

from app.api.access import EDITOR, VIEWER
from app.console import texts
from app.console.api_client import segment
from app.console.differences import add_words
from app.console.forms import first, idempotency, submitted
from app.console.policy import read_policy
from app.console.problems import sentences
from app.console.rendering import page, redirect
from app.console.reversals import BANNER, undo_reason
from app.console.visitor import PageRequest, Visitor
from app.storage.tables import MAX_ID
from events.bodies.reasons import REASON
from events.pointers import Paths
from events.policy import Policy

_PAGE_SIZE = 25
_LOOKED_AT = 3  # assistants of a set, for what became of it
_PLAN_AGAIN = (HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED, HTTPStatus.UNPROCESSABLE_ENTITY)
_HOWS = ("fail", "skip", "force")
_Cursor = Annotated[str, QueryParameter(max_length=200)]


@get("/", opt=VIEWER)
async def list_sets(request: PageRequest, cursor: _Cursor = "") -> Template:
    """All change sets: who, when, why, and which assistants."""
    visitor = request.visitor
    answer = await visitor.get("/change-sets", cursor=cursor, limit=_PAGE_SIZE)
    older = answer.next_page("/change-sets", {})
    sets = answer.or_raise()
    for one in sets:
        one["taken_back_by"] = await _taken_back(visitor, one)
    return page("change_sets", visitor, sets=sets, older=older, is_first=not cursor)


@get("/{change_set_id:str}", opt=VIEWER)
async def show_set(
    request: PageRequest,
    change_set_id: FromPath[str],
    cursor: _Cursor = "",
    saved: Annotated[int, QueryParameter(ge=0, le=MAX_ID)] = 0,
) -> Template:
    """One change set, with what it changed of each assistant."""
    visitor = request.visitor
    at = f"/change-sets/{segment(change_set_id)}"
    found = (await visitor.get(at)).or_raise()
    answer = await visitor.get(f"{at}/diff", cursor=cursor)
    members = answer.or_raise()
    for member in members:
        await asyncio.to_thread(add_words, member["diff"])
    return page(
        "change_set",
        visitor,
        set=found,
        taken_back_by=await _taken_back(visitor, found),
        members=members,
        more=answer.next_page(at, {}),
        saved=bool(saved),
    )


@get("/{change_set_id:str}/revert", opt=EDITOR)
async def plan_revert(
    request: PageRequest, change_set_id: FromPath[str], on_conflict: _Cursor = "fail"
) -> Template:
    """What taking the set back would change of each assistant."""
    return await _plan(request.visitor, change_set_id, _how(on_conflict))


@post("/{change_set_id:str}/revert", opt=EDITOR, status_code=HTTPStatus.OK)
async def revert(request: PageRequest, change_set_id: FromPath[str]) -> Template | Redirect:
    """Take the set back as planned, all of it or nothing."""
    visitor, form = await submitted(request)
    how, reason = _how(first(form, "on_conflict")), first(form, REASON)
    if BANNER in form:  # it asks for no reason
        reason = await _undo_reason(visitor, change_set_id)
    body = {"on_conflict": how, REASON: reason or None}
    etag = first(form, "etag")  # none right after the set was made: what came between conflicts
    headers = idempotency(form) | ({"if-match": etag} if etag else {})
    path = f"/change-sets/{segment(change_set_id)}/revert"
    answer = await visitor.send("POST", path, body=body, headers=headers)
    if answer.status in _PLAN_AGAIN:
        problems = sentences(answer.data)
        return await _plan(visitor, change_set_id, how, answer.status, problems, reason)
    made = answer.or_raise()["change_set_id"]
    return redirect("/change-sets" if made is None else f"/change-sets/{made}?saved=1")


async def _undo_reason(visitor: Visitor, change_set_id: str) -> str:
    found = (await visitor.get(f"/change-sets/{segment(change_set_id)}")).or_raise()
    undo = texts.Parts.undo_reason_set.format(number=found["change_set_id"])
    return undo_reason(undo, found["change_description"])


async def _taken_back(visitor: Visitor, found: dict[str, Any]) -> int | None:
    """The change set that took another back; looked for at its first assistants."""
    for member in found["assistants"][:_LOOKED_AT]:
        at = f"/assistants/{member['assistant_id']}/versions"
        entry = (await visitor.get(f"{at}/{member['version']}")).data
        for version in entry.get("reverted_by", ()):
            cause = (await visitor.get(f"{at}/{version}")).data.get("cause", {})
            if "change_set_id" in cause:
                return int(cause["change_set_id"])
    return None


def _how(text: str) -> str:
    return text if text in _HOWS else "fail"


async def _plan(
    visitor: Visitor,
    change_set_id: str,
    how: str,
    status: int = HTTPStatus.OK,
    problems: list[str] | None = None,
    reason: str = "",
) -> Template:
    at = f"/change-sets/{segment(change_set_id)}"
    found = (await visitor.get(at)).or_raise()
    body: dict[str, Any] = {"on_conflict": how, "dry_run": True, REASON: "To be given"}
    answer = await visitor.send("POST", f"{at}/revert", body=body)
    plan = None if answer.status in _PLAN_AGAIN else answer.or_raise()
    for one in plan["plans"] if plan else ():
        await asyncio.to_thread(add_words, one["changes"])
    return page(
        "change_set_plan",
        visitor,
        status,
        set=found,
        plan=plan,
        how=how,
        problems=problems or (sentences(answer.data) if plan is None else []),
        reason=reason,
        needs_reason=needs_reason(await read_policy(visitor), _paths(found)),
    )


def needs_reason(policy: Policy, paths: Iterable[str]) -> bool:
    """Whether the policy requires a reason for a change of these paths."""
    with_reason = Paths(policy.require_reason_for)
    return policy.require_reason or any(map(with_reason.overlap, paths))


def _paths(found: dict[str, Any]) -> set[str]:
    return {path for one in found["assistants"] for path in one["changed_paths"]}


ROUTER = Router("/change-sets", route_handlers=[list_sets, show_set, plan_revert, revert])
