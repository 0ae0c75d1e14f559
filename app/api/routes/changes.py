"""Change the settings of an assistant: PUT, PATCH in three media types, and the status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from litestar import Response, patch, put
from litestar.params import QueryParameter
from msgspec import Meta

from app.api import responses, routing
from app.api.access import EDITOR
from app.api.examples import JSON_PATCH_EXAMPLE, MERGE_PATCH_EXAMPLE, PATCH
from app.api.media_types import JSON, JSON_PATCH, MERGE_PATCH
from app.api.methods import ACCEPT_PATCH
from app.api.openapi.headers import WRITING
from app.api.openapi.operations import Body, Form, operation
from app.api.parameter_values import IN_QUERY
from app.api.parameters import BASE_VERSION, DESCRIPTION, DRY_RUN, ON_CONFLICT, Number
from app.api.request import ApiRequest
from app.api.responses import CHANGED_OR_PLAN, WRITE_ERRORS
from app.api.writes import carry_out
from app.assistants import changes
from app.assistants.references import read_reference
from app.assistants.requests import Outcome
from events.assistant_bodies import AssistantPatch, AssistantUpdate
from events.bodies import parsing
from events.bodies.json_patch import read_json_patch
from events.bodies.merge_patch import read_merge_patch
from events.bodies.patch import SettingsPatch, read_edit
from events.bodies.reasons import clean_reason
from events.bodies.validation import read_struct
from events.changed import Cause
from events.errors import FieldError, InvalidSettings, Location
from events.pointers import POINTER
from events.policy import REASON_AT
from events.setting_types import VersionName

if TYPE_CHECKING:
    from app.transactions.unit_of_work import UnitOfWork

Pointer = Annotated[str, Meta(pattern=POINTER)]
Side = Literal["fail", "theirs", "yours"]
_PATCHES = (JSON, MERGE_PATCH, JSON_PATCH)


class ChangeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a change; each may be in the body or in the query."""

    base_version: VersionName | None = None
    on_conflict: Side | None = None
    dry_run: bool = False


class JsonPatchOperation(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of a JSON Patch (RFC 6902), on the assistant as it is shown."""

    op: Literal["add", "remove", "replace", "move", "copy", "test"]
    path: Pointer
    value: Any = None
    from_: Pointer | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="from")


@put(
    "/",
    opt=EDITOR,
    summary="Update an assistant",
    operation_class=operation(
        CHANGED_OR_PLAN, body=Body(AssistantUpdate, PATCH), errors=WRITE_ERRORS,
        parameters=WRITING,
    ),
)  # fmt: skip
async def update_assistant(
    request: ApiRequest,
    assistant_id: Number,
    base_version: Annotated[str | None, BASE_VERSION] = None,
    on_conflict: Annotated[Side | None, ON_CONFLICT] = None,
    *,
    dry_run: Annotated[bool, DRY_RUN] = False,
) -> Response[bytes]:
    """Merges like PATCH: absent members keep their values, inside nested objects too."""
    body = await request.read_json()
    options = _options(body, base_version, on_conflict, dry_run=dry_run)
    settings = read_edit(body, strict=request.preferences.strict)
    return await _change(request, assistant_id, settings, Cause(type="put"), options)


@patch(
    "/",
    opt=EDITOR | {ACCEPT_PATCH: _PATCHES},
    summary="Change settings of an assistant",
    operation_class=operation(
        CHANGED_OR_PLAN,
        body=Body(
            AssistantPatch,
            PATCH,
            others=(
                Form(MERGE_PATCH, AssistantPatch, MERGE_PATCH_EXAMPLE),
                Form(JSON_PATCH, JsonPatchOperation, JSON_PATCH_EXAMPLE, many=True),
            ),
        ),
        errors=WRITE_ERRORS,
        parameters=WRITING,
    ),
)
async def patch_assistant(
    request: ApiRequest,
    assistant_id: Number,
    base_version: Annotated[str | None, BASE_VERSION] = None,
    on_conflict: Annotated[Side | None, ON_CONFLICT] = None,
    change_description: Annotated[str | None, DESCRIPTION] = None,
    *,
    dry_run: Annotated[bool, DRY_RUN] = False,
) -> Response[bytes]:
    """JSON: objects merge, lists and scalars replace, null clears. Or RFC 7396, or RFC 6902."""
    kind = request.media_type(*_PATCHES)
    body = parsing.parse(await request.body())
    strict = request.preferences.strict
    options = _options(
        None if kind == JSON_PATCH else body, base_version, on_conflict, dry_run=dry_run
    )
    settings: changes.Patch
    if kind == JSON:
        settings = read_edit(body, strict=strict)
    else:
        read = read_json_patch if kind == JSON_PATCH else read_merge_patch
        settings = lambda state: read(  # noqa: E731  # applied to the state in the transaction
            body, state.settings, state.erased_version, strict=strict
        )
    return await _change(
        request,
        assistant_id,
        settings,
        Cause(type="patch"),
        options,
        clean_reason(change_description),
        IN_QUERY if kind == JSON_PATCH else REASON_AT,
    )


def _options(
    body: Any, base_version: str | None, on_conflict: str | None, *, dry_run: bool
) -> ChangeOptions:
    """The options of a change; removes them from the body."""
    queried = {"base_version": base_version, "on_conflict": on_conflict, "dry_run": dry_run}
    try:
        in_query = read_struct(ChangeOptions, queried)
    except InvalidSettings as refusal:
        raise InvalidSettings(
            tuple(
                msgspec.structs.replace(error, loc=("query", *error.loc[1:]))
                for error in refusal.errors
            )
        ) from None
    if not isinstance(body, dict):
        return in_query
    names = ChangeOptions.__struct_fields__
    members = {name: body.pop(name) for name in names if name in body}
    in_body = read_struct(ChangeOptions, members)
    return ChangeOptions(
        base_version=in_query.base_version
        if in_body.base_version is None
        else in_body.base_version,
        on_conflict=in_body.on_conflict or in_query.on_conflict,
        dry_run=in_body.dry_run or in_query.dry_run,
    )


async def _change(
    request: ApiRequest,
    assistant_id: str,
    settings: changes.Patch,
    cause: Cause,
    options: ChangeOptions,
    reason: str | None = None,
    reason_at: Location = REASON_AT,
) -> Response[bytes]:
    preferences = request.preferences_with(dry_run=options.dry_run)
    change = request.change_request(
        assistant_id, reason, reason_at=reason_at, dry_run=options.dry_run
    )
    base = None
    if options.base_version is not None:
        where = "query" if "base_version" in request.query_params else "body"
        base = read_reference(options.base_version, (where, "base_version"))
    elif options.on_conflict is not None:
        message = "Input should be given with base_version only"
        where = "query" if "on_conflict" in request.query_params else "body"
        error = FieldError(loc=(where, "on_conflict"), msg=message, type="missing")
        raise InvalidSettings((error,))

    def work(unit: UnitOfWork) -> Outcome:
        return changes.change(
            unit, change, settings, cause, base=base, on_conflict=options.on_conflict or "fail"
        )

    render = responses.render_outcome(request.services.views, preferences)
    return await carry_out(request, change.caller, work, render, dry_run=change.dry_run)


@patch(
    "/status",
    opt=EDITOR | {ACCEPT_PATCH: (JSON,)},
    summary="Switch an assistant on or off",
    operation_class=operation(CHANGED_OR_PLAN, errors=WRITE_ERRORS, parameters=WRITING),
)
async def change_status(
    request: ApiRequest,
    assistant_id: Number,
    change_description: Annotated[str | None, DESCRIPTION] = None,
    *,
    is_active: Annotated[bool, QueryParameter()],
) -> Response[bytes]:
    """Takes no body; an empty one with a JSON content type is fine."""
    settings = SettingsPatch(tree={"is_active": is_active})
    return await _change(
        request,
        assistant_id,
        settings,
        Cause(type="status"),
        ChangeOptions(),
        clean_reason(change_description),
        IN_QUERY,
    )


ROUTER = routing.ApiRouter(
    path=routing.ASSISTANT,
    route_handlers=[update_assistant, patch_assistant, change_status],
    tags=["Assistants"],
)
