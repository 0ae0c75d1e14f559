"""Audit exports: the log as a file, streamed from the stored bytes."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from litestar import get
from litestar.openapi.spec import Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import QueryParameter
from litestar.types import ASGIApp

from app.api import methods, routing
from app.api.access import ADMIN
from app.api.middleware.concurrency import ExportLimiting
from app.api.openapi.operations import Answer, operation
from app.api.parameter_values import invalid_query, known_event_type, moment, read_table
from app.api.parameters import BOM, EVENT_TYPE, FORMULAS, PATH
from app.api.request import ApiRequest
from app.api.streaming import TrailingStream, compressed, negotiate
from app.api.vary import varying_lines
from app.audit.exporting import ExportRequest, plan_export, record_export, stream_chunks
from app.storage.tables import MAX_ID
from projections.exports.filter import ExportFilter
from projections.exports.formats import FORMATS, FormatName, find_format
from projections.exports.parquet import ParquetMissing
from projections.spreadsheets import Formulas

_MAX_SEQUENCE = 2**53
_SEQUENCE = QueryParameter(
    ge=0,
    le=_MAX_SEQUENCE,
    description="Sequences up to and including it.",
    schema_extra={"minimum": 0},  # which the framework leaves out where it is nothing
)
_MOMENT = QueryParameter(description="RFC 3339, inclusive.", schema_extra={"format": "date-time"})
_HEADERS = {
    "X-Until-Sequence": "Where the export ends; give it as `until_sequence` to resume it.",
    "X-Last-Sequence": "A trailer: the last sequence that the export covers.",
}


def _answers() -> tuple[Answer, ...]:
    """One answer for each media type."""
    text = Schema(type=OpenAPIType.STRING)
    kinds = [form.media_type for form in FORMATS.values()]
    return tuple(Answer(text, media_type=kind, headers=_HEADERS) for kind in dict.fromkeys(kinds))


@get(
    "/export",
    middleware=[ExportLimiting()],
    opt=ADMIN,
    summary="Export the audit log",
    operation_class=operation(*_answers(), errors=(422,)),
)
async def export_log(
    request: ApiRequest,
    format: Annotated[  # noqa: A002  # the wire's
        FormatName,
        QueryParameter(
            description="`ndjson` holds the events as they were hashed, for `backstory audit "
            "verify`; `csv` one row for each changed field; `ocsf` and `cloudevents` what such "
            "receivers load; `parquet` where the server has pyarrow.",
        ),
    ] = "ndjson",
    after: Annotated[
        int,
        QueryParameter(
            ge=0, le=_MAX_SEQUENCE, description="Go on after the last sequence that was received."
        ),
    ] = 0,
    until_sequence: Annotated[int | None, _SEQUENCE] = None,
    since: Annotated[str | None, _MOMENT] = None,
    until: Annotated[str | None, _MOMENT] = None,
    assistant_id: Annotated[int | None, QueryParameter(ge=1, le=MAX_ID)] = None,
    actor: Annotated[
        str | None,
        QueryParameter(
            max_length=200, description="A key's name, or `type:id`, such as `api_key:3`."
        ),
    ] = None,
    event_type: Annotated[str | None, EVENT_TYPE] = None,
    path: Annotated[str | None, PATH] = None,
    formulas: Annotated[Formulas | None, FORMULAS] = None,
    bom: Annotated[bool, BOM] = False,  # noqa: FBT002  # the wire's
) -> ASGIApp:
    """Oldest first and resumable: a range always gives the same bytes. An export is an event."""
    caller = request.caller()
    requested = ExportRequest(
        after=after,
        until_sequence=until_sequence,
        since=moment("since", since),
        until=moment("until", until),
        filter=ExportFilter(
            assistant_id=assistant_id,
            actor=actor,
            event_type=known_event_type(event_type),
            path=path or None,
        ),
    )
    try:
        chosen = find_format(format, read_table(format, formulas, bom=bom))
    except ParquetMissing as error:
        raise invalid_query("format", str(error)) from None
    services = request.services
    export = await request.snapshot(
        plan_export, services.signer, caller.organization_id, chosen, requested
    )
    if not methods.is_head(request.scope):  # which sends nothing, so there is nothing to record
        work = partial(record_export, caller=caller, export=export)
        await services.writer.write(caller.organization_id, work)
    coding = negotiate(",".join(varying_lines(request, "Accept-Encoding")))
    headers = {
        "cache-control": "no-store",
        "content-disposition": f'attachment; filename="audit.{export.format.extension}"',
        "x-until-sequence": str(export.until),
    }
    if coding != "identity":
        headers["content-encoding"] = coding
    return TrailingStream(
        compressed(stream_chunks(services.database, export), coding),
        media_type=export.format.media_type,
        headers=headers,
        trailers={"x-last-sequence": str(export.until)},
    )


ROUTER = routing.ApiRouter(path=routing.AUDIT, route_handlers=[export_log], tags=["Audit"])
