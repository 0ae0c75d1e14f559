"""Token buckets: how often each of many keys may do something, in bounded memory."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from app.limits import Rate

K = TypeVar("K", bound=Hashable)

_WINDOWS = 2
_MOST = 50_000  # buckets between two turns
_ROUNDING = 1e-5  # seconds: moments are floats


class Buckets(Generic[K]):
    """A bucket of tokens for each key. It fills up at a rate, and is full at first.

    Of a bucket only the moment is stored when it will be full again (GCRA). A full one is not
    stored. In each period in which an empty bucket fills up, those that nobody took from since the
    period before are dropped: they are full. So no key gets new tokens because its bucket is gone.
    After ``most`` buckets of a period, all further keys share one. A full bucket holds ``at_once``
    tokens; by default, those of two windows of the rate.
    """

    def __init__(self, rate: Rate, most: int = _MOST, *, at_once: int | None = None) -> None:
        self.rate = rate
        self._each = rate.seconds / rate.count  # seconds in which a bucket gets a token
        held = _WINDOWS * rate.count if at_once is None else at_once
        self._period = held * self._each + _ROUNDING  # seconds until an empty one is full
        self._most = most
        self._recent: dict[K | None, float] = {}
        self._older: dict[K | None, float] = {}
        self._turn_at = 0.0

    @property
    def stored(self) -> int:
        """How many buckets are in memory."""
        return len(self._recent) + len(self._older)

    def wait(self, key: K, now: float) -> float:
        """The seconds until the key's bucket has a token; 0 or less if it has one.

        ``now`` is in seconds of a clock that is never set back.
        """
        return self._full_at(self._used_by(key), now) - now + self._each - self._period

    def take(self, key: K, now: float) -> float:
        """Take a token, if there is one; returns what ``wait`` does."""
        if now >= self._turn_at:
            self._turn(now)
        used = self._used_by(key)
        full_at = self._full_at(used, now) + self._each
        wait = full_at - now - self._period
        if wait <= 0:
            self._recent[used] = full_at
        return wait

    def drain(self, key: K, now: float) -> None:
        """Take a token, or what is left of one."""
        if self.take(key, now) > 0:
            self._recent[self._used_by(key)] = now + self._period

    def _used_by(self, key: K) -> K | None:
        """The key of the bucket that a key uses; None is the shared one's."""
        return key if len(self._recent) < self._most or key in self._recent else None

    def _full_at(self, used: K | None, now: float) -> float:
        full_at = self._recent.get(used) or self._older.get(used, now)
        return max(full_at, now)

    def _turn(self, now: float) -> None:
        self._older = self._recent
        self._recent = {}
        self._turn_at = now + self._period
