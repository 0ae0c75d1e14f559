"""Assistants that were selected in the list: by their boxes, or all that its filters match."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from app.assistants.change_sets import MOST
from app.console import texts
from app.console.forms import first
from events.errors import FieldError, InvalidSettings

if TYPE_CHECKING:
    from app.console.forms import Form
    from app.console.visitor import Visitor

FILTERS = ("search", "status", "sort")
_AT_ONCE = 200  # that the API lists
_ID = re.compile(r"[1-9][0-9]{0,9}")


async def selected(visitor: Visitor, form: Form) -> list[int]:
    """The ids of a form's assistants; raises ``InvalidSettings`` for none and for too many."""
    ids = await _matching(visitor, form) if "all" in form else _checked(form)
    if not ids:
        raise _refused(texts.Many.none_selected)
    if len(ids) > MOST:
        raise _refused(texts.Many.too_many.format(count=len(ids), most=MOST))
    return ids


def _checked(form: Form) -> list[int]:
    """The ids of checked boxes, and those that a later page carries on as one text."""
    given = [*form.get("assistant", []), *first(form, "assistants").split()]
    return sorted({int(text) for text in given if _ID.fullmatch(text)})


async def _matching(visitor: Visitor, form: Form) -> list[int]:
    """The ids of all assistants that the filters of the list match, up to one too many."""
    query = {name: first(form, name) for name in FILTERS}
    ids: list[int] = []
    while len(ids) <= MOST:
        answer = await visitor.get("/assistants/activity", **query, skip=len(ids), limit=_AT_ONCE)
        ids += [assistant["id"] for assistant in answer.or_raise()["assistants"]]
        if "skip" not in answer.next_query:
            break
    return ids


def _refused(message: str) -> InvalidSettings:
    return InvalidSettings((FieldError(loc=("body",), msg=message, type="selection"),))
