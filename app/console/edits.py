"""An edit of an assistant: the difference between the page that was shown and the form. Pure.

It is sent as a JSON Patch of the assistant that the page showed. The API keeps what others
changed since, or answers with the conflicts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, Struct

from app.console import texts
from app.console.field import edited_value
from events import pointers
from events.errors import MalformedJSON
from events.pointers import Change, covers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.console.field import Field
    from events.pointers import Changes, Tree

_MAX_OPERATIONS = 1000  # that the API takes
_SYNTAX = "JSON decode error"  # how the rule of a broken text begins


class Edit(Struct, frozen=True, kw_only=True):
    """The edited assistant, the paths of the edited fields, and the errors by path."""

    edited: Tree
    paths: list[str]
    errors: dict[str, str]


def edit(fields: list[Field], form: Mapping[str, list[str]], shown: Tree) -> Edit:
    """Apply a form to the assistant that was shown; fields that are not in the form stay."""
    known = {field.path for field in fields}
    # The page may be older than the last upgrade.
    unknown = [name for name in form if name.startswith("/") and name not in known]
    errors = dict.fromkeys(unknown, texts.Assistant.no_longer)
    edited, paths = shown, []
    for field in fields:
        try:
            value = edited_value(field, form)
        except MalformedJSON as error:
            errors[field.path] = json_error(error, form[field.path][-1])
            continue
        if value is not UNSET:
            paths.append(field.path)
            edited = pointers.put(edited, field.path, value)
    return Edit(edited=edited, paths=paths, errors=errors)


def json_error(error: MalformedJSON, text: str) -> str:
    """What is wrong with a JSON text, and where."""
    if not error.rule.startswith(_SYNTAX):  # only these tell their place
        return texts.Assistant.not_json_because.format(reason=error)
    before = text[: error.position]
    line, column = before.count("\n") + 1, error.position - before.rfind("\n")
    return texts.Assistant.not_json.format(line=line, column=column)


def operations(shown: Tree, edited: Tree) -> list[Tree]:
    """The JSON Patch between two assistants, with the deepest paths that differ."""
    changes = pointers.diff(shown, edited)
    if len(changes) > _MAX_OPERATIONS:  # as after a large object was pasted
        names = dict.fromkeys(pointers.split(path)[0] for path in changes)
        changes = {f"/{name}": Change(before=shown[name], after=edited[name]) for name in names}
    return [_operation(path, change) for path, change in changes.items()]


def _operation(path: str, change: Change) -> Tree:
    if change.after is UNSET:
        return {"op": "remove", "path": path}
    op = "add" if change.before is UNSET else "replace"
    return {"op": op, "path": path, "value": change.after}


def resolved(shown: Tree, edited: Tree, theirs: Tree, choices: Mapping[str, Tree | None]) -> Tree:
    """The assistant as others left it (``theirs``), with the edit and the choices.

    ``choices`` has, for each path in conflict, the tree whose value it gets; None for the edit's.
    """
    chosen = {path: tree for path, tree in choices.items() if tree is not None}
    changes = pointers.diff(shown, edited)
    own: Changes = {
        path: change
        for path, change in changes.items()
        if not any(covers(other, path) for other in chosen)
    }
    merged = pointers.apply(own, theirs)
    for path, tree in chosen.items():
        merged = pointers.put(merged, path, pointers.at(tree, path))
    return merged
