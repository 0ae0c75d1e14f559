"""The edits of a form before they are saved: what each changes, and a reason for all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from app.console.conflict import kept
from app.console.differences import add_words
from app.console.fields import all_fields
from app.console.policy import read_policy
from app.console.rendering import page
from app.console.typed_secrets import typed_secrets
from events import pointers
from events.bodies.reasons import REASON
from events.pointers import Paths

if TYPE_CHECKING:
    from litestar.response import Template

    from app.console.edits import Edit
    from app.console.field import Field
    from app.console.forms import Form
    from app.console.visitor import Visitor


async def show(visitor: Visitor, shown: dict[str, Any], form: Form, edit: Edit) -> Template:
    """The page that shows every edit of a form, and saves them; typed secrets are left out."""
    policy = await read_policy(visitor)
    secrets = typed_secrets(all_fields(shown), form, policy)
    changes = await asyncio.to_thread(_changes, shown, edit, secrets)
    without_reason = {name: texts for name, texts in form.items() if name != REASON}
    with_reason = Paths(policy.require_reason_for)
    return page(
        "review",
        visitor,
        assistant=shown,
        changes=changes,
        secrets=secrets,
        kept=kept(without_reason, edit.paths, secrets, []),
        reason=form.get(REASON, [""])[0],
        needs_reason=policy.require_reason or any(map(with_reason.overlap, edit.paths)),
    )


def _changes(shown: dict[str, Any], edit: Edit, secrets: list[Field]) -> list[dict[str, Any]]:
    """What the edits change, without typed secrets, as the API's diffs show it."""
    hidden = Paths(field.path for field in secrets)
    changes = [
        _change(path, change)
        for path, change in pointers.diff(shown, edit.edited).items()
        if not hidden.overlap(path)
    ]
    add_words(changes)
    return changes


def _change(path: str, change: pointers.Change) -> dict[str, Any]:
    sides = {"before": change.before, "after": change.after}
    return {"path": path} | {side: value for side, value in sides.items() if value is not UNSET}
