"""Assistants as they are now, and as they were at a version or a moment.

Each read is a function of a connection. Those that need several statements to agree are for a
snapshot.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from app import pages
from app.assistants import neighbours, references
from app.assistants.requests import Assistant
from app.pages import Page, page_of
from events.assistant_key import AssistantKey
from events.errors import AssistantNotFound
from projections import activity as activities
from projections import current, keyframes

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

    from app.assistants.neighbours import Neighbours
    from app.assistants.references import Reference
    from events.changed import State
    from projections.current import Selection, Stamp


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


def head_outline(
    connection: sa.Connection, key: AssistantKey, *, include_deleted: bool = False
) -> State:
    """As ``head``, without the settings."""
    state = current.load_outline(connection, *key)
    if state is None or (state.deleted and not include_deleted):
        raise AssistantNotFound(key.assistant_id)
    return state


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
) -> tuple[date, int, Page, list[activities.Initial]]:
    """The first of the days, how many assistants are selected, a page of them, and their letters.

    The position of an assistant is how many are before it, and itself.
    """
    since = until - timedelta(days=days - 1)
    total = current.count(connection, organization_id, selection)
    active = activities.select(
        connection, organization_id, selection, order, since, skip=skip, limit=limit
    )
    page = page_of(enumerate(active, skip + 1), limit)
    if page.end is None and skip + len(page.rows) < total:
        page = Page(page.rows, skip + len(page.rows))
    by_name = order == "name"
    letters = activities.initials(connection, organization_id, selection) if by_name else []
    return since, total, page, letters


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
) -> tuple[dict[int, Stamp], list[Assistant] | None]:
    """The selected assistants that existed at a moment, as they were then, newest first.

    By id the stamps of their states; and the assistants, or None where they take more than
    ``pages.MOST_BYTES``.
    """
    stamps: dict[int, Stamp] = {}
    assistants: list[Assistant] = []
    size = 0
    selected = _existing_at(connection, organization_id, moment, selection)
    for key, newest, then in islice(selected, skip, skip + limit):
        state = then or newest
        stamps[key.assistant_id] = current.stamp_of(state)
        if size > pages.MOST_BYTES:
            continue
        if then is None:
            state = head(connection, key)
        size += len(state.encoded)
        assistants.append(past(key, state, newest))
    return stamps, assistants if size <= pages.MOST_BYTES else None


def _existing_at(
    connection: sa.Connection, organization_id: int, moment: datetime, selection: Selection
) -> Iterator[tuple[AssistantKey, State, State | None]]:
    """The selected assistants that existed at a moment: key, newest state and state then.

    The newest state is without settings. The state then is None where it is the newest.
    """
    for assistant_id, newest, is_active in current.created_until(
        connection, organization_id, moment
    ):
        if selection.user_id not in (None, newest.user_id):
            continue
        key = AssistantKey(organization_id, assistant_id)
        if newest.updated_at is not None and newest.updated_at <= moment:
            if not newest.deleted and selection.active in (None, is_active):
                yield key, newest, None
            continue
        then = keyframes.state_at_time(connection, *key, moment)
        if not then.deleted and selection.active in (None, then.settings["is_active"]):
            yield key, newest, then


def past(key: AssistantKey, state: State, newest: State) -> Assistant:
    """An assistant in a past state. Secrets that were erased since are erased in it, too."""
    state = msgspec.structs.replace(state, erased_version=newest.erased_version)
    return Assistant(organization_id=key.organization_id, id=key.assistant_id, state=state)


def after(connection: sa.Connection, key: AssistantKey, version: int) -> State:
    """The state as it was shown when the version was made: nothing is erased that was not yet."""
    newest = current.load(connection, *key)
    if newest is not None and newest.version == version:
        return newest
    return keyframes.state_at(connection, *key, version)
