"""Secrets: reveal, erase, and rotate their keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
from litestar import Response, delete, post
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED
from msgspec import Meta

from app.api import routing
from app.api.access import ADMIN, REVEALING
from app.api.openapi.headers import IDEMPOTENCY_KEY, IF_MATCH
from app.api.openapi.operations import Answer, Body, operation
from app.api.parameter_values import known_id
from app.api.parameters import Number
from app.api.request import ApiRequest
from app.api.responses import APIResponse, done
from app.api.writes import carry_out, is_repeated
from app.assistants import purging, secrets, states
from app.assistants.review import check_condition
from app.storage.database import Busy
from app.storage.disk_state import WritingSuspended
from app.transactions.waiting_work import TooManyWaiting
from app.transactions.write_queue import OutcomeUnknown
from events import policy
from events.bodies.reasons import clean_reason
from events.changed import Cause
from events.pointers import POINTER_BELOW
from events.setting_types import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.transactions.caller import Caller
    from app.transactions.unit_of_work import UnitOfWork


T = TypeVar("T")
_ERASURE = Cause(type="erase")
Pointer = Annotated[str, Meta(pattern=POINTER_BELOW, max_length=1000)]


class Reveal(msgspec.Struct, frozen=True, kw_only=True):
    """The secrets to reveal: JSON Pointers of secrets, or of objects and lists with secrets."""

    paths: Annotated[list[Pointer], Meta(min_length=1, max_length=100)]
    reason: Reason | None = None


class RevealedSecrets(msgspec.Struct, frozen=True, kw_only=True):
    """The revealed values by path."""

    secrets: dict[str, Any]


class Erase(msgspec.Struct, frozen=True, kw_only=True):
    """The reason of an erasure. The whole body may be absent."""

    reason: Reason | None = None


class Rotate(msgspec.Struct, frozen=True, kw_only=True):
    """The keys to rotate; with ``data_keys``, stored secrets are sealed again, too."""

    data_keys: bool = False


_ERASED = Answer(
    APIResponse, example={"success": True, "message": "2 secrets erased", "data": None}
)
_REMAIN = (
    "The bytes of what was destroyed are still in the database's files, because a process that"
    " reads them, or the disk, keeps the log of writes from being emptied; the server goes on"
    " trying"
)
_PENDING = Answer(
    APIResponse,
    example={"success": True, "message": f"2 secrets erased. {_REMAIN}", "data": None},
)
_NOTHING_WRITTEN = (Busy, TooManyWaiting, WritingSuspended)  # by the transaction that raised it
_ERASE = Body(Erase, {"reason": "Contract ended"}, required=False)


@post(
    "/assistants/{assistant_id:str}/secrets/reveal",
    opt=REVEALING,
    status_code=200,
    summary="Reveal secrets",
    operation_class=operation(
        Answer(RevealedSecrets, example={"secrets": {"/llm_provider_config/api_key": "..."}}),
        body=Body(Reveal, {"paths": ["/llm_provider_config/api_key"], "reason": "Call"}),
        errors=(404, 410, 422),
    ),
)
async def reveal_secrets(request: ApiRequest, assistant_id: Number) -> Response[bytes]:
    """Needs a key with the scope ``secrets:reveal``; each reveal is an event."""
    await request.refuse_dry_run()
    body = await request.body_as(Reveal)
    caller, known = request.caller(), known_id(assistant_id)
    paths, reason = tuple(body.paths), clean_reason(body.reason)
    values = await request.services.writer.write(
        caller.organization_id, lambda unit: secrets.reveal(unit, caller, known, paths, reason)
    )
    return Response(
        msgspec.json.encode(RevealedSecrets(secrets=values)),
        status_code=200,
        media_type="application/json",
        headers={"cache-control": "no-store"},
    )


@delete(
    "/assistants/{assistant_id:str}/secrets",
    opt=ADMIN,
    status_code=200,
    summary="Erase an assistant's secrets",
    operation_class=operation(
        _ERASED,
        body=_ERASE,
        errors=(404, 409, 412, 422),
        parameters=(IF_MATCH, IDEMPOTENCY_KEY),
        pending=_PENDING,
    ),
)
async def erase_secrets(request: ApiRequest, assistant_id: Number) -> Response[bytes]:
    """Destroys all sealed values, old ones too; also of a deleted assistant. Irrevocable."""
    change = request.change_request(assistant_id, await _reason(request))

    def work(unit: UnitOfWork) -> int:
        check_condition(unit, change, states.existing_or_deleted(unit, change.key))
        _check_reason(unit, change.caller, change.reason)
        return secrets.erase_assistant(
            unit, change.caller, change.assistant_id, change.reason, _ERASURE
        )

    return await _carry_out(request, change.caller, work, _erased, is_essential=True)


@delete(
    "/vault/secrets",
    opt=ADMIN,
    status_code=200,
    summary="Erase all secrets of the organization",
    operation_class=operation(
        _ERASED,
        body=_ERASE,
        errors=(409, 422),
        parameters=(IDEMPOTENCY_KEY,),
        pending=_PENDING,
    ),
)
async def erase_all_secrets(request: ApiRequest) -> Response[bytes]:
    """Destroys every sealed value and the keys that sealed them. Irrevocable."""
    caller = request.caller()
    reason = await _reason(request)
    await request.refuse_dry_run()
    erased = 0
    if not await is_repeated(request, caller):
        erased = await _erase_assistants(request, caller, reason)

    def work(unit: UnitOfWork) -> int:
        _check_reason(unit, caller, reason)
        return erased + secrets.erase_organization(unit, caller, reason, _ERASURE)

    try:
        return await _carry_out(request, caller, work, _erased, is_essential=True)
    except _NOTHING_WRITTEN as error:
        if not erased:
            raise
        raise OutcomeUnknown(str(error)) from error  # some are erased already


async def _erase_assistants(request: ApiRequest, caller: Caller, reason: str | None) -> int:
    """Erase the secrets of many assistants, some in each transaction; how many there were.

    Others need not wait for all of it. The rest, or the few of a small organization, is erased
    together with the keys.
    """
    services = request.services
    organization_id = caller.organization_id
    ids = await services.database.snapshot(organization_id, secrets.with_secrets, organization_id)
    erased = 0
    for portion in secrets.portions(ids)[:-1]:

        def work(unit: UnitOfWork, portion: list[int] = portion) -> int:
            _check_reason(unit, caller, reason)
            return sum(
                secrets.erase_assistant(unit, caller, one, reason, _ERASURE) for one in portion
            )

        try:
            erased += await services.writer.write(caller.organization_id, work, is_essential=True)
        except _NOTHING_WRITTEN as error:
            raise OutcomeUnknown(str(error)) from error  # something may be erased already
    return erased


@post(
    "/vault/rotate",
    opt=ADMIN,
    status_code=200,
    summary="Rotate the organization's keys",
    operation_class=operation(
        Answer(APIResponse),
        body=Body(Rotate, {"data_keys": True}, required=False),
        errors=(409,),
        parameters=(IDEMPOTENCY_KEY,),
        pending=_PENDING,
    ),
)
async def rotate_keys(request: ApiRequest) -> Response[bytes]:
    """Wraps the organization's keys with the newest master key, without downtime."""
    caller = request.caller()
    body = await request.body_as(Rotate, optional=True)

    def work(unit: UnitOfWork) -> None:
        if body.data_keys:
            secrets.check_count(unit, caller.organization_id)
        secrets.rotate(unit, caller, data_keys=body.data_keys)

    return await _carry_out(request, caller, work, lambda _: done("Keys rotated"))


async def _carry_out(
    request: ApiRequest,
    caller: Caller,
    work: Callable[[UnitOfWork], T],
    render: Callable[[T], Response[bytes]],
    *,
    is_essential: bool = False,
) -> Response[bytes]:
    """As ``carry_out``: 200 once the bytes are gone from the files, too, else 202."""
    response = await carry_out(
        request, caller, work, render, is_alone=True, is_essential=is_essential
    )
    if response.status_code == HTTP_200_OK and not await purging.scrub(request.services.database):
        return _not_gone_yet(response)
    return response


def _not_gone_yet(response: Response[bytes]) -> Response[bytes]:
    """The answer with what remains to be done. It is not stored, so a repeated request looks again.

    A replay of the stored answer passes through here, too.
    """
    answer = msgspec.json.decode(response.content, type=APIResponse)
    content = msgspec.structs.replace(answer, message=f"{answer.message}. {_REMAIN}")
    return Response(
        msgspec.json.encode(content),
        status_code=HTTP_202_ACCEPTED,
        media_type=response.media_type,
        headers=dict(response.headers),
    )


async def _reason(request: ApiRequest) -> str | None:
    return clean_reason((await request.body_as(Erase, optional=True)).reason)


def _check_reason(unit: UnitOfWork, caller: Caller, reason: str | None) -> None:
    """Check the policy's rule about reasons, although an erasure changes no path."""
    rules = unit.policy(caller.organization_id)
    policy.check(rules, (), reason, is_admin=caller.is_admin, reason_at=("body", "reason"))


def _erased(count: int) -> Response[bytes]:
    return done("1 secret erased" if count == 1 else f"{count} secrets erased")


ROUTER = routing.ApiRouter(
    path=routing.API,
    route_handlers=[reveal_secrets, erase_secrets, erase_all_secrets, rotate_keys],
    tags=["Secrets"],
)
