"""Undo of one change, and rollback to a version: a plan is shown first, then applied as shown."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import Any

from litestar import Router, get, post
from litestar.params import FromPath
from litestar.response import Redirect, Template
from msgspec import UNSET, Struct

from app.api.access import EDITOR
from app.api.routing import path_of
from app.console import texts
from app.console.api_client import Answer, segment
from app.console.assistant import assistant_page
from app.console.differences import add_words
from app.console.fields import all_fields
from app.console.formatting import decode_path
from app.console.forms import MAX_FIELDS, Form, first, idempotency, submitted
from app.console.problems import sentences
from app.console.rendering import page, redirect
from app.console.visitor import PageRequest, Visitor
from events import pointers
from events.bodies.reasons import REASON
from events.errors import FieldError, InvalidSettings

_KINDS = ("undo", "rollback")
_PLANS = [f"/{kind}/{{version:str}}" for kind in _KINDS]
_EDITS = [f"{plan}/edit" for plan in _PLANS]
_ANY_REASON = "To be given"  # for dry runs, which report a missing one
BANNER = "banner"  # the field of an undo beside the message after a change
_WHOLE = "whole"  # the field of a plan with too many settings to choose from
_MAX_BOXES = MAX_FIELDS - 100
_LONGEST_REASON = 500
_NUMBER = re.compile(r"[0-9]+")
_PLAN_AGAIN = (HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED, HTTPStatus.UNPROCESSABLE_ENTITY)


class Reversal(Struct, frozen=True, kw_only=True):
    """What is to be reversed, and how the API is asked for it."""

    kind: str  # "undo" or "rollback", in the API's paths and the console's
    assistant_id: str
    version: str

    @property
    def at(self) -> str:
        """The path of the assistant, in the API and the console."""
        return f"/assistants/{segment(self.assistant_id)}"

    @property
    def path(self) -> str:
        """The path of the API."""
        return f"{self.at}/{self.kind}"

    def body(self, *, overwrites: bool) -> dict[str, Any]:
        """The body of the API request, without a reason.

        ``overwrites`` says whether an undo also takes back later changes of the same settings.
        """
        if self.kind == "undo":
            how = "force" if overwrites else "skip"
            return {"version": self.version, "on_conflict": how}
        return {"to_version": self.version}


@get(_PLANS, opt=EDITOR)
async def show_plan(
    request: PageRequest, assistant_id: FromPath[str], version: FromPath[str]
) -> Template:
    """What the undo of one change, or a rollback to a version, would do."""
    number = await _resolve(request.visitor, assistant_id, version)
    return await _plan(request.visitor, _reversal(request, assistant_id, number))


@post(_PLANS, opt=EDITOR, status_code=HTTPStatus.OK)
async def apply_plan(
    request: PageRequest, assistant_id: FromPath[str], version: FromPath[str]
) -> Template | Redirect:
    """Apply a plan as shown: the whole of it, or the chosen settings."""
    visitor, form = await submitted(request)
    return await _apply(visitor, _reversal(request, assistant_id, _check_number(version)), form)


@post(_EDITS, opt=EDITOR, status_code=HTTPStatus.OK)
async def edit_plan(
    request: PageRequest, assistant_id: FromPath[str], version: FromPath[str]
) -> Template:
    """The form of the assistant, with what a plan would change in its fields. Nothing is saved."""
    visitor, form = await submitted(request)
    reversal = _reversal(request, assistant_id, _check_number(version))
    answer = await _send(visitor, reversal, form, dry_run=True)
    if answer.status in _PLAN_AGAIN:
        return await _plan_again(visitor, reversal, form, answer)
    plan = answer.or_raise()
    assistant = (await visitor.get(reversal.at)).or_raise()
    return await assistant_page(
        visitor, assistant, typed=_typed(assistant, plan, form), note=texts.Plan.edit_hint
    )


def _reversal(request: PageRequest, assistant_id: str, version: str) -> Reversal:
    kind = next(kind for kind in _KINDS if f"/{kind}/" in path_of(request))
    return Reversal(kind=kind, assistant_id=assistant_id, version=version)


def _typed(assistant: dict[str, Any], plan: dict[str, Any], form: Form) -> Form:
    """What the fields hold where a plan changes them, as if it was typed; no secrets."""
    edited: dict[str, Any] = assistant
    for change in plan["changes"]:
        edited = pointers.put(edited, change["path"], change.get("after", UNSET))
    current = {field.path: field.text for field in all_fields(assistant)}
    planned = {
        field.path: [field.text]
        for field in all_fields(edited)
        if field.kind != "secret" and not field.computed and field.text != current[field.path]
    }
    return planned | {REASON: [first(form, REASON)]}


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
    if _chosen(form) == []:
        errors = [texts.Plan.nothing_chosen]
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        return await _plan(visitor, reversal, status, errors, first(form, REASON), [])
    if BANNER in form:  # it asks for no reason
        form |= {REASON: [await _undo_reason(visitor, reversal)]}
    answer = await _send(visitor, reversal, form)
    if answer.status in _PLAN_AGAIN:
        return await _plan_again(visitor, reversal, form, answer)
    version = answer.or_raise()["version"]
    return redirect(f"{reversal.at}/versions/{version}?saved={version}")


async def _undo_reason(visitor: Visitor, reversal: Reversal) -> str:
    """The reason of an undo for which none was asked."""
    entry = (await visitor.get(f"{reversal.at}/versions/{segment(reversal.version)}")).or_raise()
    undo = texts.Parts.undo_reason.format(version=reversal.version)
    return undo_reason(undo, entry["change_description"])


def undo_reason(undo: str, reason: str | None) -> str:
    """What an undo is of, with the reason of that, as far as a reason may be long."""
    text = texts.Parts.undo_because.format(undo=undo, reason=reason) if reason else undo
    return text[:_LONGEST_REASON]


def _chosen(form: Form) -> list[str] | None:
    """The paths that a form chose of its plan; None for the whole of it."""
    chosen = [decode_path(path) for path in form.get("path", [])]
    is_whole = _WHOLE in form or str(len(chosen)) == first(form, "planned")
    return None if is_whole else chosen


async def _send(
    visitor: Visitor, reversal: Reversal, form: Form, *, dry_run: bool = False
) -> Answer:
    """Ask the API for what a form chose of the plan that it was made from."""
    chosen = _chosen(form)
    body = reversal.body(overwrites=_WHOLE not in form)
    body |= {} if chosen is None else {"paths": chosen}
    # A dry run never asks for a reason: the form that follows does.
    body[REASON] = _ANY_REASON if dry_run else first(form, REASON) or None
    headers = {"if-match": first(form, "etag")} | ({} if dry_run else idempotency(form))
    body |= {"dry_run": True} if dry_run else {}
    return await visitor.send("POST", reversal.path, body=body, headers=headers)


async def _plan_again(visitor: Visitor, reversal: Reversal, form: Form, answer: Answer) -> Template:
    errors = [texts.Plan.up_to_date.format(error=one) for one in sentences(answer.data)]
    reason = first(form, REASON)
    return await _plan(visitor, reversal, answer.status, errors, reason, _chosen(form))


async def _plan(
    visitor: Visitor,
    reversal: Reversal,
    status: int = HTTPStatus.OK,
    errors: list[str] | None = None,
    reason: str = "",
    chosen: list[str] | None = None,
) -> Template:
    """The page of a plan; ``chosen`` are the paths whose boxes are checked.

    None are all, except those that would overwrite a later change.
    """
    assistant = (await visitor.get(reversal.at)).or_raise()
    plan = await _dry_run(visitor, reversal, overwrites=True)
    is_whole = len(plan["changes"]) > _MAX_BOXES
    if is_whole and plan["conflicts"]:  # without boxes nobody could leave out a later change
        plan = await _dry_run(visitor, reversal, overwrites=False)
    await asyncio.to_thread(add_words, plan["changes"])  # slow for a long prompt
    later = _later(plan)
    blocked = _blocked_paths(plan)
    paths = [change["path"] for change in plan["changes"]]
    if chosen is None:
        chosen = [path for path in paths if path not in later]
    return page(
        "plan",
        visitor,
        status,
        assistant=assistant,
        reversal=reversal,
        plan=plan,
        needs_reason=await _needs_reason(visitor, plan),
        blocked=blocked,
        later=later,
        staying=_staying(plan),
        errors=errors or [],
        reason=reason,
        chosen=chosen,
        is_whole=is_whole,
        whole=_WHOLE,
        can_apply=_can_apply(plan, blocked, is_whole=is_whole),
        can_edit="/is_active" not in paths,
    )


async def _dry_run(visitor: Visitor, reversal: Reversal, *, overwrites: bool) -> dict[str, Any]:
    body = reversal.body(overwrites=overwrites) | {"dry_run": True, REASON: _ANY_REASON}
    plan: dict[str, Any] = (await visitor.send("POST", reversal.path, body=body)).or_raise()
    return plan


def _can_apply(plan: dict[str, Any], blocked: set[str], *, is_whole: bool) -> bool:
    """Whether a plan can be applied, or at least some of its settings be chosen."""
    open_paths = [one for one in plan["changes"] if one["path"] not in blocked]
    return bool(plan["changes"] if plan["applicable"] else open_paths and not is_whole)


def _later(plan: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """By the path of an undo's change, the later changes that it would undo as well."""
    found: dict[str, list[dict[str, Any]]] = {}
    for conflict in plan["conflicts"]:
        for change in plan["changes"]:
            if pointers.overlaps(conflict["path"], change["path"]):
                found[change["path"]] = _changes_of(plan, conflict)
    return found


def _changes_of(plan: dict[str, Any], conflict: dict[str, Any]) -> list[dict[str, Any]]:
    """The later changes of a conflict's path; the newest one where the plan does not list them."""
    path = conflict["path"]
    listed = [one for one in plan["lost"] if pointers.Paths(one["paths"]).overlap(path)]
    newest = conflict.get("changed_by")
    return listed or ([newest] if newest else [])


def _staying(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """The conflicts in which nothing changes: the current value stays."""
    changed = pointers.Paths(change["path"] for change in plan["changes"])
    return [one for one in plan["conflicts"] if not changed.overlap(one["path"])]


def _blocked_paths(plan: dict[str, Any]) -> set[str]:
    """The paths of a plan that this key may not change, or whose old values are invalid today."""
    protected = {path for rule in plan["refused"] for path in rule["paths"]}
    return protected | {error["path"] for error in plan["not_accepted"]}


async def _needs_reason(visitor: Visitor, plan: dict[str, Any]) -> bool:
    """Whether the policy requires a reason for the changes of a plan."""
    policy = (await visitor.get("/policy")).or_raise()
    with_reason = pointers.Paths(policy["require_reason_for"])
    is_touched = any(with_reason.overlap(change["path"]) for change in plan["changes"])
    return bool(policy["require_reason"]) or is_touched


ROUTER = Router("/assistants/{assistant_id:str}", route_handlers=[show_plan, apply_plan, edit_plan])
