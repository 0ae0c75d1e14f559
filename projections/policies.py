"""The current policy of each organization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from events import pointers
from events.policy import Policy
from events.tables import metadata, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from events.changed import PolicyChanged

policies = sa.Table(
    "policies",
    metadata,
    sa.Column("organization_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),  # of the event that set it
    sa.Column("policy", sa.LargeBinary, nullable=False),
)


def load(connection: sa.Connection, organization_id: int) -> tuple[int, Policy]:
    """The policy with the sequence of its last change; the default and 0 if none was ever set."""
    row = connection.execute(rows_of(policies, organization_id)).one_or_none()
    if row is None:
        return 0, Policy()
    return row.sequence, msgspec.json.decode(row.policy, type=Policy)


def evolve(policy: Policy, event: PolicyChanged) -> Policy:
    """The policy after one more event."""
    members = pointers.apply(event.changes, msgspec.to_builtins(policy))
    return msgspec.convert(members, Policy)


def row_of(event: PolicyChanged, policy: Policy) -> dict[str, Any]:
    """A policy as its row."""
    return {
        "organization_id": event.organization_id,
        "sequence": event.sequence,
        "policy": msgspec.json.encode(policy),
    }


def fold(events: Iterable[PolicyChanged]) -> dict[str, Any] | None:
    """The row that an organization's events lead to; None without events."""
    policy, row = Policy(), None
    for event in events:
        policy = evolve(policy, event)
        row = row_of(event, policy)
    return row


def project(connection: sa.Connection, event: PolicyChanged) -> None:
    """Write the policy that an event leads to."""
    _, policy = load(connection, event.organization_id)
    connection.execute(
        sa.delete(policies).where(policies.c.organization_id == event.organization_id)
    )
    connection.execute(sa.insert(policies), [row_of(event, evolve(policy, event))])
