"""One assistant: its settings, who set each of them, and changing them in place."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from litestar import Request, get, post
from litestar.params import FromPath
from litestar.response import Redirect, Template
from msgspec import convert

from app.api.access import EDITOR, VIEWER
from app.api.media_types import JSON_PATCH
from app.console import edits, fields, formatting
from app.console.api_client import Answer, Form, Visitor, first, once, part, signed_in, submitted
from app.console.rendering import errors_of, go, page
from events import pointers
from events.bodies.reasons import REASON
from events.errors import FieldError, InvalidSettings
from events.pointers import Paths, ancestors, join, overlaps, split
from events.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

AnyRequest = Request[Any, Any, Any]

_ASSISTANT = "/assistants/{assistant_id:str}"
_CHOICE = "choice:"  # before a path that others changed, too: whose value it gets
# What nobody knows is not dropped without a word.
_EXACTLY = {"content-type": JSON_PATCH, "prefer": "handling=strict"}


@get(_ASSISTANT, opt=VIEWER)
async def show_assistant(request: AnyRequest, assistant_id: FromPath[str]) -> Template:
    """The settings as people think of them, each with who set it, when and why."""
    visitor = await signed_in(request)
    shown = (await visitor.get(f"/assistants/{part(assistant_id)}")).or_raise()
    return await _page(visitor, shown)


async def _page(
    visitor: Visitor,
    shown: dict[str, Any],
    status: int = HTTPStatus.OK,
    *,
    typed: Form | None = None,
    errors: Mapping[str, str] | None = None,
) -> Template:
    policy = (await visitor.get("/policy")).or_raise()
    return page(
        "assistant",
        visitor,
        status,
        assistant=shown,
        groups=fields.groups(shown),
        blame=await blame(visitor, shown["id"]),
        typed=typed or {},
        errors=errors or {},
        wants_reason=policy["require_reason"],
        wanting_reason=Paths(policy["require_reason_for"]),
        locked=Paths([] if visitor.is_admin else policy["admin_paths"]),
    )


async def blame(
    visitor: Visitor, assistant_id: int, version: object = "latest"
) -> Callable[[str], Any]:
    """What tells the change that made a path what it is at a version."""
    at = f"/assistants/{assistant_id}/blame"
    found = (await visitor.get(at, version=version)).or_raise()
    return partial(_blame, {one["path"]: one["changed_by"] for one in found})


def _blame(by_path: Mapping[str, Any], path: str) -> Any:
    """The change that set a path: itself, or else what it is in, or the latest of what it holds."""
    at = path
    while at:
        if at in by_path:
            return by_path[at]
        at = at.rpartition("/")[0]
    below = [one for other, one in by_path.items() if other.startswith(f"{path}/")]
    return max(below, key=lambda one: one["version"], default=None)


@post(_ASSISTANT, opt=EDITOR, status_code=HTTPStatus.OK)
async def save(request: AnyRequest, assistant_id: FromPath[str]) -> Template | Redirect:
    """Save what a form changed since the version that it was made from."""
    visitor, form = await submitted(request)
    at = f"/assistants/{part(assistant_id)}"
    read = await _at(visitor, at, first(form, "base_version"))
    found = fields.every(read)
    edit = edits.edit(found, form, read)
    if errors := edit.errors | _missing(form, found, edit.paths):
        return await _again(visitor, read, form, errors)
    over = first(form, "over_version") or first(form, "base_version")
    now = read if over == first(form, "base_version") else await _at(visitor, at, over)
    made = edits.settled(read, edit.made, now, _choices(form, found, read, now))
    operations = edits.operations(now, made)
    answer = await visitor.send(
        "PATCH",
        at,
        query={"base_version": over, REASON: first(form, REASON)},
        body=operations,
        headers=once(form) | _EXACTLY,
    )
    if answer.status == HTTPStatus.CONFLICT and "conflicts" in answer.data:
        return await _conflict(visitor, read, form, edit.paths, answer)
    if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return await _again(visitor, read, form, _errors(answer, found, operations))
    if answer.status == HTTPStatus.FORBIDDEN and "paths" in answer.data:
        return await _again(visitor, read, form, _protected(answer, found))
    saved = answer.or_raise()
    if saved.get("warnings"):
        return page("saved", visitor, assistant=saved, warnings=saved["warnings"])
    return go(f"/assistants/{saved['id']}")


async def _at(visitor: Visitor, at: str, version: str) -> dict[str, Any]:
    """The assistant as a version left it."""
    found: dict[str, Any] = (await visitor.get(at, version=version)).or_raise()
    return found


def _choices(
    form: Form, found: list[fields.Field], read: dict[str, Any], now: dict[str, Any]
) -> dict[str, dict[str, Any] | None]:
    """For each path that others changed, too, the assistant whose value it gets; None for yours.

    Raises ``InvalidSettings`` for a choice of what no page knows: a secret that was there.
    """
    chosen = {}
    for path, choice in _chosen(form).items():
        if not fields.can_differ(found, path):
            continue
        if choice == "base" and fields.is_hidden(pointers.at(read, path)):
            loc = ("body", *split(path))
            message = "No page holds the secret that was here: choose theirs, or type it again"
            raise InvalidSettings((FieldError(loc=loc, msg=message, type="hidden"),))
        chosen[path] = {"yours": None, "base": read}.get(choice, now)
    return chosen


def _chosen(form: Form) -> dict[str, str]:
    """The choices of a form, by path."""
    return {
        formatting.brought(name.removeprefix(_CHOICE)): choice
        for name, (choice, *_) in form.items()
        if name.startswith(_CHOICE)
    }


def _missing(form: Form, found: list[fields.Field], paths: list[str]) -> dict[str, str]:
    """The errors of choices for what one typed where nothing is typed: a secret, usually."""
    chosen = [path for path, choice in _chosen(form).items() if choice == "yours"]
    return {
        path: "You chose yours: type it again"
        for path in chosen
        if fields.can_differ(found, path) and not any(overlaps(path, one) for one in paths)
    }


async def _again(
    visitor: Visitor, read: dict[str, Any], form: Form, errors: Mapping[str, str]
) -> Template:
    """The form once more, with what was typed, but for secrets, and what is wrong with it."""
    found = fields.every(read)
    typed_secrets = fields.typed_secrets(found, form, await _policy(visitor))
    hidden = [one.path for one in typed_secrets]
    typed = {name: texts for name, texts in form.items() if name not in hidden}
    said = dict(errors)
    for path in hidden:
        why = f"{said[path]}. " if path in said else ""
        said[path] = f"{why}Not saved, and not kept: type it again"
    return await _page(visitor, read, HTTPStatus.UNPROCESSABLE_ENTITY, typed=typed, errors=said)


async def _policy(visitor: Visitor) -> Policy:
    return convert((await visitor.get("/policy")).or_raise(), Policy)


def _errors(
    answer: Answer, found: list[fields.Field], operations: list[dict[str, Any]]
) -> dict[str, str]:
    """The API's errors by the field that they are about; others by their own path."""
    errors: dict[str, str] = {}
    for one in answer.data["detail"]:
        match one["loc"]:
            case [_, int(position), *_]:
                path = operations[position]["path"]
            case [_, *tokens]:
                path = join(tuple(map(str, tokens)))
        errors[_field_of(path, found)] = one["msg"]
    return errors


def _protected(answer: Answer, found: list[fields.Field]) -> dict[str, str]:
    """What the policy keeps for admins, by field."""
    return {_field_of(path, found): "Only admins change this" for path in answer.data["paths"]}


def _field_of(path: str, found: list[fields.Field]) -> str:
    """The path of the field that holds a path; the path itself where none does."""
    known = {one.path for one in found}
    return next((one for one in (path, *ancestors(path)) if one in known), path)


async def _conflict(
    visitor: Visitor, read: dict[str, Any], form: Form, paths: list[str], answer: Answer
) -> Template:
    """What others changed since: base, theirs and by whom, and yours, to choose from."""
    found = fields.every(read)
    typed = fields.typed_secrets(found, form, await _policy(visitor))
    names = {*paths, REASON}.difference(one.path for one in typed)
    kept = {name: values[0] for name, values in form.items() if name in names}
    kept |= {name: "on" for name in form if name.startswith(fields.CLEAR)}
    clashes = answer.data["conflicts"]
    asked = {_CHOICE + formatting.carried(clash["path"]) for clash in clashes}
    answered = {name for name in form if name.startswith(_CHOICE)} - asked
    kept |= {name: first(form, name) for name in form if name in answered}
    return page(
        "conflict",
        visitor,
        HTTPStatus.CONFLICT,
        assistant=read,
        kept=kept,
        secrets=typed,
        over=answer.data["version"],
        clashes=clashes,
        is_hidden=fields.is_hidden,
    )


@post(f"{_ASSISTANT}/status", opt=EDITOR, status_code=HTTPStatus.OK)
async def switch(request: AnyRequest, assistant_id: FromPath[str]) -> Template | Redirect:
    """Switch an assistant on or off, if it is still as it was seen."""
    visitor, form = await submitted(request)
    at = f"/assistants/{part(assistant_id)}"
    query = {"is_active": first(form, "is_active")} | _reason(form)
    headers = once(form) | {"if-match": first(form, "etag")}
    answer = await visitor.send("PATCH", f"{at}/status", query=query, headers=headers)
    if answer.status == HTTPStatus.PRECONDITION_FAILED:
        return await _moved(visitor, at, answer)
    return go(f"/assistants/{answer.or_raise()['id']}")


@post(f"{_ASSISTANT}/duplicate", opt=EDITOR, status_code=HTTPStatus.OK)
async def duplicate(request: AnyRequest, assistant_id: FromPath[str]) -> Redirect:
    """Copy an assistant, without its secrets, and show the copy."""
    visitor, form = await submitted(request)
    at = f"/assistants/{part(assistant_id)}"
    answer = await visitor.send("POST", f"{at}/duplicate", headers=once(form))
    return go(f"/assistants/{answer.or_raise()['id']}")


@post(f"{_ASSISTANT}/delete", opt=EDITOR, status_code=HTTPStatus.OK)
async def delete(request: AnyRequest, assistant_id: FromPath[str]) -> Template | Redirect:
    """Delete an assistant, if it is still as it was seen; its history stays."""
    visitor, form = await submitted(request)
    at = f"/assistants/{part(assistant_id)}"
    headers = once(form) | {"if-match": first(form, "etag")}
    answer = await visitor.send("DELETE", at, query=_reason(form), headers=headers)
    if answer.status == HTTPStatus.PRECONDITION_FAILED:
        return await _moved(visitor, at, answer)
    answer.or_raise()
    return go("/")


async def _moved(visitor: Visitor, at: str, answer: Answer) -> Template:
    """The assistant as others made it meanwhile, to be looked at before it is asked again."""
    shown = (await visitor.get(at)).or_raise()
    errors = {"": errors_of(answer.data)[0]}
    return await _page(visitor, shown, HTTPStatus.PRECONDITION_FAILED, errors=errors)


@post(f"{_ASSISTANT}/restore", opt=EDITOR, status_code=HTTPStatus.OK)
async def restore(request: AnyRequest, assistant_id: FromPath[str]) -> Redirect:
    """Bring a deleted assistant back, and show it."""
    visitor, form = await submitted(request)
    at = f"/assistants/{part(assistant_id)}"
    answer = await visitor.send("POST", f"{at}/restore", body=_reason(form), headers=once(form))
    return go(f"/assistants/{answer.or_raise()['id']}")


def _reason(form: Form) -> dict[str, str]:
    reason = first(form, REASON)
    return {REASON: reason} if reason else {}


HANDLERS = [show_assistant, save, switch, duplicate, delete, restore]
