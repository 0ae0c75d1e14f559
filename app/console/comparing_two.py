"""Two assistants compared: their differences first, their equal settings folded away."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Annotated, Any

from litestar import Router, get, post
from litestar.params import QueryParameter
from litestar.response import Redirect, Template
from msgspec import Struct

from app.api.access import VIEWER
from app.console.api_client import segment
from app.console.differences import add_words
from app.console.field import Field
from app.console.fields import all_fields
from app.console.forms import submitted
from app.console.rendering import page, redirect
from app.console.selection import is_none, list_again, selected
from app.console.typed_secrets import is_masked
from app.console.visitor import PageRequest, Visitor
from events.pointers import same

_Id = Annotated[str, QueryParameter(pattern="^[0-9]{1,10}$")]


class Comparison(Struct, frozen=True, kw_only=True):
    """The fields of two assistants: those that differ, as changes, the equal, and the hidden."""

    differences: list[dict[str, Any]]
    equal: list[Field]
    hidden: list[str]


@post("/compare-two", opt=VIEWER, status_code=HTTPStatus.OK)
async def choose(request: PageRequest) -> Redirect:
    """Compare the two assistants that were selected in the list."""
    visitor, form = await submitted(request)
    ids = [] if is_none(form) else await selected(visitor, form)
    if len(ids) != 2:  # noqa: PLR2004  # a comparison is of two
        return list_again(form, "compare")
    return redirect(f"/assistants/compare?left={ids[0]}&right={ids[1]}")


@get("/compare", opt=VIEWER)
async def show(request: PageRequest, left: _Id, right: _Id) -> Template:
    """What differs between two assistants."""
    visitor = request.visitor
    one, other = await _read(visitor, left), await _read(visitor, right)
    comparison = await asyncio.to_thread(compare, one, other)
    return page("compare_two", visitor, left=one, right=other, comparison=comparison)


async def _read(visitor: Visitor, assistant_id: str) -> dict[str, Any]:
    answer = await visitor.get(f"/assistants/{segment(assistant_id)}")
    found: dict[str, Any] = answer.or_raise()
    return found


def compare(left: dict[str, Any], right: dict[str, Any]) -> Comparison:
    """The comparison of two assistants, as the API shows them: secrets cannot be compared."""
    differences: list[dict[str, Any]] = []
    equal, hidden = [], []
    for one, other in zip(all_fields(left), all_fields(right), strict=True):
        if is_masked(one.value) and is_masked(other.value):
            hidden.append(one.path)
        elif same(one.value, other.value):
            equal.append(one)
        else:
            differences.append({"path": one.path, "before": one.value, "after": other.value})
    add_words(differences)
    return Comparison(differences=differences, equal=equal, hidden=hidden)


ROUTER = Router("/assistants", route_handlers=[choose, show])
