"""The organization's policy: read it and change it. Each change is an event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from app.assistants.preconditions import NONE, Condition, StaleTag, tag_of
from app.assistants.representation import Representation
from events import pointers
from events.changed import PolicyChanged
from events.policy import PathProtected, Policy, ReasonRequired
from projections import policies

if TYPE_CHECKING:
    import sqlalchemy as sa

    from app.transactions.caller import Caller
    from app.transactions.unit_of_work import UnitOfWork
    from events.errors import DomainError
    from events.pointers import Tree


def change(
    unit: UnitOfWork,
    caller: Caller,
    members: Tree,
    reason: str | None,
    condition: Condition = NONE,
) -> Policy:
    """Set members of the policy; the others are kept. Nothing is recorded if nothing changes.

    Raises ``StaleTag`` where the condition does not hold.
    """
    policy = unit.policy(caller.organization_id)
    if condition != NONE and not condition.holds(
        tag := represent(caller.organization_id, policy).tag
    ):
        raise StaleTag(tag)
    before = msgspec.to_builtins(policy)
    changes = pointers.diff(before, before | members)
    if changes:
        unit.record(caller, PolicyChanged, reason, changes=changes)
    return unit.policy(caller.organization_id)


def read(connection: sa.Connection, organization_id: int) -> Policy:
    """The current policy."""
    return policies.load(connection, organization_id)[1]


def represent(organization_id: int, policy: Policy) -> Representation:
    """The bytes that show a policy, and their tag."""
    body = msgspec.json.encode(policy)
    return Representation(body, tag_of(organization_id, "policy", body))


def rule_of(refusal: DomainError) -> dict[str, Any]:
    """The rule that a change breaks, and the paths at which it does."""
    if isinstance(refusal, PathProtected | ReasonRequired):
        return {"rule": refusal.rule, "paths": list(refusal.paths)}
    raise TypeError(f"not a rule of the policy: {refusal!r}")
