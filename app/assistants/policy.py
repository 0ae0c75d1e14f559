"""The organization's policy: read it, change it. Each change is an event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from events import pointers
from events.changed import PolicyChanged
from events.policy import PathProtected, Policy, ReasonRequired
from projections import policies

if TYPE_CHECKING:
    from app.storage.database import Database
    from app.transactions.unit_of_work import Caller, UnitOfWork
    from events.errors import DomainError
    from events.pointers import Tree


def change(unit: UnitOfWork, caller: Caller, members: Tree, reason: str | None) -> Policy:
    """Set members of the policy; what is not sent is kept. A change of nothing records nothing."""
    policy = unit.policy(caller.organization_id)
    before = msgspec.to_builtins(policy)
    changes = pointers.diff(before, before | members)
    if changes:
        unit.record(caller, PolicyChanged, reason, changes=changes)
    return unit.policy(caller.organization_id)


async def read(database: Database, organization_id: int) -> Policy:
    """The policy as it is."""
    _, policy = await database.read(policies.load, organization_id)
    return policy


def rule_of(refusal: DomainError) -> dict[str, Any]:
    """Which rule stands against a change, and where."""
    if isinstance(refusal, PathProtected | ReasonRequired):
        return {"rule": refusal.rule, "paths": list(refusal.paths)}
    raise TypeError(f"not a rule of the policy: {refusal!r}")
