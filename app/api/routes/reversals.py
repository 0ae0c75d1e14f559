"""Roll back, undo and restore."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from litestar import Response, post
from msgspec import Meta

from app.accounts.principals import Role
from app.api import responses, routing
from app.api.access import EDITOR
from app.api.examples import ASSISTANT
from app.api.openapi.headers import WRITING
from app.api.openapi.operations import Answer, Body, operation
from app.api.parameter_values import known_version, moment
from app.api.parameters import Number
from app.api.plans import Plan
from app.api.request import ApiRequest
from app.api.responses import CHANGED_OR_PLAN, ETAG, WRITE_ERRORS, ChangedAssistant
from app.api.writes import carry_out
from app.assistants import reversals
from app.assistants.references import LABEL, Reference, read_reference
from app.assistants.requests import Outcome
from app.naming import MOST_OF_LABEL
from events.bodies.reasons import clean_reason
from events.errors import FieldError, InvalidSettings
from events.pointers import POINTER
from events.setting_types import Reason, VersionName

if TYPE_CHECKING:
    from app.transactions.unit_of_work import UnitOfWork

Pointer = Annotated[str, Meta(pattern=POINTER, max_length=1000)]

_CHANGED_OR_PLAN = Answer(
    ChangedAssistant,
    or_else=(Plan,),
    example=ASSISTANT,
    headers={
        "ETag": ETAG,
        "X-Secrets-Kept": "The number of secrets that differ from their values then.",
    },
)


class Rollback(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The state to go back to: exactly one of the three ``to_...``. ``paths`` chooses subtrees."""

    to_version: VersionName | None = None
    to_time: Annotated[str, Meta(extra_json_schema={"format": "date-time"})] | None = None
    to_label: Annotated[str, Meta(max_length=MOST_OF_LABEL)] | None = None
    paths: Annotated[list[Pointer], Meta(min_length=1, max_length=100)] | None = None
    change_description: Reason | None = None
    restore_secrets: bool = False
    dry_run: bool = False


class Undo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The change to undo, and what happens to paths that were changed again since.

    ``paths`` chooses subtrees.
    """

    version: VersionName
    paths: Annotated[list[Pointer], Meta(min_length=1, max_length=100)] | None = None
    on_conflict: Literal["fail", "skip", "force"] = "fail"
    change_description: Reason | None = None
    restore_secrets: bool = False
    dry_run: bool = False


class Restore(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The reason of a restoration. The whole body may be absent or null."""

    change_description: Reason | None = None


@post(
    "/rollback",
    opt=EDITOR,
    status_code=200,
    summary="Roll back, whole or in part",
    operation_class=operation(
        _CHANGED_OR_PLAN,
        body=Body(
            Rollback,
            {"to_version": 1, "paths": ["/llm_settings"], "change_description": "As it was"},
        ),
        errors=WRITE_ERRORS,
        parameters=WRITING,
    ),
)
async def roll_back(request: ApiRequest, assistant_id: Number) -> Response[bytes]:
    """Restores the state after a version, as one change; a dry run lists what would be lost."""
    body = await request.body_as(Rollback)
    target = _target(body)
    if body.restore_secrets:
        request.require(Role.admin)
    change = request.change_request(
        assistant_id,
        clean_reason(body.change_description),
        dry_run=body.dry_run,
    )
    preferences = request.preferences_with(dry_run=body.dry_run)

    def work(unit: UnitOfWork) -> Outcome:
        return reversals.roll_back(
            unit,
            change,
            target,
            paths=None if body.paths is None else tuple(body.paths),
            restore_secrets=body.restore_secrets,
        )

    render = responses.render_outcome(request.services.views, preferences, counts_secrets=True)
    return await carry_out(request, change.caller, work, render, dry_run=change.dry_run)


@post(
    "/undo",
    opt=EDITOR,
    status_code=200,
    summary="Undo one change, and keep the later ones",
    operation_class=operation(
        _CHANGED_OR_PLAN,
        body=Body(Undo, {"version": 2, "change_description": "That was a mistake"}),
        errors=WRITE_ERRORS,
        parameters=WRITING,
    ),
)
async def undo_change(request: ApiRequest, assistant_id: Number) -> Response[bytes]:
    """A path that was changed again since is a conflict: ``on_conflict`` fails, skips or forces."""
    body = await request.body_as(Undo)
    version = read_reference(body.version, ("body", "version"))
    if body.restore_secrets:
        request.require(Role.admin)
    change = request.change_request(
        assistant_id,
        clean_reason(body.change_description),
        dry_run=body.dry_run,
    )
    preferences = request.preferences_with(dry_run=body.dry_run)

    def work(unit: UnitOfWork) -> Outcome:
        return reversals.undo(
            unit,
            change,
            version,
            on_conflict=body.on_conflict,
            paths=None if body.paths is None else tuple(body.paths),
            restore_secrets=body.restore_secrets,
        )

    render = responses.render_outcome(request.services.views, preferences, counts_secrets=True)
    return await carry_out(request, change.caller, work, render, dry_run=change.dry_run)


@post(
    "/restore",
    opt=EDITOR,
    status_code=200,
    summary="Restore a deleted assistant",
    operation_class=operation(
        CHANGED_OR_PLAN,
        body=Body(Restore, {"change_description": "Deleted by mistake"}, required=False),
        errors=(404, 409, 412, 422),
        parameters=WRITING,
    ),
)
async def restore_assistant(request: ApiRequest, assistant_id: Number) -> Response[bytes]:
    """Restores id, settings and history; purged secrets stay gone."""
    body = await request.body_as(Restore, optional=True)
    change = request.change_request(assistant_id, clean_reason(body.change_description))
    preferences = request.preferences

    def work(unit: UnitOfWork) -> Outcome:
        return reversals.restore(unit, change)

    render = responses.render_outcome(request.services.views, preferences)
    return await carry_out(request, change.caller, work, render, dry_run=change.dry_run)


def _target(body: Rollback) -> Reference | datetime:
    given = [
        name for name in ("to_version", "to_time", "to_label") if getattr(body, name) is not None
    ]
    if len(given) != 1:
        message = "Input should hold exactly one of to_version, to_time and to_label"
        raise InvalidSettings((FieldError(loc=("body",), msg=message, type="one_of"),))
    if body.to_label is not None:
        return read_reference(LABEL + body.to_label, ("body", "to_label"))
    if body.to_version is not None:
        return read_reference(body.to_version, ("body", "to_version"))
    then = moment("to_time", body.to_time, "body")
    if then is None:
        raise TypeError("a moment was given")
    return then


class AssistantSettingsHistoryRollbackRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The reason of a rollback. The whole body may be absent or null.

    ``restore_secrets`` (admins) brings old secrets back, where their sealed values still are.
    """

    change_description: Reason | None = None
    restore_secrets: bool = False
    dry_run: bool = False


@post(
    "/settings-history/{version_id:str}/rollback",
    opt=EDITOR,
    status_code=200,
    summary="Roll an assistant back",
    operation_class=operation(
        Answer(
            ChangedAssistant,
            or_else=(Plan,),
            example=ASSISTANT,
            headers={"X-Secrets-Kept": "The number of secrets that differ from their values then."},
        ),
        body=Body(
            AssistantSettingsHistoryRollbackRequest,
            {"change_description": "The new prompt confused callers"},
            required=False,
        ),
        errors=WRITE_ERRORS,
        parameters=WRITING,
    ),
)
async def roll_back_to_entry(
    request: ApiRequest, assistant_id: Number, version_id: Number
) -> Response[bytes]:
    """Restores the snapshot of the entry as one change; the current secrets are kept."""
    body = await request.body_as(AssistantSettingsHistoryRollbackRequest, optional=True)
    if body.restore_secrets:
        request.require(Role.admin)
    change = request.change_request(
        assistant_id,
        clean_reason(body.change_description),
        dry_run=body.dry_run,
    )
    entry = read_reference(known_version(assistant_id, version_id), ("path", "version_id"))
    preferences = request.preferences_with(dry_run=body.dry_run)

    def work(unit: UnitOfWork) -> Outcome:
        return reversals.roll_back(
            unit, change, entry, before=True, restore_secrets=body.restore_secrets
        )

    render = responses.render_outcome(request.services.views, preferences, counts_secrets=True)
    return await carry_out(request, change.caller, work, render, dry_run=change.dry_run)


ROUTER = routing.ApiRouter(
    path=routing.ASSISTANT,
    route_handlers=[roll_back, roll_back_to_entry, undo_change, restore_assistant],
    tags=["History"],
)
