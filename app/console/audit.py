"""The audit log: its events, exports, and what proves it. For admins."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec
from litestar import Response, Router, get
from litestar.response import Template
from litestar.types import ASGIApp

from app.api.access import ADMIN
from app.api.vary import varying_lines
from app.console import audit_filters
from app.console.audit_filters import NoSuchName
from app.console.headers import UNCOMPRESSED
from app.console.problems import sentences
from app.console.rendering import page
from app.console.visitor import PageRequest, Visitor

if TYPE_CHECKING:
    from collections.abc import Mapping

_PAGE_SIZE = 50
_OFFERED = 200  # assistants; others are found by name
_AT = "/audit"
_KEY_FILE = "audit-key.json"
_CHECKPOINT_FILE = "checkpoint.txt"
_LONGEST = 200  # characters of a filter
_NOTHING: dict[str, Any] = {"logs": [], "total": 0}


@get("/", opt=ADMIN)
async def show_log(request: PageRequest) -> Template:
    """The events by the filters, newest first; with a wrong filter, the error and all filters."""
    visitor = request.visitor
    given = {name: text[:_LONGEST] for name, text in request.query_params.items()}
    query = audit_filters.read(given)
    users = (await visitor.get("/users")).or_raise()
    assistants = await _assistants(visitor, limit=_OFFERED)
    ids, errors = await _ids(visitor, query, users, assistants)
    log, older = _NOTHING, None
    if not errors:
        sent = audit_filters.as_log_query(query, ids)
        cursor = given.get("cursor", "")
        answer = await visitor.get("/audit/logs", **sent, cursor=cursor, limit=_PAGE_SIZE)
        if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY:
            errors = sentences(answer.data)
        else:
            log, older = answer.or_raise(), answer.next_page(_AT, query)
    export_query, not_exported = audit_filters.as_export_query(query, ids)
    return page(
        "audit",
        visitor,
        HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.OK,
        errors=errors,
        filters=dict.fromkeys(audit_filters.NAMES, "") | query,
        chips_of_filters=audit_filters.chips(query, _AT),
        periods=audit_filters.periods(query, _AT, visitor.now().date()),
        log=log,
        event_types=(await visitor.get("/audit/event-types")).or_raise()["event_types"],
        users=users,
        assistants=audit_filters.options(assistants),
        key_names=await key_names(visitor),
        older=older,
        newest=f"{_AT}?{urlencode(query)}" if given.get("cursor") else None,
        export_query=export_query,
        not_exported=not_exported,
        checkpoint=(await visitor.get("/audit/checkpoint")).or_raise(),
        keys=(await visitor.get("/audit/key")).or_raise()["keys"],
        key_file=_KEY_FILE,
        checkpoint_file=_CHECKPOINT_FILE,
    )


async def _assistants(visitor: Visitor, **query: Any) -> list[dict[str, Any]]:
    """Assistants with their IDs and names, by the parameters of the API's list."""
    found = (await visitor.get("/assistants/activity", days=1, **query)).or_raise()
    assistants: list[dict[str, Any]] = found["assistants"]
    return assistants


async def _ids(
    visitor: Visitor,
    query: Mapping[str, str],
    users: list[dict[str, Any]],
    assistants: list[dict[str, Any]],
) -> tuple[dict[str, str], list[str]]:
    """The IDs of the person and the assistant that are asked for, and what is wrong with them."""
    ids: dict[str, str] = {}
    errors = []
    if person := query.get("user_id"):
        try:
            ids["user_id"] = audit_filters.user_id_of(person, users)
        except NoSuchName as error:
            errors.append(str(error))
    if assistant := query.get("assistant"):
        found = assistants
        if not assistant.isdigit():
            for status in ("all", "deleted"):
                found = found + await _assistants(visitor, search=assistant, status=status)
        try:
            ids["assistant"] = audit_filters.assistant_id_of(assistant, found)
        except NoSuchName as error:
            errors.append(str(error))
    return ids, errors


async def key_names(visitor: Visitor) -> dict[str, str]:
    """The names of the keys by their IDs, as events name them."""
    keys = (await visitor.get("/users/me/api-keys")).or_raise()
    return {str(key["id"]): key["name"] for key in keys}


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
