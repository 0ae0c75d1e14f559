"""The assistants that were read last, encoded: a voice call waits on the next read.

Before the commit of a change begins, the views that it changes are set aside: they are neither used
nor kept until the commit ends. Then views of the new states take their place. Meanwhile, readers go
to the database. So no reader sees a view that another reader, at whatever address, already saw
replaced. Where other processes write, too, each use of a view compares its stamp with the database,
and each use of a list compares the head of the organization's log.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from app import pages
from app.assistants import current as assistants
from app.assistants import representation
from app.assistants.long_list import LongList, long_list
from app.assistants.preconditions import tag_of
from app.lru import LRUCache
from app.metrics import catalog
from events import log_head
from events.assistant_key import AssistantKey
from events.errors import AssistantNotFound
from events.shape import DIGEST
from projections import assistant_json, current
from projections.current import Selection

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import sqlalchemy as sa

    from app.accounts.principals import Seen
    from app.storage.database import Database
    from app.transactions.state_cache import Head
    from events.changed import State
    from projections.current import Stamp

MOST_BYTES, MOST_BYTES_OF_LISTS = 64 * 1024 * 1024, 24 * 1024 * 1024
_MOST_SHOWN_AT_ONCE = 64 * 1024  # bytes of settings; the event loop waits while they are copied
_OVERHEAD = 600  # bytes that an entry takes beside its body, measured
_HITS, _MISSES = catalog.CACHE_HITS.of("views"), catalog.CACHE_MISSES.of("views")
_LIST_HITS, _LIST_MISSES = catalog.CACHE_HITS.of("lists"), catalog.CACHE_MISSES.of("lists")
_ListKey = tuple[int, "Selection", int, int]  # organization, selection, skip, limit


class View(Struct):
    """An existing assistant as it is shown, masked and encoded."""

    stamp: Stamp
    body: bytes
    tag: str
    checked_at: float = 0  # when it was last compared with the database: ``time.monotonic``
    digest: str | None = None  # ``app.calls.digests``, once it was asked for

    @property
    def version(self) -> int:
        """The assistant's version."""
        return self.stamp[0]

    def has(self, stamp: Sequence[int]) -> bool:
        """Whether it shows the state with this stamp."""
        return self.stamp == tuple(stamp)


def view_of(key: AssistantKey, state: State) -> View:
    """The view of an assistant's state."""
    shown = representation.of(*key, state)
    return View(current.stamp_of(state), shown.body, shown.tag)


class Listed(Struct, frozen=True):
    """A list of an organization's assistants, newest first, encoded."""

    body: bytes
    tag: str
    head: Head | int | None = None  # the list holds until this changes; None if it is not kept


def listed(
    organization_id: int, bodies: Iterable[bytes], *query: Any, head: Head | int | None = None
) -> Listed:
    """The list of encoded assistants. ``query`` tells this list from others of the organization."""
    body = b"[" + b",".join(bodies) + b"]"
    resource = f"assistants?{msgspec.json.encode(query).decode()}"
    return Listed(body, tag_of(organization_id, resource, body), head)


class ViewCache:
    """The views that were read last, and the lists of them, each up to some bytes.

    ``is_alone`` says that only this process writes the database. If not, a view may be shown for
    ``staleness`` before it is compared with the database again.
    """

    def __init__(
        self,
        database: Database,
        *,
        is_alone: bool,
        staleness: timedelta = timedelta(0),
        most_bytes: int = MOST_BYTES,
        most_bytes_of_lists: int = MOST_BYTES_OF_LISTS,
    ) -> None:
        self._database = database
        self._is_alone = is_alone
        self._staleness = staleness.total_seconds()
        self._views: LRUCache[AssistantKey, View] = LRUCache(most_bytes)
        self._lists: LRUCache[_ListKey, Listed] = LRUCache(most_bytes_of_lists)
        self._loading: dict[AssistantKey, object] = {}  # the read that began last
        self._changing: frozenset[AssistantKey] = frozenset()
        self._changing_since = 0.0  # ``time.monotonic``
        self._changes: Counter[int] = Counter()  # of each organization: commits that ended

    @property
    def size(self) -> int:
        """Bytes in memory: the views and the lists."""
        return self._views.weight + self._lists.weight

    async def view(self, key: AssistantKey, seen: Seen | None = None) -> View:
        """The view as it is now; raises ``AssistantNotFound``.

        ``seen`` is what was read with the caller's key, for this request.
        """
        cached = self._usable(key)
        if cached is not None and await self._is_good(key, cached, seen):
            _HITS.value += 1
            return cached
        _MISSES.value += 1
        loading = self._loading[key] = object()
        try:
            view = await self._load(key)
        finally:
            # A commit ended meanwhile: the view may be outdated. Return it, but don't keep it.
            is_unchanged = self._loading.get(key) is loading
            if is_unchanged:
                del self._loading[key]
        if is_unchanged:
            self._keep(key, view)
        return view

    async def select(
        self,
        organization_id: int,
        selection: Selection,
        *,
        skip: int,
        limit: int,
        seen: Seen | None = None,
    ) -> Listed | LongList:
        """The list of the selected assistants, newest first, all of one moment.

        Where nothing of the organization changed since, it is the cached list. ``seen`` is as for
        ``view``.
        """
        changes = self._changes[organization_id]
        list_key = (organization_id, selection, skip, limit)
        cached = self._lists.get(list_key)
        if (
            cached is not None
            and self._is_unchanged(organization_id, changes)
            and cached.head == await self._head(organization_id, seen)
        ):
            _LIST_HITS.value += 1
            return cached
        _LIST_MISSES.value += 1
        selected = await self._database.snapshot(
            organization_id, self._select, organization_id, selection, skip=skip, limit=limit
        )
        if isinstance(selected, LongList):
            return selected
        views, loaded, end = selected
        bodies = (view.body for view in views)
        head = changes if self._is_alone else end
        result = listed(organization_id, bodies, selection, skip, limit, head=head)
        if self._is_unchanged(organization_id, changes):
            for assistant_id, view in loaded.items():
                self._keep(AssistantKey(organization_id, assistant_id), view)
            self._lists.put(list_key, result, len(result.body) + _OVERHEAD)
        return result

    async def _head(self, organization_id: int, seen: Seen | None) -> Head | int | None:
        """What changes with each change of an organization: the end of its log, or a count."""
        if self._is_alone:
            return self._changes[organization_id]
        if seen is not None:
            return seen.head
        rows = await self._database.glance(log_head.END, organization_id=organization_id)
        return tuple(rows[0]) if rows else None

    def _select(
        self,
        connection: sa.Connection,
        organization_id: int,
        selection: Selection,
        *,
        skip: int,
        limit: int,
    ) -> LongList | tuple[list[View], dict[int, View], Head | None]:
        """The selected views, those of them that had to be loaded, and the end of the log."""
        head = None if self._is_alone else log_head.end_of(connection, organization_id)
        stamps, sizes = current.select_stamps(
            connection, organization_id, selection, skip=skip, limit=limit
        )
        if sum(sizes.values()) > pages.MOST_BYTES:
            return long_list(organization_id, stamps, selection, skip, limit)
        views = {one: self._views.peek(AssistantKey(organization_id, one)) for one in stamps}
        missing = [one for one, view in views.items() if view is None or not view.has(stamps[one])]
        loaded = _load_views(connection, organization_id, missing)
        return [view for view in (views | loaded).values() if view is not None], loaded, head

    def age(self, view: View) -> int | None:
        """How many seconds ago the view was compared; None where every view is current."""
        if self._is_alone or not self._staleness:
            return None
        return int(time.monotonic() - view.checked_at)

    def shown(self, key: AssistantKey, state: State) -> View:
        """The view of a state: the one that its commit left here, if it did. For any thread."""
        view = self._views.peek(key)
        if view is not None and view.has(current.stamp_of(state)):
            return view
        return view_of(key, state)

    def before_commit(self, keys: Iterable[AssistantKey]) -> None:
        """Set the views aside that the commit changes.

        Runs in the writer's thread: to set attributes is all that is safe here.
        """
        self._changing_since = time.monotonic()
        self._changing = frozenset(keys)

    def after_commit(self, states: Mapping[AssistantKey, State]) -> None:
        """Drop what was set aside, and show the new states; there are none if the commit failed."""
        self._changes.update(self._organizations_changing())
        for key in self._changing:
            self._views.drop(key)
            self._loading.pop(key, None)
        self._changing = frozenset()
        for key, state in states.items():
            if not state.deleted and len(state.encoded) <= _MOST_SHOWN_AT_ONCE:
                view = view_of(key, state)
                view.checked_at = self._changing_since  # nobody changes it while it is locked
                self._keep(key, view)

    def _usable(self, key: AssistantKey) -> View | None:
        return None if key in self._changing else self._views.get(key)

    def _is_unchanged(self, organization_id: int, changes: int) -> bool:
        """Whether no commit ended since there were so many changes, and none runs."""
        is_changing = organization_id in self._organizations_changing()
        return changes == self._changes[organization_id] and not is_changing

    def _organizations_changing(self) -> set[int]:
        return {organization_id for organization_id, _ in self._changing}

    async def _load(self, key: AssistantKey) -> View:
        began = time.monotonic()
        rows = await self._database.glance(
            assistant_json.SHOWN, **key._asdict(), settings_digest=DIGEST
        )
        if not rows:
            raise AssistantNotFound(key.assistant_id)
        view = _view_of_row(key, rows[0]) or await self._load_large(key)
        view.checked_at = began
        return view

    async def _load_large(self, key: AssistantKey) -> View:
        """Copying large settings, and masking them, would keep the event loop from others."""
        row = await self._database.read(assistant_json.load_row, *key)
        view = None if row is None else await asyncio.to_thread(_view_of_row, key, row)
        return view or view_of(key, await self._database.read(assistants.head, key))

    async def _is_good(self, key: AssistantKey, view: View, seen: Seen | None) -> bool:
        """Whether a view is current, or not older than is allowed."""
        began = time.monotonic()
        if self._is_alone or began - view.checked_at < self._staleness:
            return True
        if seen is None or key.assistant_id not in seen.stamps:
            stamps = await self._database.glance(current.STAMP, **key._asdict())
        else:
            stamps, began = (seen.stamps[key.assistant_id],), seen.read_at
        if not (stamps and view.has(stamps[0])):
            return False
        view.checked_at = began
        return True

    def _keep(self, key: AssistantKey, view: View) -> None:
        if key not in self._changing:
            self._views.put(key, view, len(view.body) + _OVERHEAD)


def _view_of_row(key: AssistantKey, row: Any) -> View | None:
    """The view of a row of ``assistant_json.SHOWN``; None if it does not hold the settings."""
    shown = assistant_json.show(*key, row)
    if shown is None:
        return None
    stamp, body = shown
    return View(stamp, body, representation.of_body(*key, body, stamp).tag)


def _load_views(
    connection: sa.Connection, organization_id: int, assistant_ids: Sequence[int]
) -> dict[int, View]:
    selection = Selection(assistant_ids=tuple(assistant_ids))
    selected = current.select(connection, organization_id, selection) if assistant_ids else []
    return {
        assistant_id: view_of(AssistantKey(organization_id, assistant_id), state)
        for assistant_id, state in selected
    }
