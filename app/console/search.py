"""One search over assistants, settings, values of settings, reasons, people and labels."""

from __future__ import annotations

from typing import Annotated, Any, get_args
from urllib.parse import urlencode

from litestar import Router, get
from litestar.params import QueryParameter
from litestar.response import Template

from app.api.access import VIEWER
from app.assistants.finding import Kind
from app.console import texts
from app.console.rendering import page
from app.console.visitor import PageRequest

_FEW, _SOME, _MANY = 4, 10, 200  # results of each kind: while one types, on the page, of one kind
_KINDS = get_args(Kind)
_EMPTY: dict[str, Any] = {kind: [] for kind in _KINDS} | {"stopped": []}


@get("/search", opt=VIEWER)
async def search(
    request: PageRequest,
    q: Annotated[str, QueryParameter(max_length=200)] = "",
    kind: Annotated[str, QueryParameter(max_length=20)] = "",
    path: Annotated[str, QueryParameter(max_length=1000)] = "",
    *,
    brief: Annotated[bool, QueryParameter()] = False,
) -> Template:
    """What holds a text; ``brief`` is for the results while one types."""
    visitor = request.visitor
    text = q.strip()
    limit = _FEW if brief else _MANY if kind else _SOME
    query = {"q": text, "kind": kind, "path": path, "limit": limit}
    found = (await visitor.get("/search", **query)).or_raise() if text else _EMPTY
    return page(
        "search",
        visitor,
        q=text,
        kind=kind,
        path=path,
        kinds=texts.Search.kinds,
        found=found,
        count=sum(len(found[kind]) for kind in _KINDS),
        all_of=lambda one: f"/search?{urlencode({'q': text, 'kind': one})}",
        within=lambda one: f"/search?{urlencode({'q': text, 'kind': 'settings', 'path': one})}",
        brief=brief,
    )


ROUTER = Router("/", route_handlers=[search])
