"""What a past state says of itself and of its neighbours (RFC 7089).

An assistant's address is both the original and the timegate: it answers ``Accept-Datetime``. Each
of its versions is a memento, at ``?version=7``; those at which it was deleted are none.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from msgspec import Struct

from events import store

if TYPE_CHECKING:
    from collections.abc import Iterable

    import sqlalchemy as sa

# RFC 9110's IMF-fixdate, the one form that RFC 7089 has for a header's date.
HTTP_DATE = (
    "^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?:0[1-9]|[12][0-9]|3[01])"
    " (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
    " [1-9][0-9]{3} (?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9] GMT$"
)
_AS_OF = "as_of"
_AROUND = 2  # a version before or after which the assistant was deleted is not the last of them


class Neighbours(Struct, frozen=True, kw_only=True):
    """The mementos that one leads to, each version with when it came to be."""

    first: tuple[int, datetime]
    previous: tuple[int, datetime] | None
    next: tuple[int, datetime] | None
    last: tuple[int, datetime]


def neighbours(
    connection: sa.Connection, organization_id: int, assistant_id: int, version: int, newest: int
) -> Neighbours:
    """The first, the nearest and the last versions, where the newest one is known."""
    near = range(version - _AROUND, version + _AROUND + 1)
    found = store.read_moments(
        connection, organization_id, assistant_id, {1, newest - 1, newest, *near}
    )
    before = [one for one in found if one[0] < version]
    after = [one for one in found if one[0] > version]
    return Neighbours(
        first=found[0],
        previous=before[-1] if before else None,
        next=after[0] if after else None,
        last=found[-1],
    )


def headers(address: str, version: int, moment: datetime, around: Neighbours) -> dict[str, str]:
    """The headers of the memento of a version at an address."""
    named = {
        "first": around.first,
        "prev": around.previous,
        "": (version, moment),  # this one
        "next": around.next,
        "last": around.last,
    }
    moments = dict(sorted(one for one in named.values() if one is not None))
    links = [
        _link(
            _memento(address, number),
            [*(rel for rel, one in named.items() if rel and one and one[0] == number), "memento"],
            at,
        )
        for number, at in moments.items()
    ]
    return {
        "memento-datetime": http_date(moment),
        "content-location": _memento(address, version),
        "link": ", ".join([_link(address, ["original", "timegate"]), *links]),
    }


def of_list(address: str, query: Iterable[tuple[str, str]], moment: datetime) -> dict[str, str]:
    """The headers of a list as of a moment; ``query`` is what was asked for with it."""
    # In one order: the framework reads a query into none that stays.
    chosen = sorted((one for one in query if one[0] != _AS_OF), key=lambda one: one[0])
    original = _with_query(address, chosen)
    then = _with_query(address, [*chosen, (_AS_OF, moment.isoformat())])
    links = (_link(original, ["original", "timegate"]), _link(then, ["memento"], moment))
    return {
        "memento-datetime": http_date(moment),
        "content-location": then,
        "link": ", ".join(links),
    }


def _with_query(address: str, query: list[tuple[str, str]]) -> str:
    return f"{address}?{urlencode(query)}" if query else address


def http_date(moment: datetime) -> str:
    """A moment as HTTP has it."""
    return f"{moment:%a, %d %b %Y %H:%M:%S} GMT"


def _memento(address: str, version: int) -> str:
    return f"{address}?version={version}"


def _link(target: str, rels: list[str], moment: datetime | None = None) -> str:
    at = "" if moment is None else f'; datetime="{http_date(moment)}"'
    return f'<{target}>; rel="{" ".join(rels)}"{at}'
