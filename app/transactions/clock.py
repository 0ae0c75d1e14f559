"""Plausible time, for irreversible work that depends on age.

A clock that is set weeks ahead must not purge secrets or stored answers. So each organization has
an observed time (``organizations.observed_at``), which follows the clock only as fast as time has
passed on a running server. Irreversible work uses ``UnitOfWork.longer_ago``, never the clock.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

TOLERANCE = timedelta(minutes=5)  # clocks differ so far anyway; it does not add up
# Faster than time: after a week of downtime, the observed time catches up in a month.
FASTEST = 1.25


def observe(last: datetime, elapsed: float, now: datetime) -> datetime:
    """The observed time, ``elapsed`` seconds after it was ``last``; never earlier than that."""
    latest = last + timedelta(seconds=elapsed * FASTEST)
    return max(last, min(now, latest))


def believed(observed: datetime, now: datetime) -> datetime:
    """The clock's time, limited to what is plausible."""
    return min(now, observed + TOLERANCE)


class Witness:
    """How much time one process has seen pass, since it first looked at each organization."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._seen: dict[int, tuple[datetime, float]] = {}

    def observe(self, organization_id: int, stored: datetime, now: datetime) -> datetime:
        """An organization's observed time now; ``stored`` is the last one in the database."""
        at = self._monotonic()
        last, since = self._seen.get(organization_id, (stored, at))
        observed = max(stored, observe(last, at - since, now))
        self._seen[organization_id] = (observed, at)
        return observed


class ForwardClock:
    """The clock, except that it goes on when the system's clock is set back.

    Anything that has expired stays expired in this process.
    """

    def __init__(self, clock: Callable[[], datetime], monotonic: Callable[[], float]) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._last = (clock(), monotonic())

    def __call__(self) -> datetime:
        """The time now."""
        last, since = self._last
        at = self._monotonic()
        now = max(self._clock(), last + timedelta(seconds=at - since))
        self._last = (now, at)
        return now
