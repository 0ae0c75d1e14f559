"""The low-water mark of the disk: below it no write begins, so that it is never filled wholly."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from app.storage.disk_state import DiskFull

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS = 1.0  # between two looks
_ESSENTIAL_SHARE = 4  # erasure may go on until a fourth of the mark is left
_log = structlog.get_logger(__name__)


class FreeSpace:
    """Compares the free bytes of the database's disk with the mark, at most once a second."""

    def __init__(self, free: Callable[[], int | None], mark: int) -> None:
        self._free = free
        self._mark = mark
        self._left = mark
        self._looked_at = -_SECONDS
        self._is_low = False

    def check(self, *, is_essential: bool = False) -> None:
        """Raise ``DiskFull`` below the mark; for what is essential, below a lower one."""
        if not self._mark:
            return
        if time.monotonic() - self._looked_at >= _SECONDS:
            self._look()
        if self._left < (self._mark // _ESSENTIAL_SHARE if is_essential else self._mark):
            raise DiskFull

    def _look(self) -> None:
        free = self._free()
        self._looked_at = time.monotonic()
        self._left = self._mark if free is None else free
        is_low = self._left < self._mark
        if is_low != self._is_low:
            _log.warning("disk_low" if is_low else "disk_has_room", free=free, mark=self._mark)
        self._is_low = is_low
