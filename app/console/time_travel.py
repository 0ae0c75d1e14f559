"""An assistant over time: all its settings at any version or moment, beside what they are today."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, get
from litestar.params import FromPath, QueryParameter
from litestar.response import Template

from app.api.access import VIEWER
from app.console import fields
from app.console.api_client import Visitor, part, signed_in
from app.console.history import to_the_second
from app.console.rendering import page
from events.pointers import Paths

AnyRequest = Request[Any, Any, Any]

_Named = Annotated[str, QueryParameter(max_length=100)]


@get("/assistants/{assistant_id:str}/life", opt=VIEWER)
async def show_life(
    request: AnyRequest, assistant_id: FromPath[str], version: _Named = "", as_of: _Named = ""
) -> Template:
    """The settings as they were at a version, or at a moment, where one is given; or today's."""
    visitor = await signed_in(request)
    at = f"/assistants/{part(assistant_id)}"
    today = (await visitor.get(at)).or_raise()
    wanted = await _version_at(visitor, at, as_of) if as_of else version or today["version"]
    then = (await visitor.get(f"{at}/versions/{part(wanted)}")).or_raise()
    differs = await _differs(visitor, at, then["version"], today["version"])
    groups = fields.groups(then["assistant"])
    return page(
        "life",
        visitor,
        assistant=today,
        entry=then,
        as_of=as_of,
        groups=groups,
        differing={one.path for group in groups for one in group.fields if differs(one.path)},
        today={one.path: one for one in fields.every(today)},
    )


async def _version_at(visitor: Visitor, at: str, moment: str) -> int:
    """The version that was there at a moment."""
    found: int = (await visitor.get(at, as_of=to_the_second(moment))).or_raise()["version"]
    return found


async def _differs(visitor: Visitor, at: str, then: int, today: int) -> Any:
    """What tells whether a setting was another at a version; secrets that were rotated, too."""
    changes = (
        await visitor.get(f"{at}/diff", **{"from": then, "to": today, "changed_by": "false"})
    ).or_raise()
    return Paths(one["path"] for one in changes).overlap


HANDLERS = [show_life]
