"""What was shown lately, as the bytes that were sent: a voice call waits on the next reading.

A view is forgotten before the commit of what changes it begins, and while the commit runs nobody
may remember it: who reads then reads the database. So no reader is shown what another reader, of
whatever address, has already seen replaced. Who reads what is not remembered waits for a reading of
the same that is under way. Where other processes write too, nobody does, and memory is held against
the version in the database each time.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from app.assistants import representation
from app.assistants.changes import Assistant
from app.assistants.preconditions import etag, tag_of
from app.lru import LRUCache
from projections import current
from projections.current import Selection

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import sqlalchemy as sa

    from app.assistants.history import Assistants
    from app.storage.database import Database
    from projections.current import Key, Stamp

_MOST_BYTES = 64 * 1024 * 1024
_OVERHEAD = 1024  # bytes that an entry takes beside its body
_Chosen = tuple[int, int, "Selection", int, int]  # organization, its count, what, skip, limit


class View(Struct):
    """A living assistant as everybody may see it, masked, and what is sent before it."""

    stamp: Stamp
    body: bytes
    tag: str
    etag: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    unchanged: tuple[tuple[bytes, bytes], ...]  # the headers for who has it
    checked_at: float = 0  # when it was last held against the database: ``time.monotonic``

    @property
    def version(self) -> int:
        """The assistant's version."""
        return self.stamp[0]


def view_of(assistant: Assistant) -> View:
    """The view of an assistant."""
    shown = representation.of(assistant.organization_id, assistant.id, assistant.state)
    body, held = shown.body, etag(shown.tag).encode()
    unchanged = ((b"etag", held), (b"vary", b"Accept-Datetime"))
    of_body = ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)))
    stamp = current.stamp_of(assistant.state)
    return View(stamp, body, shown.tag, held, unchanged + of_body, unchanged)


class Listed(Struct, frozen=True):
    """Some of an organization's living assistants, newest first, as they are sent."""

    body: bytes
    tag: str


def listed(organization_id: int, bodies: Iterable[bytes], *asked: Any) -> Listed:
    """The list of encoded assistants; ``asked`` is all that says which list it is."""
    body = b"[" + b",".join(bodies) + b"]"
    resource = f"assistants?{msgspec.json.encode(asked).decode()}"
    return Listed(body, tag_of(organization_id, resource, body))


class ViewCache:
    """The views, and the lists of them, that were read last, each up to so many bytes.

    ``is_alone`` says that this process alone writes the database; else ``staleness`` is how old
    what is shown may be.
    """

    def __init__(
        self,
        database: Database,
        assistants: Assistants,
        *,
        is_alone: bool,
        staleness: timedelta = timedelta(0),
        most_bytes: int = _MOST_BYTES,
    ) -> None:
        self._database = database
        self._assistants = assistants
        self._is_alone = is_alone
        self._staleness = staleness.total_seconds()
        self._views: LRUCache[Key, View] = LRUCache(most_bytes)
        self._lists: LRUCache[_Chosen, Listed] = LRUCache(most_bytes // 2)
        self._loading: dict[Key, asyncio.Task[View]] = {}
        self._changing: frozenset[Key] = frozenset()
        self._moves: Counter[int] = Counter()  # of organizations: how often a change began or ended

    @property
    def size(self) -> int:
        """What is remembered, in bytes."""
        return self._views.weight

    async def view(self, organization_id: int, assistant_id: int) -> View:
        """The view as it is now; raises ``AssistantNotFound``."""
        key = (organization_id, assistant_id)
        known = self._views.get(key)
        if known is not None and (self._is_good(known) or await self._is_current(key, known)):
            return known
        if not self._is_alone:
            moves = self._moves[organization_id]
            view = await self._load(key)
            if self._is_still(organization_id, moves):
                self._remember(key, view)
            return view
        if key in self._changing:
            return await self._load(key)
        if key not in self._loading:
            loading = asyncio.create_task(self._load_to_remember(key))
            loading.add_done_callback(_look_at_failure)
            self._loading[key] = loading
        return await asyncio.shield(self._loading[key])  # others wait for it, too

    async def select(
        self, organization_id: int, selection: Selection, *, skip: int, limit: int
    ) -> Listed:
        """The views of the chosen living assistants, newest first, all of one moment.

        Where nothing of the organization has changed since, it is the list that was sent before.
        """
        chosen = (organization_id, self._moves[organization_id], selection, skip, limit)
        if self._is_alone and (known := self._lists.get(chosen)) is not None:
            return known
        views, read = await self._database.snapshot(
            self._select, organization_id, selection, skip=skip, limit=limit
        )
        bodies = (view.body for view in views)
        found = listed(organization_id, bodies, selection, skip, limit)
        if self._is_still(organization_id, chosen[1]):
            for number, view in read.items():
                self._remember((organization_id, number), view)
            if self._is_alone:
                self._lists.put(chosen, found, len(found.body) + _OVERHEAD)
        return found

    def _select(
        self,
        connection: sa.Connection,
        organization_id: int,
        selection: Selection,
        *,
        skip: int,
        limit: int,
    ) -> tuple[list[View], dict[int, View]]:
        """The views, and those of them that were read: not remembered in their version."""
        found = current.select_stamps(
            connection, organization_id, selection, skip=skip, limit=limit
        )
        views = {number: self._views.peek((organization_id, number)) for number in found}
        missing = [n for n, view in views.items() if view is None or view.stamp != found[n]]
        read = _read(connection, organization_id, missing)
        return [view for view in (views | read).values() if view is not None], read

    def known(self, organization_id: int, assistant_id: int) -> View | None:
        """The view, where no look at the database is needed to know that it is good."""
        view = self._views.get((organization_id, assistant_id))
        return view if view is not None and self._is_good(view) else None

    def age(self, view: View) -> int | None:
        """How old it may be, in seconds; None where nothing older than now is shown."""
        if self._is_alone or not self._staleness:
            return None
        return int(time.monotonic() - view.checked_at)

    def before_commit(self, keys: Iterable[Key]) -> None:
        """Forget views whose change is about to be committed."""
        self._changing = frozenset(keys)
        self._moves.update(self._organizations_changing())
        for key in self._changing:
            self._views.drop(key)
            self._loading.pop(key, None)

    def after_commit(self) -> None:
        """Remember again: what was about to be committed is, or it will not be."""
        self._moves.update(self._organizations_changing())
        self._changing = frozenset()

    def _is_still(self, organization_id: int, moves: int) -> bool:
        """Whether nothing that was read since is another by now, or is about to be."""
        is_changing = organization_id in self._organizations_changing()
        return moves == self._moves[organization_id] and not is_changing

    def _organizations_changing(self) -> set[int]:
        return {organization_id for organization_id, _ in self._changing}

    async def _load(self, key: Key) -> View:
        began = time.monotonic()
        view = view_of(await self._assistants.get(*key))
        view.checked_at = began
        return view

    async def _load_to_remember(self, key: Key) -> View:
        try:
            view = await self._load(key)
        finally:
            # What was read before a change may be what it changes: answer, don't remember.
            is_still_so = self._loading.get(key) is asyncio.current_task()
            if is_still_so:
                del self._loading[key]
        if is_still_so:
            self._remember(key, view)
        return view

    def _is_good(self, known: View) -> bool:
        return self._is_alone or time.monotonic() - known.checked_at < self._staleness

    async def _is_current(self, key: Key, known: View) -> bool:
        began = time.monotonic()
        if known.stamp != await self._database.read(current.existing_stamp, *key):
            return False
        known.checked_at = began
        return True

    def _remember(self, key: Key, view: View) -> None:
        self._views.put(key, view, len(view.body) + _OVERHEAD)


def _read(
    connection: sa.Connection, organization_id: int, numbers: Sequence[int]
) -> dict[int, View]:
    chosen = Selection(assistant_ids=tuple(numbers))
    read = current.select(connection, organization_id, chosen) if numbers else []
    return {
        number: view_of(Assistant(organization_id=organization_id, id=number, state=state))
        for number, state in read
    }


def _look_at_failure(loading: asyncio.Task[View]) -> None:
    """Who waited for it may have gone, and the loop complains of failures that nobody saw."""
    if not loading.cancelled():
        loading.exception()
