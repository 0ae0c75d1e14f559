"""The organization's policy: what it requires of changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from litestar import Response, get, put
from msgspec import UNSET, Struct, UnsetType

from app.api import routing
from app.api.access import ADMIN, VIEWER
from app.api.conditional import respond
from app.api.examples import POLICY
from app.api.openapi.headers import IDEMPOTENCY_KEY, IF_MATCH
from app.api.openapi.operations import Answer, Body, operation
from app.api.request import ApiRequest
from app.api.writes import carry_out
from app.assistants import policy as policies
from app.assistants.preconditions import NONE, Condition
from events import pointers, secret_paths, shape
from events.bodies.reasons import clean_reason
from events.errors import FieldError, InvalidSettings
from events.policy import Pointers, Policy
from events.setting_types import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.transactions.unit_of_work import UnitOfWork


class PolicyUpdate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules to change; absent ones are kept."""

    require_condition: bool | UnsetType = UNSET
    require_reason: bool | UnsetType = UNSET
    require_reason_for: Pointers | UnsetType = UNSET
    admin_paths: Pointers | UnsetType = UNSET
    secret_paths: Pointers | UnsetType = UNSET
    plain_paths: Pointers | UnsetType = UNSET
    change_description: Reason | None = None


_POLICY_SHOWN = Answer(
    Policy, example=POLICY, headers={"ETag": "Of the policy, as a strong validator."}
)


@get(
    "/",
    opt=VIEWER,
    summary="Read the policy",
    operation_class=operation(_POLICY_SHOWN, errors=(304, 422)),
)
async def get_policy(request: ApiRequest) -> Response[bytes]:
    """What the organization requires of every change of an assistant."""
    principal = request.principal
    policy = await request.services.database.read(policies.read, principal.organization_id)
    return _shown(principal.organization_id, policy, request.condition)


@put(
    "/",
    opt=ADMIN,
    summary="Change the policy",
    operation_class=operation(
        _POLICY_SHOWN,
        body=Body(PolicyUpdate, POLICY),
        errors=(409, 412, 422),
        parameters=(IF_MATCH, IDEMPOTENCY_KEY),
    ),
)
async def change_policy(request: ApiRequest) -> Response[bytes]:
    """Takes effect with the next change of an assistant; is itself an event of the log."""
    caller = request.caller()
    body = await request.body_as(PolicyUpdate, strict=True)
    _check_paths(body)
    members = {
        name: value
        for name in Policy.__struct_fields__
        if (value := getattr(body, name)) is not UNSET
    }

    condition = request.condition

    def work(unit: UnitOfWork) -> Policy:
        reason = clean_reason(body.change_description)
        return policies.change(unit, caller, members, reason, condition)

    return await carry_out(
        request, caller, work, lambda policy: _shown(caller.organization_id, policy, NONE)
    )


def _shown(organization_id: int, policy: Policy, condition: Condition) -> Response[bytes]:
    shown = policies.represent(organization_id, policy)
    return respond(shown.body, shown.tag, condition)


def _check_paths(body: PolicyUpdate) -> None:
    """Raise ``InvalidSettings`` for paths that are no settings: they would protect nothing."""
    errors = [
        FieldError(loc=("body", name, position), msg=_FAULTS[fault], type=fault)
        for name, fault_of in _FAULT_OF.items()
        for position, path in enumerate(getattr(body, name) or ())
        if (fault := _fault(path, fault_of)) is not None
    ]
    if errors:
        raise InvalidSettings(tuple(errors))


def _fault(path: str, fault_of: Callable[[tuple[str, ...]], str | None]) -> str | None:
    tokens = pointers.split(path)
    if not tokens[-1]:
        return "no_such_path"
    return fault_of(tokens)


def _fault_of_path(tokens: tuple[str, ...]) -> str | None:
    return None if shape.has(tokens) else "no_such_path"


_FAULT_OF = {
    "require_reason_for": _fault_of_path,
    "admin_paths": _fault_of_path,
    "secret_paths": secret_paths.fault_of_secret,
    "plain_paths": secret_paths.fault_of_plain,
}
_FAULTS = {
    "no_such_path": "No such setting",
    "cannot_be_secret": "This setting is no text: only texts can be secret",
    "never_secret": "Phone numbers and names cannot be secret: they are searched for",
    "secret_by_definition": "This setting is always secret",
}


ROUTER = routing.ApiRouter(
    path=f"{routing.API}/policy", route_handlers=[get_policy, change_policy], tags=["Policy"]
)
