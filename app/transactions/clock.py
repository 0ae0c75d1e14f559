"""Which time is believed: the rule for everything that cannot be taken back.

A clock that is set weeks ahead must not purge secrets or forget answers. So each organization
keeps its observed time (``organizations.observed_at``): it follows the clock only as fast as the
monotonic clock of a running server vouches for. What is irreversible asks
``UnitOfWork.longer_ago``, never the clock.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

TOLERANCE = timedelta(minutes=5)  # how far clocks differ anyway; it never adds up
# Faster than time, so that a server that was down for a week is on time again a month later.
FASTEST = 1.25


def observe(last: datetime, elapsed: float, now: datetime) -> datetime:
    """The observed time, ``elapsed`` seconds after it was ``last``; it never runs backwards."""
    vouched = last + timedelta(seconds=elapsed * FASTEST)
    return max(last, min(now, vouched))


def believed(observed: datetime, now: datetime) -> datetime:
    """What the clock says, as far as it is plausible."""
    return min(now, observed + TOLERANCE)


class Witness:
    """What one process has seen of time; it has seen nothing before it first looks."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._seen: dict[int, tuple[datetime, float]] = {}

    def observe(self, organization_id: int, stored: datetime, now: datetime) -> datetime:
        """An organization's observed time now; ``stored`` is what was written of it last."""
        at = self._monotonic()
        last, since = self._seen.get(organization_id, (stored, at))
        observed = max(stored, observe(last, at - since, now))
        self._seen[organization_id] = (observed, at)
        return observed


class ForwardClock:
    """The clock, except that it goes on from where it was when somebody sets it back.

    What has expired in this process stays expired.
    """

    def __init__(self, clock: Callable[[], datetime], monotonic: Callable[[], float]) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._last = (clock(), monotonic())

    def __call__(self) -> datetime:
        """The moment."""
        last, since = self._last
        at = self._monotonic()
        now = max(self._clock(), last + timedelta(seconds=at - since))
        self._last = (now, at)
        return now
