"""The settings history of an assistant, and going back in it."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath, QueryParameter

from app import openapi
from app.accounts import Role
from app.requests import caller, principal, read_json, services
from app.routes.assistants import PREFIX, answer, known_id
from app.routes.examples import ASSISTANT, ENTRY
from events.errors import FieldError, InvalidSettings, VersionNotFound
from events.patch import read_reason
from events.settings import AssistantResponse, Reason
from projections.history import Entry, Filter

AnyRequest = Request[Any, Any, Any]

_HISTORY = f"{PREFIX}/{{assistant_id:str}}/settings-history"
_MAX_VERSION = 2**53


class Rollback(msgspec.Struct, frozen=True, kw_only=True):
    """Why one goes back. The whole body may be absent or null."""

    change_description: Reason | None = None


COMPONENTS = (Entry, Rollback)


@get(
    _HISTORY,
    tags=["History"],
    summary="List an assistant's settings history",
    operation_class=openapi.operation(
        openapi.Answer(
            Entry,
            example=[ENTRY],
            many=True,
            headers={"Link": 'The next page, while there is one: `<...>; rel="next"`.'},
        ),
        errors=(404, 422),
    ),
)
async def list_history(
    request: AnyRequest,
    assistant_id: FromPath[int],
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
    cursor: Annotated[
        str | None, QueryParameter(description="From the `Link` header of the page before.")
    ] = None,
    path: Annotated[
        str | None, QueryParameter(description="A JSON Pointer, or the beginning of some.")
    ] = None,
    actor: Annotated[
        str | None, QueryParameter(description="A key's name, or `type:id`, such as `api_key:3`.")
    ] = None,
    since: Annotated[datetime | None, QueryParameter(description="RFC 3339, inclusive.")] = None,
    until: Annotated[datetime | None, QueryParameter(description="RFC 3339, inclusive.")] = None,
    *,
    include_deleted: Annotated[
        bool, QueryParameter(description="Read the history of a deleted assistant, too (admins).")
    ] = False,
) -> Response[bytes]:
    """Newest first, each with the settings as they were before it. Creation is no entry."""
    who = principal(request, Role.admin if include_deleted else Role.viewer)
    wanted = Filter(
        path=_pointer(path),
        actor=actor,
        since=_utc(since),
        until=_utc(until),
        before_version=_read_cursor(cursor),
    )
    found = await services(request).assistants.history(
        who.organization_id,
        known_id(assistant_id),
        wanted,
        limit + 1,
        include_deleted=include_deleted,
    )
    page = found[:limit]
    headers = {"link": _next_link(request, page[-1].version)} if len(found) > limit else None
    return Response(msgspec.json.encode(page), media_type="application/json", headers=headers)


@get(
    f"{_HISTORY}/{{version_id:str}}",
    tags=["History"],
    summary="Get one entry of the settings history",
    operation_class=openapi.operation(openapi.Answer(Entry, example=ENTRY), errors=(404, 422)),
)
async def get_history_entry(
    request: AnyRequest,
    assistant_id: FromPath[int],
    version_id: FromPath[int],
    *,
    include_deleted: Annotated[
        bool, QueryParameter(description="Read the history of a deleted assistant, too (admins).")
    ] = False,
) -> Response[bytes]:
    """The entry of the change that made this version."""
    who = principal(request, Role.admin if include_deleted else Role.viewer)
    if not 0 < version_id < _MAX_VERSION:
        raise VersionNotFound(assistant_id, version_id)
    found = await services(request).assistants.history(
        who.organization_id,
        known_id(assistant_id),
        Filter(before_version=version_id + 1),
        1,
        include_deleted=include_deleted,
    )
    if not found or found[0].version != version_id:
        raise VersionNotFound(assistant_id, version_id)
    return Response(msgspec.json.encode(found[0]), media_type="application/json")


@post(
    f"{_HISTORY}/{{version_id:str}}/rollback",
    status_code=200,
    tags=["History"],
    summary="Roll an assistant back",
    operation_class=openapi.operation(
        openapi.Answer(AssistantResponse, example=ASSISTANT),
        body=openapi.Body(
            Rollback, {"change_description": "The new prompt confused callers"}, required=False
        ),
        errors=(404, 422),
    ),
)
async def roll_back(
    request: AnyRequest, assistant_id: FromPath[int], version_id: FromPath[int]
) -> Response[bytes]:
    """Restores the entry's snapshot as one new change; the current secrets are kept."""
    who = caller(request, Role.editor)
    reason = read_reason(await read_json(request, optional=True))
    if not 0 < version_id < _MAX_VERSION:
        raise VersionNotFound(assistant_id, version_id)
    return answer(
        await services(request).assistants.roll_back(
            who, known_id(assistant_id), version_id, reason
        )
    )


def _pointer(path: str | None) -> str | None:
    if not path or path.startswith("/"):
        return path
    raise _invalid("path", "Input should be a JSON Pointer, which starts with '/'")


def _utc(moment: datetime | None) -> datetime | None:
    """A moment without a zone is taken as UTC."""
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


def _next_link(request: AnyRequest, version: int) -> str:
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    query = urlencode([*kept, ("cursor", _write_cursor(version))])
    return f'<{request.url.path}?{query}>; rel="next"'


def _write_cursor(version: int) -> str:
    return base64.urlsafe_b64encode(b"v%d" % version).rstrip(b"=").decode()


def _read_cursor(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        version = int(text.removeprefix(b"v")) if text.startswith(b"v") else 0
    except (binascii.Error, ValueError):
        version = 0
    if not 0 < version < _MAX_VERSION:
        raise _invalid("cursor", "Input should be a cursor that this endpoint gave")
    return version


def _invalid(name: str, message: str) -> InvalidSettings:
    return InvalidSettings((FieldError(loc=("query", name), msg=message, type="value_error"),))


HANDLERS = [list_history, get_history_entry, roll_back]
