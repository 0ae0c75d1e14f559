"""Changes over days as a line of bars. Pure; the template draws it as SVG."""

from __future__ import annotations

from datetime import date, timedelta
from math import sqrt
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HEIGHT = 24
STEP = 2  # of the drawing's units, for each day


class Bar(Struct, frozen=True, kw_only=True):
    """A day that had changes, as a rectangle one unit wide."""

    x: int
    y: float
    height: float


class Sparkline(Struct, frozen=True, kw_only=True):
    """The bars, how wide they are together, and the same in words."""

    width: int
    bars: list[Bar]
    total: int
    busiest: str | None  # the day with the most changes
    most: int

    @property
    def words(self) -> str:
        """What the drawing shows, for those who do not see it."""
        if not self.total:
            return "No changes"
        return f"{self.total:,} in all, most on {self.busiest}: {self.most:,}"


def draw(since: str, until: str, days: Iterable[Mapping[str, Any]]) -> Sparkline:
    """The bars of the days from one to another, as the API counted them.

    Heights go by the square root, so that a day of one change is seen beside one of a hundred.
    """
    first = date.fromisoformat(since)
    counted = {date.fromisoformat(one["day"]): one["changes"] for one in days}
    most = max(counted.values(), default=0)
    bars = []
    for day, count in sorted(counted.items()):
        height = round(max(sqrt(count / most) * HEIGHT, 2), 1)
        bars.append(Bar(x=(day - first).days * STEP, y=round(HEIGHT - height, 1), height=height))
    busiest = max(counted, key=lambda day: (counted[day], day), default=None)
    return Sparkline(
        width=((date.fromisoformat(until) - first) // timedelta(days=1) + 1) * STEP,
        bars=bars,
        total=sum(counted.values()),
        busiest=None if busiest is None else busiest.isoformat(),
        most=most,
    )
