"""An assistant over time: all settings at any version or moment, beside their values today."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from litestar import Router, get
from litestar.params import FromPath, QueryParameter
from litestar.response import Template

from app.api.access import VIEWER
from app.console.api_client import segment
from app.console.fields import all_fields, groups
from app.console.history import to_the_second
from app.console.rendering import page
from app.console.visitor import PageRequest, Visitor
from events.pointers import Paths

_Version = Annotated[str, QueryParameter(max_length=100)]


@get("/life", opt=VIEWER)
async def show_version(
    request: PageRequest, assistant_id: FromPath[str], version: _Version = "", as_of: _Version = ""
) -> Template:
    """The settings at the moment ``as_of``, else at ``version``, else today."""
    visitor = request.visitor
    at = f"/assistants/{segment(assistant_id)}"
    today = (await visitor.get(at)).or_raise()
    chosen = await _version_at(visitor, at, as_of) if as_of else version or today["version"]
    entry = (await visitor.get(f"{at}/versions/{segment(chosen)}")).or_raise()
    differs = await _differs(visitor, at, entry["version"], today["version"])
    shown = groups(entry["assistant"])
    return page(
        "life",
        visitor,
        assistant=today,
        entry=entry,
        as_of=as_of,
        groups=shown,
        differing={f.path for group in shown for f in group.fields if differs(f.path)},
        today={field.path: field for field in all_fields(today)},
    )


async def _version_at(visitor: Visitor, at: str, moment: str) -> int:
    """The version that was current at a moment."""
    version: int = (await visitor.get(at, as_of=to_the_second(moment))).or_raise()["version"]
    return version


async def _differs(visitor: Visitor, at: str, then: int, today: int) -> Callable[[str], bool]:
    """Whether the value at a path differs between two versions, secrets included."""
    query = {"from": then, "to": today, "changed_by": "false"}
    changes = (await visitor.get(f"{at}/diff", **query)).or_raise()
    return Paths(change["path"] for change in changes).overlap


ROUTER = Router("/assistants/{assistant_id:str}", route_handlers=[show_version])
