"""The list of assistants as a file: CSV, or JSON with the same columns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import msgspec
from litestar import Response, get
from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import QueryParameter

from app.api import routing
from app.api.access import VIEWER
from app.api.media_types import JSON
from app.api.middleware.concurrency import ExportLimiting
from app.api.openapi.operations import Answer, operation
from app.api.parameter_values import invalid_query, read_table
from app.api.parameters import BOM, FORMULAS, SEARCH
from app.api.request import ApiRequest
from app.storage.tables import MAX_ID
from events.bodies.validation import describe
from projections import current
from projections.current import Selection, ShortAssistant
from projections.spreadsheets import Formulas

if TYPE_CHECKING:
    from collections.abc import Iterable

    from projections.spreadsheets import Table


_FORMATS = "^(csv|json)$"
_IDS = r"^\s*(?:[0-9]+\s*(?:,\s*[0-9]+\s*)*)?$"
_STATUSES = "^(active|inactive|all)?$"


class ExportRow(msgspec.Struct, frozen=True, kw_only=True):
    """One assistant in an export; this service counts no calls."""

    id: int
    name: str
    description: str
    status: str
    total_calls: int
    completed_calls: int
    success_rate: str
    avg_duration: str
    performance: str
    created_at: str


@get(
    "/export",
    middleware=[ExportLimiting()],
    opt=VIEWER,
    summary="Export the list of assistants",
    operation_class=operation(
        Answer(Schema(type=OpenAPIType.STRING), media_type="text/csv"),
        Answer(ExportRow, many=True),
        errors=(422,),
    ),
)
async def export_assistants(
    request: ApiRequest,
    format: Annotated[str, QueryParameter(pattern=_FORMATS)] = "csv",  # noqa: A002  # the wire's
    assistant_ids: Annotated[
        str | None,
        QueryParameter(
            description="Comma-separated ids; `search` and `status` are then ignored.",
            schema_extra={"pattern": _IDS},
        ),
    ] = None,
    search: Annotated[str | None, SEARCH] = None,
    status: Annotated[str | None, QueryParameter(pattern=_STATUSES)] = None,
    formulas: Annotated[Formulas | None, FORMULAS] = None,
    bom: Annotated[bool, BOM] = False,  # noqa: FBT002  # the wire's
) -> Response[bytes]:
    """A file: CSV, or JSON of the same columns."""
    if "\x00" in (search or ""):
        raise invalid_query("search", "No name holds NUL")
    _match("format", _FORMATS, format)
    _match("status", _STATUSES, status or "")
    table = read_table(format, formulas, bom=bom)
    selection = _selection(assistant_ids, search, status)
    organization_id = request.principal.organization_id
    async with request.while_connected():
        assistants = await request.services.database.export(
            organization_id, current.select_short, organization_id, selection
        )
    rows = [_row(assistant) for assistant in assistants]
    body = msgspec.json.encode(rows) if format == "json" else _csv(rows, table)
    return Response(
        body,
        media_type=JSON if format == "json" else "text/csv",
        headers={"content-disposition": f"attachment; filename=assistants.{format}"},
    )


def _csv(rows: list[ExportRow], table: Table) -> bytes:
    cells = map(msgspec.structs.astuple, rows)
    return table.header(ExportRow.__struct_fields__) + table.rows(cells)


def _match(name: str, pattern: str, text: str) -> None:
    """Raise ``InvalidSettings`` unless all matches; ``$`` alone lets a line break pass."""
    if not re.fullmatch(pattern, text) or text.endswith("\n"):
        kind, message = describe(f"Expected `str` matching regex '{pattern}'")
        raise invalid_query(name, message, kind)


def _selection(ids: str | None, search: str | None, status: str | None) -> Selection:
    if ids is not None and ids.strip():
        return Selection(assistant_ids=tuple(_ids(ids)))
    active = {"active": True, "inactive": False}.get(status or "")
    return Selection(active=active, search=search or "")


def _ids(text: str) -> Iterable[int]:
    for word in text.split(","):
        if not (word.strip().isascii() and word.strip().isdigit()):
            message = "Input should be integers, separated by commas"
            raise invalid_query("assistant_ids", message, "int_parsing")
        if len(word.strip()) <= len(str(MAX_ID)) and int(word) <= MAX_ID:
            yield int(word)


def _row(assistant: ShortAssistant) -> ExportRow:
    return ExportRow(
        id=assistant.id,
        name=assistant.name,
        description=assistant.description or "",
        status="Active" if assistant.is_active else "Inactive",
        total_calls=0,
        completed_calls=0,
        success_rate="0%",
        avg_duration="N/A",
        performance="0%",
        created_at=f"{assistant.created_at:%Y-%m-%d %H:%M:%S}",
    )


ROUTER = routing.ApiRouter(
    path=routing.ASSISTANTS,
    route_handlers=[export_assistants],
    tags=["Assistants"],
)
