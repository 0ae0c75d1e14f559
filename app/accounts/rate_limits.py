"""How often an API key, and all keys of an organization together, may send a request.

Each process counts for itself, in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.buckets import Buckets

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.accounts.principals import Principal
    from app.limits import Rate

KEY, ORGANIZATION = "key", "organization"  # as answers name the limits


class RateLimits:
    """Counts the requests of keys and of organizations; without a rate there is no limit."""

    def __init__(
        self, key: Rate | None, organization: Rate | None, monotonic: Callable[[], float]
    ) -> None:
        self._keys = Buckets[tuple[int, int]](key) if key else None
        self._organizations = Buckets[int](organization) if organization else None
        self._monotonic = monotonic

    def take(self, principal: Principal) -> None:
        """Count a request; raises ``LimitExceeded``.

        The key comes first: what it sends beyond its own limit takes nothing from the
        organization's other keys.
        """
        keys, organizations, now = self._keys, self._organizations, self._monotonic()
        organization_id = principal.organization_id
        if keys is not None:
            wait = keys.take((organization_id, principal.key_id), now)
            if wait > 0:
                raise keys.rate.exceeded(KEY, wait)
        if organizations is not None:
            wait = organizations.take(organization_id, now)
            if wait > 0:
                raise organizations.rate.exceeded(ORGANIZATION, wait)

    def add(self, principal: Principal) -> None:
        """Count a request that is a part of an accepted one, and is not refused itself."""
        now = self._monotonic()
        if self._keys is not None:
            self._keys.drain((principal.organization_id, principal.key_id), now)
        if self._organizations is not None:
            self._organizations.drain(principal.organization_id, now)
