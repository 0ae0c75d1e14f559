"""The versions of an assistant: what they are, what differs between them, and who did it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.transactions.unit_of_work import UnitOfWork

from typing import Annotated, Any

import msgspec
from litestar import Response, delete, get, put
from litestar.openapi.spec import Parameter, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import PathParameter, QueryParameter
from msgspec import Meta

from app.accounts.principals import Role
from app.api import routing
from app.api.access import EDITOR, VIEWER
from app.api.conditional import respond
from app.api.examples import ASSISTANT, BLAME_ENTRY, DIFF_ENTRY, JSON_PATCH_EXAMPLE, VERSION_ENTRY
from app.api.media_types import JSON, JSON_PATCH
from app.api.openapi.headers import IDEMPOTENCY_KEY, IF_MATCH, IF_NONE_MATCH
from app.api.openapi.operations import Answer, Body, operation
from app.api.paging import next_link, read_cursor
from app.api.parameters import CURSOR, DESCRIPTION, PATH, VERSION, Number, known_id, query_text
from app.api.request import ApiRequest
from app.api.responses import APIResponse, done
from app.api.vary import varying_lines
from app.api.writes import carry_out
from app.assistants import changes, comparing, history
from app.assistants.comparing import BlameEntry, DiffEntry
from app.assistants.preconditions import tag_of
from app.assistants.references import LATEST, Reference, read_reference
from app.naming import MOST_OF_LABEL, clean_label
from events.assistant_bodies import AssistantResponse
from events.bodies.reasons import clean_reason
from events.errors import FieldError, InvalidSettings
from events.setting_types import VERSION_NAME, Reason
from projections.current import represent
from projections.history import VersionEntry

_DELETED = QueryParameter(description="Also of a deleted assistant (admins).")
_VersionInPath = Annotated[
    str,
    PathParameter(
        description="`7`, `latest`, `-1` (the one before), or `label:NAME`.",
        schema_extra={"pattern": VERSION_NAME},
    ),
]
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


class VersionShown(VersionEntry, frozen=True, kw_only=True):
    """A version, and the assistant as it was after it."""

    assistant: AssistantResponse


class Label(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The name of a version, unique for its assistant."""

    label: Annotated[str, Meta(min_length=1, max_length=MOST_OF_LABEL)]
    change_description: Reason | None = None


class JsonPatchStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One operation of the JSON Patch that turns one version into another."""

    op: str
    path: str
    value: Any | msgspec.UnsetType = msgspec.UNSET


@get(
    "/versions",
    opt=VIEWER,
    summary="List an assistant's versions",
    operation_class=operation(
        Answer(
            VersionEntry,
            example=[VERSION_ENTRY],
            many=True,
            headers={"Link": 'The next page, while there is one: `<...>; rel="next"`.'},
        ),
        errors=(404, 422),
    ),
)
async def list_versions(
    request: ApiRequest,
    assistant_id: Number,
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, CURSOR] = None,
    *,
    include_deleted: Annotated[bool, _DELETED] = False,
) -> Response[bytes]:
    """Newest first, without settings: who made each, when, why and where."""
    if include_deleted:
        request.require(Role.admin)
    principal = request.principal
    entries = await request.services.database.snapshot(
        history.versions,
        principal.organization_id,
        known_id(assistant_id),
        read_cursor(cursor),
        limit + 1,
        include_deleted=include_deleted,
    )
    page = entries[:limit]
    headers = {"link": next_link(request, page[-1].version)} if len(entries) > limit else None
    return Response(msgspec.json.encode(page), media_type=JSON, headers=headers)


@get(
    "/versions/{version:str}",
    opt=VIEWER,
    summary="Get a version",
    operation_class=operation(
        Answer(
            VersionShown,
            example=VERSION_ENTRY | {"assistant": ASSISTANT},
            headers={"ETag": "Of all that is shown."},
        ),
        errors=(304, 404, 422),
        parameters=(IF_NONE_MATCH,),
    ),
)
async def get_version(
    request: ApiRequest,
    assistant_id: Number,
    version: _VersionInPath,
    *,
    include_deleted: Annotated[bool, _DELETED] = False,
) -> Response[bytes]:
    """What made it, and the assistant as it was after it."""
    if include_deleted:
        request.require(Role.admin)
    principal = request.principal
    known, condition = known_id(assistant_id), request.condition
    shown = await request.services.database.snapshot(
        history.version,
        principal.organization_id,
        known,
        _in_path(version),
        include_deleted=include_deleted,
    )
    body = msgspec.json.encode(
        msgspec.to_builtins(shown.entry)
        | {"assistant": represent(principal.organization_id, known, shown.assistant.state)}
    )
    # A label, and what a version is taken back by, may come later: the tag is of all that.
    resource = f"assistants/{known}/versions/{version}"
    return respond(body, tag_of(principal.organization_id, resource, body), condition)


@put(
    "/versions/{version:str}/label",
    opt=EDITOR,
    summary="Name a version",
    operation_class=operation(
        Answer(APIResponse),
        body=Body(Label, {"label": "before-launch"}),
        errors=(404, 409, 412, 422),
        parameters=(IF_MATCH, IDEMPOTENCY_KEY),
    ),
)
async def label_version(
    request: ApiRequest, assistant_id: Number, version: _VersionInPath
) -> Response[bytes]:
    """``label:NAME`` then works wherever a version is taken. A version has one name."""
    body = await request.body_as(Label)
    name = clean_label(body.label)
    return await _label(request, assistant_id, version, name, clean_reason(body.change_description))


@delete(
    "/versions/{version:str}/label",
    opt=EDITOR,
    status_code=200,
    summary="Take a version's name away",
    operation_class=operation(
        Answer(APIResponse),
        errors=(404, 409, 412, 422),
        parameters=(IF_MATCH, IDEMPOTENCY_KEY),
    ),
)
async def unlabel_version(
    request: ApiRequest,
    assistant_id: Number,
    version: _VersionInPath,
    change_description: Annotated[str | None, DESCRIPTION] = None,
) -> Response[bytes]:
    """The version stays; its name is free again."""
    return await _label(request, assistant_id, version, None, clean_reason(change_description))


async def _label(
    request: ApiRequest, assistant_id: str, version: str, name: str | None, why: str | None
) -> Response[bytes]:
    change = request.change_request(assistant_id, why)
    reference = _in_path(version)

    def work(unit: UnitOfWork) -> int:
        return changes.set_label(unit, change, reference, name)

    state = "has no label" if name is None else f"is labelled {name}"
    return await carry_out(
        request, change.caller, work, lambda number: done(f"Version {number} {state}")
    )


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
    words: Annotated[bool, QueryParameter(description="Long texts also word by word.")] = False,
    changed_by: Annotated[
        bool,
        QueryParameter(
            description="Tell which versions between changed each path; without, an answer about"
            " versions that are far apart is quicker."
        ),
    ] = True,
    include_deleted: Annotated[bool, _DELETED] = False,
) -> Response[bytes]:
    """What turns one into the other; with ``Accept: application/json-patch+json`` as RFC 6902."""
    if include_deleted:
        request.require(Role.admin)
    principal = request.principal
    older, newer = _end(request, "from"), _end(request, "to")
    as_patch = any(JSON_PATCH in line for line in varying_lines(request, "Accept"))
    entries = await request.services.database.snapshot(
        comparing.diff,
        principal.organization_id,
        known_id(assistant_id),
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
    summary="Say who set each value",
    operation_class=operation(
        Answer(BlameEntry, example=[BLAME_ENTRY], many=True), errors=(404, 422)
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
    include_deleted: Annotated[bool, _DELETED] = False,
) -> Response[bytes]:
    """Each path with its value and the change that set it; or all changes of one path."""
    if include_deleted:
        request.require(Role.admin)
    principal = request.principal
    known, reference = known_id(assistant_id), read_reference(version, ("query", "version"))
    database = request.services.database
    if not path:
        blame = await database.snapshot(
            comparing.blame,
            principal.organization_id,
            known,
            reference,
            include_deleted=include_deleted,
        )
        return Response(msgspec.json.encode(blame), media_type=JSON)
    entries = await database.snapshot(
        comparing.changes_of_path,
        principal.organization_id,
        known,
        path,
        reference,
        read_cursor(cursor),
        limit + 1,
        include_deleted=include_deleted,
    )
    page = entries[:limit]
    last = page[-1].changed_by.version if page else 0
    headers = {"link": next_link(request, last)} if len(entries) > limit else None
    return Response(msgspec.json.encode(page), media_type=JSON, headers=headers)


def _in_path(version: str) -> Reference:
    return read_reference(version, ("path", "version"))


def _end(request: ApiRequest, name: str) -> Reference:
    text = query_text(request, name)
    if text is None:
        error = FieldError(loc=("query", name), msg="Field required", type="missing")
        raise InvalidSettings((error,))
    return read_reference(text, ("query", name))


ROUTER = routing.ApiRouter(
    path=routing.ASSISTANT,
    route_handlers=[
        list_versions,
        get_version,
        label_version,
        unlabel_version,
        diff_versions,
        blame_assistant,
    ],
    tags=["History"],
)
