"""What a form changes: the difference between what its page showed and what it says, and no more.

It is a JSON Patch of the assistant as the page showed it. Others' changes since then are the
API's to keep, or to ask about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, Struct

from app.console.fields import edit_of
from events import pointers
from events.errors import MalformedJSON
from events.pointers import Change, covers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.console.fields import Field
    from events.pointers import Changes, Tree

_MOST = 1000  # operations that the API takes


class Edit(Struct, frozen=True, kw_only=True):
    """What was made of an assistant, what could not be read, and the fields that were used."""

    made: Tree
    errors: dict[str, str]
    paths: list[str]


def edit(found: list[Field], form: Mapping[str, list[str]], shown: Tree) -> Edit:
    """What a form makes of what was shown; a field that is not in it, or was left alone, stays."""
    made = shown
    known = {one.path for one in found}
    # As when the page was opened before an upgrade.
    errors = {
        name: "This setting is there no longer: open the page again"
        for name in form
        if name.startswith("/") and name not in known
    }
    paths = []
    for one in found:
        try:
            value = edit_of(one, form)
        except MalformedJSON as error:
            errors[one.path] = f"This is no JSON: {error}"
            continue
        if value is not UNSET:
            paths.append(one.path)
            made = pointers.put(made, one.path, value)
    return Edit(made=made, errors=errors, paths=paths)


def operations(shown: Tree, made: Tree) -> list[Tree]:
    """The JSON Patch from one to the other, at the finest places that differ."""
    changes = pointers.diff(shown, made)
    if len(changes) > _MOST:  # as after a large object was pasted
        names = dict.fromkeys(pointers.split(path)[0] for path in changes)
        changes = {f"/{name}": Change(before=shown[name], after=made[name]) for name in names}
    return [_operation(path, change) for path, change in changes.items()]


def _operation(path: str, change: Change) -> Tree:
    if change.after is UNSET:
        return {"op": "remove", "path": path}
    kind = "add" if change.before is UNSET else "replace"
    return {"op": kind, "path": path, "value": change.after}


def settled(shown: Tree, made: Tree, theirs: Tree, choices: Mapping[str, Tree | None]) -> Tree:
    """What others made of what was shown, with one's own changes.

    ``choices`` says whose value a path gets: the one in a tree, or one's own for None.
    """
    others = {path: tree for path, tree in choices.items() if tree is not None}
    changes = pointers.diff(shown, made)
    mine: Changes = {
        path: change
        for path, change in changes.items()
        if not any(covers(other, path) for other in others)
    }
    merged = pointers.apply(mine, theirs)
    for path, tree in others.items():
        merged = pointers.put(merged, path, pointers.at(tree, path))
    return merged
