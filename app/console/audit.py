"""The audit log: its events, exports, and what proves it. For admins."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlencode

import msgspec
from litestar import Response, Router, get
from litestar.params import QueryParameter
from litestar.response import Template
from litestar.types import ASGIApp

from app.api.access import ADMIN
from app.api.vary import varying_lines
from app.console.headers import UNCOMPRESSED
from app.console.rendering import page
from app.console.visitor import PageRequest

_PAGE_SIZE = 50
_FILTERS = ("event_type", "resource_type", "resource_id", "user_id", "start_date", "end_date")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_KEY_FILE = "audit-key.json"
_CHECKPOINT_FILE = "checkpoint.txt"
_Filter = Annotated[str, QueryParameter(max_length=200)]


@get("/", opt=ADMIN)
async def show_log(
    request: PageRequest,
    event_type: _Filter = "",
    resource_type: _Filter = "",
    resource_id: _Filter = "",
    user_id: _Filter = "",
    start_date: _Filter = "",
    end_date: _Filter = "",
    cursor: _Filter = "",
) -> Template:
    """The events by the filters, newest first."""
    visitor = request.visitor
    values = (event_type, resource_type, resource_id, user_id, start_date, end_date)
    filters = dict(zip(_FILTERS, values, strict=True))
    query = {name: value for name, value in filters.items() if value}
    answer = await visitor.get("/audit/logs", **query, cursor=cursor, limit=_PAGE_SIZE)
    export_query, not_exported = _as_export_query(query)
    event_types = (await visitor.get("/audit/event-types")).or_raise()["event_types"]
    return page(
        "audit",
        visitor,
        filters=filters,
        log=answer.or_raise(),
        event_types=event_types,
        resource_types=sorted({kind["resource_type"] for kind in event_types}),
        older=answer.next_page("/audit", query),
        newest=f"/audit?{urlencode(query)}" if cursor else None,
        events_of=lambda user: f"/audit?{urlencode(query | {'user_id': user})}",
        export_query=export_query,
        not_exported=not_exported,
        checkpoint=(await visitor.get("/audit/checkpoint")).or_raise(),
        keys=(await visitor.get("/audit/key")).or_raise()["keys"],
        key_file=_KEY_FILE,
        checkpoint_file=_CHECKPOINT_FILE,
    )


def _as_export_query(filters: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """The page's filters as an export takes them, and the names of those that it lacks."""
    query: dict[str, str] = {}
    lacking: list[str] = []
    for name, value in filters.items():
        match name:
            case "event_type":
                query[name] = value
            case "resource_id" if filters.get("resource_type") == "assistant":
                query["assistant_id"] = value
            case "resource_type" if value == "assistant" and "resource_id" in filters:
                pass
            case "start_date":
                query["since"] = _at_time(value, "00:00:00")
            case "end_date":
                query["until"] = _at_time(value, "23:59:59.999999")
            case _:
                lacking.append(name)
    return query, lacking


def _at_time(text: str, time: str) -> str:
    """A date at a time of day (UTC); a date with a time stays as it is."""
    return f"{text}T{time}Z" if _DATE.fullmatch(text) else text


@get("/export", opt=ADMIN | {UNCOMPRESSED: True})
async def export(request: PageRequest) -> ASGIApp:
    """The log as a file, streamed and compressed by the API."""
    headers = {"accept-encoding": ",".join(varying_lines(request, "Accept-Encoding"))}
    query = dict(request.query_params)
    if query.get("format") == "csv":
        query.setdefault("bom", "true")  # a file from a page is opened in a spreadsheet
    return request.visitor.stream("/audit/export", query, headers)


@get(f"/{_KEY_FILE}", opt=ADMIN)
async def get_key(request: PageRequest) -> Response[bytes]:
    """The public keys, as ``backstory audit verify --key`` reads them."""
    answer = (await request.visitor.get("/audit/key")).or_raise()
    return _file(msgspec.json.encode(answer), "application/json", _KEY_FILE)


@get(f"/{_CHECKPOINT_FILE}", opt=ADMIN)
async def get_checkpoint(request: PageRequest) -> Response[bytes]:
    """The signed root of the log as it is now, to be kept on another machine."""
    answer = (await request.visitor.get("/audit/checkpoint")).or_raise()
    return _file(answer.encode(), "text/plain", _CHECKPOINT_FILE)


def _file(content: bytes, media_type: str, name: str) -> Response[bytes]:
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=media_type, headers=headers)


ROUTER = Router("/audit", route_handlers=[show_log, export, get_key, get_checkpoint])
