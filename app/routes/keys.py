"""API keys of the organization. Only admins see and change them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, delete, get, post, put
from msgspec import UNSET, Meta, UnsetType

from app import openapi
from app.accounts import MAX_ID, REVEAL, ApiKey, KeyNotFound, Role
from app.requests import Number, caller, number, principal, read_json, services
from app.routes.assistants import APIResponse
from app.routes.examples import KEY
from events.patch import read_struct

AnyRequest = Request[Any, Any, Any]

_KEYS = "/api/v1/users/me/api-keys"
Name = Annotated[str, Meta(min_length=1, max_length=100)]
_ROLES = Literal["viewer", "editor", "admin"]


class ApiKeyCreate(msgspec.Struct, frozen=True, kw_only=True):
    """A new key. Permissions (``write``, ``admin``: false) narrow its role.

    Scopes are given here or never.
    """

    name: Name
    role: _ROLES = "editor"
    permissions: dict[str, bool] | None = None
    scopes: list[Literal["secrets:reveal"]] = []


class ApiKeyUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """What to change of a key; what is absent is kept."""

    name: Name | UnsetType = UNSET
    permissions: dict[str, bool] | UnsetType | None = UNSET
    is_active: bool | UnsetType = UNSET


class ApiKeyCreated(msgspec.Struct, frozen=True, kw_only=True):
    """The key itself, shown this once."""

    api_key: ApiKey
    key: str


COMPONENTS = (ApiKeyCreate, ApiKeyUpdate, ApiKeyCreated, ApiKey)


@get(
    _KEYS,
    tags=["API keys"],
    summary="List API keys",
    operation_class=openapi.operation(openapi.Answer(ApiKey, example=[KEY], many=True)),
)
async def list_keys(request: AnyRequest) -> list[ApiKey]:
    """Every key of the organization, revoked ones too; never the keys themselves."""
    who = principal(request, Role.admin)
    return await services(request).keys.list(who.organization_id)


@post(
    _KEYS,
    status_code=200,
    tags=["API keys"],
    summary="Create an API key",
    operation_class=openapi.operation(
        openapi.Answer(ApiKeyCreated, example={"api_key": KEY, "key": "bks_..."}),
        body=openapi.Body(ApiKeyCreate, {"name": "CI", "role": "editor"}),
    ),
)
async def create_key(request: AnyRequest) -> Response[bytes]:
    """The key is shown once; only its hash is kept."""
    who = caller(request, Role.admin)
    wanted = read_struct(ApiKeyCreate, await read_json(request))
    made, token = await services(request).keys.create(
        who, wanted.name, Role[wanted.role], _narrowing(wanted.permissions) | _given(wanted.scopes)
    )
    return Response(
        msgspec.json.encode(ApiKeyCreated(api_key=made, key=token)),
        status_code=200,
        media_type="application/json",
        headers={"cache-control": "no-store"},
    )


@put(
    f"{_KEYS}/{{key_id:str}}",
    tags=["API keys"],
    summary="Change an API key",
    operation_class=openapi.operation(
        openapi.Answer(ApiKey, example=KEY),
        body=openapi.Body(ApiKeyUpdate, {"name": "CI (old)", "is_active": False}),
        errors=(404, 422),
    ),
)
async def update_key(request: AnyRequest, key_id: Number) -> ApiKey:
    """Rename, narrow, switch off or on; takes effect at once. Scopes stay as they were given."""
    who = caller(request, Role.admin)
    wanted = read_struct(ApiKeyUpdate, await read_json(request))
    values: dict[str, Any] = {
        name: value
        for name in ApiKeyUpdate.__struct_fields__
        if (value := getattr(wanted, name)) is not UNSET
    }
    if "permissions" in values:
        values["permissions"] = _narrowing(values["permissions"])
    return await services(request).keys.change(who, _known(key_id), values)


@delete(
    f"{_KEYS}/{{key_id:str}}",
    status_code=200,
    tags=["API keys"],
    summary="Revoke an API key",
    operation_class=openapi.operation(openapi.Answer(APIResponse), errors=(404, 422)),
)
async def revoke_key(request: AnyRequest, key_id: Number) -> APIResponse:
    """The next request with this key is refused."""
    who = caller(request, Role.admin)
    revoked = await services(request).keys.change(who, _known(key_id), {"is_active": False})
    return APIResponse(success=True, message=f"API key {revoked.key_prefix} revoked successfully")


def _narrowing(permissions: dict[str, bool] | None) -> dict[str, bool]:
    """Permissions without scopes: a scope that a key was not made with is never added."""
    return {name: value for name, value in (permissions or {}).items() if name != REVEAL}


def _given(scopes: list[Literal["secrets:reveal"]]) -> dict[str, bool]:
    return dict.fromkeys(scopes, True)


def _known(text: str) -> int:
    key_id = number(text, "key_id")
    if not 0 < key_id <= MAX_ID:
        raise KeyNotFound(key_id)
    return key_id


HANDLERS = [list_keys, create_key, update_key, revoke_key]
