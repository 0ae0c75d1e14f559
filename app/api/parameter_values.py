"""Values of paths and queries, read by hand where the framework's reading does not fit.

Commands read their options with these, too, so nothing here imports the framework.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from app.storage.tables import MAX_ID
from events import pointers
from events.bodies.reasons import REASON
from events.bodies.validation import describe
from events.errors import AssistantNotFound, FieldError, InvalidSettings, Location, VersionNotFound
from projections.event_types import EVENT_TYPES
from projections.spreadsheets import Table

if TYPE_CHECKING:
    from litestar import Request

    from projections.spreadsheets import Formulas

_INTEGER = re.compile(r"-?[0-9]+")
_LONGEST_NUMBER = 4000  # digits; no id has as many, so the rest of a longer number is ignored
_LONGEST_SEQUENCE = 18  # digits
MAX_VERSION = 2**53
IN_QUERY: Location = ("query", REASON)  # the place of the reason where the body has none


def number(text: str, name: str) -> int:
    """An id in a path; raises ``InvalidSettings`` for a text that is no integer."""
    if not _INTEGER.fullmatch(text):
        kind, message = describe("Expected `int`, got `str`")
        raise _invalid(("path", name), message, kind)
    return int(text[:_LONGEST_NUMBER])


def known_id(text: str) -> int:
    """An id that can exist; raises ``AssistantNotFound`` for one beyond 32 bits."""
    assistant_id = number(text, "assistant_id")
    if not 0 < assistant_id <= MAX_ID:
        raise AssistantNotFound(assistant_id)
    return assistant_id


def known_version(assistant_id: str, version_id: str) -> int:
    """A version that can exist; raises ``VersionNotFound`` for another number."""
    version = number(version_id, "version_id")
    if not 0 < version < MAX_VERSION:
        raise VersionNotFound(known_id(assistant_id), version)
    return version


def pointer(path: str | None) -> str | None:
    """A JSON Pointer of the query; raises ``InvalidSettings`` for a text that is none."""
    if path is None or pointers.is_pointer(path):
        return path
    raise invalid_query("path", pointers.RULE, "json_pointer")


def moment(name: str, text: str | None, where: str = "query") -> datetime | None:
    """A moment, UTC where the text names no zone; raises ``InvalidSettings``."""
    if text is None:
        return None
    try:
        read = msgspec.convert(text.replace(" ", "+"), datetime)
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        rule = "Input should be an RFC 3339 date and time"
        raise _invalid((where, name), rule, "value_error") from None


def known_event_type(name: str | None) -> str | None:
    """The name of a type of events; raises ``InvalidSettings`` for another name."""
    known = [kind.event_type for kind in EVENT_TYPES]
    if name is None or name in known:
        return name
    raise invalid_query("event_type", f"Input should be one of {', '.join(known)}")


def query_text(request: Request[Any, Any, Any], name: str) -> str | None:
    """A query parameter whose name no argument can have, such as ``from``."""
    text: str | None = request.query_params.get(name)
    return text


def query_number(request: Request[Any, Any, Any], name: str) -> int:
    """As ``query_text``, for a required number; raises ``InvalidSettings``."""
    text = query_text(request, name)
    if text is None:
        raise invalid_query(name, "Field required", "missing")
    if not _INTEGER.fullmatch(text) or len(text) > _LONGEST_SEQUENCE or text.startswith("-"):
        kind, message = describe("Expected `int`, got `str`")
        raise invalid_query(name, message, kind)
    return int(text)


def read_table(format_name: str, formulas: Formulas | None, *, bom: bool) -> Table:
    """How CSV is to be written; raises ``InvalidSettings`` where another format was chosen."""
    if format_name != "csv":
        for name, is_given in (("formulas", formulas is not None), ("bom", bom)):
            if is_given:
                raise invalid_query(name, "Input is for CSV alone")
    return Table(formulas=formulas or "quoted", bom=bom)


def invalid_query(name: str, message: str, kind: str = "value_error") -> InvalidSettings:
    """The error of a query parameter that breaks a rule."""
    return _invalid(("query", name), message, kind)


def invalid_header(name: str, message: str, kind: str = "value_error") -> InvalidSettings:
    """The error of a header that breaks a rule."""
    return _invalid(("header", name), message, kind)


def _invalid(loc: Location, message: str, kind: str) -> InvalidSettings:
    return InvalidSettings((FieldError(loc=loc, msg=message, type=kind),))
