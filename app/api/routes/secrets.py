"""Secrets: read back by the few who may, erased for good, their keys rotated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from litestar import Request, Response, delete, post
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED
from msgspec import Meta

from app.api import openapi
from app.api.access import ADMIN, REVEALING
from app.api.request import (
    Number,
    caller,
    carry_out,
    known_id,
    read_json,
    refuse_dry_run,
    services,
    wish_of,
)
from app.api.responses import APIResponse, done
from app.api.routes.assistants import PREFIX
from app.assistants import changes, secrets
from events import policy
from events.changed import Cause
from events.patch import clean_reason, read_struct
from events.pointers import POINTER_BELOW
from events.settings import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.transactions.unit_of_work import Caller, UnitOfWork

AnyRequest = Request[Any, Any, Any]

_VAULT = "/api/v1/vault"
Pointer = Annotated[str, Meta(pattern=POINTER_BELOW, max_length=1000)]


class Reveal(msgspec.Struct, frozen=True, kw_only=True):
    """Which secrets to read back: JSON Pointers of secrets, or of what holds some."""

    paths: Annotated[list[Pointer], Meta(min_length=1, max_length=100)]
    reason: Reason | None = None


class RevealedSecrets(msgspec.Struct, frozen=True, kw_only=True):
    """The values by path."""

    secrets: dict[str, Any]


class Erase(msgspec.Struct, frozen=True, kw_only=True):
    """Why secrets are destroyed. The whole body may be absent."""

    reason: Reason | None = None


class Rotate(msgspec.Struct, frozen=True, kw_only=True):
    """What to rotate; with ``data_keys``, stored secrets are sealed anew as well."""

    data_keys: bool = False


COMPONENTS = (Reveal, RevealedSecrets, Erase, Rotate)

_ERASED = openapi.Answer(
    APIResponse, example={"success": True, "message": "2 secrets erased", "data": None}
)
_REMAIN = (
    "The bytes of what was destroyed are still in the database's files, because a process that"
    " reads them keeps the log of writes from being emptied; the server goes on trying"
)
_PENDING = openapi.Answer(
    APIResponse,
    example={"success": True, "message": f"2 secrets erased. {_REMAIN}", "data": None},
)
_ERASE = openapi.Body(Erase, {"reason": "Contract ended"}, required=False)


@post(
    f"{PREFIX}/{{assistant_id:str}}/secrets/reveal",
    opt=REVEALING,
    status_code=200,
    tags=["Secrets"],
    summary="Read secrets back",
    operation_class=openapi.operation(
        openapi.Answer(
            RevealedSecrets, example={"secrets": {"/llm_provider_config/api_key": "..."}}
        ),
        body=openapi.Body(Reveal, {"paths": ["/llm_provider_config/api_key"], "reason": "Call"}),
        errors=(404, 410, 422),
    ),
)
async def reveal_secrets(request: AnyRequest, assistant_id: Number) -> Response[bytes]:
    """Needs a key with the scope ``secrets:reveal``; every reading is an event."""
    await refuse_dry_run(request)
    wanted = read_struct(Reveal, await read_json(request))
    values = await services(request).secrets.reveal(
        caller(request),
        known_id(assistant_id),
        tuple(wanted.paths),
        clean_reason(wanted.reason),
    )
    return Response(
        msgspec.json.encode(RevealedSecrets(secrets=values)),
        status_code=200,
        media_type="application/json",
        headers={"cache-control": "no-store"},
    )


@delete(
    f"{PREFIX}/{{assistant_id:str}}/secrets",
    opt=ADMIN,
    status_code=200,
    tags=["Secrets"],
    summary="Erase an assistant's secrets",
    operation_class=openapi.operation(
        _ERASED,
        body=_ERASE,
        errors=(404, 409, 412, 422),
        parameters=(openapi.IF_MATCH, openapi.IDEMPOTENCY_KEY),
        pending=_PENDING,
    ),
)
async def erase_secrets(request: AnyRequest, assistant_id: Number) -> Response[bytes]:
    """Destroys the sealed values, old ones too, of a deleted assistant too. Irrevocable."""
    wish = wish_of(request, assistant_id, await _reason(request))

    def work(unit: UnitOfWork) -> Response[bytes]:
        state = changes.living_or_deleted(unit, wish.caller, wish.assistant_id)
        changes.check_condition(unit, wish, state)
        _check_reason(unit, wish.caller, wish.reason)
        return _erased(
            secrets.erase_assistant(
                unit, wish.caller, wish.assistant_id, wish.reason, Cause(type="erase")
            )
        )

    return await _carry_out(request, wish.caller, work)


@delete(
    f"{_VAULT}/secrets",
    opt=ADMIN,
    status_code=200,
    tags=["Secrets"],
    summary="Erase all secrets of the organization",
    operation_class=openapi.operation(
        _ERASED,
        body=_ERASE,
        errors=(409, 422),
        parameters=(openapi.IDEMPOTENCY_KEY,),
        pending=_PENDING,
    ),
)
async def erase_all_secrets(request: AnyRequest) -> Response[bytes]:
    """Destroys every sealed value and the keys that sealed them. Irrevocable."""
    who = caller(request)
    reason = await _reason(request)
    cause = Cause(type="erase")

    def work(unit: UnitOfWork) -> Response[bytes]:
        _check_reason(unit, who, reason)
        return _erased(secrets.erase_organization(unit, who, reason, cause))

    return await _carry_out(request, who, work)


@post(
    f"{_VAULT}/rotate",
    opt=ADMIN,
    status_code=200,
    tags=["Secrets"],
    summary="Rotate the organization's keys",
    operation_class=openapi.operation(
        openapi.Answer(APIResponse),
        body=openapi.Body(Rotate, {"data_keys": True}, required=False),
        errors=(409,),
        parameters=(openapi.IDEMPOTENCY_KEY,),
        pending=_PENDING,
    ),
)
async def rotate_keys(request: AnyRequest) -> Response[bytes]:
    """Wraps the organization's keys under the newest master key, while others read and write."""
    who = caller(request)
    body = await read_json(request, optional=True)
    wanted = read_struct(Rotate, {} if body is None else body)

    def work(unit: UnitOfWork) -> Response[bytes]:
        secrets.rotate(unit, who, data_keys=wanted.data_keys)
        return done("Keys rotated")

    return await _carry_out(request, who, work)


async def _carry_out(
    request: AnyRequest, who: Caller, work: Callable[[UnitOfWork], Response[bytes]]
) -> Response[bytes]:
    """Carry out what destroys: 200 once it is gone from the disk, too, else 202."""
    response = await carry_out(request, who, work)
    if response.status_code == HTTP_200_OK and not await services(request).secrets.scrub():
        return _not_gone_yet(response)
    return response


def _not_gone_yet(response: Response[bytes]) -> Response[bytes]:
    """The same answer, which says what remains: not stored, so that a repeated request asks anew.

    A replay of the stored answer comes this way, too.
    """
    answer = msgspec.json.decode(response.content, type=APIResponse)
    content = msgspec.structs.replace(answer, message=f"{answer.message}. {_REMAIN}")
    return Response(
        msgspec.json.encode(content),
        status_code=HTTP_202_ACCEPTED,
        media_type=response.media_type,
        headers=dict(response.headers),
    )


async def _reason(request: AnyRequest) -> str | None:
    body = await read_json(request, optional=True)
    return clean_reason(read_struct(Erase, {} if body is None else body).reason)


def _check_reason(unit: UnitOfWork, who: Caller, reason: str | None) -> None:
    """An erasure changes no path, but it is the one change that nothing takes back."""
    rules = unit.policy(who.organization_id)
    policy.check(rules, (), reason, is_admin=who.is_admin, reason_at=("body", "reason"))


def _erased(count: int) -> Response[bytes]:
    return done("1 secret erased" if count == 1 else f"{count} secrets erased")


HANDLERS = [reveal_secrets, erase_secrets, erase_all_secrets, rotate_keys]
