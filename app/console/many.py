"""One change of several assistants: the settings are picked, planned, and applied as a set."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from litestar import Router, post
from litestar.response import Redirect, Template
from msgspec import Struct

from app.api.access import EDITOR
from app.console import texts
from app.console.change_sets import needs_reason
from app.console.differences import add_words
from app.console.edits import json_error
from app.console.field import Field, value_of
from app.console.fields import all_fields
from app.console.formatting import place
from app.console.forms import Form, first, idempotency, submitted
from app.console.policy import read_policy
from app.console.problems import sentences
from app.console.rendering import page, redirect
from app.console.selection import is_none, list_again, selected
from app.console.settings_index import paths_of
from app.console.typed_secrets import typed_secrets
from app.console.visitor import PageRequest, Visitor
from events import pointers
from events.bodies.reasons import REASON
from events.errors import MalformedJSON
from events.pointers import Paths

if TYPE_CHECKING:
    from collections.abc import Mapping

_STRICT = {"prefer": "handling=strict"}
_PLAN_AGAIN = (HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED, HTTPStatus.UNPROCESSABLE_ENTITY)
FIELDS = {field.path: field for field in all_fields({}) if not field.computed}
_BY_PLACE = {place(path).lower(): path for path in FIELDS}

_MOST_NAMED = 5


class Typed(Struct, frozen=True, kw_only=True):
    """What a form asks for: the picked fields, their values as a patch, and the errors by path."""

    fields: list[Field]
    patch: dict[str, Any]
    errors: dict[str, str]


class Copied(Struct, frozen=True, kw_only=True):
    """The assistant whose values are copied, at a version, and its secrets that are not."""

    source: dict[str, Any]
    left_out: list[str]


@post("/", opt=EDITOR, status_code=HTTPStatus.OK)
async def choose(request: PageRequest) -> Template | Redirect:
    """The settings that are changed, and their values; nothing is changed yet."""
    visitor, form = await submitted(request)
    if is_none(form):
        return list_again(form, "change")
    ids = await selected(visitor, form)
    fields, errors = _picked(form)
    return await _form(visitor, ids, fields, form, errors)


@post("/plan", opt=EDITOR, status_code=HTTPStatus.OK)
async def plan(request: PageRequest) -> Template:
    """What the change would do to each assistant."""
    visitor, form = await submitted(request)
    ids = await selected(visitor, form)
    typed = read_typed(form)
    if typed.errors:
        return await _form(visitor, ids, typed.fields, form, typed.errors)
    return await show_plan(visitor, ids, typed, form)


@post("/apply", opt=EDITOR, status_code=HTTPStatus.OK)
async def apply(request: PageRequest) -> Template | Redirect:
    """Change all assistants as planned, or none; then show the change set."""
    visitor, form = await submitted(request)
    ids = await selected(visitor, form)
    typed = read_typed(form)
    if typed.errors:
        return await _form(visitor, ids, typed.fields, form, typed.errors)
    return await change(visitor, ids, typed, form)


async def change(
    visitor: Visitor, ids: list[int], typed: Typed, form: Form, copied: Copied | None = None
) -> Template | Redirect:
    """Apply a plan and show its change set, unless the assistants were changed since."""
    body = _body(ids, typed) | {REASON: first(form, REASON) or None}
    headers = idempotency(form) | _STRICT | {"if-match": first(form, "etag")}
    answer = await visitor.send("POST", "/change-sets", body=body, headers=headers)
    if answer.status in _PLAN_AGAIN:
        problems = sentences(answer.data)
        return await show_plan(visitor, ids, typed, form, problems, answer.status, copied)
    made = answer.or_raise()["change_set_id"]
    return redirect("/change-sets" if made is None else f"/change-sets/{made}?saved=1")


def read_typed(form: Form) -> Typed:
    """The picked settings with their typed values."""
    fields, errors = _picked(form)
    patch: dict[str, Any] = {}
    for field in fields:
        text = form.get(field.path, [""])[-1]
        if field.kind == "secret" and not text:  # an empty one would remove all of them
            errors[field.path] = texts.Many.secret_missing
            continue
        try:
            patch = pointers.put(patch, field.path, value_of(field, text))
        except MalformedJSON as error:
            errors[field.path] = json_error(error, text)
    if not fields and not errors:
        errors[""] = texts.Many.nothing_picked
    return Typed(fields=fields, patch=patch, errors=errors)


def _picked(form: Form) -> tuple[list[Field], dict[str, str]]:
    """The fields of the picked settings, and an error for a setting that there is none of.

    A setting is given by its path, or by its name as pages show it.
    """
    removed = form.get("remove", [])
    given = [text.strip() for text in form.get("setting", []) if text.strip()]
    paths = [_path_of(text) for text in given]
    unknown = [text for text, path in zip(given, paths, strict=True) if not path]
    errors = {"": _unknown(unknown[0])} if unknown else {}
    return [FIELDS[path] for path in dict.fromkeys(paths) if path and path not in removed], errors


def _path_of(text: str) -> str:
    """The path of a setting by its path, or its label, with its group or alone; '' for none."""
    exact = text if text in FIELDS else _BY_PLACE.get(text.lower(), "")
    found = [] if exact else _called(text)
    return exact or (found[0] if len(found) == 1 else "")


def _called(text: str) -> list[str]:
    return [path for path in paths_of(text) if path in FIELDS]


def _unknown(text: str) -> str:
    """Why a text is not one setting."""
    if found := _called(text):
        names = "; ".join(map(place, found[:_MOST_NAMED]))
        return texts.Many.several.format(setting=text, settings=names)
    return texts.Many.unknown.format(setting=text)


def _body(ids: list[int], typed: Typed) -> dict[str, Any]:
    return {"assistant_ids": ids, "patch": typed.patch}


async def _form(
    visitor: Visitor, ids: list[int], fields: list[Field], form: Form, errors: Mapping[str, str]
) -> Template:
    policy = await read_policy(visitor)
    hidden = {field.path for field in typed_secrets(fields, form, policy)}
    status = HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK
    locked = Paths([] if visitor.is_admin else policy.admin_paths)
    return page(
        "many",
        visitor,
        status,
        ids=ids,
        fields=fields,
        choices=sorted(place(path) for path in FIELDS if not locked.overlap(path)),
        typed={name: values for name, values in form.items() if name not in hidden},
        errors=dict(errors),
    )


async def show_plan(
    visitor: Visitor,
    ids: list[int],
    typed: Typed,
    form: Form,
    problems: list[str] | None = None,
    status: int = HTTPStatus.OK,
    copied: Copied | None = None,
) -> Template:
    """The page of a plan; what the API refuses whole shows the form again.

    ``copied`` is where the values come from, if nobody typed them.
    """
    # With a reason, so that the dry run does not report a missing one: the form asks for it.
    body = _body(ids, typed) | {"dry_run": True, REASON: "To be given"}
    answer = await visitor.send("POST", "/change-sets", body=body, headers=_STRICT)
    if answer.is_problem and copied is None:
        errors = {"": "; ".join(sentences(answer.data))}
        return await _form(visitor, ids, typed.fields, form, errors)
    planned = answer.or_raise()
    for one in planned["plans"]:
        await asyncio.to_thread(add_words, one["changes"])
    policy = await read_policy(visitor)
    secrets = [] if copied else typed_secrets(typed.fields, form, policy)
    hidden = {field.path for field in secrets}
    kept = {
        field.path: form.get(field.path, [""])[-1]
        for field in typed.fields
        if not copied and field.path not in hidden
    }
    return page(
        "many_plan",
        visitor,
        status,
        ids=ids,
        fields=typed.fields,
        plan=planned,
        changed=[one for one in planned["plans"] if one["changes"]],
        unchanged=[one for one in planned["plans"] if not one["changes"]],
        kept=kept,
        secrets=secrets,
        copied=copied,
        problems=problems or [],
        reason=first(form, REASON),
        needs_reason=needs_reason(policy, [field.path for field in typed.fields]),
    )


ROUTER = Router("/assistants/change", route_handlers=[choose, plan, apply])
