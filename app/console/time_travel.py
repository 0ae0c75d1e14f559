"""An assistant over time: what differed at any version or day, and all settings as they were."""

from __future__ import annotations

from datetime import datetime, tzinfo
from http import HTTPStatus
from typing import Annotated, Any

from litestar import Router, get
from litestar.params import FromPath, QueryParameter
from litestar.response import Template
from msgspec import Struct

from app.api.access import VIEWER
from app.console import periods, texts
from app.console.api_client import segment
from app.console.fields import all_fields, groups
from app.console.rendering import page
from app.console.visitor import PageRequest, Visitor
from events.pointers import Paths

_Text = Annotated[str, QueryParameter(max_length=100)]
_MOST = 200  # changes of a day that are counted


class Chosen(Struct, frozen=True, kw_only=True):
    """The version that a day or a moment leads to, and what is to be said about it."""

    version: str | int
    note: str = ""


@get("/life", opt=VIEWER)
async def show_version(
    request: PageRequest,
    assistant_id: FromPath[str],
    version: _Text = "",
    as_of: _Text = "",
    zone: _Text = "",
) -> Template:
    """The settings at the end of a day or at the moment ``as_of``, else at ``version``, else now.

    Days are those of ``zone``, such as Europe/Rome, and else in UTC.
    """
    visitor = request.visitor
    at = f"/assistants/{segment(assistant_id)}"
    today = (await visitor.get(at)).or_raise()
    chosen = Chosen(version=version or today["version"])
    if as_of:
        chosen = await _at_moment(visitor, at, as_of, periods.zone_of(zone), today["version"])
    entry = (await visitor.get(f"{at}/versions/{segment(chosen.version)}")).or_raise()
    changes = await _changes(visitor, at, entry["version"], today["version"])
    shown = groups(entry["assistant"])
    differs = Paths(change["path"] for change in changes).overlap
    return page(
        "life",
        visitor,
        assistant=today,
        entry=entry,
        as_of=as_of,
        zone=zone,
        note=chosen.note,
        groups=shown,
        changes=changes,
        differing={f.path for group in shown for f in group.fields if differs(f.path)},
        today={field.path: field for field in all_fields(today)},
    )


async def _at_moment(visitor: Visitor, at: str, text: str, zone: tzinfo, latest: int) -> Chosen:
    """The version at the end of a day, or at a moment."""
    try:
        moment = periods.end_of(text, zone)
    except (ValueError, OverflowError):
        return Chosen(version=latest, note=texts.PastSettings.not_a_date.format(text=text))
    answer = await visitor.get(at, as_of=moment.isoformat())
    if answer.status == HTTPStatus.NOT_FOUND:
        return Chosen(version=1, note=texts.PastSettings.before_first.format(day=text))
    version: int = answer.or_raise()["version"]
    note = await _of_day(visitor, at, text, zone, moment) if periods.is_date(text) else ""
    return Chosen(version=version, note=note)


async def _of_day(visitor: Visitor, at: str, day: str, zone: tzinfo, end: datetime) -> str:
    """That it is the end of a day that is shown, and how often the day changed something."""
    query = {"since": periods.start_of(day, zone).isoformat(), "until": end.isoformat()}
    found = (await visitor.get(f"{at}/settings-history", limit=_MOST, **query)).or_raise()
    note = texts.PastSettings.on_day.format(day=day, zone=zone)
    if not found:
        return note
    return f"{note}. {texts.PastSettings.changed_that_day.format(count=len(found))}"


async def _changes(visitor: Visitor, at: str, then: int, today: int) -> list[dict[str, Any]]:
    """What differs between two versions, secrets included: today's values are the later ones."""
    query = {"from": then, "to": today, "changed_by": "false", "words": "true"}
    changes: list[dict[str, Any]] = (await visitor.get(f"{at}/diff", **query)).or_raise()
    return changes


ROUTER = Router("/assistants/{assistant_id:str}", route_handlers=[show_version])
