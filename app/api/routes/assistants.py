"""Assistants: create, list, count, read, delete and duplicate."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import msgspec
from litestar import Response, delete, get, post
from litestar.params import FromQuery, QueryParameter

from app.api import memento, responses, routing
from app.api.access import EDITOR, VIEWER
from app.api.conditional import respond, respond_with_stream
from app.api.examples import ASSISTANT, CREATE
from app.api.memento import accept_datetime
from app.api.openapi.headers import (
    ACCEPT_DATETIME,
    IDEMPOTENCY_KEY,
    IF_NONE_MATCH,
    MEMENTO,
    PREFER,
    WRITING,
)
from app.api.openapi.operations import Answer, Body, operation
from app.api.parameter_values import IN_QUERY, invalid_query, known_id, moment
from app.api.parameters import AS_OF, DESCRIPTION, VERSION, Number
from app.api.plans import Plan
from app.api.request import ApiRequest
from app.api.responses import CHANGED, ETAG, WRITE_ERRORS, APIResponse, done
from app.api.writes import carry_out
from app.assistants import changes, current, long_list
from app.assistants.long_list import LongList
from app.assistants.references import read_reference
from app.assistants.requests import Outcome
from app.assistants.view_cache import Listed, listed
from app.storage.tables import MAX_ID
from events.assistant_bodies import AssistantCreate, AssistantResponse
from events.bodies.patch import read_create
from events.bodies.reasons import clean_reason
from events.secrets.references import mask
from projections.current import Selection, count

if TYPE_CHECKING:
    from app.transactions.unit_of_work import UnitOfWork


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How many assistants there are."""

    count: int


class Organization(msgspec.Struct, frozen=True, kw_only=True):
    """The caller's organization and user."""

    organization_id: int
    organization_name: str
    user_id: int
    user_email: str | None
    user_role: str


@post(
    "/",
    opt=EDITOR,
    summary="Create an assistant",
    operation_class=operation(
        CHANGED, status=201, body=Body(AssistantCreate, CREATE), errors=(409,),
        parameters=(PREFER, IDEMPOTENCY_KEY), plan=Plan,
    ),
)  # fmt: skip
async def create_assistant(request: ApiRequest) -> Response[bytes]:
    """Only ``name`` is required; other settings have defaults. A masked secret is not copied."""
    caller, preferences = request.caller(), request.preferences
    settings = read_create(
        await request.read_json(), strict=preferences.strict, lenient=preferences.lenient
    )

    def work(unit: UnitOfWork) -> Outcome:
        return changes.create(unit, caller, settings, dry_run=preferences.dry_run)

    render = responses.render_outcome(request.services.views, preferences, status=201)
    return await carry_out(request, caller, work, render, dry_run=preferences.dry_run)


@get(
    "/",
    opt=VIEWER,
    summary="List assistants",
    operation_class=operation(
        Answer(
            AssistantResponse,
            example=[ASSISTANT],
            many=True,
            headers={"ETag": "Of this list."} | MEMENTO,
        ),
        errors=(304, 400, 422),
        parameters=(IF_NONE_MATCH, ACCEPT_DATETIME),
    ),
)  # fmt: skip
async def list_assistants(
    request: ApiRequest,
    skip: Annotated[int, QueryParameter(ge=0, le=MAX_ID)] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 100,
    as_of: Annotated[str | None, AS_OF] = None,
    *,
    active_only: FromQuery[bool] = False,
    my_assistants_only: FromQuery[bool] = False,
    include_stats: Annotated[
        bool, QueryParameter(description="Accepted; this service counts no calls.")
    ] = False,
) -> Response[bytes]:
    """Newest first, as a bare array; also as of a moment."""
    del include_stats
    principal = request.principal
    selection = Selection(
        active=True if active_only else None,
        user_id=principal.user_id if my_assistants_only else None,
    )
    then = _moment(request, as_of)
    services = request.services
    if then is None:
        async with request.while_connected():
            assistants = await services.views.select(
                principal.organization_id, selection, skip=skip, limit=limit, seen=request.seen
            )
    else:
        assistants = await _past_list(request, selection, skip, limit, then)
    query = request.query_params.multi_items()
    headers = None if then is None else memento.of_list(routing.ASSISTANTS, query, then)
    if isinstance(assistants, LongList):
        admitted = partial(services.exports.admitted, principal.organization_id)
        stream = long_list.stream(services.database, assistants)
        return respond_with_stream(stream, assistants.tag, request.condition, headers, admitted)
    return respond(assistants.body, assistants.tag, request.condition, headers)


async def _past_list(
    request: ApiRequest, selection: Selection, skip: int, limit: int, then: datetime
) -> Listed | LongList:
    organization_id = request.principal.organization_id
    stamps, past = await request.snapshot(
        current.select_at, organization_id, then, selection, skip=skip, limit=limit
    )
    query = (selection, skip, limit, then)
    if past is None:
        return long_list.long_list(organization_id, stamps, *query)
    return listed(organization_id, map(responses.encode, past), *query)


def _moment(request: ApiRequest, as_of: str | None) -> datetime | None:
    """The moment in the query, or in the header."""
    accepted = accept_datetime(request)  # read in any case: a bad header is refused
    return moment("as_of", as_of) or accepted


@get(
    "/count",
    opt=VIEWER,
    summary="Count assistants",
    operation_class=operation(Answer(Count, example={"count": 3}), errors=(422,)),
)
async def count_assistants(request: ApiRequest, *, active_only: FromQuery[bool] = False) -> Count:
    """How many assistants the organization has."""
    principal = request.principal
    selection = Selection(active=True if active_only else None)
    return Count(
        count=await request.services.database.read(count, principal.organization_id, selection)
    )


@get(
    "/me/organization",
    opt=VIEWER,
    summary="Show the caller's organization",
    operation_class=operation(Answer(Organization)),
)
async def show_organization(request: ApiRequest) -> Organization:
    """The organization and the user of the API key."""
    principal = request.principal
    return Organization(
        organization_id=principal.organization_id,
        organization_name=principal.organization_name,
        user_id=principal.user_id,
        user_email=principal.user_email,
        user_role=principal.role.name,
    )


@get(
    "/{assistant_id:str}",
    opt=VIEWER,
    summary="Get an assistant",
    operation_class=operation(
        Answer(
            AssistantResponse,
            example=ASSISTANT,
            headers={"ETag": ETAG} | MEMENTO,
        ),
        errors=(304, 400, 404, 422),
        parameters=(IF_NONE_MATCH, ACCEPT_DATETIME),
    ),
)
async def get_assistant(
    request: ApiRequest,
    assistant_id: Number,
    version: Annotated[str | None, VERSION] = None,
    as_of: Annotated[str | None, AS_OF] = None,
) -> Response[bytes]:
    """The settings as they are, or were; secrets are masked as ``********``."""
    key, condition = request.assistant_key(assistant_id), request.condition
    then = _moment(request, as_of)
    if version is not None and as_of is not None:
        raise invalid_query("as_of", "Input should not be given beside version")
    point = read_reference(version, ("query", "version")) if version is not None else then
    if point is None:
        views = request.services.views
        view = await views.view(key, request.seen)
        return responses.shown(view, condition, views.age(view))
    past = await request.snapshot(current.at, key, point)
    query = f"as_of={then.isoformat()}" if version is None and then else f"version={version}"
    return responses.past(past, condition, f"{routing.ASSISTANTS}/{key.assistant_id}", query)


@delete(
    "/{assistant_id:str}",
    opt=EDITOR,
    status_code=200,
    summary="Delete an assistant",
    operation_class=operation(
        Answer(APIResponse, or_else=(Plan,)), errors=WRITE_ERRORS,
        parameters=WRITING,
    ),
)  # fmt: skip
async def delete_assistant(
    request: ApiRequest,
    assistant_id: Number,
    change_description: Annotated[str | None, DESCRIPTION] = None,
) -> Response[bytes]:
    """Its history stays, and it can be restored."""
    reason = clean_reason(change_description)
    change = request.change_request(assistant_id, reason, reason_at=IN_QUERY)
    preferences = request.preferences

    def work(unit: UnitOfWork) -> Outcome:
        return changes.delete(unit, change)

    render = (
        responses.render_outcome(request.services.views, preferences)
        if change.dry_run
        else _deleted
    )
    return await carry_out(request, change.caller, work, render, dry_run=change.dry_run)


def _deleted(outcome: Outcome) -> Response[bytes]:
    return done(f"Assistant {mask(outcome.state.settings['name'])} deleted successfully")


@post(
    "/{assistant_id:str}/duplicate",
    opt=EDITOR,
    summary="Duplicate an assistant",
    operation_class=operation(
        CHANGED, status=201, errors=(404, 409, 422),
        parameters=(PREFER, IDEMPOTENCY_KEY), plan=Plan,
    ),
)  # fmt: skip
async def duplicate_assistant(request: ApiRequest, assistant_id: Number) -> Response[bytes]:
    """Copies the settings as ``<name> (Copy)``; ``X-Ignored-Fields`` names the secrets left out."""
    caller, preferences = request.caller(), request.preferences
    known = known_id(assistant_id)

    def work(unit: UnitOfWork) -> Outcome:
        return changes.duplicate(
            unit, caller, known, strict=preferences.strict, dry_run=preferences.dry_run
        )

    render = responses.render_outcome(request.services.views, preferences, status=201)
    return await carry_out(request, caller, work, render, dry_run=preferences.dry_run)


ROUTER = routing.ApiRouter(
    path=routing.ASSISTANTS,
    route_handlers=[
        create_assistant,
        list_assistants,
        count_assistants,
        show_organization,
        get_assistant,
        delete_assistant,
        duplicate_assistant,
    ],
    tags=["Assistants"],
)
