"""What is unusual in the last days, by three simple rules. Pure.

A change that the policy warns of; an assistant that was taken back twice; and one that changed
often in a day. The rules and their numbers stand here alone.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from app.console import texts
from app.console.formatting import day

if TYPE_CHECKING:
    from collections.abc import Iterable

DAYS = 7
TAKEN_BACK = 2  # times in ``DAYS``
MANY_CHANGES = 10  # of one assistant in one day (UTC)
_REVERSALS = ("undo", "rollback")


class Unusual(Struct, frozen=True, kw_only=True):
    """Something to look at: the assistant, what is so, and the page that shows it."""

    assistant_id: int
    assistant_name: str
    words: str
    created_at: str
    address: str


def unusual(changes: Iterable[dict[str, Any]]) -> list[Unusual]:
    """What is unusual among changes of the last days, newest first."""
    newest_first = list(changes)
    found = [*_warned(newest_first), *_taken_back(newest_first), *_busy(newest_first)]
    return sorted(found, key=lambda one: one.created_at, reverse=True)


def _warned(changes: list[dict[str, Any]]) -> Iterable[Unusual]:
    for change in changes:
        for warning in change["warnings"]:
            address = f"/versions/{change['version']}"
            yield _about(change, warning["message"], address)


def _taken_back(changes: list[dict[str, Any]]) -> Iterable[Unusual]:
    reversals = [change for change in changes if change["cause"]["type"] in _REVERSALS]
    for newest, count in _counted(reversals, lambda change: change["assistant_id"]):
        if count >= TAKEN_BACK:
            words = texts.Home.taken_back.format(count=count, days=DAYS)
            yield _about(newest, words, "/history")


def _busy(changes: list[dict[str, Any]]) -> Iterable[Unusual]:
    for newest, count in _counted(changes, lambda change: (change["assistant_id"], day_of(change))):
        if count >= MANY_CHANGES:
            words = texts.Home.many_changes.format(count=count, day=day(day_of(newest)))
            yield _about(newest, words, "/history")


def _counted(changes: list[dict[str, Any]], key: Any) -> Iterable[tuple[dict[str, Any], int]]:
    """The newest change of each key, and how many there are."""
    counts = Counter(map(key, changes))
    newest = {key(change): change for change in reversed(changes)}
    return [(change, counts[at]) for at, change in newest.items()]


def _about(change: dict[str, Any], words: str, address: str) -> Unusual:
    return Unusual(
        assistant_id=change["assistant_id"],
        assistant_name=change["assistant_name"],
        words=words,
        created_at=change["created_at"],
        address=f"/assistants/{change['assistant_id']}{address}",
    )


def day_of(change: dict[str, Any]) -> str:
    """The day of a change, in UTC."""
    return str(change["created_at"][:10])
