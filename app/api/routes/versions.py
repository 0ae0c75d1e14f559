"""The versions of an assistant, and their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from litestar import Response, delete, get, put
from litestar.params import PathParameter, QueryParameter
from msgspec import Meta

from app.accounts.principals import Role
from app.api import routing
from app.api.access import EDITOR, VIEWER
from app.api.conditional import respond
from app.api.examples import ASSISTANT, VERSION_ENTRY
from app.api.openapi.headers import IDEMPOTENCY_KEY, IF_MATCH, IF_NONE_MATCH
from app.api.openapi.operations import Answer, Body, operation
from app.api.paging import LINK, read_cursor, respond_with
from app.api.parameters import CURSOR, DESCRIPTION, INCLUDE_DELETED, Number
from app.api.request import ApiRequest
from app.api.responses import APIResponse, done
from app.api.writes import carry_out
from app.assistants import changes, history
from app.assistants.preconditions import tag_of
from app.assistants.references import Reference, read_reference
from app.naming import MOST_OF_LABEL, clean_label
from events.assistant_bodies import AssistantResponse
from events.bodies.reasons import clean_reason
from events.setting_types import VERSION_NAME, Reason
from projections import assistant_json
from projections.history import VersionEntry

if TYPE_CHECKING:
    from app.transactions.unit_of_work import UnitOfWork

_VersionInPath = Annotated[
    str,
    PathParameter(
        description="`7`, `latest`, `-1` (the one before), or `label:NAME`.",
        schema_extra={"pattern": VERSION_NAME},
    ),
]


class VersionShown(VersionEntry, frozen=True, kw_only=True):
    """A version, and the assistant as it was after it."""

    assistant: AssistantResponse


class Label(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The name of a version, unique for its assistant."""

    label: Annotated[str, Meta(min_length=1, max_length=MOST_OF_LABEL)]
    change_description: Reason | None = None


@get(
    "/versions",
    opt=VIEWER,
    summary="List an assistant's versions",
    operation_class=operation(
        Answer(
            VersionEntry,
            example=[VERSION_ENTRY],
            many=True,
            headers=LINK,
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
    include_deleted: Annotated[bool, INCLUDE_DELETED] = False,
) -> Response[bytes]:
    """Newest first, without settings: author, time, reason and changed paths."""
    if include_deleted:
        request.require(Role.admin)
    page = await request.snapshot(
        history.versions,
        request.assistant_key(assistant_id),
        read_cursor(cursor),
        limit,
        include_deleted=include_deleted,
    )
    return respond_with(request, page)


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
    include_deleted: Annotated[bool, INCLUDE_DELETED] = False,
) -> Response[bytes]:
    """What made it, and the assistant as it was after it."""
    if include_deleted:
        request.require(Role.admin)
    key, condition = request.assistant_key(assistant_id), request.condition
    shown = await request.snapshot(
        history.version,
        key,
        _in_path(version),
        include_deleted=include_deleted,
    )
    assistant = msgspec.Raw(assistant_json.encode(*key, shown.assistant.state))
    body = msgspec.json.encode(msgspec.to_builtins(shown.entry) | {"assistant": assistant})
    # A label, and what a version is taken back by, may come later: the tag is of all that.
    resource = f"assistants/{key.assistant_id}/versions/{version}"
    return respond(body, tag_of(key.organization_id, resource, body), condition)


@put(
    "/versions/{version:str}/label",
    opt=EDITOR,
    summary="Label a version",
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
    """``label:NAME`` then names the version in every request. A version has one label."""
    body = await request.body_as(Label)
    name = clean_label(body.label)
    return await _label(request, assistant_id, version, name, clean_reason(body.change_description))


@delete(
    "/versions/{version:str}/label",
    opt=EDITOR,
    status_code=200,
    summary="Remove the label of a version",
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
    """The version stays; its label is free again."""
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


def _in_path(version: str) -> Reference:
    return read_reference(version, ("path", "version"))


ROUTER = routing.ApiRouter(
    path=routing.ASSISTANT,
    route_handlers=[list_versions, get_version, label_version, unlabel_version],
    tags=["History"],
)
