"""Days as people say them, in their zone: "today", "since Monday", a date. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

import msgspec

NAMES = ("today", "week", "month")
_A_DAY = timedelta(days=1)
_JUST_BEFORE = timedelta(microseconds=1)


def zone_of(name: str) -> tzinfo:
    """A zone by its name, such as Europe/Rome; UTC where none is known by it."""
    try:
        return ZoneInfo(name) if name else UTC
    except (KeyError, ValueError, OSError):  # unknown, no name of a zone, a folder of zones
        return UTC


def since_of(period: str, now: datetime, zone: tzinfo) -> date:
    """The first day of a period that ends now: one of ``NAMES``."""
    today = now.astimezone(zone).date()
    days = {"today": 0, "week": today.weekday(), "month": 29}
    return today - timedelta(days=days[period])


def start_of(text: str, zone: tzinfo) -> datetime:
    """The moment at which a date begins, or the moment itself; raises ``ValueError``."""
    return _begin(date.fromisoformat(text), zone) if is_date(text) else _moment(text)


def end_of(text: str, zone: tzinfo) -> datetime:
    """The last moment of a date, or the moment itself; raises ``ValueError``."""
    if not is_date(text):
        return _moment(text)
    return _begin(date.fromisoformat(text) + _A_DAY, zone) - _JUST_BEFORE


def is_date(text: str) -> bool:
    """Whether a text is a date alone, such as 2026-10-20."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _begin(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _moment(text: str) -> datetime:
    try:
        read = msgspec.convert(text.replace(" ", "+"), datetime)
    except msgspec.ValidationError:
        read = datetime.fromisoformat(text)  # without seconds, as browsers send it
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
