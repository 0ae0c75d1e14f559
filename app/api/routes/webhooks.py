"""Webhooks: the organization's endpoints, and what was delivered to them. For admins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.params import QueryParameter
from msgspec import UNSET, Meta, UnsetType

from app.api import routing
from app.api.access import ADMIN
from app.api.examples import DELIVERY, WEBHOOK, WEBHOOK_CREATE
from app.api.media_types import JSON
from app.api.methods import ACCEPT_PATCH
from app.api.openapi.headers import IDEMPOTENCY_KEY
from app.api.openapi.operations import Answer, Body, operation
from app.api.parameter_values import number
from app.api.parameters import Number
from app.api.request import ApiRequest
from app.api.responses import APIResponse, done
from app.api.writes import carry_out
from app.storage.tables import MAX_ID
from app.webhooks import deliveries, endpoints
from app.webhooks.deliveries import KEPT, Delivery
from app.webhooks.endpoints import (
    AssistantIds,
    Change,
    Description,
    EventTypes,
    Paths,
    Url,
    Webhook,
    WebhookNotFound,
)
from app.webhooks.messages import Format

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.transactions.caller import Caller
    from app.transactions.unit_of_work import UnitOfWork

T = TypeVar("T")
_MAX_SEQUENCE = 2**53


class WebhookCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new endpoint. Without types, assistants and paths it receives all events.

    ``paths`` are JSON Pointers: events that changed one of these, what is below it, or what
    contains it.
    """

    url: Url
    format: Format = "standard"
    description: Description | None = None
    event_types: EventTypes = []
    assistant_ids: AssistantIds = []
    paths: Paths = []
    enabled: bool = True


class WebhookUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The members to change; absent ones are kept. A list replaces the list."""

    url: Url | UnsetType = UNSET
    format: Format | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    event_types: EventTypes | UnsetType = UNSET
    assistant_ids: AssistantIds | UnsetType = UNSET
    paths: Paths | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class WebhookWithSecret(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint with its secret, which is shown only once."""

    webhook: Webhook
    secret: str


class Redelivery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The event to send once more."""

    sequence: Annotated[int, Meta(ge=1, le=_MAX_SEQUENCE)]


class Replay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sequence after which the endpoint goes on: 0 for all, the newest to skip the rest."""

    after: Annotated[int, Meta(ge=0, le=_MAX_SEQUENCE)]


_SECRET = {"webhook": WEBHOOK, "secret": "whsec_..."}
_QUEUED = DELIVERY | {
    "state": "queued", "attempt": 0, "milliseconds": 0, "status": None, "error": None,
}  # fmt: skip


@get(
    "/",
    opt=ADMIN,
    summary="List webhooks",
    operation_class=operation(Answer(Webhook, example=[WEBHOOK], many=True)),
)
async def list_webhooks(request: ApiRequest) -> list[Webhook]:
    """All endpoints of the organization, and how far each has come; never their secrets."""
    organization_id = request.principal.organization_id
    return await request.services.database.read(endpoints.list_webhooks, organization_id)


@post(
    "/",
    opt=ADMIN,
    status_code=201,
    summary="Create a webhook",
    operation_class=operation(
        Answer(WebhookWithSecret, example=_SECRET),
        status=201,
        body=Body(WebhookCreate, WEBHOOK_CREATE),
        errors=(409,),
        parameters=(IDEMPOTENCY_KEY,),
    ),
)
async def create_webhook(request: ApiRequest) -> Response[bytes]:
    """It receives the events after this one. The secret is shown once."""
    caller = request.caller()
    body = await request.body_as(WebhookCreate)
    asked = _asked(body)
    allow = request.services.allows_private_webhooks

    def work(unit: UnitOfWork) -> tuple[Webhook, str]:
        return endpoints.create(unit, caller, asked, allow_private=allow)

    return await carry_out(request, caller, work, lambda made: _with_secret(made, 201))


@get(
    "/{webhook_id:str}",
    opt=ADMIN,
    summary="Read a webhook",
    operation_class=operation(Answer(Webhook, example=WEBHOOK), errors=(404, 422)),
)
async def read_webhook(request: ApiRequest, webhook_id: Number) -> Webhook:
    """One endpoint, and how far it has come."""
    organization_id = request.principal.organization_id
    known = _known(webhook_id)
    return await request.services.database.read(endpoints.find_webhook, organization_id, known)


@patch(
    "/{webhook_id:str}",
    opt=ADMIN | {ACCEPT_PATCH: (JSON,)},
    summary="Change a webhook",
    operation_class=operation(
        Answer(Webhook, example=WEBHOOK),
        body=Body(WebhookUpdate, {"description": "Tells both desks", "enabled": False}),
        errors=(404, 409, 422),
        parameters=(IDEMPOTENCY_KEY,),
    ),
)
async def update_webhook(request: ApiRequest, webhook_id: Number) -> Response[bytes]:
    """An endpoint that is switched on goes on where it stopped. A masked URL stays as it is."""
    caller = request.caller()
    body = await request.body_as(WebhookUpdate)
    asked, known = _asked(body), _known(webhook_id)
    allow = request.services.allows_private_webhooks

    def work(unit: UnitOfWork) -> Webhook:
        return endpoints.change(unit, caller, known, asked, allow_private=allow)

    return await carry_out(request, caller, work, _shown)


@delete(
    "/{webhook_id:str}",
    opt=ADMIN,
    status_code=200,
    summary="Delete a webhook",
    operation_class=operation(
        Answer(APIResponse), errors=(404, 409, 422), parameters=(IDEMPOTENCY_KEY,)
    ),
)
async def delete_webhook(request: ApiRequest, webhook_id: Number) -> Response[bytes]:
    """With its secret and its deliveries."""
    known = _known(webhook_id)
    return await _carry_out(
        request,
        lambda unit, caller: endpoints.delete(unit, caller, known),
        lambda _: done(f"Webhook {known} deleted successfully"),
    )


@post(
    "/{webhook_id:str}/secret",
    opt=ADMIN,
    status_code=200,
    summary="Rotate a webhook's secret",
    operation_class=operation(
        Answer(WebhookWithSecret, example=_SECRET),
        errors=(404, 409, 422),
        parameters=(IDEMPOTENCY_KEY,),
    ),
)
async def rotate_secret(request: ApiRequest, webhook_id: Number) -> Response[bytes]:
    """For a day, messages have two signatures: by the new secret, and by the one before it."""
    known = _known(webhook_id)
    return await _carry_out(
        request,
        lambda unit, caller: endpoints.rotate(unit, caller, known),
        lambda made: _with_secret(made, 200),
    )


@get(
    "/{webhook_id:str}/deliveries",
    opt=ADMIN,
    summary="List a webhook's deliveries",
    operation_class=operation(Answer(Delivery, example=[DELIVERY], many=True), errors=(404, 422)),
)
async def list_deliveries(
    request: ApiRequest,
    webhook_id: Number,
    limit: Annotated[int, QueryParameter(ge=1, le=KEPT)] = KEPT,
) -> list[Delivery]:
    """The last attempts, newest first; of each endpoint the last 100 are kept."""
    organization_id = request.principal.organization_id
    read = request.services.database.read
    return await read(deliveries.list_deliveries, organization_id, _known(webhook_id), limit)


@post(
    "/{webhook_id:str}/test",
    opt=ADMIN,
    status_code=202,
    summary="Send a test to a webhook",
    operation_class=operation(
        Answer(Delivery, example=_QUEUED | {"sequence": None}),
        status=202,
        errors=(404, 409, 422),
        parameters=(IDEMPOTENCY_KEY,),
    ),
)
async def send_test(request: ApiRequest, webhook_id: Number) -> Response[bytes]:
    """One attempt, within seconds, also if it is switched off; its result is in the deliveries."""
    known = _known(webhook_id)
    return await _carry_out(
        request, lambda unit, caller: deliveries.ask(unit, caller, known, None), _queued
    )


@post(
    "/{webhook_id:str}/redeliver",
    opt=ADMIN,
    status_code=202,
    summary="Send an event to a webhook again",
    operation_class=operation(
        Answer(Delivery, example=_QUEUED),
        status=202,
        body=Body(Redelivery, {"sequence": 1}),
        errors=(404, 409),
        parameters=(IDEMPOTENCY_KEY,),
    ),
)
async def redeliver(request: ApiRequest, webhook_id: Number) -> Response[bytes]:
    """One attempt, out of order, of any event of the log, chosen or not."""
    body = await request.body_as(Redelivery)
    known = _known(webhook_id)
    return await _carry_out(
        request, lambda unit, caller: deliveries.ask(unit, caller, known, body.sequence), _queued
    )


@post(
    "/{webhook_id:str}/replay",
    opt=ADMIN,
    status_code=200,
    summary="Replay the log to a webhook",
    operation_class=operation(
        Answer(Webhook, example=WEBHOOK),
        body=Body(Replay, {"after": 0}),
        errors=(404, 409),
        parameters=(IDEMPOTENCY_KEY,),
    ),
)
async def replay(request: ApiRequest, webhook_id: Number) -> Response[bytes]:
    """Go on after any sequence, in order: to send events again, or to skip them."""
    body = await request.body_as(Replay)
    known = _known(webhook_id)
    return await _carry_out(
        request, lambda unit, caller: deliveries.replay(unit, caller, known, body.after), _shown
    )


async def _carry_out(
    request: ApiRequest,
    work: Callable[[UnitOfWork, Caller], T],
    render: Callable[[T], Response[bytes]],
) -> Response[bytes]:
    caller = request.caller()
    return await carry_out(request, caller, lambda unit: work(unit, caller), render)


def _asked(body: WebhookCreate | WebhookUpdate) -> Change:
    return Change(**{name: getattr(body, name) for name in Change.__struct_fields__})


def _with_secret(made: tuple[Webhook, str], status: int) -> Response[bytes]:
    webhook, secret = made
    return Response(
        msgspec.json.encode(WebhookWithSecret(webhook=webhook, secret=secret)),
        status_code=status,
        media_type=JSON,
        headers={"cache-control": "no-store"},
    )


def _shown(webhook: Webhook) -> Response[bytes]:
    return Response(msgspec.json.encode(webhook), status_code=200, media_type=JSON)


def _queued(delivery: Delivery) -> Response[bytes]:
    return Response(msgspec.json.encode(delivery), status_code=202, media_type=JSON)


def _known(text: str) -> int:
    webhook_id = number(text, "webhook_id")
    if not 0 < webhook_id <= MAX_ID:
        raise WebhookNotFound(webhook_id)
    return webhook_id


ROUTER = routing.ApiRouter(
    path=f"{routing.API}/webhooks",
    route_handlers=[
        list_webhooks,
        create_webhook,
        read_webhook,
        update_webhook,
        delete_webhook,
        rotate_secret,
        list_deliveries,
        send_test,
        redeliver,
        replay,
    ],
    tags=["Webhooks"],
)
