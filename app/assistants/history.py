"""How an assistant came to be as it is: the settings history, and the list of versions."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from app.accounts import organizations
from app.assistants import references
from app.assistants.current import head, past
from app.assistants.requests import Assistant
from events import store
from events.assistant_key import AssistantKey
from events.changed import SecretsErased
from projections import history, keyframes, labels, reversals
from projections.history import Links, VersionEntry

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa

    from app.assistants.references import Reference
    from events.changed import Event
    from projections.history import Entry, Filter
    from projections.reversals import Reversal

_MOST_REVERTED = 200  # versions that are searched for one entry's ``reverts``


class AssistantVersion(Struct, frozen=True, kw_only=True):
    """A version, and the assistant as it was after it."""

    entry: VersionEntry
    assistant: Assistant


def entries(
    connection: sa.Connection,
    key: AssistantKey,
    filter_: Filter,
    limit: int,
    *,
    include_deleted: bool = False,
) -> list[Entry]:
    """The newest ``limit`` entries of the settings history that match the filter."""
    current = head(connection, key, include_deleted=include_deleted)
    newest = min(current.version, (filter_.before_version or current.version + 1) - 1)
    if newest < 1:
        return []
    state = keyframes.state_at(connection, *key, newest)
    state = msgspec.structs.replace(state, erased_version=current.erased_version)
    stream = store.read_stream(connection, *key, newest_first=True, until=newest)
    matching = history.entries(state, stream, filter_, limit)
    links = _links(connection, key, [event for event, _ in matching])
    emails = organizations.emails(connection, key.organization_id)
    return [history.entry(event, before, emails, links) for event, before in matching]


def versions(
    connection: sa.Connection,
    key: AssistantKey,
    before_version: int | None,
    limit: int,
    *,
    include_deleted: bool = False,
) -> list[VersionEntry]:
    """The newest ``limit`` versions, the creation included."""
    current = head(connection, key, include_deleted=include_deleted)
    until = current.version if before_version is None else before_version - 1
    stream = store.read_stream(connection, *key, newest_first=True, until=until)
    return _version_entries(connection, key, list(islice(stream, limit)))


def version(
    connection: sa.Connection,
    key: AssistantKey,
    reference: Reference,
    *,
    include_deleted: bool = False,
) -> AssistantVersion:
    """One version, and the assistant after it."""
    current = head(connection, key, include_deleted=include_deleted)
    number = references.resolve(connection, key, current.version, reference)
    events = list(store.read_stream(connection, *key, after=number - 1, until=number))
    state = keyframes.state_at(connection, *key, number)
    return AssistantVersion(
        entry=_version_entries(connection, key, events)[0],
        assistant=past(key, state, current),
    )


def _version_entries(
    connection: sa.Connection, key: AssistantKey, events: Sequence[Event]
) -> list[VersionEntry]:
    emails = organizations.emails(connection, key.organization_id)
    labelled = labels.load(connection, *key, [event.version for event in events])
    links = _links(connection, key, events)
    return [
        history.version_entry(event, labelled.get(event.version), emails, links) for event in events
    ]


def _links(connection: sa.Connection, key: AssistantKey, events: Sequence[Event]) -> Links:
    """Which versions each event took back, and which took it back."""
    numbers = [event.version for event in events]
    if not numbers:
        return history.NO_LINKS
    reaching = reversals.reaching(connection, *key, min(numbers), max(numbers))
    reverted_by = {
        event.version: [one.version for one in reaching if one.reverts(event)]
        for event in events
        if not isinstance(event, SecretsErased)
    }
    reverts = {}
    for event in events:
        if reversal := reversals.made_by(event):
            reverts[event.version] = _reverts(connection, key, reversal)
    return Links(reverts, reverted_by)


def _reverts(connection: sa.Connection, key: AssistantKey, reversal: Reversal) -> list[int]:
    events = store.read_stream(
        connection,
        *key,
        newest_first=True,
        after=reversal.first_version - 1,
        until=reversal.last_version,
    )
    newest = islice(events, _MOST_REVERTED)
    return [event.version for event in newest if reversal.reverts(event)]
