"""The organization's policy: what it demands of changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, Response, get, put
from msgspec import UNSET, Struct, UnsetType

from app import openapi, policies
from app.access import ADMIN, VIEWER
from app.preconditions import NONE, Condition, Moved, digest, etag, read_condition
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


class PolicyUpdate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to demand from now on; what is absent is kept."""

    require_condition: bool | UnsetType = UNSET
    require_reason: bool | UnsetType = UNSET
    require_reason_for: Pointers | UnsetType = UNSET
    admin_paths: Pointers | UnsetType = UNSET
    change_description: Reason | None = None


_POLICY_SHOWN = openapi.Answer(
    Policy, example=POLICY, headers={"ETag": "Of the policy, as a strong validator."}
)
COMPONENTS = (Policy, PolicyUpdate)


@get(
    _POLICY,
    opt=VIEWER,
    tags=["Policy"],
    summary="Read the policy",
    operation_class=openapi.operation(_POLICY_SHOWN, errors=(304, 422)),
)
async def get_policy(request: AnyRequest) -> Response[bytes]:
    """What the organization demands of every change of an assistant, for all who make some."""
    who = principal(request)
    policy = await policies.read(services(request).database, who.organization_id)
    return _shown(policy, read_condition(request.headers))


@put(
    _POLICY,
    opt=ADMIN,
    tags=["Policy"],
    summary="Change the policy",
    operation_class=openapi.operation(
        _POLICY_SHOWN,
        body=openapi.Body(PolicyUpdate, POLICY),
        errors=(409, 412, 422),
        parameters=(openapi.IF_MATCH, openapi.IDEMPOTENCY_KEY),
    ),
)
async def change_policy(request: AnyRequest) -> Response[bytes]:
    """Takes effect with the next change of an assistant; is itself an event of the log."""
    who = caller(request)
    wanted = read_struct(PolicyUpdate, await read_json(request))
    _check_paths(wanted)
    members = {
        name: value
        for name in Policy.__struct_fields__
        if (value := getattr(wanted, name)) is not UNSET
    }

    condition = read_condition(request.headers)

    def work(unit: Unit) -> Response[bytes]:
        tag = _tag(unit.policy(who.organization_id))
        if not condition.holds(tag):
            raise Moved(tag)
        reason = clean_reason(wanted.change_description)
        return _shown(policies.change(unit, who, members, reason), NONE)

    return await carry_out(request, who, work)


def _shown(policy: Policy, condition: Condition) -> Response[bytes]:
    tag = _tag(policy)
    headers = {"etag": etag(tag)}
    if condition.if_none_match is not None and condition.if_none_match.match(tag):
        return Response(b"", status_code=304, headers=headers)
    body = msgspec.json.encode(policy)
    return Response(body, status_code=200, media_type=JSON, headers=headers)


def _tag(policy: Policy) -> str:
    return digest(msgspec.json.encode(policy))


def _check_paths(wanted: PolicyUpdate) -> None:
    """A path that is misspelt would protect nothing."""
    errors: list[FieldError] = []
    for name in ("require_reason_for", "admin_paths"):
        paths = getattr(wanted, name)
        errors += [
            FieldError(loc=("body", name, position), msg="No such setting", type="no_such_path")
            for position, path in enumerate([] if paths is UNSET else paths)
            if not _is_setting(path)
        ]
    if errors:
        raise InvalidSettings(tuple(errors))


def _is_setting(path: str) -> bool:
    tokens = pointers.split(path)
    return pointers.join(tokens) == path and bool(tokens[-1]) and shape.has(tokens)


HANDLERS = [get_policy, change_policy]
