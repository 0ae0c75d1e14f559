"""The assistant of a phone number, and the phone numbers of an assistant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import sqlalchemy as sa
from litestar import Response, get
from litestar.params import FromPath

from app.api import responses, routing
from app.api.access import VIEWER
from app.api.numbers import (
    EXAMPLE,
    FREE,
    ShownNumber,
    reply,
    shown,
)
from app.api.openapi.headers import IF_NONE_MATCH, MEMENTO
from app.api.openapi.operations import Answer, operation
from app.api.parameter_values import moment
from app.api.parameters import AS_OF
from app.api.parameters import Number as Id
from app.api.request import ApiRequest
from app.api.responses import ONE
from app.assistants import current, phone_numbers
from app.assistants.phone_numbers import PhoneNumberNotAssigned
from events.assistant_key import AssistantKey
from events.errors import AssistantNotFound
from projections import phone_numbers as numbers

if TYPE_CHECKING:
    from datetime import datetime

    from app.assistants.neighbours import Neighbours
    from app.assistants.requests import Assistant


@get(
    "/by-phone/{phone_number:str}",
    opt=VIEWER,
    summary="Find an assistant by its phone number",
    operation_class=operation(
        Answer(ONE.schema, example=ONE.example, headers=dict(ONE.headers or {}) | MEMENTO),
        errors=(304, 404, 422),
        parameters=(IF_NONE_MATCH,),
    ),
)
async def find_by_phone(
    request: ApiRequest, phone_number: FromPath[str], as_of: Annotated[str | None, AS_OF] = None
) -> Response[bytes]:
    """The assistant that answers the number; with ``as_of`` the one that did, as it was then."""
    organization_id, condition = request.principal.organization_id, request.condition
    then = moment("as_of", as_of)
    try:
        if then is None:
            assistant_id = await request.snapshot(
                phone_numbers.resolve, organization_id, phone_number
            )
            views = request.services.views
            view = await views.view(AssistantKey(organization_id, assistant_id))
            return responses.shown(view, condition, views.age(view))
        past = await request.snapshot(_at, organization_id, phone_number, then)
    except AssistantNotFound:
        raise PhoneNumberNotAssigned(phone_number) from None
    address = f"{routing.ASSISTANTS}/{past[0].id}"
    return responses.past(past, condition, address, f"as_of={then.isoformat()}")


def _at(
    connection: sa.Connection, organization_id: int, number: str, then: datetime
) -> tuple[Assistant, Neighbours]:
    assistant_id = phone_numbers.resolve(connection, organization_id, number, then)
    return current.at(connection, AssistantKey(organization_id, assistant_id), then)


@get(
    "/{assistant_id:str}/phone-numbers",
    opt=VIEWER,
    summary="List the phone numbers of an assistant",
    operation_class=operation(Answer(ShownNumber, example=[EXAMPLE], many=True), errors=(404, 422)),
)
async def list_phone_numbers(request: ApiRequest, assistant_id: Id) -> Response[bytes]:
    """Those that it answers, in their order."""
    key = request.assistant_key(assistant_id)
    return reply(await request.snapshot(_of_assistant, key))


@get(
    "/{assistant_id:str}/available-phone-numbers",
    opt=VIEWER,
    summary="List the phone numbers that an assistant can get",
    operation_class=operation(Answer(ShownNumber, example=[FREE], many=True), errors=(404, 422)),
)
async def list_available_phone_numbers(request: ApiRequest, assistant_id: Id) -> Response[bytes]:
    """Those of the organization that no assistant answers, in their order."""
    key = request.assistant_key(assistant_id)
    return reply(await request.snapshot(_available, key))


def _of_assistant(connection: sa.Connection, key: AssistantKey) -> list[ShownNumber]:
    current.head_outline(connection, key)
    return shown(connection, key.organization_id, numbers.of_assistant(connection, *key))


def _available(connection: sa.Connection, key: AssistantKey) -> list[ShownNumber]:
    current.head_outline(connection, key)
    found = numbers.select(connection, key.organization_id)
    return [n for n in shown(connection, key.organization_id, found) if n.assistant is None]


ROUTER = routing.ApiRouter(
    path=routing.ASSISTANTS,
    route_handlers=[find_by_phone, list_phone_numbers, list_available_phone_numbers],
    tags=["Phone numbers"],
)
