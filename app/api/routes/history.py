"""The settings history of an assistant, and going back in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.transactions.unit_of_work import UnitOfWork

from typing import Annotated

import msgspec
from litestar import Response, get, post
from litestar.params import QueryParameter

from app.accounts.principals import Role
from app.api import responses, routing
from app.api.access import EDITOR, VIEWER
from app.api.examples import ASSISTANT, ENTRY
from app.api.openapi.headers import WRITING
from app.api.openapi.operations import Answer, Body, operation
from app.api.paging import next_link, read_cursor
from app.api.parameters import CURSOR, PATH, Number, known_id, moment, number
from app.api.plans import Plan
from app.api.request import ApiRequest
from app.api.responses import WRITE_ERRORS, ChangedAssistant
from app.api.writes import carry_out
from app.assistants import history, reversals
from app.assistants.references import read_reference
from app.assistants.requests import Outcome
from events.bodies.reasons import clean_reason
from events.errors import VersionNotFound
from events.setting_types import Reason
from projections.history import Entry, Filter

_MAX_VERSION = 2**53
_MOMENT = QueryParameter(description="RFC 3339, inclusive.", schema_extra={"format": "date-time"})


class AssistantSettingsHistoryRollbackRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Why one goes back. The whole body may be absent or null.

    ``restore_secrets`` (admins) brings old secrets back, where their sealed values still are.
    """

    change_description: Reason | None = None
    restore_secrets: bool = False
    dry_run: bool = False


@get(
    "/settings-history",
    opt=VIEWER,
    summary="List an assistant's settings history",
    operation_class=operation(
        Answer(
            Entry,
            example=[ENTRY],
            many=True,
            headers={"Link": 'The next page, while there is one: `<...>; rel="next"`.'},
        ),
        errors=(404, 422),
    ),
)
async def list_history(
    request: ApiRequest,
    assistant_id: Number,
    limit: Annotated[int, QueryParameter(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, CURSOR] = None,
    path: Annotated[str | None, PATH] = None,
    actor: Annotated[
        str | None, QueryParameter(description="A key's name, or `type:id`, such as `api_key:3`.")
    ] = None,
    since: Annotated[str | None, _MOMENT] = None,
    until: Annotated[str | None, _MOMENT] = None,
    *,
    include_deleted: Annotated[
        bool, QueryParameter(description="Read the history of a deleted assistant, too (admins).")
    ] = False,
) -> Response[bytes]:
    """Newest first, each with the settings as they were before it. Creation is no entry."""
    if include_deleted:
        request.require(Role.admin)
    principal = request.principal
    filters = Filter(
        path=path,
        actor=actor,
        since=moment("since", since),
        until=moment("until", until),
        before_version=read_cursor(cursor),
    )
    entries = await request.services.database.snapshot(
        history.entries,
        principal.organization_id,
        known_id(assistant_id),
        filters,
        limit + 1,
        include_deleted=include_deleted,
    )
    page = entries[:limit]
    headers = {"link": next_link(request, page[-1].version)} if len(entries) > limit else None
    return Response(msgspec.json.encode(page), media_type="application/json", headers=headers)


@get(
    "/settings-history/{version_id:str}",
    opt=VIEWER,
    summary="Get one entry of the settings history",
    operation_class=operation(Answer(Entry, example=ENTRY), errors=(404, 422)),
)
async def get_history_entry(
    request: ApiRequest,
    assistant_id: Number,
    version_id: Number,
    *,
    include_deleted: Annotated[
        bool, QueryParameter(description="Read the history of a deleted assistant, too (admins).")
    ] = False,
) -> Response[bytes]:
    """The entry of the change that made this version."""
    if include_deleted:
        request.require(Role.admin)
    principal = request.principal
    known, version = known_id(assistant_id), _known_version(assistant_id, version_id)
    found = await request.services.database.snapshot(
        history.entries,
        principal.organization_id,
        known,
        Filter(before_version=version + 1),
        1,
        include_deleted=include_deleted,
    )
    if not found or found[0].version != version:
        raise VersionNotFound(known, version)
    return Response(msgspec.json.encode(found[0]), media_type="application/json")


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
            headers={"X-Secrets-Kept": "How many secrets differ from what they were then."},
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
    """Restores the entry's snapshot as one new change; the current secrets are kept."""
    body = await request.body_as(AssistantSettingsHistoryRollbackRequest, optional=True)
    if body.restore_secrets:
        request.require(Role.admin)
    change = request.change_request(
        assistant_id,
        clean_reason(body.change_description),
        dry_run=body.dry_run,
    )
    entry = read_reference(_known_version(assistant_id, version_id), ("path", "version_id"))
    preferences = request.preferences_with(dry_run=body.dry_run)

    def work(unit: UnitOfWork) -> Outcome:
        return reversals.roll_back(
            unit, change, entry, before=True, restore_secrets=body.restore_secrets
        )

    render = responses.render_outcome(preferences, counts_secrets=True)
    return await carry_out(request, change.caller, work, render, dry_run=change.dry_run)


def _known_version(assistant_id: str, version_id: str) -> int:
    version = number(version_id, "version_id")
    if not 0 < version < _MAX_VERSION:
        raise VersionNotFound(known_id(assistant_id), version)
    return version


ROUTER = routing.ApiRouter(
    path=routing.ASSISTANT,
    route_handlers=[list_history, get_history_entry, roll_back_to_entry],
    tags=["History"],
)
