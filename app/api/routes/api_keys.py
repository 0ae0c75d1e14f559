"""The organization's API keys. For admins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec
from litestar import Response, delete, get, post, put
from msgspec import UNSET, Meta, UnsetType

from app.accounts import api_keys, permissions
from app.accounts.api_keys import ApiKey, KeyNotFound
from app.accounts.principals import Role
from app.api import routing
from app.api.access import ADMIN
from app.api.examples import KEY
from app.api.media_types import JSON
from app.api.openapi.headers import IDEMPOTENCY_KEY
from app.api.openapi.operations import Answer, Body, operation
from app.api.parameter_values import number
from app.api.parameters import Number
from app.api.request import ApiRequest
from app.api.responses import APIResponse, done
from app.api.writes import carry_out
from app.naming import Name, name_error
from app.storage.tables import MAX_ID
from events.bodies.validation import read_struct
from events.errors import FieldError, InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.transactions.caller import Caller
    from app.transactions.unit_of_work import UnitOfWork

T = TypeVar("T", bound=msgspec.Struct)

Permissions = Annotated[
    dict[str, bool], Meta(extra_json_schema={"propertyNames": {"enum": permissions.NAMES}})
]
_ROLES = Literal["viewer", "editor", "admin"]


class ApiKeyCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new key. Permissions (``write``, ``admin``: false) narrow its role, and must fit it.

    Scopes cannot be added later.
    """

    name: Name
    role: _ROLES = "editor"
    permissions: Permissions | None = None
    scopes: list[Literal["secrets:reveal", "calls:resolve"]] = []


class ApiKeyUpdate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The members of a key to change; absent ones are kept, inside ``permissions`` too.

    ``"permissions": null`` removes all of them. The role stays.
    """

    name: Name | UnsetType = UNSET
    permissions: Permissions | UnsetType | None = UNSET
    is_active: bool | UnsetType = UNSET


class ApiKeyCreated(msgspec.Struct, frozen=True, kw_only=True):
    """A new key with its token, which is shown only once."""

    api_key: ApiKey
    key: str


@get(
    "/",
    opt=ADMIN,
    summary="List API keys",
    operation_class=operation(Answer(ApiKey, example=[KEY], many=True)),
)
async def list_keys(request: ApiRequest) -> list[ApiKey]:
    """All keys of the organization, revoked ones too; never their tokens."""
    organization_id = request.principal.organization_id
    keys = await request.services.database.read(api_keys.list_keys, organization_id)
    with_usage = request.services.authenticator.with_usage
    return [with_usage(organization_id, key) for key in keys]


@post(
    "/",
    opt=ADMIN,
    status_code=200,
    summary="Create an API key",
    operation_class=operation(
        Answer(ApiKeyCreated, example={"api_key": KEY, "key": "bks_..."}),
        body=Body(ApiKeyCreate, {"name": "CI", "role": "editor"}),
        errors=(409,),
        parameters=(IDEMPOTENCY_KEY,),
    ),
)
async def create_key(request: ApiRequest) -> Response[bytes]:
    """The token is shown once; only its hash is stored."""
    caller = request.caller()
    body = _read(ApiKeyCreate, await request.read_json())
    given: dict[str, bool] = dict.fromkeys(body.scopes, True)
    narrowed = permissions.merge(Role[body.role], given, body.permissions)

    def work(unit: UnitOfWork) -> tuple[ApiKey, str]:
        return api_keys.create(
            unit,
            caller,
            user_id=caller.actor.user_id,
            name=body.name,
            role=Role[body.role],
            narrowed=narrowed,
        )

    return await carry_out(request, caller, work, _created)


def _created(made: tuple[ApiKey, str]) -> Response[bytes]:
    key, token = made
    return Response(
        msgspec.json.encode(ApiKeyCreated(api_key=key, key=token)),
        status_code=200,
        media_type=JSON,
        headers={"cache-control": "no-store"},
    )


@put(
    "/{key_id:str}",
    opt=ADMIN,
    summary="Change an API key",
    operation_class=operation(
        Answer(ApiKey, example=KEY),
        body=Body(ApiKeyUpdate, {"name": "CI (old)", "is_active": False}),
        errors=(404, 409, 422),
        parameters=(IDEMPOTENCY_KEY,),
    ),
)
async def update_key(request: ApiRequest, key_id: Number) -> Response[bytes]:
    """Rename, narrow, switch off or on; takes effect at once. Scopes stay."""
    caller = request.caller()
    body = _read(ApiKeyUpdate, await request.read_json())
    values: dict[str, Any] = {
        name: value
        for name in ApiKeyUpdate.__struct_fields__
        if (value := getattr(body, name)) is not UNSET
    }
    return await _change(
        request,
        caller,
        _known(key_id),
        values,
        lambda key: Response(msgspec.json.encode(key), status_code=200, media_type=JSON),
    )


@delete(
    "/{key_id:str}",
    opt=ADMIN,
    status_code=200,
    summary="Revoke an API key",
    operation_class=operation(
        Answer(APIResponse), errors=(404, 409, 422), parameters=(IDEMPOTENCY_KEY,)
    ),
)
async def revoke_key(request: ApiRequest, key_id: Number) -> Response[bytes]:
    """Takes effect at once."""
    caller = request.caller()
    return await _change(
        request,
        caller,
        _known(key_id),
        {"is_active": False},
        lambda key: done(f"API key {key.key_prefix} revoked successfully"),
    )


async def _change(
    request: ApiRequest,
    caller: Caller,
    key_id: int,
    values: dict[str, Any],
    render: Callable[[ApiKey], Response[bytes]],
) -> Response[bytes]:
    def work(unit: UnitOfWork) -> ApiKey:
        return api_keys.change(unit, caller, key_id, values)

    try:
        return await carry_out(request, caller, work, render)
    finally:
        request.services.authenticator.invalidate(caller.organization_id, key_id)


def _read(kind: type[T], value: Any) -> T:
    """A body with a name in it; raises ``InvalidSettings`` with an error for each member."""
    errors: list[FieldError] = []
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        error = name_error(value["name"], ("body", "name"))
        errors += [] if error is None else [error]
    try:
        body = read_struct(kind, value, strict=True)
    except InvalidSettings as refusal:
        raise InvalidSettings((*errors, *refusal.errors)) from None
    if errors:
        raise InvalidSettings(tuple(errors))
    return body


def _known(text: str) -> int:
    key_id = number(text, "key_id")
    if not 0 < key_id <= MAX_ID:
        raise KeyNotFound(key_id)
    return key_id


ROUTER = routing.ApiRouter(
    path=f"{routing.API}/users/me/api-keys",
    route_handlers=[list_keys, create_key, update_key, revoke_key],
    tags=["API keys"],
)
