"""The history of an assistant: its changes with their values, found by filters."""

from __future__ import annotations

import asyncio
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from litestar import Router, get
from litestar.params import FromPath
from litestar.response import Template

from app.api.access import VIEWER
from app.console import history_filters, version_line
from app.console.api_client import Answer, segment
from app.console.differences import add_words
from app.console.history_filters import Filters
from app.console.rendering import page
from app.console.settings_index import PLACES
from app.console.versions import read_versions
from app.console.visitor import PageRequest, Visitor

_PAGE_SIZE = 25
_MOST_SHOWN = 8  # values of one change in the list; its page has them all


@get("/history", opt=VIEWER)
async def show_history(request: PageRequest, assistant_id: FromPath[str]) -> Template:
    """The changes by the filters: who, what, when and why, newest first."""
    visitor, query = request.visitor, request.query_params
    at = f"/assistants/{segment(assistant_id)}"
    assistant = (await visitor.get(at)).or_raise()
    versions = await read_versions(visitor, at)
    filters = history_filters.read(query, visitor.now())
    answer = await _find(visitor, at, filters, query.get("cursor", ""))
    entries = [] if answer is None else answer.or_raise()
    await asyncio.to_thread(_add_words, entries)  # slow for a long prompt
    return page(
        "history",
        visitor,
        assistant=assistant,
        filters=filters,
        is_first="cursor" not in query,
        days=[(day, list(of)) for day, of in groupby(entries, lambda one: one["created_at"][:10])],
        labels={one["version"]: one["label"] for one in versions if one["label"]},
        people=_people(versions, filters),
        settings=PLACES,
        line=version_line.draw(versions, visitor.now(), filters.since, filters.until),
        older=answer and answer.next_page(f"{at}/history", filters.address),
        back=f"{at}/history?{urlencode(filters.address)}",
        most_shown=_MOST_SHOWN,
    )


async def _find(visitor: Visitor, at: str, filters: Filters, cursor: str) -> Answer | None:
    """The entries that match; None where a filter can match none."""
    if filters.finds_nothing:
        return None
    query = filters.query | {"cursor": cursor, "limit": _PAGE_SIZE}
    return await visitor.get(f"{at}/settings-history", **query)


def _people(versions: list[dict[str, Any]], filters: Filters) -> list[str]:
    """Who changed something, in order; and who is looked for."""
    names = {one["changed_by"]["name"] for one in versions} | {filters.typed["actor"]}
    return sorted(names - {""}, key=str.casefold)


def _add_words(entries: list[dict[str, Any]]) -> None:
    for entry in entries:
        add_words(entry["changes"][:_MOST_SHOWN])


ROUTER = Router("/assistants/{assistant_id:str}", route_handlers=[show_history])
