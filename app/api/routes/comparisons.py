"""Compare two versions, and find the change that set each value."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Response, get
from litestar.openapi.spec import Parameter, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import QueryParameter

from app.accounts.principals import Role
from app.api import routing
from app.api.access import VIEWER
from app.api.examples import BLAME_ENTRY, DIFF_ENTRY, JSON_PATCH_EXAMPLE
from app.api.media_types import JSON, JSON_PATCH
from app.api.openapi.operations import Answer, operation
from app.api.paging import LINK, read_cursor, respond_with
from app.api.parameter_values import invalid_query, query_text
from app.api.parameters import CURSOR, INCLUDE_DELETED, PATH, VERSION, Number
from app.api.request import ApiRequest
from app.api.vary import varying_lines
from app.assistants import comparing
from app.assistants.comparing import BlameEntry, DiffEntry
from app.assistants.references import LATEST, Reference, read_reference
from events.setting_types import VERSION_NAME

_ENDS = tuple(
    Parameter(
        name=name,
        param_in="query",
        required=True,
        schema=Schema(type=OpenAPIType.STRING, pattern=VERSION_NAME),
        description=f"The version to compare {name}: a number, `latest`, `-1` or `label:NAME`.",
    )
    for name in ("from", "to")
)


class JsonPatchStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One operation of the JSON Patch that turns one version into another."""

    op: str
    path: str
    value: Any | msgspec.UnsetType = msgspec.UNSET


@get(
    "/diff",
    opt=VIEWER,
    summary="Compare two versions",
    operation_class=operation(
        Answer(DiffEntry, example=[DIFF_ENTRY], many=True),
        Answer(JsonPatchStep, example=JSON_PATCH_EXAMPLE, many=True, media_type=JSON_PATCH),
        errors=(404, 422),
        parameters=_ENDS,
    ),
)
async def diff_versions(
    request: ApiRequest,
    assistant_id: Number,
    *,
    words: Annotated[
        bool, QueryParameter(description="Compare long texts word by word, too.")
    ] = False,
    changed_by: Annotated[
        bool,
        QueryParameter(
            description="Name the versions that changed each path. `false` is faster between"
            " distant versions."
        ),
    ] = True,
    include_deleted: Annotated[bool, INCLUDE_DELETED] = False,
) -> Response[bytes]:
    """The changes between them; with ``Accept: application/json-patch+json`` as RFC 6902."""
    if include_deleted:
        request.require(Role.admin)
    older, newer = _end(request, "from"), _end(request, "to")
    as_patch = any(JSON_PATCH in line for line in varying_lines(request, "Accept"))
    entries = await request.snapshot(
        comparing.diff,
        request.assistant_key(assistant_id),
        older,
        newer,
        by_words=words and not as_patch,
        with_changers=changed_by and not as_patch,
        include_deleted=include_deleted,
    )
    if as_patch:
        steps = [
            JsonPatchStep(op=entry.op, path=entry.path, value=entry.after) for entry in entries
        ]
        return Response(msgspec.json.encode(steps), media_type=JSON_PATCH)
    return Response(msgspec.json.encode(entries), media_type=JSON)


@get(
    "/blame",
    opt=VIEWER,
    summary="Show who set each value",
    operation_class=operation(
        Answer(BlameEntry, example=[BLAME_ENTRY], many=True, headers=LINK), errors=(404, 422)
    ),
)
async def blame_assistant(
    request: ApiRequest,
    assistant_id: Number,
    path: Annotated[str | None, PATH] = None,
    version: Annotated[str, VERSION] = LATEST,
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, CURSOR] = None,
    *,
    include_deleted: Annotated[bool, INCLUDE_DELETED] = False,
) -> Response[bytes]:
    """Each path with its value and the change that set it; or all changes of one path."""
    if include_deleted:
        request.require(Role.admin)
    key = request.assistant_key(assistant_id)
    reference = read_reference(version, ("query", "version"))
    position = read_cursor(cursor)
    if not path:
        number, page = await request.snapshot(
            comparing.blame,
            key,
            reference,
            position or 0,
            include_deleted=include_deleted,
        )
        return respond_with(request, page, version=str(number))  # all pages are of one version
    page = await request.snapshot(
        comparing.changes_of_path,
        key,
        path,
        reference,
        position,
        limit,
        include_deleted=include_deleted,
    )
    return respond_with(request, page)


def _end(request: ApiRequest, name: str) -> Reference:
    text = query_text(request, name)
    if text is None:
        raise invalid_query(name, "Field required", "missing")
    return read_reference(text, ("query", name))


ROUTER = routing.ApiRouter(
    path=routing.ASSISTANT,
    route_handlers=[diff_versions, blame_assistant],
    tags=["History"],
)
