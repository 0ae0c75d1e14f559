"""Limits, as the configuration and the answers name them."""

from __future__ import annotations

from math import ceil

from msgspec import Struct

from events.errors import DomainError


class LimitExceeded(DomainError):
    """A caller has exceeded a limit.

    ``policy`` names the limit. ``quota`` is how many it allows in ``seconds``, or at a time where
    these are None. ``wait`` are the seconds until the next may be accepted.
    """

    def __init__(self, *, policy: str, quota: int, seconds: int | None, wait: float) -> None:
        super().__init__(policy, quota, seconds)
        self.policy = policy
        self.quota = quota
        self.seconds = seconds
        self.retry_after = max(1, ceil(wait))


class Rate(Struct, frozen=True, kw_only=True):
    """At most ``count`` in ``seconds``; ``app.buckets`` says how many at once."""

    count: int
    seconds: int

    def exceeded(self, policy: str, wait: float) -> LimitExceeded:
        """The error of this rate as a limit with a name."""
        return LimitExceeded(policy=policy, quota=self.count, seconds=self.seconds, wait=wait)
