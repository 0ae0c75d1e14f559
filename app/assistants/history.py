"""How an assistant came to be as it is: the settings history, and the list of versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from app.accounts import organizations
from app.assistants import references
from app.assistants.current import head, head_outline, past
from app.assistants.links import LinkReader
from app.assistants.requests import Assistant
from app.assistants.searching import Search
from app.pages import Page, page_of
from events import codec, store
from events.assistant_key import AssistantKey
from events.errors import VersionNotFound
from projections import history, keyframes, labels
from projections.history import VersionEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import sqlalchemy as sa

    from app.assistants.references import Reference
    from events.changed import Event, State
    from projections.history import Entry, Filter


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
) -> Page:
    """The newest ``limit`` entries of the settings history that match the filter."""
    current = head(connection, key, include_deleted=include_deleted)
    newest = min(current.version, (filter_.before_version or current.version + 1) - 1)
    if newest < 1:
        return Page([])
    state = _state_at(connection, key, newest, current)
    search = Search()
    if filter_.searches:
        events = search.through(
            store.read_stream(connection, *key, newest_first=True, until=newest)
        )
    else:
        events = store.read_stream(
            connection, *key, newest_first=True, until=newest, at_once=limit + 1
        )
    emails = organizations.emails(connection, key.organization_id)
    links = LinkReader(connection, key, limit)
    matching = history.entries(state, events, filter_)
    rows = (
        (event.version, history.entry(event, before, emails, links.links_of(event)))
        for event, before in matching
    )
    return search.page(page_of(rows, limit))


def entry(
    connection: sa.Connection, key: AssistantKey, version: int, *, include_deleted: bool = False
) -> Entry:
    """The entry of the event that made a version; raises ``VersionNotFound``."""
    current = head(connection, key, include_deleted=include_deleted)
    if not 1 < version <= current.version:  # the creation has none
        raise VersionNotFound(key.assistant_id, version)
    (event,) = store.read_stream(connection, *key, after=version - 1, until=version)
    before = history.before(event, _state_at(connection, key, version, current))
    emails = organizations.emails(connection, key.organization_id)
    return history.entry(event, before, emails, LinkReader(connection, key, 0).links_of(event))


def versions(
    connection: sa.Connection,
    key: AssistantKey,
    before_version: int | None,
    limit: int,
    *,
    include_deleted: bool = False,
) -> Page:
    """The newest ``limit`` versions, the creation included."""
    current = head_outline(connection, key, include_deleted=include_deleted)
    until = current.version if before_version is None else before_version - 1
    events = store.read_stream(
        connection,
        *key,
        newest_first=True,
        until=until,
        at_once=limit + 1,
        decode=codec.outline,
    )
    numbers = range(max(until - limit, 1), until + 1)
    rows = _version_entries(connection, key, events, numbers)
    return page_of(((row.version, row) for row in rows), limit)


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
    events = store.read_stream(
        connection, *key, after=number - 1, until=number, decode=codec.outline
    )
    (made,) = _version_entries(connection, key, events, range(number, number + 1))
    return AssistantVersion(
        entry=made, assistant=past(key, _state_at(connection, key, number, current), current)
    )


def _state_at(connection: sa.Connection, key: AssistantKey, version: int, current: State) -> State:
    """The state after a version. Secrets that were erased since are erased in it, too."""
    if version == current.version:
        return current
    state = keyframes.state_at(connection, *key, version)
    return msgspec.structs.replace(state, erased_version=current.erased_version)


def _version_entries(
    connection: sa.Connection, key: AssistantKey, events: Iterable[Event], numbers: range
) -> Iterator[VersionEntry]:
    """The entries of events, newest first, of which ``numbers`` are the versions."""
    emails = organizations.emails(connection, key.organization_id)
    labelled = labels.load(connection, *key, numbers)
    links = LinkReader(connection, key, len(numbers))
    for event in events:
        label = labelled.get(event.version)
        yield history.version_entry(event, label, emails, links.links_of(event))
