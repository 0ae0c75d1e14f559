"""The versions of an assistant: what they are, what differs between them, and who did it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.transactions.unit_of_work import UnitOfWork

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, put
from litestar.openapi.spec import Parameter, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import PathParameter, QueryParameter
from msgspec import Meta

from app.accounts.principals import Role
from app.api import openapi
from app.api.access import EDITOR, VIEWER
from app.api.caching import chosen_by
from app.api.examples import ASSISTANT, BLAME_ENTRY, DIFF_ENTRY, JSON_PATCH_EXAMPLE, VERSION_ENTRY
from app.api.paging import next_link, read_cursor
from app.api.request import (
    JSON,
    JSON_PATCH,
    Number,
    carry_out,
    description,
    known_id,
    principal,
    query_text,
    read_json,
    services,
    wish_of,
)
from app.api.responses import APIResponse, done, read
from app.api.routes.assistants import PREFIX
from app.assistants import changes as service
from app.assistants.history import BlameEntry, DiffEntry
from app.assistants.preconditions import read_condition, tag_of
from app.assistants.references import LATEST, Reference, read_reference
from app.naming import MOST_OF_LABEL, clean_label
from events.errors import FieldError, InvalidSettings
from events.patch import clean_reason, read_struct
from events.settings import VERSION_NAME, AssistantResponse, Reason
from projections.current import represent
from projections.history import VersionEntry

AnyRequest = Request[Any, Any, Any]

_VERSIONS = f"{PREFIX}/{{assistant_id:str}}/versions"
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


COMPONENTS = (VersionEntry, VersionShown, Label, DiffEntry, BlameEntry, JsonPatchStep)


@get(
    _VERSIONS,
    opt=VIEWER,
    tags=["History"],
    summary="List an assistant's versions",
    operation_class=openapi.operation(
        openapi.Answer(
            VersionEntry,
            example=[VERSION_ENTRY],
            many=True,
            headers={"Link": 'The next page, while there is one: `<...>; rel="next"`.'},
        ),
        errors=(404, 422),
    ),
)
async def list_versions(
    request: AnyRequest,
    assistant_id: Number,
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, openapi.CURSOR] = None,
    *,
    include_deleted: Annotated[bool, _DELETED] = False,
) -> Response[bytes]:
    """Newest first, without settings: who made each, when, why and where."""
    who = principal(request, Role.admin if include_deleted else Role.viewer)
    found = await services(request).assistants.versions(
        who.organization_id,
        known_id(assistant_id),
        read_cursor(cursor),
        limit + 1,
        include_deleted=include_deleted,
    )
    page = found[:limit]
    headers = {"link": next_link(request, page[-1].version)} if len(found) > limit else None
    return Response(msgspec.json.encode(page), media_type=JSON, headers=headers)


@get(
    f"{_VERSIONS}/{{version:str}}",
    opt=VIEWER,
    tags=["History"],
    summary="Get a version",
    operation_class=openapi.operation(
        openapi.Answer(
            VersionShown,
            example=VERSION_ENTRY | {"assistant": ASSISTANT},
            headers={"ETag": "Of all that is shown."},
        ),
        errors=(304, 404, 422),
        parameters=(openapi.IF_NONE_MATCH,),
    ),
)
async def get_version(
    request: AnyRequest,
    assistant_id: Number,
    version: _VersionInPath,
    *,
    include_deleted: Annotated[bool, _DELETED] = False,
) -> Response[bytes]:
    """What made it, and the assistant as it was after it."""
    who = principal(request, Role.admin if include_deleted else Role.viewer)
    known, condition = known_id(assistant_id), read_condition(request.headers)
    shown = await services(request).assistants.version(
        who.organization_id, known, _in_path(version), include_deleted=include_deleted
    )
    body = msgspec.json.encode(
        msgspec.to_builtins(shown.entry)
        | {"assistant": represent(who.organization_id, known, shown.assistant.state)}
    )
    # A label, and what a version is taken back by, may come later: the tag is of all that.
    resource = f"assistants/{known}/versions/{version}"
    return read(body, tag_of(who.organization_id, resource, body), condition)


@put(
    f"{_VERSIONS}/{{version:str}}/label",
    opt=EDITOR,
    tags=["History"],
    summary="Name a version",
    operation_class=openapi.operation(
        openapi.Answer(APIResponse),
        body=openapi.Body(Label, {"label": "before-launch"}),
        errors=(404, 409, 412, 422),
        parameters=(openapi.IF_MATCH, openapi.IDEMPOTENCY_KEY),
    ),
)
async def label_version(
    request: AnyRequest, assistant_id: Number, version: _VersionInPath
) -> Response[bytes]:
    """``label:NAME`` then works wherever a version is taken. A version has one name."""
    wanted = read_struct(Label, await read_json(request))
    name = clean_label(wanted.label)
    return await _label(
        request, assistant_id, version, name, clean_reason(wanted.change_description)
    )


@delete(
    f"{_VERSIONS}/{{version:str}}/label",
    opt=EDITOR,
    status_code=200,
    tags=["History"],
    summary="Take a version's name away",
    operation_class=openapi.operation(
        openapi.Answer(APIResponse),
        errors=(404, 409, 412, 422),
        parameters=(openapi.IF_MATCH, openapi.IDEMPOTENCY_KEY),
    ),
)
async def unlabel_version(
    request: AnyRequest,
    assistant_id: Number,
    version: _VersionInPath,
    change_description: Annotated[str | None, openapi.DESCRIPTION] = None,
) -> Response[bytes]:
    """The version stays; its name is free again."""
    return await _label(request, assistant_id, version, None, description(change_description))


async def _label(
    request: AnyRequest, assistant_id: str, version: str, name: str | None, why: str | None
) -> Response[bytes]:
    wish = wish_of(request, assistant_id, why)
    wanted = _in_path(version)

    def work(unit: UnitOfWork) -> Response[bytes]:
        number = service.set_label(unit, wish, wanted, name)
        said = "has no label" if name is None else f"is labelled {name}"
        return done(f"Version {number} {said}")

    return await carry_out(request, wish.caller, work)


@get(
    f"{PREFIX}/{{assistant_id:str}}/diff",
    opt=VIEWER,
    tags=["History"],
    summary="Compare two versions",
    operation_class=openapi.operation(
        openapi.Answer(DiffEntry, example=[DIFF_ENTRY], many=True),
        openapi.Answer(JsonPatchStep, example=JSON_PATCH_EXAMPLE, many=True, media_type=JSON_PATCH),
        errors=(404, 422),
        parameters=_ENDS,
    ),
)
async def diff_versions(
    request: AnyRequest,
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
    who = principal(request, Role.admin if include_deleted else Role.viewer)
    older, newer = _end(request, "from"), _end(request, "to")
    as_patch = any(JSON_PATCH in line for line in chosen_by(request, "Accept"))
    found = await services(request).assistants.diff(
        who.organization_id,
        known_id(assistant_id),
        older,
        newer,
        by_words=words and not as_patch,
        with_changers=changed_by and not as_patch,
        include_deleted=include_deleted,
    )
    if as_patch:
        steps = [JsonPatchStep(op=one.op, path=one.path, value=one.after) for one in found]
        return Response(msgspec.json.encode(steps), media_type=JSON_PATCH)
    return Response(msgspec.json.encode(found), media_type=JSON)


@get(
    f"{PREFIX}/{{assistant_id:str}}/blame",
    opt=VIEWER,
    tags=["History"],
    summary="Say who set each value",
    operation_class=openapi.operation(
        openapi.Answer(BlameEntry, example=[BLAME_ENTRY], many=True), errors=(404, 422)
    ),
)
async def blame_assistant(
    request: AnyRequest,
    assistant_id: Number,
    path: Annotated[str | None, openapi.PATH] = None,
    version: Annotated[str, openapi.VERSION] = LATEST,
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, openapi.CURSOR] = None,
    *,
    include_deleted: Annotated[bool, _DELETED] = False,
) -> Response[bytes]:
    """Each path with its value and the change that set it; or all changes of one path."""
    who = principal(request, Role.admin if include_deleted else Role.viewer)
    known, wanted = known_id(assistant_id), read_reference(version, ("query", "version"))
    assistants = services(request).assistants
    if not path:
        found = await assistants.blame(
            who.organization_id, known, wanted, include_deleted=include_deleted
        )
        return Response(msgspec.json.encode(found), media_type=JSON)
    changes = await assistants.changes_of(
        who.organization_id,
        known,
        path,
        wanted,
        read_cursor(cursor),
        limit + 1,
        include_deleted=include_deleted,
    )
    page = changes[:limit]
    last = page[-1].changed_by.version if page else 0
    headers = {"link": next_link(request, last)} if len(changes) > limit else None
    return Response(msgspec.json.encode(page), media_type=JSON, headers=headers)


def _in_path(version: str) -> Reference:
    return read_reference(version, ("path", "version"))


def _end(request: AnyRequest, name: str) -> Reference:
    text = query_text(request, name)
    if text is None:
        error = FieldError(loc=("query", name), msg="Field required", type="missing")
        raise InvalidSettings((error,))
    return read_reference(text, ("query", name))


HANDLERS = [
    list_versions, get_version, label_version, unlabel_version, diff_versions, blame_assistant,
]  # fmt: skip
