"""Going back: to a version, by one change, or to life."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.transactions.unit_of_work import UnitOfWork

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, post
from msgspec import Meta

from app.accounts.principals import Role
from app.api import openapi, responses
from app.api.access import EDITOR
from app.api.examples import ASSISTANT
from app.api.request import Number, carry_out, moment, preferences, read_json, wish_of
from app.api.responses import CHANGED_OR_PLAN, ETAG, WRITE_ERRORS, ChangedAssistant, Plan
from app.api.routes.assistants import PREFIX
from app.assistants import changes
from app.assistants.references import LABEL, Reference, read_reference
from app.naming import MOST_OF_LABEL
from events.errors import FieldError, InvalidSettings
from events.patch import clean_reason, read_struct
from events.pointers import POINTER
from events.settings import Reason, VersionName

AnyRequest = Request[Any, Any, Any]
Pointer = Annotated[str, Meta(pattern=POINTER, max_length=1000)]

_ASSISTANT = f"{PREFIX}/{{assistant_id:str}}"
_CHANGED_OR_PLAN = openapi.Answer(
    ChangedAssistant,
    or_else=(Plan,),
    example=ASSISTANT,
    headers={
        "ETag": ETAG,
        "X-Secrets-Kept": "How many secrets differ from what they were then.",
    },
)


class Rollback(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to go back to: exactly one of the three; ``paths`` takes subtrees, else all."""

    to_version: VersionName | None = None
    to_time: Annotated[str, Meta(extra_json_schema={"format": "date-time"})] | None = None
    to_label: Annotated[str, Meta(max_length=MOST_OF_LABEL)] | None = None
    paths: Annotated[list[Pointer], Meta(min_length=1, max_length=100)] | None = None
    change_description: Reason | None = None
    restore_secrets: bool = False
    dry_run: bool = False


class Undo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which change to take back, and what becomes of paths that were changed again since.

    ``paths`` takes subtrees, else all.
    """

    version: VersionName
    paths: Annotated[list[Pointer], Meta(min_length=1, max_length=100)] | None = None
    on_conflict: Literal["fail", "skip", "force"] = "fail"
    change_description: Reason | None = None
    restore_secrets: bool = False
    dry_run: bool = False


class Restore(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why the assistant is to live again. The whole body may be absent or null."""

    change_description: Reason | None = None


COMPONENTS = (Rollback, Undo, Restore)


@post(
    f"{_ASSISTANT}/rollback",
    opt=EDITOR,
    status_code=200,
    tags=["History"],
    summary="Roll back, whole or in part",
    operation_class=openapi.operation(
        _CHANGED_OR_PLAN,
        body=openapi.Body(
            Rollback,
            {"to_version": 1, "paths": ["/llm_settings"], "change_description": "As it was"},
        ),
        errors=WRITE_ERRORS,
        parameters=openapi.WRITING,
    ),
)
async def roll_back(request: AnyRequest, assistant_id: Number) -> Response[bytes]:
    """Restores the state after a version, as one change; a dry run tells what would be lost."""
    wanted = read_struct(Rollback, await read_json(request))
    target = _target(wanted)
    wish = wish_of(
        request,
        assistant_id,
        clean_reason(wanted.change_description),
        dry_run=wanted.dry_run,
        at_least=Role.admin if wanted.restore_secrets else Role.editor,
    )
    prefers = preferences(request, dry_run=wanted.dry_run)

    def work(unit: UnitOfWork) -> Response[bytes]:
        outcome = changes.roll_back(
            unit,
            wish,
            target,
            paths=None if wanted.paths is None else tuple(wanted.paths),
            restore_secrets=wanted.restore_secrets,
        )
        return responses.changed(outcome, prefers, headers=_kept(outcome))

    return await carry_out(request, wish.caller, work, dry_run=wish.dry_run)


@post(
    f"{_ASSISTANT}/undo",
    opt=EDITOR,
    status_code=200,
    tags=["History"],
    summary="Take back one change, and keep the later ones",
    operation_class=openapi.operation(
        _CHANGED_OR_PLAN,
        body=openapi.Body(Undo, {"version": 2, "change_description": "That was a mistake"}),
        errors=WRITE_ERRORS,
        parameters=openapi.WRITING,
    ),
)
async def undo_change(request: AnyRequest, assistant_id: Number) -> Response[bytes]:
    """A path that was changed again since is a conflict: 409, or left, or set all the same."""
    wanted = read_struct(Undo, await read_json(request))
    version = read_reference(wanted.version, ("body", "version"))
    wish = wish_of(
        request,
        assistant_id,
        clean_reason(wanted.change_description),
        dry_run=wanted.dry_run,
        at_least=Role.admin if wanted.restore_secrets else Role.editor,
    )
    prefers = preferences(request, dry_run=wanted.dry_run)

    def work(unit: UnitOfWork) -> Response[bytes]:
        outcome = changes.undo(
            unit,
            wish,
            version,
            on_conflict=wanted.on_conflict,
            paths=None if wanted.paths is None else tuple(wanted.paths),
            restore_secrets=wanted.restore_secrets,
        )
        return responses.changed(outcome, prefers, headers=_kept(outcome))

    return await carry_out(request, wish.caller, work, dry_run=wish.dry_run)


@post(
    f"{_ASSISTANT}/restore",
    opt=EDITOR,
    status_code=200,
    tags=["History"],
    summary="Bring a deleted assistant back",
    operation_class=openapi.operation(
        CHANGED_OR_PLAN,
        body=openapi.Body(Restore, {"change_description": "Deleted by mistake"}, required=False),
        errors=(404, 409, 412, 422),
        parameters=openapi.WRITING,
    ),
)
async def restore_assistant(request: AnyRequest, assistant_id: Number) -> Response[bytes]:
    """With its id, its settings and its whole history; secrets that were purged stay gone."""
    body = await read_json(request, optional=True)
    wanted = read_struct(Restore, {} if body is None else body)
    wish = wish_of(request, assistant_id, clean_reason(wanted.change_description))
    prefers = preferences(request)

    def work(unit: UnitOfWork) -> Response[bytes]:
        return responses.changed(changes.restore(unit, wish), prefers)

    return await carry_out(request, wish.caller, work, dry_run=wish.dry_run)


def _target(wanted: Rollback) -> Reference | datetime:
    given = [
        name for name in ("to_version", "to_time", "to_label") if getattr(wanted, name) is not None
    ]
    if len(given) != 1:
        message = "Input should hold exactly one of to_version, to_time and to_label"
        raise InvalidSettings((FieldError(loc=("body",), msg=message, type="one_of"),))
    if wanted.to_label is not None:
        return read_reference(LABEL + wanted.to_label, ("body", "to_label"))
    if wanted.to_version is not None:
        return read_reference(wanted.to_version, ("body", "to_version"))
    then = moment("to_time", wanted.to_time, "body")
    if then is None:
        raise TypeError("a moment was given")
    return then


def _kept(outcome: changes.Outcome) -> dict[str, str]:
    return {"x-secrets-kept": str(len(outcome.secrets_kept))}


HANDLERS = [roll_back, undo_change, restore_assistant]
