"""Assistants that were selected in the list: by their boxes, or all that its filters match."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from app.assistants.change_sets import MOST
from app.console import texts
from app.console.forms import first
from app.console.rendering import redirect
from events.errors import FieldError, InvalidSettings

if TYPE_CHECKING:
    from litestar.response import Redirect

    from app.console.forms import Form
    from app.console.visitor import Visitor

FILTERS = ("search", "status", "sort")
_KEPT = 100  # selected assistants that an address keeps
_AT_ONCE = 200  # that the API lists
_ID = re.compile(r"[1-9][0-9]{0,9}")


def is_none(form: Form) -> bool:
    """Whether a form selects no assistant."""
    return "all" not in form and not _checked(form)


async def selected(visitor: Visitor, form: Form) -> list[int]:
    """The ids of a form's assistants; raises ``InvalidSettings`` for none and for too many."""
    ids = await _matching(visitor, form) if "all" in form else _checked(form)
    if not ids:
        raise _refused(texts.Many.none_selected)
    if len(ids) > MOST:
        raise _refused(texts.Many.too_many.format(count=len(ids), most=MOST))
    return ids


def list_again(form: Form, note: str) -> Redirect:
    """The list again, with what was selected, and a sentence that says what is missing."""
    kept = {name: first(form, name) for name in (*FILTERS, "setting", "page") if first(form, name)}
    ids = " ".join(map(str, _checked(form)[:_KEPT]))
    return redirect(f"/assistants?{urlencode(kept | {'chosen': ids, 'note': note})}")


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
