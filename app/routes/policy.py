"""The organization's policy: what it demands of changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, Response, get, put
from msgspec import UNSET, Struct, UnsetType

from app import openapi, policies
from app.accounts import Role
from app.requests import JSON, caller, carry_out, principal, read_json, services
from app.routes.examples import POLICY
from events import pointers, shape
from events.errors import FieldError, InvalidSettings
from events.patch import clean_reason, read_struct
from events.policy import Pointers, Policy
from events.settings import Reason

if TYPE_CHECKING:
    from app.unit import Unit

AnyRequest = Request[Any, Any, Any]

_POLICY = "/api/v1/policy"


class PolicyUpdate(Struct, frozen=True, kw_only=True):
    """What to demand from now on; what is absent is kept."""

    require_condition: bool | UnsetType = UNSET
    require_reason: bool | UnsetType = UNSET
    require_reason_for: Pointers | UnsetType = UNSET
    admin_paths: Pointers | UnsetType = UNSET
    change_description: Reason | None = None


COMPONENTS = (Policy, PolicyUpdate)


@get(
    _POLICY,
    tags=["Policy"],
    summary="Read the policy",
    operation_class=openapi.operation(openapi.Answer(Policy, example=POLICY)),
)
async def get_policy(request: AnyRequest) -> Response[bytes]:
    """What the organization demands of every change of an assistant."""
    who = principal(request, Role.admin)
    policy = await policies.read(services(request).database, who.organization_id)
    return Response(msgspec.json.encode(policy), media_type=JSON)


@put(
    _POLICY,
    tags=["Policy"],
    summary="Change the policy",
    operation_class=openapi.operation(
        openapi.Answer(Policy, example=POLICY),
        body=openapi.Body(PolicyUpdate, POLICY),
        errors=(409, 422),
        parameters=(openapi.IDEMPOTENCY_KEY,),
    ),
)
async def change_policy(request: AnyRequest) -> Response[bytes]:
    """Takes effect with the next change of an assistant; is itself an event of the log."""
    who = caller(request, Role.admin)
    body = await read_json(request)
    wanted = read_struct(PolicyUpdate, body)
    _check(wanted, body)
    members = {
        name: value
        for name in Policy.__struct_fields__
        if (value := getattr(wanted, name)) is not UNSET
    }

    def work(unit: Unit) -> Response[bytes]:
        changed = policies.change(unit, who, members, clean_reason(wanted.change_description))
        return Response(msgspec.json.encode(changed), status_code=200, media_type=JSON)

    return await carry_out(request, who, work)


def _check(wanted: PolicyUpdate, body: dict[str, Any]) -> None:
    """A rule that is misspelt would protect nothing."""
    errors = [
        FieldError(loc=("body", name), msg="No such rule", type="extra_forbidden")
        for name in body
        if name not in PolicyUpdate.__struct_fields__
    ]
    for name in ("require_reason_for", "admin_paths"):
        paths = getattr(wanted, name)
        errors += [
            FieldError(loc=("body", name, position), msg="No such setting", type="no_such_path")
            for position, path in enumerate([] if paths is UNSET else paths)
            if path.endswith("/") or not shape.has(pointers.split(path))
        ]
    if errors:
        raise InvalidSettings(tuple(errors))


HANDLERS = [get_policy, change_policy]
