"""Secrets: read back by the few who may, erased for good, their keys rotated."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, post
from msgspec import Meta

from app import openapi
from app.accounts import REVEAL, Role
from app.problems import ScopeMissing
from app.requests import Number, caller, principal, read_json, services
from app.routes.assistants import PREFIX, APIResponse, known_id
from events.patch import clean_reason, read_struct
from events.settings import Reason

AnyRequest = Request[Any, Any, Any]

_VAULT = "/api/v1/vault"
Pointer = Annotated[str, Meta(pattern="^/", max_length=1000)]


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
_ERASE = openapi.Body(Erase, {"reason": "Contract ended"}, required=False)


@post(
    f"{PREFIX}/{{assistant_id:str}}/secrets/reveal",
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
    if not principal(request).may(REVEAL):
        raise ScopeMissing(REVEAL)
    wanted = read_struct(Reveal, await read_json(request))
    values = await services(request).secrets.reveal(
        caller(request, Role.viewer),
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
    status_code=200,
    tags=["Secrets"],
    summary="Erase an assistant's secrets",
    operation_class=openapi.operation(_ERASED, body=_ERASE, errors=(404, 422)),
)
async def erase_secrets(request: AnyRequest, assistant_id: Number) -> APIResponse:
    """Destroys the sealed values, old ones too, of a deleted assistant too. Irrevocable."""
    who = caller(request, Role.admin)
    count = await services(request).secrets.erase(
        who, known_id(assistant_id), await _reason(request)
    )
    return _erased(count)


@delete(
    f"{_VAULT}/secrets",
    status_code=200,
    tags=["Secrets"],
    summary="Erase all secrets of the organization",
    operation_class=openapi.operation(_ERASED, body=_ERASE, errors=(422,)),
)
async def erase_all_secrets(request: AnyRequest) -> APIResponse:
    """Destroys every sealed value and the keys that sealed them. Irrevocable."""
    who = caller(request, Role.admin)
    return _erased(await services(request).secrets.erase_all(who, await _reason(request)))


@post(
    f"{_VAULT}/rotate",
    status_code=200,
    tags=["Secrets"],
    summary="Rotate the organization's keys",
    operation_class=openapi.operation(
        openapi.Answer(APIResponse), body=openapi.Body(Rotate, {"data_keys": True}, required=False)
    ),
)
async def rotate_keys(request: AnyRequest) -> APIResponse:
    """Wraps the organization's keys under the newest master key, while others read and write."""
    who = caller(request, Role.admin)
    body = await read_json(request, optional=True)
    wanted = read_struct(Rotate, {} if body is None else body)
    await services(request).secrets.rotate(who, data_keys=wanted.data_keys)
    return APIResponse(success=True, message="Keys rotated")


async def _reason(request: AnyRequest) -> str | None:
    body = await read_json(request, optional=True)
    return clean_reason(read_struct(Erase, {} if body is None else body).reason)


def _erased(count: int) -> APIResponse:
    return APIResponse(success=True, message=f"{count} secrets erased")


HANDLERS = [reveal_secrets, erase_secrets, erase_all_secrets, rotate_keys]
