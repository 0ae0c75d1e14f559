"""One change of an assistant, and a comparison of any two of its versions."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import urlencode

from litestar import Router, get
from litestar.params import FromPath, QueryParameter
from litestar.response import Template
from msgspec import Struct

from app.api.access import VIEWER
from app.console import formatting, texts
from app.console.api_client import Answer, segment
from app.console.blame import read_blame
from app.console.fields import all_fields
from app.console.rendering import page
from app.console.versions import read_versions
from app.console.visitor import PageRequest, Visitor
from app.storage.tables import MAX_ID
from events.pointers import Paths

_VIEW = "view"
_SIDE = "side"


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
    others = [(name, value) for name, value in query.items() if name not in (_VIEW, "saved")]
    return View(
        is_side=query.get(_VIEW) == _SIDE,
        inline=f"?{urlencode(others)}",
        side=f"?{urlencode([*others, (_VIEW, _SIDE)])}",
    )


@get("/versions/{version:str}", opt=VIEWER)
async def show_change(
    request: PageRequest,
    assistant_id: FromPath[str],
    version: FromPath[str],
    saved: Annotated[int, QueryParameter(ge=0, le=MAX_ID)] = 0,
) -> Template:
    """One change: who made it, when and why, and what it changed.

    ``saved`` is the version that a form has just made.
    """
    return await change_page(request, f"/assistants/{segment(assistant_id)}", version, saved=saved)


async def change_page(
    request: PageRequest,
    at: str,
    version: str,
    *,
    saved: int = 0,
    errors: list[str] | None = None,
    status: int = HTTPStatus.OK,
) -> Template:
    """The page of one change of the assistant at ``at``; ``errors`` are those of its form."""
    visitor = request.visitor
    assistant = (await visitor.get(at)).or_raise()
    entry = (await visitor.get(f"{at}/versions/{segment(version)}")).or_raise()
    number = entry["version"]
    changes = (await _diff(visitor, at, number - 1, number)).or_raise() if number > 1 else []
    return page(
        "change",
        visitor,
        status,
        errors=errors or [],
        assistant=assistant,
        entry=entry,
        changes=changes,
        view=_view(request),
        saved=saved if saved == number == assistant["version"] else 0,
    )


@get("/compare", opt=VIEWER)
async def compare(request: PageRequest, assistant_id: FromPath[str]) -> Template:
    """The differences between two versions, picked from a list; at first the last change."""
    visitor = request.visitor
    at = f"/assistants/{segment(assistant_id)}"
    assistant = (await visitor.get(at)).or_raise()
    versions = await read_versions(visitor, at)
    before, after, unknown = await _chosen(request, at, assistant["version"])
    changes = (await _diff(visitor, at, before, after, changed_by="false")).or_raise()
    return page(
        "compare",
        visitor,
        assistant=assistant,
        before=before,
        after=after,
        unknown=unknown,
        choices={one["version"]: _choice(one) for one in versions}
        | {number: str(number) for number in (before, after) if number < versions[-1]["version"]},
        changes=changes,
        same=await _same(visitor, at, after, changes),
        blame=await read_blame(visitor, assistant["id"], after),
        view=_view(request),
    )


async def _chosen(request: PageRequest, at: str, latest: int) -> tuple[int, int, list[str]]:
    """The two versions of a query, and what in it names none.

    ``version`` are the checkmarks of a history: the older is compared with the newer, and one
    alone with the current version.
    """
    query = request.query_params
    marked = sorted(int(text) for text in query.getall("version", []) if _is_version(text, latest))
    given = {"from": query.get("from", ""), "to": query.get("to", "")}
    if marked:
        given = {"from": str(marked[0]), "to": str(marked[-1] if len(marked) > 1 else latest)}
    found = {
        name: await _number(request.visitor, at, text, latest)
        for name, text in given.items()
        if text
    }
    unknown = [given[name] for name, number in found.items() if number is None]
    return found.get("from") or max(latest - 1, 1), found.get("to") or latest, unknown


def _is_version(text: str, latest: int) -> bool:
    return text.isascii() and text.isdecimal() and 0 < int(text[:18]) <= latest


async def _number(visitor: Visitor, at: str, text: str, latest: int) -> int | None:
    """The number of a version by its number or name; None where there is none."""
    if _is_version(text, latest):
        return int(text)
    answer = await visitor.get(f"{at}/versions/{segment(text)}")
    return None if answer.is_problem else int(answer.data["version"])


def _choice(version: Mapping[str, Any]) -> str:
    """A version in the list of versions: its day, who made it, why, and its label."""
    words = texts.Compare.choice.format(
        version=version["version"],
        day=formatting.utc(version["created_at"])[:10],
        who=formatting.name(version["changed_by"]["name"]),
    )
    if reason := version["change_description"]:
        words = texts.Compare.choice_because.format(
            choice=words, reason=formatting.name(formatting.short(reason))
        )
    label = version["label"]
    return (
        texts.Compare.choice_label.format(label=formatting.name(label), choice=words)
        if label
        else words
    )


async def _same(
    visitor: Visitor, at: str, version: int, changes: list[dict[str, Any]]
) -> list[Any]:
    """The fields of the settings that no change touches."""
    settings = (await visitor.get(at, version=version)).or_raise()
    changed = Paths(change["path"] for change in changes)
    return [field for field in all_fields(settings) if not changed.overlap(field.path)]


async def _diff(visitor: Visitor, at: str, before: object, after: object, **more: str) -> Answer:
    query = {"from": before, "to": after, "words": "true", **more}
    return await visitor.get(f"{at}/diff", **query)


ROUTER = Router("/assistants/{assistant_id:str}", route_handlers=[show_change, compare])
