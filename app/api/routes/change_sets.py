"""Change sets: one patch for several assistants, all of them or none; read, compared, reverted."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from litestar import Response, get, post
from msgspec import Meta, Struct, field

from app.accounts.principals import Role
from app.api import routing
from app.api.access import EDITOR, VIEWER
from app.api.conditional import etag
from app.api.examples import CHANGE_SET, CHANGE_SET_DIFF, SET_OUTCOME
from app.api.header_lists import header_list
from app.api.media_types import JSON
from app.api.openapi.headers import WRITING
from app.api.openapi.operations import REFERENCE, Answer, Body, operation
from app.api.parameters import Number, number
from app.api.plans import Plan, plan
from app.api.preferences import Preferences
from app.api.request import ApiRequest
from app.api.responses import WRITE_ERRORS
from app.api.writes import carry_out
from app.assistants import change_sets, representation
from app.assistants.change_sets import (
    MOST,
    MOST_COMPARED,
    ChangeSetNotFound,
    RefusedFor,
    SetChangeRequest,
    SetOutcome,
)
from app.assistants.comparing import DiffEntry
from app.storage.tables import MAX_ID
from events import pointers
from events.changed import Actor, changes_of
from events.errors import FieldError, InvalidSettings, Refusal
from events.patch import clean_reason, read_patch
from events.pointers import POINTER_BELOW
from events.policy import Warned
from events.settings import Moment, Reason
from projections import current
from projections.current import Selection
from projections.history import ChangedPath, changed_paths

if TYPE_CHECKING:
    from app.assistants.requests import Outcome
    from app.transactions.unit_of_work import UnitOfWork
    from events.changed import AssistantSettingsChanged
    from events.patch import SettingsPatch


_MAX_ID = 2**53
_MOST_BYTES = 32 * 1024 * 1024

Id = Annotated[int, Meta(ge=1, le=MAX_ID)]
_AS_A_PATCH = {"$ref": REFERENCE.format(name="AssistantPatch")}


class ChangeSetFilter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which assistants: those that hold all of it. ``settings`` are shown values, by path.

    A member that is misspelt would choose more than was meant: it is refused.
    """

    is_active: bool | None = None
    search: Annotated[str, Meta(max_length=200)] = ""
    settings: Annotated[
        dict[str, Any],
        Meta(max_length=50, extra_json_schema={"propertyNames": {"pattern": POINTER_BELOW}}),
    ] = field(default_factory=dict)


class ChangeSetRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change, of which assistants: ``assistant_ids`` or a ``filter``; ``{}`` means all."""

    patch: Annotated[dict[str, Any], Meta(extra_json_schema=_AS_A_PATCH)]
    assistant_ids: Annotated[list[Id], Meta(min_length=1, max_length=MOST)] | None = None
    filter: ChangeSetFilter | None = None
    change_description: Reason | None = None
    dry_run: bool = False


class RevertRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why, and what becomes of paths that were changed again since."""

    change_description: Reason | None = None
    on_conflict: Literal["fail", "skip", "force"] = "fail"
    restore_secrets: bool = False
    dry_run: bool = False


class ChangedOne(Struct, frozen=True, kw_only=True):
    """What was changed of one assistant."""

    assistant_id: int
    version: int
    etag: str
    changes: list[ChangedPath]
    warnings: list[Warned]
    secrets_kept: list[str]


class ChangeSetOutcome(Struct, frozen=True, kw_only=True):
    """What came of it. ``change_set_id`` is null where nothing had to change."""

    change_set_id: int | None
    assistants: list[ChangedOne]
    unchanged: list[int]
    skipped: list[int]


class ChangeSetPlan(Struct, frozen=True, kw_only=True):
    """What would come of it: nothing was recorded. Apply it with ``If-Match: <etag>``."""

    dry_run: bool
    etag: str
    applicable: bool
    plans: list[Plan]
    skipped: list[int]


class ChangeSetMember(Struct, frozen=True, kw_only=True):
    """One assistant of a change set, and the version that the set made of it."""

    assistant_id: int
    version: int
    changed_paths: list[str]


class ChangeSet(Struct, frozen=True, kw_only=True):
    """A change set: who made it, when and why, and what it reached."""

    change_set_id: int
    type: str
    created_at: Moment
    actor: Actor
    change_description: str | None
    assistants: list[ChangeSetMember]


class ChangeSetDiff(Struct, frozen=True, kw_only=True):
    """What a change set changed of one assistant."""

    assistant_id: int
    version: int
    diff: list[DiffEntry]


_OUTCOME = Answer(
    ChangeSetOutcome,
    or_else=(ChangeSetPlan,),
    example=SET_OUTCOME,
    headers={
        "ETag": "With a plan: of the versions that it is made over.",
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
    """One patch, one transaction, an event for each that changes; a dry run plans them all."""
    body = await request.body_as(ChangeSetRequest)
    if (body.assistant_ids is None) == (body.filter is None):
        message = "Input should hold either assistant_ids or filter"
        raise InvalidSettings((FieldError(loc=("body",), msg=message, type="one_of"),))
    _check_pointers(body.filter)
    preferences = _preferences(request, dry_run=body.dry_run)
    patch = _read(body.patch, strict=preferences.strict)
    change = SetChangeRequest(
        caller=request.caller(),
        reason=clean_reason(body.change_description) or patch.reason,
        condition=request.condition,
        dry_run=preferences.dry_run,
    )

    def work(unit: UnitOfWork) -> SetOutcome:
        ids = _chosen(unit, change.caller.organization_id, body)
        try:
            return change_sets.apply(unit, change, ids, patch)
        except RefusedFor as one:
            raise RefusedFor(one.assistant_id, _in_patch(one.refusal)) from None

    render = _planned if change.dry_run else _made
    return await carry_out(
        request, change.caller, work, partial(render, preferences), dry_run=change.dry_run
    )


def _check_pointers(chosen: ChangeSetFilter | None) -> None:
    """Each key that is no pointer, by its number: who mixed up key and value sent a secret."""
    errors = [
        FieldError(
            loc=("body", "filter", "settings"),
            msg=f"Key {number} should be a JSON Pointer, such as /llm_settings/top_p",
            type="json_pointer",
        )
        for number, key in enumerate(chosen.settings if chosen else (), 1)
        if not key or not pointers.is_pointer(key)
    ]
    if errors:
        raise InvalidSettings(tuple(errors))


def _preferences(request: ApiRequest, *, dry_run: bool) -> Preferences:
    """Without ``return=minimal``: the answer always lists what changed."""
    return msgspec.structs.replace(request.preferences_with(dry_run=dry_run), minimal=False)


def _read(body: dict[str, Any], *, strict: bool) -> SettingsPatch:
    try:
        patch = read_patch(body, strict=strict)
    except InvalidSettings as refusal:
        raise _in_patch(refusal) from None
    ignored = tuple(f"/patch{pointer}" for pointer in patch.ignored)
    return msgspec.structs.replace(patch, ignored=ignored)


def _in_patch(refusal: Refusal) -> Refusal:
    """The places of what is wrong with a patch: in this body it is a member."""
    if not isinstance(refusal, InvalidSettings):
        return refusal
    return InvalidSettings(
        tuple(
            msgspec.structs.replace(error, loc=("body", "patch", *error.loc[1:]))
            for error in refusal.errors
        )
    )


def _chosen(unit: UnitOfWork, organization_id: int, body: ChangeSetRequest) -> list[int]:
    if body.assistant_ids is not None:
        return _bounded(sorted(set(body.assistant_ids)), body, "assistant_ids")
    chosen = body.filter or ChangeSetFilter()
    selection = Selection(active=chosen.is_active, search=chosen.search)
    _check_count(
        unit.read(current.count, organization_id, selection),
        MOST_COMPARED if chosen.settings else MOST,
        "filter",
    )
    ids = change_sets.choose(unit, organization_id, selection, chosen.settings)
    return _bounded(ids, body, "filter")


def _bounded(ids: list[int], body: ChangeSetRequest, name: str) -> list[int]:
    """All of a set is decided and written at once: it must not hold up everybody for long."""
    _check_count(len(ids), MOST, name)
    if len(ids) * len(msgspec.json.encode(body.patch)) > _MOST_BYTES:
        message = f"The patches of a set may take at most {_MOST_BYTES} bytes in all"
        raise InvalidSettings((FieldError(loc=("body", name), msg=message, type="too_many"),))
    return ids


def _check_count(count: int, most: int, name: str) -> None:
    if count > most:
        message = f"{count} assistants are chosen; it may be at most {most}"
        raise InvalidSettings((FieldError(loc=("body", name), msg=message, type="too_many"),))


@get(
    "/{change_set_id:str}",
    opt=VIEWER,
    summary="Read a change set",
    operation_class=operation(Answer(ChangeSet, example=CHANGE_SET), errors=(404, 422)),
)
async def get_change_set(request: ApiRequest, change_set_id: Number) -> Response[bytes]:
    """Who made it, when and why, and the version that it made of each assistant."""
    events = await _events(request, change_set_id)
    change_set = ChangeSet(
        change_set_id=_known(change_set_id),
        type=events[0].cause.type,
        created_at=events[0].occurred_at,
        actor=events[0].actor,
        change_description=events[0].reason,
        assistants=[
            ChangeSetMember(
                assistant_id=event.assistant_id,
                version=event.version,
                changed_paths=list(event.changes),
            )
            for event in events
        ],
    )
    return Response(msgspec.json.encode(change_set), media_type=JSON)


@get(
    "/{change_set_id:str}/diff",
    opt=VIEWER,
    summary="Show what a change set changed",
    operation_class=operation(
        Answer(ChangeSetDiff, example=[CHANGE_SET_DIFF], many=True), errors=(404, 422)
    ),
)
async def diff_change_set(request: ApiRequest, change_set_id: Number) -> Response[bytes]:
    """For each assistant what the set changed of it, masked."""
    diffs = await request.services.database.snapshot(
        change_sets.diff, request.principal.organization_id, _known(change_set_id)
    )
    body = [
        ChangeSetDiff(assistant_id=event.assistant_id, version=event.version, diff=entries)
        for event, entries in diffs
    ]
    return Response(msgspec.json.encode(body), media_type=JSON)


@post(
    "/{change_set_id:str}/revert",
    opt=EDITOR,
    status_code=200,
    summary="Take a change set back, and keep what came later",
    operation_class=operation(
        _OUTCOME,
        body=Body(RevertRequest, {"change_description": "Calls got longer"}, required=False),
        errors=WRITE_ERRORS,
        parameters=WRITING,
    ),
)
async def revert_change_set(request: ApiRequest, change_set_id: Number) -> Response[bytes]:
    """Undoes the set's change of each assistant, all or none, as a change set of its own."""
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
    known = _known(change_set_id)

    def work(unit: UnitOfWork) -> SetOutcome:
        return change_sets.revert(
            unit, change, known, body.on_conflict, restore_secrets=body.restore_secrets
        )

    render = _planned if change.dry_run else _reverted
    return await carry_out(
        request, change.caller, work, partial(render, preferences), dry_run=change.dry_run
    )


def _planned(preferences: Preferences, outcome: SetOutcome) -> Response[bytes]:
    plan_of_set = ChangeSetPlan(
        dry_run=True,
        etag=etag(outcome.tag),
        applicable=all(one.applicable for one in outcome.outcomes),
        plans=[plan(one) for one in outcome.outcomes],
        skipped=list(outcome.skipped),
    )
    headers = _headers(preferences, outcome) | {"etag": plan_of_set.etag}
    return Response(
        msgspec.json.encode(plan_of_set), status_code=200, media_type=JSON, headers=headers
    )


def _made(preferences: Preferences, outcome: SetOutcome, status: int = 201) -> Response[bytes]:
    body = ChangeSetOutcome(
        change_set_id=outcome.change_set_id,
        assistants=[_changed(one) for one in outcome.outcomes if one.event is not None],
        unchanged=[one.id for one in outcome.outcomes if one.event is None],
        skipped=list(outcome.skipped),
    )
    return Response(
        msgspec.json.encode(body),
        status_code=status,
        media_type=JSON,
        headers=_headers(preferences, outcome),
    )


def _reverted(preferences: Preferences, outcome: SetOutcome) -> Response[bytes]:
    return _made(preferences, outcome, 200)


def _headers(preferences: Preferences, outcome: SetOutcome) -> dict[str, str]:
    ignored = header_list(outcome.ignored)
    return preferences.applied | ({"x-ignored-fields": ignored} if ignored else {})


def _changed(outcome: Outcome) -> ChangedOne:
    changes = changes_of(outcome.event)
    return ChangedOne(
        assistant_id=outcome.id,
        version=outcome.state.version,
        etag=etag(representation.of(outcome.organization_id, outcome.id, outcome.state).tag),
        changes=changed_paths(changes, outcome.state.erased_version),
        warnings=list(outcome.warnings),
        secrets_kept=list(outcome.secrets_kept),
    )


async def _events(request: ApiRequest, change_set_id: str) -> list[AssistantSettingsChanged]:
    principal = request.principal
    known = _known(change_set_id)
    return await request.services.database.snapshot(
        change_sets.read, principal.organization_id, known
    )


def _known(text: str) -> int:
    change_set_id = number(text, "change_set_id")
    if not 0 < change_set_id < _MAX_ID:
        raise ChangeSetNotFound(change_set_id)
    return change_set_id


ROUTER = routing.ApiRouter(
    path=f"{routing.API}/change-sets",
    route_handlers=[create_change_set, get_change_set, diff_change_set, revert_change_set],
    tags=["Change sets"],
)
