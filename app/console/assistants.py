"""The organization's assistants."""

from __future__ import annotations

from typing import Any

from litestar import Request, get
from litestar.response import Template

from app.console.asking import signed_in
from app.console.pages import page

AnyRequest = Request[Any, Any, Any]


@get("/")
async def list_assistants(request: AnyRequest) -> Template:
    """All of them, newest first."""
    visitor = await signed_in(request)
    found = (await visitor.get("/assistants", limit=1000)).or_raise()
    return page("assistants", visitor, assistants=found)


HANDLERS = [list_assistants]
