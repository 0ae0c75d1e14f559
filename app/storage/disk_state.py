"""Whether the disk takes writes, as far as the last ones have shown."""

from __future__ import annotations

import structlog

from app.metrics import catalog

_log = structlog.get_logger(__name__)


class WritingSuspended(Exception):
    """Nothing was written. Writing goes on by itself when the disk stores changes again.

    The text is for clients.
    """

    text = "The disk failed to store a change. Writing goes on by itself when it does so again"

    def __init__(self) -> None:
        super().__init__(self.text)


class DiskFull(WritingSuspended):
    """As above, but smaller writes may find room, so the next ones are tried."""

    text = "The disk has too little room. Writing goes on by itself when there is more"


class DiskState:
    """Set by the thread that writes, and read by the event loop."""

    def __init__(self) -> None:
        self._kind: type[WritingSuspended] | None = None
        catalog.WRITING_SUSPENDED.set(0)

    def check(self) -> None:
        """Raise ``WritingSuspended`` if the last write failed."""
        if self._kind is not None:
            raise self._kind

    def check_writing(self) -> None:
        """Raise ``WritingSuspended`` if no write may be tried."""
        if self._kind is not DiskFull:
            self.check()

    @property
    def works(self) -> bool:
        """Whether no write failed since the last ``succeeded``."""
        return self._kind is None

    def failed(self, kind: type[WritingSuspended], cause: Exception) -> None:
        """Note a write that failed; logged once until ``succeeded``.

        A full disk ends no suspension: what failed before may not be durable yet.
        """
        if self._kind is WritingSuspended:
            return
        if self._kind is not kind:
            _log.critical("writing_suspended", reason=kind.text, error=str(cause))
        self._kind = kind
        catalog.WRITING_SUSPENDED.set(1)

    def succeeded(self) -> None:
        """Note that writing was tried, and is durable."""
        if self._kind is not None:
            self._kind = None
            catalog.WRITING_SUSPENDED.set(0)
            _log.warning("writing_resumed")
