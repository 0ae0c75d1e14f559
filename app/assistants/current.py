"""Assistants as they are now, and as they were at a version or a moment.

Each read is a function of a connection. Those that need several statements to agree are for a
snapshot.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from app.assistants import neighbours, references
from app.assistants.requests import Assistant
from events.assistant_key import AssistantKey
from events.errors import AssistantNotFound
from projections import activity as activities
from projections import current, keyframes

if TYPE_CHECKING:
    import sqlalchemy as sa

    from app.assistants.neighbours import Neighbours
    from app.assistants.references import Reference
    from events.changed import State
    from projections.activity import ActiveAssistant
    from projections.current import Selection


def get(connection: sa.Connection, key: AssistantKey) -> Assistant:
    """One assistant; raises ``AssistantNotFound``."""
    state = head(connection, key)
    return Assistant(organization_id=key.organization_id, id=key.assistant_id, state=state)


def head(
    connection: sa.Connection,
    key: AssistantKey,
    *,
    include_deleted: bool = False,
) -> State:
    """The current state of an assistant; raises ``AssistantNotFound``."""
    state = current.load(connection, *key)
    if state is None or (state.deleted and not include_deleted):
        raise AssistantNotFound(key.assistant_id)
    return state


def select(
    connection: sa.Connection, organization_id: int, selection: Selection
) -> list[Assistant]:
    """The selected assistants, newest first."""
    selected = current.select(connection, organization_id, selection)
    return [Assistant(organization_id=organization_id, id=i, state=state) for i, state in selected]


def activity(
    connection: sa.Connection,
    organization_id: int,
    selection: Selection,
    order: activities.Order,
    until: date,
    *,
    days: int,
    skip: int,
    limit: int,
) -> tuple[date, int, list[ActiveAssistant]]:
    """The first of the days, how many assistants are selected, and a page of them."""
    since = until - timedelta(days=days - 1)
    total = current.count(connection, organization_id, selection)
    page = activities.select(
        connection, organization_id, selection, order, since, skip=skip, limit=limit
    )
    return since, total, page


def at(
    connection: sa.Connection,
    key: AssistantKey,
    target: Reference | datetime,
) -> tuple[Assistant, Neighbours]:
    """One assistant at a version or a moment, and the versions beside that one.

    The assistant may be deleted now, but not then. Raises ``AssistantNotFound`` and
    ``VersionNotFound``.
    """
    newest = head(connection, key, include_deleted=True)
    if isinstance(target, datetime):
        state = keyframes.state_at_time(connection, *key, target)
    else:
        version = references.resolve(connection, key, newest.version, target)
        state = keyframes.state_at(connection, *key, version)
    if not state.version or state.deleted:
        raise AssistantNotFound(key.assistant_id)
    beside = neighbours.neighbours(connection, key, state.version, newest.version)
    return past(key, state, newest), beside


def select_at(
    connection: sa.Connection,
    organization_id: int,
    moment: datetime,
    selection: Selection,
    *,
    skip: int,
    limit: int,
) -> list[Assistant]:
    """The selected assistants that existed at a moment, as they were then, newest first."""
    created = (
        (AssistantKey(organization_id, assistant_id), newest)
        for assistant_id, newest in current.created_until(connection, organization_id, moment)
    )
    selected = (
        past(key, state, newest)
        for key, newest in created
        if selection.user_id in (None, newest.user_id)
        and (state := _state_at(connection, key, newest, moment))
        and not state.deleted
        and selection.active in (None, state.settings["is_active"])
    )
    return list(islice(selected, skip, skip + limit))


def past(key: AssistantKey, state: State, newest: State) -> Assistant:
    """An assistant in a past state. Secrets that were erased since are erased in it, too."""
    state = msgspec.structs.replace(state, erased_version=newest.erased_version)
    return Assistant(organization_id=key.organization_id, id=key.assistant_id, state=state)


def _state_at(
    connection: sa.Connection,
    key: AssistantKey,
    newest: State,
    moment: datetime,
) -> State:
    if newest.updated_at is not None and newest.updated_at <= moment:
        return newest
    return keyframes.state_at_time(connection, *key, moment)
