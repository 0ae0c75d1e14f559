"""Every view that is written with an event, in the event's own transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from events.changed import Event, PolicyChanged, VersionLabelled
from projections import current, keyframes, labels, policies, reversals

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import sqlalchemy as sa

    from events.changed import LogEvent, State
    from projections.current import Key

TABLES = (
    current.assistants,
    keyframes.keyframes,
    labels.labels,
    policies.policies,
    reversals.reversals,
)


def project(
    connection: sa.Connection,
    recorded: Iterable[LogEvent],
    states: Mapping[Key, State],
    frames: Iterable[tuple[Key, State]],
) -> None:
    """Write what stored events say: the states that they led to, and those to keep for good."""
    for event in recorded:
        if isinstance(event, Event):
            reversals.project(connection, event)
        elif isinstance(event, VersionLabelled):
            labels.project(connection, event)
        elif isinstance(event, PolicyChanged):
            policies.project(connection, event)
    keyframes.project(connection, frames)
    current.project(connection, states)
