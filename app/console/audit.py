"""The audit log: who did what in the organization, its exports, and how to prove it. For admins."""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response, get
from litestar.params import QueryParameter
from litestar.response import Template
from litestar.types import ASGIApp

from app.api.access import ADMIN
from app.api.caching import chosen_by
from app.console.api_client import signed_in
from app.console.rendering import AS_IT_IS, page

AnyRequest = Request[Any, Any, Any]

_AT_ONCE = 50
_FILTERS = ("event_type", "resource_type", "resource_id", "user_id", "start_date", "end_date")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_FORMATS = {
    "ndjson": "NDJSON, which can be verified",
    "csv": "CSV, a row for each changed field",
    "json": "JSON",
    "cloudevents": "CloudEvents",
    "ocsf": "OCSF",
    "parquet": "Parquet",
}
_KEY_FILE = "audit-key.json"
_CHECKPOINT_FILE = "checkpoint.txt"
_Filter = Annotated[str, QueryParameter(max_length=200)]


@get("/audit", opt=ADMIN)
async def show_log(
    request: AnyRequest,
    event_type: _Filter = "",
    resource_type: _Filter = "",
    resource_id: _Filter = "",
    user_id: _Filter = "",
    start_date: _Filter = "",
    end_date: _Filter = "",
    cursor: _Filter = "",
) -> Template:
    """Everything that happened, newest first; the filters are in the address."""
    visitor = await signed_in(request)
    values = (event_type, resource_type, resource_id, user_id, start_date, end_date)
    asked = dict(zip(_FILTERS, values, strict=True))
    given = {name: value for name, value in asked.items() if value}
    answer = await visitor.get("/audit/logs", **given, cursor=cursor, limit=_AT_ONCE)
    exported, left_out = _exported(given)
    kinds = (await visitor.get("/audit/event-types")).or_raise()["event_types"]
    return page(
        "audit",
        visitor,
        asked=asked,
        found=answer.or_raise(),
        kinds=kinds,
        resources=sorted({kind["resource_type"] for kind in kinds}),
        older=answer.older("/audit", given),
        newest=f"/audit?{urlencode(given)}" if cursor else None,
        of_user=lambda number: f"/audit?{urlencode(given | {'user_id': number})}",
        formats=_FORMATS,
        exported=exported,
        left_out=left_out,
        checkpoint=(await visitor.get("/audit/checkpoint")).or_raise(),
        keys=(await visitor.get("/audit/key")).or_raise()["keys"],
        key_file=_KEY_FILE,
        checkpoint_file=_CHECKPOINT_FILE,
    )


def _exported(given: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """The filters of the page as an export takes them, and those that it does not know."""
    wanted: dict[str, str] = {}
    left_out: list[str] = []
    for name, value in given.items():
        match name:
            case "event_type":
                wanted[name] = value
            case "resource_id" if given.get("resource_type") == "assistant":
                wanted["assistant_id"] = value
            case "resource_type" if value == "assistant" and "resource_id" in given:
                pass
            case "start_date":
                wanted["since"] = _moment(value, "00:00:00")
            case "end_date":
                wanted["until"] = _moment(value, "23:59:59.999999")
            case _:
                left_out.append(name)
    return wanted, left_out


def _moment(text: str, time: str) -> str:
    """A moment; a date alone means its first or its last."""
    return f"{text}T{time}Z" if _DATE.fullmatch(text) else text


@get("/audit/export", opt=ADMIN | {AS_IT_IS: True})
async def export(request: AnyRequest) -> ASGIApp:
    """The log as a file, streamed as the API streams it."""
    visitor = await signed_in(request)
    accepted = {"accept-encoding": ",".join(chosen_by(request, "Accept-Encoding"))}
    query = dict(request.query_params)
    if query.get("format") == "csv":
        query.setdefault("bom", "true")  # who takes it from a page opens it in a spreadsheet
    return visitor.streamed("/audit/export", query, accepted)


@get(f"/audit/{_KEY_FILE}", opt=ADMIN)
async def get_key(request: AnyRequest) -> Response[bytes]:
    """The public keys, as ``backstory audit verify --key`` reads them."""
    visitor = await signed_in(request)
    answer = (await visitor.get("/audit/key")).or_raise()
    return _file(msgspec.json.encode(answer), "application/json", _KEY_FILE)


@get(f"/audit/{_CHECKPOINT_FILE}", opt=ADMIN)
async def get_checkpoint(request: AnyRequest) -> Response[bytes]:
    """The signed root of the log as it is now, to keep elsewhere."""
    visitor = await signed_in(request)
    answer = (await visitor.get("/audit/checkpoint")).or_raise()
    return _file(answer.encode(), "text/plain", _CHECKPOINT_FILE)


def _file(content: bytes, media_type: str, name: str) -> Response[bytes]:
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=media_type, headers=headers)


HANDLERS = [show_log, export, get_key, get_checkpoint]
