"""Parameters of paths and queries, as the framework reads and the description shows them."""

from __future__ import annotations

from typing import Annotated, Any

from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import PathParameter, QueryParameter
from msgspec import Meta

from events.limits import MAX_REASON
from events.pointers import POINTER
from events.setting_types import VERSION_NAME
from projections.event_types import EVENT_TYPES

# Read as text and without bounds: an id beyond them is not found, like any other missing id.
Number = Annotated[
    str, PathParameter(schema_extra={"type": "integer", "minLength": None, "examples": [1]})
]
FORMULAS = QueryParameter(
    description="CSV only: `quoted` puts a `'` before texts that a spreadsheet would read as"
    " formulas, `raw` leaves texts as they are, for machines. `quoted` by default."
)
BOM = QueryParameter(description="CSV only: begin with a byte order mark, which Excel needs.")

# ``schema_extra`` describes what is checked elsewhere.
AS_OF = QueryParameter(
    description="RFC 3339: the state at this moment.", schema_extra={"format": "date-time"}
)
VERSION = QueryParameter(
    description="`7`, `latest`, `-1` (the one before), or `label:NAME`.",
    schema_extra={"pattern": VERSION_NAME},
)
BASE_VERSION = QueryParameter(
    description="The version that you had read: later changes of others are kept.",
    schema_extra={"pattern": VERSION_NAME},
)
CURSOR = QueryParameter(
    description="From the `Link` header of the previous page. Each page is as fast as the first,"
    " and new entries do not shift it.",
    schema_extra={"pattern": "^dj[A-Za-z0-9_-]+$", "maxLength": 24},
)
SEARCH = QueryParameter(
    description="Part of a name or description.",
    max_length=200,
    schema_extra={"pattern": "^[^\\x00]*$"},
)
ON_CONFLICT = QueryParameter(description="`fail` (409), `theirs` or `yours`, with `base_version`.")
PATH = QueryParameter(
    description="A JSON Pointer: changes of this path, of paths below it, and of what contains it.",
    pattern=POINTER,
    max_length=1000,
)
EVENT_TYPE = QueryParameter(
    description="As `/api/v1/audit/event-types` lists them.",
    schema_extra={"enum": [kind.event_type for kind in EVENT_TYPES]},
)
Pointer = Annotated[str, Meta(pattern=POINTER, max_length=1000)]


def repeated(description: str, most: int, **item: Any) -> QueryParameter:
    """A parameter that may be repeated; the framework's description leaves out what an item is."""
    items = Schema(type=OpenAPIType.STRING, **item)
    schema = {"oneOf": None, "type": "array", "maxLength": None, "maxItems": most, "items": items}
    return QueryParameter(description=description, max_length=most, schema_extra=schema)


PATHS = repeated(
    "JSON Pointers: changes of one of these paths, of paths below it, and of what contains it.",
    200,
    pattern=POINTER,
    max_length=1000,
)
INCLUDE_DELETED = QueryParameter(description="Also of a deleted assistant (admins).")
DRY_RUN = QueryParameter(description="Answer with a plan, and change nothing.")
DESCRIPTION = QueryParameter(
    description="The reason, which the history shows.", max_length=MAX_REASON
)
