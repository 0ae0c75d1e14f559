"""Bounds in time. Events are searched by sequence, so each bound becomes the sequence there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_INSTANT = timedelta(microseconds=1)  # the precision of an event's time
_LAST_MOMENT = datetime.max.replace(tzinfo=UTC) - 2 * _INSTANT


def following(moment: datetime | None) -> datetime | None:
    """The moment after an inclusive bound; None for no bound, or for one where time ends."""
    return None if moment is None or moment > _LAST_MOMENT else moment + _INSTANT
