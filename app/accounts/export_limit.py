"""How many exports of an organization run at a time. Each process counts for itself."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from app.limits import LimitExceeded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

POLICY = "exports"  # as answers name the limit
_WAIT = 5.0  # seconds: nobody knows when an export ends


class ExportLimit:
    """Counts the exports that run, by organization."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._running: Counter[int] = Counter()

    def admitted(self, organization_id: int) -> AbstractContextManager[None]:
        """In which an export counts while it runs; raises ``LimitExceeded``."""
        if self._running[organization_id] >= self._most:
            raise LimitExceeded(policy=POLICY, quota=self._most, seconds=None, wait=_WAIT)
        return self._counted(organization_id)

    @contextmanager
    def _counted(self, organization_id: int) -> Iterator[None]:
        self._running[organization_id] += 1
        try:
            yield
        finally:
            self._running[organization_id] -= 1
            if not self._running[organization_id]:
                del self._running[organization_id]
