"""The history of an assistant: a timeline, one change, and a comparison of any two versions."""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urlencode

from litestar import Router, get
from litestar.params import FromPath, QueryParameter
from litestar.response import Template
from msgspec import Struct

from app.api.access import VIEWER
from app.console.api_client import segment
from app.console.blame import read_blame
from app.console.fields import all_fields
from app.console.rendering import page
from app.console.visitor import PageRequest, Visitor

_PAGE_SIZE = 25
_FILTERS = ("path", "actor", "since", "until")
_TO_THE_MINUTE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")
_Filter = Annotated[str, QueryParameter(max_length=1000)]
_VIEW = "view"
_SIDE = "side"
_PATHS = tuple(field.path for field in all_fields({}))  # that the filter offers


class View(Struct, frozen=True, kw_only=True):
    """How changes are shown, inline or side by side, and the page's address with either."""

    is_side: bool
    inline: str
    side: str

    @property
    def query(self) -> str:
        """The end of an address of another page that is shown in the same way."""
        return f"?{_VIEW}={_SIDE}" if self.is_side else ""


def _view(request: PageRequest) -> View:
    query = request.query_params
    others = [(name, value) for name, value in query.items() if name != _VIEW]
    return View(
        is_side=query.get(_VIEW) == _SIDE,
        inline=f"?{urlencode(others)}",
        side=f"?{urlencode([*others, (_VIEW, _SIDE)])}",
    )


@get("/history", opt=VIEWER)
async def show_history(
    request: PageRequest,
    assistant_id: FromPath[str],
    path: _Filter = "",
    actor: _Filter = "",
    since: _Filter = "",
    until: _Filter = "",
    cursor: _Filter = "",
) -> Template:
    """The changes by the filters: who, what, when and why, newest first."""
    visitor = request.visitor
    at = f"/assistants/{segment(assistant_id)}"
    assistant = (await visitor.get(at)).or_raise()
    filters = dict(zip(_FILTERS, (path, actor, since, until), strict=True))
    given = {name: value for name, value in filters.items() if value}
    query = filters | {"since": to_the_second(since), "until": to_the_second(until)}
    answer = await visitor.get(f"{at}/settings-history", **query, cursor=cursor, limit=_PAGE_SIZE)
    return page(
        "history",
        visitor,
        assistant=assistant,
        filters=filters,
        is_filtered=bool(given),
        is_first=not cursor,
        newest=f"{at}/history?{urlencode(given)}",
        entries=answer.or_raise(),
        paths=_PATHS,
        older=answer.next_page(f"{at}/history", given),
    )


def to_the_second(text: str) -> str:
    """A date and time with seconds, which browsers leave out and the API needs."""
    return f"{text}:00" if _TO_THE_MINUTE.fullmatch(text) else text


@get("/versions/{version:str}", opt=VIEWER)
async def show_change(
    request: PageRequest, assistant_id: FromPath[str], version: FromPath[str]
) -> Template:
    """One change: who made it, when and why, and what it changed."""
    visitor = request.visitor
    at = f"/assistants/{segment(assistant_id)}"
    assistant = (await visitor.get(at)).or_raise()
    entry = (await visitor.get(f"{at}/versions/{segment(version)}")).or_raise()
    number = entry["version"]
    changes = await _diff(visitor, at, number - 1, number) if number > 1 else []
    view = _view(request)
    return page("change", visitor, assistant=assistant, entry=entry, changes=changes, view=view)


@get("/compare", opt=VIEWER)
async def compare(request: PageRequest, assistant_id: FromPath[str]) -> Template:
    """The differences between two versions, by number or name; at first the last change."""
    visitor = request.visitor
    at = f"/assistants/{segment(assistant_id)}"
    assistant = (await visitor.get(at)).or_raise()
    before = request.query_params.get("from") or max(assistant["version"] - 1, 1)
    after = request.query_params.get("to") or assistant["version"]
    changes = await _diff(visitor, at, before, after, changed_by="false")
    return page(
        "compare",
        visitor,
        assistant=assistant,
        before=before,
        after=after,
        changes=changes,
        blame=await read_blame(visitor, assistant["id"], after),
        view=_view(request),
    )


async def _diff(visitor: Visitor, at: str, before: object, after: object, **more: str) -> Any:
    query = {"from": before, "to": after, "words": "true", **more}
    return (await visitor.get(f"{at}/diff", **query)).or_raise()


ROUTER = Router(
    "/assistants/{assistant_id:str}", route_handlers=[show_history, show_change, compare]
)
