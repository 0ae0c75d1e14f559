"""Change sets: one patch for several assistants, all or none; made, read and reverted."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from litestar import Response, get, post
from litestar.params import QueryParameter
from msgspec import Struct

from app.accounts.principals import Role
from app.api import routing
from app.api.access import EDITOR, VIEWER
from app.api.change_set_outcomes import ChangeSetOutcome, ChangeSetPlan, made, planned, reverted
from app.api.change_set_request import (
    ChangeSetRequest,
    check_pointers,
    check_size,
    choose,
    compare,
    in_patch,
    patch_of,
)
from app.api.examples import CHANGE_SET, CHANGE_SET_DIFF, SET_OUTCOME
from app.api.media_types import JSON
from app.api.openapi.headers import WRITING
from app.api.openapi.operations import Answer, Body, operation
from app.api.paging import LINK, read_cursor, respond_with
from app.api.parameter_values import number
from app.api.parameters import CURSOR, Number
from app.api.preferences import Preferences
from app.api.request import ApiRequest
from app.api.responses import TAKES_EFFECT, WRITE_ERRORS
from app.api.writes import carry_out
from app.assistants import change_sets
from app.assistants.change_sets import (
    ChangeSetDiff,
    ChangeSetNotFound,
    RefusedFor,
    SetChangeRequest,
    SetOutcome,
)
from app.pages import Page, page_of
from events.bodies.reasons import clean_reason
from events.changed import Actor
from events.errors import DomainError, FieldError, InvalidSettings
from events.setting_types import Moment, Reason
from projections import current

if TYPE_CHECKING:
    import sqlalchemy as sa

    from app.assistants.reversals import PastChange
    from app.transactions.unit_of_work import UnitOfWork
    from events.changed import AssistantSettingsChanged


_MAX_ID = 2**53


class RevertRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The reason, and what happens to paths that were changed again since."""

    change_description: Reason | None = None
    on_conflict: Literal["fail", "skip", "force"] = "fail"
    restore_secrets: bool = False
    dry_run: bool = False


class ChangeSetMember(Struct, frozen=True, kw_only=True):
    """One assistant of a change set, with the version that the set made."""

    assistant_id: int
    assistant_name: str
    version: int
    changed_paths: list[str]


class ChangeSet(Struct, frozen=True, kw_only=True):
    """A change set: its author, time and reason, and its assistants."""

    change_set_id: int
    type: str
    created_at: Moment
    actor: Actor
    change_description: str | None
    assistants: list[ChangeSetMember]


_OUTCOME = Answer(
    ChangeSetOutcome,
    or_else=(ChangeSetPlan,),
    example=SET_OUTCOME,
    headers={
        "ETag": "With a plan: of the versions that it is made over.",
        "X-Takes-Effect": TAKES_EFFECT,
        "X-Ignored-Fields": "JSON Pointers of members that were sent and are not known.",
    },
)


@post(
    "/",
    opt=EDITOR,
    summary="Change several assistants, all or none",
    operation_class=operation(
        _OUTCOME,
        status=201,
        plan=ChangeSetPlan,
        body=Body(
            ChangeSetRequest,
            {
                "filter": {"is_active": True, "settings": {"/llm_provider": "openai"}},
                "patch": {"llm_settings": {"temperature": 0.3}},
                "change_description": "Calmer everywhere",
            },
        ),
        errors=WRITE_ERRORS,
        parameters=WRITING,
    ),
)
async def create_change_set(request: ApiRequest) -> Response[bytes]:
    """One patch in one transaction, one event for each changed assistant; a dry run plans it."""
    body = await request.body_as(ChangeSetRequest)
    if (body.assistant_ids is None) == (body.filter is None):
        message = "Input should hold either assistant_ids or filter"
        raise InvalidSettings((FieldError(loc=("body",), msg=message, type="one_of"),))
    check_pointers(body.filter)
    preferences = _preferences(request, dry_run=body.dry_run)
    patch = patch_of(body.patch, strict=preferences.strict)
    change = SetChangeRequest(
        caller=request.caller(),
        reason=clean_reason(body.change_description) or patch.reason,
        condition=request.condition,
        dry_run=preferences.dry_run,
    )
    async with request.while_connected():
        compared = await compare(request.services.database, change.organization_id, body.filter)

    def work(unit: UnitOfWork) -> SetOutcome:
        ids = choose(unit, change.organization_id, body, compared)
        try:
            return change_sets.apply(unit, change, ids, patch)
        except RefusedFor as error:
            raise RefusedFor(error.assistant_id, in_patch(error.refusal)) from None

    render = planned if change.dry_run else made
    return await carry_out(
        request,
        change.caller,
        work,
        partial(render, preferences),
        dry_run=change.dry_run,
        is_alone=True,
    )


def _preferences(request: ApiRequest, *, dry_run: bool) -> Preferences:
    """Without ``return=minimal``: the answer always names the changed assistants."""
    return msgspec.structs.replace(request.preferences_with(dry_run=dry_run), minimal=False)


@get(
    "/",
    opt=VIEWER,
    summary="List change sets",
    operation_class=operation(
        Answer(ChangeSet, example=[CHANGE_SET], many=True, headers=LINK), errors=(422,)
    ),
)
async def list_change_sets(
    request: ApiRequest,
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, CURSOR] = None,
) -> Response[bytes]:
    """Newest first, with those that revert others. A page may end early; follow the link."""
    organization_id = request.principal.organization_id
    page = await request.snapshot(_list, organization_id, read_cursor(cursor), limit)
    return respond_with(request, page)


def _list(connection: sa.Connection, organization_id: int, before: int | None, limit: int) -> Page:
    recent = change_sets.Recent(before)
    found = (_change_set(connection, some) for some in recent.read(connection, organization_id))
    page = page_of(((one.change_set_id, one) for one in found), limit)
    return page if page.end is not None else Page(page.rows, recent.stopped_at)


@get(
    "/{change_set_id:str}",
    opt=VIEWER,
    summary="Read a change set",
    operation_class=operation(Answer(ChangeSet, example=CHANGE_SET), errors=(404, 422)),
)
async def get_change_set(request: ApiRequest, change_set_id: Number) -> Response[bytes]:
    """Its author, time and reason, and the version that it made of each assistant."""
    principal = request.principal
    known = _known(change_set_id)
    change_set = await request.snapshot(_read, principal.organization_id, known)
    return Response(msgspec.json.encode(change_set), media_type=JSON)


def _read(connection: sa.Connection, organization_id: int, change_set_id: int) -> ChangeSet:
    events = change_sets.read(connection, organization_id, change_set_id)
    return _change_set(connection, events)


def _change_set(connection: sa.Connection, events: list[AssistantSettingsChanged]) -> ChangeSet:
    """A change set, from outlines of its events."""
    first = events[0]
    ids = [event.assistant_id for event in events]
    names, _ = current.names_and_erasures(connection, first.organization_id, ids)
    return ChangeSet(
        change_set_id=first.sequence,
        type=first.cause.type,
        created_at=first.occurred_at,
        actor=first.actor,
        change_description=first.reason,
        assistants=[
            ChangeSetMember(
                assistant_id=event.assistant_id,
                assistant_name=names[event.assistant_id],
                version=event.version,
                changed_paths=list(event.changes),
            )
            for event in events
        ],
    )


@get(
    "/{change_set_id:str}/diff",
    opt=VIEWER,
    summary="Show what a change set changed",
    operation_class=operation(
        Answer(ChangeSetDiff, example=[CHANGE_SET_DIFF], many=True, headers=LINK),
        errors=(404, 422),
    ),
)
async def diff_change_set(
    request: ApiRequest,
    change_set_id: Number,
    cursor: Annotated[str | None, CURSOR] = None,
) -> Response[bytes]:
    """The changes of each assistant; secrets are masked."""
    page = await request.snapshot(
        change_sets.diff,
        request.principal.organization_id,
        _known(change_set_id),
        read_cursor(cursor),
    )
    return respond_with(request, page)


@post(
    "/{change_set_id:str}/revert",
    opt=EDITOR,
    status_code=200,
    summary="Revert a change set",
    operation_class=operation(
        _OUTCOME,
        body=Body(RevertRequest, {"change_description": "Calls got longer"}, required=False),
        errors=WRITE_ERRORS,
        parameters=WRITING,
    ),
)
async def revert_change_set(request: ApiRequest, change_set_id: Number) -> Response[bytes]:
    """Undoes its change of each assistant, all or none, as a new set; keeps later changes."""
    body = await request.body_as(RevertRequest, optional=True)
    if body.restore_secrets:
        request.require(Role.admin)
    preferences = _preferences(request, dry_run=body.dry_run)
    change = SetChangeRequest(
        caller=request.caller(),
        reason=clean_reason(body.change_description),
        condition=request.condition,
        dry_run=preferences.dry_run,
    )
    past = await request.snapshot(_read_past, change.organization_id, _known(change_set_id))

    def work(unit: UnitOfWork) -> SetOutcome:
        if isinstance(past, DomainError):
            raise past
        return change_sets.revert(
            unit, change, past, body.on_conflict, restore_secrets=body.restore_secrets
        )

    render = planned if change.dry_run else reverted
    return await carry_out(
        request,
        change.caller,
        work,
        partial(render, preferences),
        dry_run=change.dry_run,
        is_alone=True,
    )


def _read_past(
    connection: sa.Connection, organization_id: int, change_set_id: int
) -> dict[int, PastChange] | DomainError:
    """What a change set changed, or why it cannot be taken back.

    The error is raised later: a repeated request gets its stored answer in spite of it.
    """
    try:
        events = change_sets.read(connection, organization_id, change_set_id)
        ids = [event.assistant_id for event in events]
        check_size(connection, organization_id, ids, ("path", "change_set_id"))
    except DomainError as refusal:
        return refusal
    return change_sets.past_changes(connection, events)


def _known(text: str) -> int:
    change_set_id = number(text, "change_set_id")
    if not 0 < change_set_id < _MAX_ID:
        raise ChangeSetNotFound(change_set_id)
    return change_set_id


ROUTER = routing.ApiRouter(
    path=f"{routing.API}/change-sets",
    route_handlers=[
        create_change_set,
        list_change_sets,
        get_change_set,
        diff_change_set,
        revert_change_set,
    ],
    tags=["Change sets"],
)
