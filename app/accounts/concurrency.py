"""How much runs at a time for an organization or a key. Each process counts for itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

from app.limits import LimitExceeded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from app.accounts.principals import Principal

# As answers name the limits.
EXPORTS = "exports"
KEY_STREAMS, ORGANIZATION_STREAMS = "key-streams", "organization-streams"
_WAIT = 5.0  # seconds: nobody knows when an export or a stream ends
Whose = TypeVar("Whose", bound=Hashable)


class ConcurrencyLimit(Generic[Whose]):
    """Counts what runs, by whose it is."""

    def __init__(self, policy: str, most: int) -> None:
        self._policy = policy
        self._most = most
        self._running: Counter[Whose] = Counter()

    def admitted(self, whose: Whose) -> AbstractContextManager[None]:
        """In which something counts while it runs; raises ``LimitExceeded``."""
        if self._running[whose] >= self._most:
            raise LimitExceeded(policy=self._policy, quota=self._most, seconds=None, wait=_WAIT)
        return self._counted(whose)

    @contextmanager
    def _counted(self, whose: Whose) -> Iterator[None]:
        self._running[whose] += 1
        try:
            yield
        finally:
            self._running[whose] -= 1
            if not self._running[whose]:
                del self._running[whose]


class StreamLimits:
    """How many streams a key, and all keys of an organization together, may have open."""

    def __init__(self, of_key: int, of_organization: int) -> None:
        self._keys = ConcurrencyLimit[tuple[int, int]](KEY_STREAMS, of_key)
        self._organizations = ConcurrencyLimit[int](ORGANIZATION_STREAMS, of_organization)

    @contextmanager
    def admitted(self, principal: Principal) -> Iterator[None]:
        """In which a stream counts while it is open; raises ``LimitExceeded``."""
        key = principal.organization_id, principal.key_id
        with ExitStack() as counted:
            counted.enter_context(self._keys.admitted(key))
            counted.enter_context(self._organizations.admitted(principal.organization_id))
            yield
