"""Conflicts of an edit with others' changes: for each path, theirs, yours, or the value before."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from app.console import texts
from app.console.field import CLEAR, RESET
from app.console.fields import all_fields
from app.console.formatting import decode_path, encode_path
from app.console.policy import read_policy
from app.console.rendering import page
from app.console.typed_secrets import is_masked, typed_secrets
from events import pointers
from events.bodies.reasons import REASON
from events.errors import FieldError, InvalidSettings
from events.pointers import covers, overlaps, split

if TYPE_CHECKING:
    from litestar.response import Template

    from app.console.api_client import Answer
    from app.console.field import Field
    from app.console.forms import Form
    from app.console.visitor import Visitor

_CHOICE = "choice:"  # before a path in conflict: the name of its radio buttons


async def ask(
    visitor: Visitor, shown: dict[str, Any], form: Form, paths: list[str], answer: Answer
) -> Template:
    """The page that asks to choose; ``paths`` are those that the form edits."""
    secrets = typed_secrets(all_fields(shown), form, await read_policy(visitor))
    conflicts = answer.data["conflicts"]
    return page(
        "conflict",
        visitor,
        HTTPStatus.CONFLICT,
        assistant=shown,
        kept=kept(form, paths, secrets, conflicts),
        secrets=secrets,
        over=answer.data["version"],
        conflicts=conflicts,
        is_masked=is_masked,
    )


def kept(
    form: Form, paths: list[str], secrets: list[Field], conflicts: list[dict[str, Any]]
) -> dict[str, str]:
    """The fields that the page sends again: no secrets, and no choices that it asks for."""
    open_choices = {_CHOICE + encode_path(conflict["path"]) for conflict in conflicts}
    edited = {*paths, REASON}.difference(field.path for field in secrets)
    return {
        name: "on" if name.startswith((CLEAR, RESET)) else form[name][-1]
        for name in form
        if name in edited
        or name.startswith((CLEAR, RESET))
        or (name.startswith(_CHOICE) and name not in open_choices)
    }


def choices(
    form: Form, fields: list[Field], shown: dict[str, Any], theirs: dict[str, Any]
) -> dict[str, dict[str, Any] | None]:
    """For each path that was chosen for, the assistant whose value it gets; None for yours.

    Raises ``InvalidSettings`` for the value before where that was a secret: no page holds it.
    """
    trees = {}
    for path, choice in _chosen(form).items():
        if not _can_conflict(fields, path):
            continue
        if choice == "base" and is_masked(pointers.at(shown, path)):
            loc = ("body", *split(path))
            error = FieldError(loc=loc, msg=texts.Conflict.secret_gone, type="hidden")
            raise InvalidSettings((error,))
        trees[path] = {"yours": None, "base": shown}.get(choice, theirs)
    return trees


def missing_texts(form: Form, fields: list[Field], paths: list[str]) -> dict[str, str]:
    """Errors, by path, where yours was chosen and nothing is typed: usually a secret."""
    yours = [path for path, choice in _chosen(form).items() if choice == "yours"]
    return {
        path: texts.Conflict.yours_again
        for path in yours
        if _can_conflict(fields, path) and not any(overlaps(path, other) for other in paths)
    }


def _chosen(form: Form) -> dict[str, str]:
    """The choices of a form, by path."""
    return {
        decode_path(name.removeprefix(_CHOICE)): choice
        for name, (choice, *_) in form.items()
        if name.startswith(_CHOICE)
    }


def _can_conflict(fields: list[Field], path: str) -> bool:
    """Whether a path is at, above or inside a field: only there can two edits conflict."""
    return bool(path) and any(
        covers(path, field.path) or (field.kind == "json" and covers(field.path, path))
        for field in fields
    )
