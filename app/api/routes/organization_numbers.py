"""The organization's phone numbers, and which assistant answered one when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import sqlalchemy as sa
from litestar import Response, get, patch, post
from litestar.params import FromPath, FromQuery, QueryParameter
from msgspec import UNSET, Struct, UnsetType

from app.api import routing
from app.api.access import EDITOR, VIEWER
from app.api.media_types import JSON
from app.api.methods import ACCEPT_PATCH
from app.api.numbers import (
    EXAMPLE,
    FREE,
    FriendlyName,
    Number,
    ShownNumber,
    clean_friendly_name,
    known_number_id,
    read_body,
    reply,
    shown,
)
from app.api.openapi.headers import IDEMPOTENCY_KEY, STRICT
from app.api.openapi.operations import Answer, Body, operation
from app.api.paging import LINK, read_cursor, respond_with
from app.api.parameters import CURSOR
from app.api.parameters import Number as Id
from app.api.request import ApiRequest
from app.api.writes import carry_out
from app.assistants import phone_numbers
from app.assistants.phone_numbers import NumberEvent
from events.bodies.reasons import clean_reason
from events.phone_numbers import read_new
from events.setting_types import Reason
from projections import phone_numbers as numbers

if TYPE_CHECKING:
    from app.transactions.unit_of_work import UnitOfWork
    from projections.phone_numbers import PhoneNumber


class NumberAdd(Struct, frozen=True, kw_only=True):
    """A number to add. It must be possible in its country, and written in E.164 form."""

    phone_number: Number
    friendly_name: FriendlyName | None = None
    change_description: Reason | None = None


class NumberUpdate(Struct, frozen=True, kw_only=True):
    """What to change of a number; null, or a blank name, removes the name."""

    friendly_name: FriendlyName | UnsetType | None = UNSET
    change_description: Reason | None = None


class Synced(Struct, frozen=True, kw_only=True):
    """What came of asking a telephony provider for numbers."""

    success: bool
    message: str
    synced_count: int


_NO_PROVIDER = (
    "This service is connected to no telephony provider; add numbers with"
    " POST /api/v1/assistants/organization/phone-numbers"
)
_SYNCED = Synced(success=False, message=_NO_PROVIDER, synced_count=0)
_HISTORY_EXAMPLE = {
    "sequence": 41,
    "event": "phone_number_assigned",
    "occurred_at": "2026-03-02T10:00:00Z",
    "assistant_id": 1,
    "assistant_name": "Front desk",
    "actor": {"type": "api_key", "id": 3, "name": "Ada Okafor", "user_id": 1},
    "change_description": "The campaign begins",
}


@get(
    "/assistants/organization/phone-numbers",
    opt=VIEWER,
    summary="List the organization's phone numbers",
    operation_class=operation(Answer(ShownNumber, example=[EXAMPLE], many=True), errors=(422,)),
)
async def list_numbers(
    request: ApiRequest,
    *,
    include_assigned: FromQuery[bool] = True,
    include_unassigned: FromQuery[bool] = True,
) -> Response[bytes]:
    """In the order of the numbers, each with the assistant that answers it."""
    found = await request.snapshot(_shown_all, request.principal.organization_id)
    return reply(
        [n for n in found if (include_unassigned if n.assistant is None else include_assigned)]
    )


@get(
    "/assistants/organization/phone-numbers/available",
    opt=VIEWER,
    summary="List the phone numbers that no assistant answers",
    operation_class=operation(Answer(ShownNumber, example=[FREE], many=True)),
)
async def list_available_numbers(request: ApiRequest) -> Response[bytes]:
    """In the order of the numbers."""
    found = await request.snapshot(_shown_all, request.principal.organization_id)
    return reply([n for n in found if n.assistant is None])


def _shown_all(connection: sa.Connection, organization_id: int) -> list[ShownNumber]:
    return shown(connection, organization_id, numbers.select(connection, organization_id))


@post(
    "/assistants/organization/phone-numbers",
    opt=EDITOR,
    status_code=200,
    summary="Add a phone number",
    operation_class=operation(
        Answer(ShownNumber, example=FREE),
        body=Body(NumberAdd, {"phone_number": "+14155551234", "friendly_name": "Support line"}),
        errors=(409, 422),
        parameters=(STRICT, IDEMPOTENCY_KEY),
    ),
)
async def add_number(request: ApiRequest) -> Response[bytes]:
    """Not in the published API, whose numbers come from a provider. One that is there is kept."""
    caller = request.caller()
    body, headers = await read_body(request, NumberAdd)
    number = read_new(body.phone_number, ("body", "phone_number"))
    name, reason = clean_friendly_name(body.friendly_name), clean_reason(body.change_description)

    def work(unit: UnitOfWork) -> ShownNumber:
        return _shown_one(unit, phone_numbers.add(unit, caller, number, name, reason))

    return await carry_out(request, caller, work, lambda one: reply(one, headers))


@patch(
    "/assistants/organization/phone-numbers/{phone_number_id:str}",
    opt=EDITOR | {ACCEPT_PATCH: (JSON,)},
    summary="Rename a phone number",
    operation_class=operation(
        Answer(ShownNumber, example=EXAMPLE),
        body=Body(NumberUpdate, {"friendly_name": "Sales line"}),
        errors=(404, 409, 422),
        parameters=(STRICT, IDEMPOTENCY_KEY),
    ),
)
async def change_number(request: ApiRequest, phone_number_id: Id) -> Response[bytes]:
    """Changes the friendly name; the number itself stays."""
    caller, number_id = request.caller(), known_number_id(phone_number_id)
    body, headers = await read_body(request, NumberUpdate)
    reason = clean_reason(body.change_description)

    def work(unit: UnitOfWork) -> ShownNumber:
        number = phone_numbers.by_id(unit, caller, number_id)
        if body.friendly_name is not UNSET:
            name = clean_friendly_name(body.friendly_name)
            number = phone_numbers.rename(unit, caller, number, name, reason)
        return _shown_one(unit, number)

    return await carry_out(request, caller, work, lambda one: reply(one, headers))


def _shown_one(unit: UnitOfWork, number: PhoneNumber) -> ShownNumber:
    (one,) = unit.read(shown, number.organization_id, [number])
    return one


@post(
    "/assistants/organization/phone-numbers/sync",
    opt=EDITOR,
    status_code=200,
    summary="Ask the telephony provider for phone numbers",
    operation_class=operation(Answer(Synced, example=_SYNCED), errors=(422,)),
)
async def sync_numbers(request: ApiRequest) -> Response[bytes]:
    """Backstory has no provider: it says so, and changes nothing."""
    await request.refuse_dry_run()
    return reply(_SYNCED)


@get(
    "/phone-numbers/{phone_number:str}/history",
    opt=VIEWER,
    summary="Show which assistant answered a phone number when",
    operation_class=operation(
        Answer(NumberEvent, example=[_HISTORY_EXAMPLE], many=True, headers=LINK), errors=(404, 422)
    ),
)
async def show_history(
    request: ApiRequest,
    phone_number: FromPath[str],
    limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, CURSOR] = None,
) -> Response[bytes]:
    """Newest first: each event with the assistant that answered from then on, who and why."""
    page = await request.snapshot(
        phone_numbers.history,
        request.principal.organization_id,
        phone_number,
        before=read_cursor(cursor),
        limit=limit,
    )
    return respond_with(request, page)


ROUTER = routing.ApiRouter(
    path=routing.API,
    route_handlers=[
        list_numbers,
        list_available_numbers,
        add_number,
        change_number,
        sync_numbers,
        show_history,
    ],
    tags=["Phone numbers"],
)
