"""A search of the audit log, one page at a time, newest first."""

from __future__ import annotations

import re
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from app.accounts import organizations
from app.audit.moments import following
from app.pages import Page, page_of
from events import codec, log_head, log_search
from events.log_search import EventFilter, Stored
from projections import current, phone_numbers
from projections.audit import AuditLogEntry, entry
from projections.event_types import tags

if TYPE_CHECKING:
    import sqlalchemy as sa

_ID = re.compile(r"[1-9]\d{0,9}", re.ASCII)
_ID_FILTERS = {"assistant": "assistant_id", "api_key": "key_id"}  # by the type of a resource
_NO_ID = 0  # an ID that no resource has


class Search(Struct, frozen=True, kw_only=True):
    """Which entries to show; a member that is None excludes none.

    ``start`` and ``end`` are inclusive. ``before`` is the sequence at which the last page ended.
    """

    user_id: int | None = None
    event_type: str | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    phi_only: bool = False
    before: int | None = None


def log_page(
    connection: sa.Connection, organization_id: int, search: Search, *, limit: int, skip: int
) -> tuple[Page, int]:
    """The newest ``limit`` entries after the ``skip`` newest ones, and how many match in all.

    Clients of the published API page by number, so bytes don't end a page; each entry is short.
    """
    last = log_head.head_of(connection, organization_id).sequence
    matching = _filter(connection, organization_id, search, last)
    on_page = matching
    if search.before is not None:
        on_page = structs.replace(matching, until=min(matching.until or 0, search.before - 1))
    batches = log_search.read_stored(
        connection, organization_id, on_page, newest_first=True, skip=skip
    )
    emails = organizations.emails(connection, organization_id)
    with closing(batches):
        entries = (
            (entry.id, entry)
            for rows in batches
            for entry in _entries(connection, organization_id, rows, emails)
        )
        page = page_of(entries, limit, ends_by_bytes=False)
    return page, _count(connection, organization_id, matching)


def _filter(
    connection: sa.Connection, organization_id: int, search: Search, last: int
) -> EventFilter:
    """A search as a filter of stored events, of which ``last`` is the newest."""
    after, until = 0, last
    if search.start is not None:
        after = log_search.last_before(connection, organization_id, search.start, last)
    if (end := following(search.end)) is not None:
        until = log_search.last_before(connection, organization_id, end, last)
    resource_id = _number(search.resource_id)
    if search.phi_only or resource_id == _NO_ID:  # settings hold no health information
        until = 0
    return EventFilter(
        after=after,
        until=until,
        tags=tags(search.event_type, search.resource_type),
        user_id=search.user_id,
        **_about(organization_id, search.resource_type or "", resource_id),
    )


def _about(organization_id: int, resource_type: str, resource_id: int | None) -> dict[str, Any]:
    """The members of the filter for events about a resource."""
    if resource_type == "phone_number" and resource_id is not None:
        return {"among": phone_numbers.sequences_of(organization_id, resource_id)}
    return {_ID_FILTERS.get(resource_type, "about"): resource_id}


def _number(resource_id: str | None) -> int | None:
    """An ID as a number; ``_NO_ID`` for a text that is not an ID."""
    if resource_id is None:
        return None
    return int(resource_id) if _ID.fullmatch(resource_id) else _NO_ID


def _count(connection: sa.Connection, organization_id: int, matching: EventFilter) -> int:
    if matching == EventFilter(
        after=matching.after, until=matching.until
    ):  # sequences have no gaps
        return max((matching.until or 0) - matching.after, 0)
    return log_search.count_matching(connection, organization_id, matching)


def _entries(
    connection: sa.Connection,
    organization_id: int,
    rows: list[Stored],
    emails: dict[int, str | None],
) -> list[AuditLogEntry]:
    events = [codec.decode(body, codec.tag_in(body)) for _, body, _ in rows]
    ids = {event.assistant_id for event in events if event.assistant_id is not None}
    names, erased = current.names_and_erasures(connection, organization_id, ids)
    return [entry(event, emails=emails, names=names, erased=erased) for event in events]
