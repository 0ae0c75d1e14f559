"""Saving the settings of an assistant: the edit of a form over the version that it shows."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from litestar import Router, post
from litestar.params import FromPath
from litestar.response import Redirect, Template

from app.api.access import EDITOR
from app.api.media_types import JSON_PATCH
from app.console import conflict, edits, review, texts
from app.console.api_client import Answer, segment
from app.console.assistant import assistant_page
from app.console.edits import Edit
from app.console.field import Field
from app.console.fields import all_fields
from app.console.forms import Form, first, idempotency, submitted
from app.console.policy import read_policy
from app.console.rendering import page, redirect
from app.console.typed_secrets import typed_secrets
from app.console.visitor import PageRequest, Visitor
from events.bodies.reasons import REASON
from events.pointers import ancestors, join

# An unknown member of a JSON field is an error: the operator should know that it has no effect.
_HEADERS = {"content-type": JSON_PATCH, "prefer": "handling=strict"}


@post("/", opt=EDITOR, status_code=HTTPStatus.OK)
async def save(request: PageRequest, assistant_id: FromPath[str]) -> Template | Redirect:
    """Save what a form changed; others' changes since its page was opened are kept."""
    visitor, form = await submitted(request)
    at = f"/assistants/{segment(assistant_id)}"
    base = first(form, "base_version")
    shown = await _read(visitor, at, base)
    fields = all_fields(shown)
    edit = edits.edit(fields, form, shown)
    if errors := edit.errors | conflict.missing_texts(form, fields, edit.paths):
        return await _ask_again(visitor, shown, form, errors)
    over = first(form, "over_version") or base
    theirs = shown if over == base else await _read(visitor, at, over)
    edited = edits.resolved(
        shown, edit.edited, theirs, conflict.choices(form, fields, shown, theirs)
    )
    operations = edits.operations(theirs, edited)
    query = {"base_version": over, REASON: first(form, REASON)}
    headers = idempotency(form) | _HEADERS
    answer = await visitor.send("PATCH", at, query=query, body=operations, headers=headers)
    return await _respond(visitor, shown, form, edit, operations, answer)


@post("/review", opt=EDITOR, status_code=HTTPStatus.OK)
async def review_edits(request: PageRequest, assistant_id: FromPath[str]) -> Template:
    """What a form would change. Nothing is saved."""
    visitor, form = await submitted(request)
    at = f"/assistants/{segment(assistant_id)}"
    shown = await _read(visitor, at, first(form, "base_version"))
    edit = edits.edit(all_fields(shown), form, shown)
    if edit.errors:
        return await _ask_again(visitor, shown, form, edit.errors)
    return await review.show(visitor, shown, form, edit)


async def _read(visitor: Visitor, at: str, version: str) -> dict[str, Any]:
    """The assistant at a version."""
    assistant: dict[str, Any] = (await visitor.get(at, version=version)).or_raise()
    return assistant


async def _respond(
    visitor: Visitor,
    shown: dict[str, Any],
    form: Form,
    edit: Edit,
    operations: list[dict[str, Any]],
    answer: Answer,
) -> Template | Redirect:
    """The next page, by what the API answered."""
    fields = all_fields(shown)
    if answer.status == HTTPStatus.CONFLICT and "conflicts" in answer.data:
        return await conflict.ask(visitor, shown, form, edit.paths, answer)
    if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return await _ask_again(visitor, shown, form, _errors(answer, fields, operations))
    if answer.status == HTTPStatus.FORBIDDEN and "paths" in answer.data:
        return await _ask_again(visitor, shown, form, _locked(answer, fields))
    saved = answer.or_raise()
    if saved.get("warnings"):
        return page("saved", visitor, assistant=saved, warnings=saved["warnings"])
    is_new = saved["version"] > shown["version"]
    return redirect(f"/assistants/{saved['id']}" + (f"?saved={saved['version']}" if is_new else ""))


async def _ask_again(
    visitor: Visitor, shown: dict[str, Any], form: Form, errors: Mapping[str, str]
) -> Template:
    """The form again, with its errors and what was typed, except for secrets."""
    policy = await read_policy(visitor)
    hidden = [field.path for field in typed_secrets(all_fields(shown), form, policy)]
    typed = {name: texts for name, texts in form.items() if name not in hidden}
    messages = dict(errors)
    for path in hidden:
        error = f"{messages[path]}. " if path in messages else ""
        messages[path] = error + texts.Assistant.type_again
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    return await assistant_page(visitor, shown, status, typed=typed, errors=messages)


def _errors(
    answer: Answer, fields: list[Field], operations: list[dict[str, Any]]
) -> dict[str, str]:
    """The API's errors by the field that they are about; by their own path where there is none."""
    errors: dict[str, str] = {}
    for error in answer.data["detail"]:
        match error["loc"]:
            case [_, int(position), *_]:
                path = operations[position]["path"]
            case [_, *tokens]:
                path = join(tuple(map(str, tokens)))
        errors[_field_at(path, fields)] = error["msg"]
    return errors


def _locked(answer: Answer, fields: list[Field]) -> dict[str, str]:
    """The errors of fields that the policy reserves for admins."""
    paths = answer.data["paths"]
    return {_field_at(path, fields): texts.Assistant.locked for path in paths}


def _field_at(path: str, fields: list[Field]) -> str:
    """The path of the field that holds a path; the path itself where none does."""
    known = {field.path for field in fields}
    return next((at for at in (path, *ancestors(path)) if at in known), path)


ROUTER = Router("/assistants/{assistant_id:str}", route_handlers=[save, review_edits])
