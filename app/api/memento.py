"""Past states over HTTP (RFC 7089): the header that asks for one, and those that describe it.

An assistant's address is both the original and the timegate: it answers ``Accept-Datetime``. Each
version is a memento, at ``?version=7``, except those at which the assistant was deleted.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from app.api.errors import HeaderUnreadable
from app.api.vary import varying_lines
from app.assistants.neighbours import Neighbours

if TYPE_CHECKING:
    from collections.abc import Iterable

    from litestar import Request

# RFC 9110's IMF-fixdate, the one form that RFC 7089 has for a header's date.
HTTP_DATE = (
    "^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?:0[1-9]|[12][0-9]|3[01])"
    " (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
    " [1-9][0-9]{3} (?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9] GMT$"
)
_ACCEPT_DATETIME = "Accept-Datetime"
_HTTP_DATE_RULE = "It should be one HTTP date, such as Sun, 01 Mar 2026 09:00:00 GMT"
_AS_OF = "as_of"


def accept_datetime(request: Request[Any, Any, Any]) -> datetime | None:
    """The moment that the header ``Accept-Datetime`` asks for.

    Raises ``HeaderUnreadable`` unless it is one date.
    """
    lines = varying_lines(request, _ACCEPT_DATETIME)
    if not lines:
        return None
    if len(lines) > 1 or not re.fullmatch(HTTP_DATE, lines[0].strip()):
        raise HeaderUnreadable(_ACCEPT_DATETIME, _HTTP_DATE_RULE)
    try:
        moment = parsedate_to_datetime(lines[0]).astimezone(UTC)
    except (ValueError, OverflowError):  # the 31st of February
        raise HeaderUnreadable(_ACCEPT_DATETIME, _HTTP_DATE_RULE) from None
    # To the end of the second, so that a Memento-Datetime leads back to what it was sent with.
    return moment.replace(microsecond=999_999)


def headers(address: str, version: int, moment: datetime, neighbours: Neighbours) -> dict[str, str]:
    """The headers of the memento of a version at an address."""
    named = {
        "first": neighbours.first,
        "prev": neighbours.previous,
        "": (version, moment),  # itself
        "next": neighbours.next,
        "last": neighbours.last,
    }
    moments = dict(sorted(point for point in named.values() if point is not None))
    links = [
        _link(
            _memento(address, number),
            [*(rel for rel, at in named.items() if rel and at and at[0] == number), "memento"],
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
    """The headers of a list as of a moment; ``query`` is the query of the request."""
    # Sorted, because the framework keeps no order.
    chosen = sorted((item for item in query if item[0] != _AS_OF), key=lambda item: item[0])
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
    """A moment as an HTTP date."""
    return f"{moment:%a, %d %b %Y %H:%M:%S} GMT"


def _memento(address: str, version: int) -> str:
    return f"{address}?version={version}"


def _link(target: str, rels: list[str], moment: datetime | None = None) -> str:
    at = "" if moment is None else f'; datetime="{http_date(moment)}"'
    return f'<{target}>; rel="{" ".join(rels)}"{at}'
