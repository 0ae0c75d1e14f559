"""Checkpoints of SQLite's write-ahead log (WAL): how they go, and which reader prevents them.

SQLite makes its own in a commit that made the log long, and ignores their failures. These are made
between commits. A failure is logged, counted and shown by ``/ready``, and so is a log that grows.
"""

from __future__ import annotations

import itertools
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from msgspec import Struct

from app.metrics import catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MANY = 1000  # pages, 4 MiB: more at once would delay the next commit for long
LARGE = 64 * 1024 * 1024  # bytes of a log that is emptied, not only copied
_log = structlog.get_logger(__name__)


class Checkpoint(Struct, frozen=True, kw_only=True):
    """The log's pages and how many of them are in the file now, and the bytes of the log's file."""

    pages: int
    copied: int
    size: int


class OpenSnapshot(Struct, frozen=True, kw_only=True):
    """A read that goes on: since when, by ``time.monotonic``, for whom, and what it is."""

    since: float
    organization_id: int
    work: str


class OpenSnapshots:
    """Which snapshots the threads of this process read."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._open: dict[int, OpenSnapshot] = {}

    @contextmanager
    def noted(self, organization_id: int, work: Callable[..., Any]) -> Iterator[None]:
        """Called in the thread that reads."""
        number = next(self._numbers)
        self._open[number] = OpenSnapshot(
            since=time.monotonic(), organization_id=organization_id, work=_name(work)
        )
        try:
            yield
        finally:
            del self._open[number]

    def oldest(self) -> OpenSnapshot | None:
        """The one that is open for the longest time."""
        return min(list(self._open.values()), key=lambda one: one.since, default=None)


class WalCheckpoints:
    """How the last checkpoints went. Set by the thread that writes, read by the event loop."""

    def __init__(self, snapshots: OpenSnapshots) -> None:
        self._snapshots = snapshots
        self._failures = 0  # in a row
        self._growth: str | None = None
        self._writes = 0  # since the last checkpoint
        self._pages = 0  # of the log, from which it grows since
        self._pages_each = 100.0  # that a write adds, as of late; at first a guess
        self.is_due = True  # whether the log may hold more than the file

    @property
    def is_pressing(self) -> bool:
        """Whether many pages have been written since the last checkpoint, as far as is known."""
        return self._writes * self._pages_each >= _MANY

    def wrote(self) -> None:
        """Note a commit."""
        self._writes += 1
        self.is_due = True

    def made(self, checkpoint: Checkpoint) -> None:
        """Note a checkpoint that the disk took; readers may have kept it from being complete."""
        if self._failures:
            _log.warning("wal_checkpoints_work_again", failures=self._failures)
        self._failures = 0
        catalog.WAL_BYTES.set(checkpoint.size)
        is_large = checkpoint.size > LARGE
        self.is_due = is_large or checkpoint.copied < checkpoint.pages
        if self._writes:
            measured = (checkpoint.pages - self._pages) / self._writes
            self._pages_each = max(measured, self._pages_each / 2)  # large writes may come again
        self._writes = 0
        # After a complete checkpoint the log begins anew.
        self._pages = 0 if checkpoint.copied == checkpoint.pages else checkpoint.pages
        if not is_large:
            self._growth = None
            return
        oldest = self._snapshots.oldest()
        if self._growth is None:
            _log.warning("wal_is_large", size=checkpoint.size, **_fields(oldest))
        # ``/ready`` is public: who reads what is in the log alone.
        holder = "another process" if oldest is None else "a read of this server"
        size = checkpoint.size // 1024**2
        self._growth = f"The write-ahead log has grown to {size} MiB, and is held by {holder}"

    def failed(self, error: Exception) -> None:
        """Note a checkpoint that failed; logged once for each run of failures."""
        self._failures += 1
        catalog.WAL_CHECKPOINT_FAILURES.add()
        if self._failures == 1:
            _log.error("wal_checkpoint_failed", error=str(error))

    def warnings(self) -> list[str]:
        """What operators must know, in sentences."""
        count = self._failures
        failures = f"The last {count} checkpoints of the write-ahead log failed" if count else None
        return [warning for warning in (failures, self._growth) if warning is not None]


def _fields(oldest: OpenSnapshot | None) -> dict[str, Any]:
    if oldest is None:
        return {"held_by": "another process"}
    return {
        "held_by": oldest.work,
        "organization_id": oldest.organization_id,
        "seconds": round(time.monotonic() - oldest.since, 1),
    }


def _name(work: Callable[..., Any]) -> str:
    while isinstance(work, partial):
        work = work.func
    return f"{work.__module__}.{work.__qualname__}"
