"""The history of an assistant: a timeline, one change, and any two versions beside each other."""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urlencode

from litestar import Request, get
from litestar.params import FromPath, QueryParameter
from litestar.response import Template
from msgspec import Struct

from app.api.access import VIEWER
from app.console import fields
from app.console.api_client import Visitor, part, signed_in
from app.console.assistant import blame
from app.console.rendering import page

AnyRequest = Request[Any, Any, Any]

_ASSISTANT = "/assistants/{assistant_id:str}"
_AT_ONCE = 25
_FILTERS = ("path", "actor", "since", "until")
_MINUTE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")
_Filter = Annotated[str, QueryParameter(max_length=1000)]
_VIEW = "view"
_SIDE = "side"
_PATHS = tuple(one.path for one in fields.every({}))  # that the filter offers


class View(Struct, frozen=True, kw_only=True):
    """How changes are shown: inline, or side by side; and the same page's other address."""

    is_side: bool
    inline: str
    side: str

    @property
    def query(self) -> str:
        """What an address of another page ends with, so that the view stays."""
        return f"?{_VIEW}={_SIDE}" if self.is_side else ""


def _view(request: AnyRequest) -> View:
    asked = request.query_params
    others = [(name, value) for name, value in asked.items() if name != _VIEW]
    return View(
        is_side=asked.get(_VIEW) == _SIDE,
        inline=f"?{urlencode(others)}",
        side=f"?{urlencode([*others, (_VIEW, _SIDE)])}",
    )


@get(f"{_ASSISTANT}/history", opt=VIEWER)
async def show_history(
    request: AnyRequest,
    assistant_id: FromPath[str],
    path: _Filter = "",
    actor: _Filter = "",
    since: _Filter = "",
    until: _Filter = "",
    cursor: _Filter = "",
) -> Template:
    """Who changed what, when and why, newest first; the filters are in the address."""
    visitor = await signed_in(request)
    at = f"/assistants/{part(assistant_id)}"
    shown = (await visitor.get(at)).or_raise()
    asked = dict(zip(_FILTERS, (path, actor, since, until), strict=True))
    given = {name: value for name, value in asked.items() if value}
    wanted = asked | {"since": to_the_second(since), "until": to_the_second(until)}
    answer = await visitor.get(f"{at}/settings-history", **wanted, cursor=cursor, limit=_AT_ONCE)
    return page(
        "history",
        visitor,
        assistant=shown,
        asked=asked,
        is_filtered=bool(given),
        is_first=not cursor,
        newest=f"{at}/history?{urlencode(given)}",
        entries=answer.or_raise(),
        paths=_PATHS,
        older=answer.older(f"{at}/history", given),
    )


def to_the_second(text: str) -> str:
    """A moment as a browser's field gives it, as the API takes it."""
    return f"{text}:00" if _MINUTE.fullmatch(text) else text


@get(f"{_ASSISTANT}/versions/{{version:str}}", opt=VIEWER)
async def show_change(
    request: AnyRequest, assistant_id: FromPath[str], version: FromPath[str]
) -> Template:
    """One change: who made it, why, and what differs since."""
    visitor = await signed_in(request)
    at = f"/assistants/{part(assistant_id)}"
    shown = (await visitor.get(at)).or_raise()
    entry = (await visitor.get(f"{at}/versions/{part(version)}")).or_raise()
    number = entry["version"]
    changes = await _diff(visitor, at, number - 1, number) if number > 1 else []
    view = _view(request)
    return page("change", visitor, assistant=shown, entry=entry, changes=changes, view=view)


@get(f"{_ASSISTANT}/compare", opt=VIEWER)
async def compare(request: AnyRequest, assistant_id: FromPath[str]) -> Template:
    """Any two versions, whichever way they are named; the last change at first."""
    visitor = await signed_in(request)
    at = f"/assistants/{part(assistant_id)}"
    shown = (await visitor.get(at)).or_raise()
    before = request.query_params.get("from") or max(shown["version"] - 1, 1)
    after = request.query_params.get("to") or shown["version"]
    changes = await _diff(visitor, at, before, after, changed_by="false")
    return page(
        "compare",
        visitor,
        assistant=shown,
        before=before,
        after=after,
        changes=changes,
        blame=await blame(visitor, shown["id"], after),
        view=_view(request),
    )


async def _diff(visitor: Visitor, at: str, before: object, after: object, **more: str) -> Any:
    query = {"from": before, "to": after, "words": "true", **more}
    return (await visitor.get(f"{at}/diff", **query)).or_raise()


HANDLERS = [show_history, show_change, compare]
