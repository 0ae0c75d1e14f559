"""The start page: what happened lately, day by day, and what is unusual."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import groupby
from typing import Annotated, Any

from litestar import Router, get
from litestar.params import QueryParameter
from litestar.response import Template
from msgspec import Struct

from app.api.access import VIEWER
from app.console.differences import add_words
from app.console.rendering import page
from app.console.unusual import DAYS, MANY_CHANGES, TAKEN_BACK, day_of, unusual
from app.console.visitor import PageRequest, Visitor

_PAGE_SIZE = 40
_MOST_LOOKED_AT = 500  # changes among which something unusual is looked for
_MOST_UNUSUAL = 10
_Cursor = Annotated[str, QueryParameter(max_length=200)]


class Happening(Struct, frozen=True, kw_only=True):
    """One change, or all changes of one change set."""

    changes: list[dict[str, Any]]

    @property
    def first(self) -> dict[str, Any]:
        """The change that stands for all: they share who, when and why."""
        return self.changes[0]

    @property
    def change_set_id(self) -> int | None:
        """The change set, where it is one."""
        found: int | None = self.first["cause"].get("change_set_id")
        return found


class Day(Struct, frozen=True, kw_only=True):
    """What happened on a day (UTC), newest first."""

    day: str
    happenings: list[Happening]


@get("/", opt=VIEWER)
async def show_home(request: PageRequest, cursor: _Cursor = "") -> Template:
    """What happened lately in the organization, and what is unusual."""
    visitor = request.visitor
    answer = await visitor.get("/changes", cursor=cursor, limit=_PAGE_SIZE)
    changes = answer.or_raise()
    for change in changes:
        await asyncio.to_thread(add_words, change["changes"])
    found = [] if cursor else await _unusual(visitor)
    return page(
        "home",
        visitor,
        days=days(changes),
        unusual=found[:_MOST_UNUSUAL],
        more_unusual=max(len(found) - _MOST_UNUSUAL, 0),
        rules={"days": DAYS, "times": TAKEN_BACK, "many": MANY_CHANGES},
        is_first=not cursor,
        older=answer.next_page("/", {}),
    )


async def _unusual(visitor: Visitor) -> list[Any]:
    since = (visitor.now() - timedelta(days=DAYS)).isoformat()
    lately = (await visitor.get("/changes", since=since, limit=_MOST_LOOKED_AT)).or_raise()
    return unusual(lately)


def days(changes: list[dict[str, Any]]) -> list[Day]:
    """Changes by day; those of one change set are one happening."""
    return [
        Day(
            day=day, happenings=[Happening(changes=list(some)) for _, some in groupby(of_day, _set)]
        )
        for day, of_day in groupby(changes, day_of)
    ]


def _set(change: dict[str, Any]) -> Any:
    """What the changes of one change set share, and no other change does."""
    return change["cause"].get("change_set_id") or (change["sequence"],)


ROUTER = Router("/", route_handlers=[show_home])
