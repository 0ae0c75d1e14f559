"""The filters of a history: as typed or picked, as the API takes them, and as chips. Pure.

A filter that cannot be read is named in a note; the others stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from msgspec import Struct

from app.console import periods, texts
from app.console.settings_index import PLACES, paths_of

NAMES = ("path", "actor", "kind", "period", "since", "until", "zone")
KINDS = {
    "edit": ("patch", "put"),
    "status": ("status",),
    "back": ("undo", "rollback"),
    "set": ("change_set",),
    "life": ("create", "duplicate", "delete", "restore"),
    "secrets": ("erase", "purge"),
}
_MOST_PATHS = 200  # that the API takes


class Chip(Struct, frozen=True, kw_only=True):
    """A filter that is set: what it is, its value in words, and the query without it."""

    title: str
    words: str
    without: str


class Filters(Struct, frozen=True, kw_only=True):
    """The filters of one page."""

    typed: Mapping[str, str]
    paths: tuple[str, ...]
    since: datetime | None
    until: datetime | None
    notes: Mapping[str, str]  # what could not be read, by the name of the filter

    @property
    def is_set(self) -> bool:
        """Whether there is any, read or not."""
        return any(self.typed[name] for name in NAMES if name != "zone")

    @property
    def finds_nothing(self) -> bool:
        """Whether it names a setting that there is not."""
        return "path" in self.notes

    @property
    def query(self) -> dict[str, Any]:
        """The query of the API that finds the changes."""
        moments = {"since": self.since, "until": self.until}
        return {
            "path": self.paths,
            "actor": self.typed["actor"],
            "cause": KINDS.get(self.typed["kind"], ()),
        } | {name: moment.isoformat() for name, moment in moments.items() if moment}

    @property
    def address(self) -> dict[str, str]:
        """The parameters of the page that are set."""
        return {name: text for name, text in self.typed.items() if text}

    @property
    def chips(self) -> list[Chip]:
        """A chip for each filter that is set."""
        words = {
            "path": PLACES.get(self.typed["path"], self.typed["path"]),
            "actor": self.typed["actor"],
            "kind": texts.History.kinds.get(self.typed["kind"], self.typed["kind"]),
            "period": texts.History.periods.get(self.typed["period"], self.typed["period"]),
            "since": self.typed["since"],
            "until": self.typed["until"],
        }
        return [
            Chip(title=texts.History.filter_names[name], words=text, without=self._without(name))
            for name, text in words.items()
            if text
        ]

    def _without(self, name: str) -> str:
        return urlencode({other: text for other, text in self.address.items() if other != name})


def read(query: Mapping[str, str], now: datetime) -> Filters:
    """The filters of a page's query."""
    typed = {name: query.get(name, "").strip()[:1000] for name in NAMES}
    notes: dict[str, str] = {}
    paths = paths_of(typed["path"]) if typed["path"] else ()
    if typed["path"] and not paths:
        notes["path"] = texts.History.no_setting.format(text=typed["path"])
    for name, known in (("kind", KINDS), ("period", periods.NAMES)):
        if typed[name] and typed[name] not in known:
            notes[name] = texts.History.not_a_choice.format(text=typed[name])
    since, until = _moments(typed, now, notes)
    return Filters(typed=typed, paths=paths[:_MOST_PATHS], since=since, until=until, notes=notes)


def _moments(
    typed: Mapping[str, str], now: datetime, notes: dict[str, str]
) -> tuple[datetime | None, datetime | None]:
    zone = periods.zone_of(typed["zone"])
    first = typed["since"]
    if not first and typed["period"] in periods.NAMES:
        first = periods.since_of(typed["period"], now, zone).isoformat()
    found: dict[str, datetime | None] = {}
    for name, text, moment_of in (
        ("since", first, periods.start_of),
        ("until", typed["until"], periods.end_of),
    ):
        try:
            found[name] = moment_of(text, zone) if text else None
        except (ValueError, OverflowError):
            notes[name] = texts.History.not_a_date.format(text=text)
    return found.get("since"), found.get("until")
