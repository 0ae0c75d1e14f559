"""The versions of an assistant on a line over time. Pure; a template draws it as SVG."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from app.console import texts
from app.console.formatting import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 1000
_MANY = 300  # versions, from which marks stand at whole numbers
_BACK = ("undo", "rollback")


class Mark(Struct, frozen=True, kw_only=True):
    """A version on the line."""

    x: float
    kind: Literal["change", "back", "label"]


class Line(Struct, frozen=True, kw_only=True):
    """The marks between two moments of the API, the period that is chosen, and all in words."""

    since: str
    until: str
    marks: list[Mark]
    chosen: tuple[float, float] | None
    words: str


def draw(
    versions: Sequence[dict[str, Any]],
    now: datetime,
    since: datetime | None,
    until: datetime | None,
) -> Line | None:
    """The line of versions, newest first, up to ``now``; None where there is only one."""
    if len(versions) <= 1:
        return None
    first = _moment(versions[-1]["created_at"])
    length = max((now - first).total_seconds(), 1.0)

    def x(moment: datetime) -> float:
        share = (moment - first).total_seconds() / length
        return round(min(max(share, 0.0), 1.0) * WIDTH, 1 if len(versions) < _MANY else None)

    chosen = (x(since or first), x(until or now)) if since or until else None
    return Line(
        since=first.isoformat(),
        until=now.isoformat(),
        # Of a long past, many marks would lie on each other: one stands for all of them.
        marks=list(
            dict.fromkeys(
                Mark(x=x(_moment(one["created_at"])), kind=_kind(one)) for one in versions
            )
        ),
        chosen=chosen,
        words=_words(versions),
    )


def _moment(text: str) -> datetime:
    return msgspec.convert(text, datetime)


def _kind(version: dict[str, Any]) -> Literal["change", "back", "label"]:
    if version["label"]:
        return "label"
    return "back" if version["cause"]["type"] in _BACK else "change"


def _words(versions: Sequence[dict[str, Any]]) -> str:
    kinds = [_kind(one) for one in versions]
    return texts.History.line.format(
        versions=counted(len(versions), "version"),
        back=counted(kinds.count("back"), "undo or restore", "undos or restores"),
        labels=counted(kinds.count("label"), "label"),
    )
