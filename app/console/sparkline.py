"""The number of changes a day as bars. Pure; the template draws them as SVG."""

from __future__ import annotations

from datetime import date, timedelta
from math import sqrt
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from app.console import texts
from app.console.formatting import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HEIGHT = 24
STEP = 2  # units of the drawing for each day


class Bar(Struct, frozen=True, kw_only=True):
    """A day with changes, as a rectangle."""

    x: int
    y: float
    height: float


class Sparkline(Struct, frozen=True, kw_only=True):
    """The bars, the width of the drawing, and its content in words."""

    width: int
    bars: list[Bar]
    total: int
    busiest: str | None  # the day with the most changes
    most: int

    @property
    def words(self) -> str:
        """The text alternative of the drawing."""
        if not self.total:
            return texts.Assistants.no_changes
        changes = counted(self.total, "change")
        return texts.Assistants.busiest.format(
            changes=changes, day=self.busiest, most=f"{self.most:,}"
        )


def draw(since: str, until: str, days: Iterable[Mapping[str, Any]]) -> Sparkline:
    """The bars of the days from ``since`` to ``until``, as the API counted them.

    Heights follow the square root: a day with one change is visible beside a day with a hundred.
    """
    first = date.fromisoformat(since)
    counts = {date.fromisoformat(day["day"]): day["changes"] for day in days}
    most = max(counts.values(), default=0)
    bars = []
    for day, count in sorted(counts.items()):
        height = round(max(sqrt(count / most) * HEIGHT, 2), 1)
        bars.append(Bar(x=(day - first).days * STEP, y=round(HEIGHT - height, 1), height=height))
    busiest = max(counts, key=lambda day: (counts[day], day), default=None)
    return Sparkline(
        width=((date.fromisoformat(until) - first) // timedelta(days=1) + 1) * STEP,
        bars=bars,
        total=sum(counts.values()),
        busiest=None if busiest is None else busiest.isoformat(),
        most=most,
    )
