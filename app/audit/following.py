"""Follow the logs of organizations: each event once, in the order of the sequence, as it comes.

A sequence has no gaps, and an event with a smaller one is never seen later. So a follower that goes
on after the last sequence that it saw misses none, and gets none twice.

Each process keeps the end of each followed log, within a bound, once for all its followers. A
follower that is further behind reads the log itself, in small portions, as fast as it takes them. A
commit of this process wakes the reader of a log. Other processes commit, too, so the counters of
the logs are also polled.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import structlog
from msgspec import Struct

from app.audit.bounds import within
from events import log_head, log_search
from events.log_search import EventFilter, Stored
from projections import current
from projections.event_types import tags
from projections.messages import OPEN_TAGS, Message, MessageFilter, describe, message

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import sqlalchemy as sa

    from app.storage.database import Database

_WINDOW = 2000  # sequences that one portion covers at most
_PORTION_BYTES = 256 * 1024
_KEPT = 256  # messages at the end of a log,
_KEPT_BYTES = _PORTION_BYTES  # and their bytes
_POLL_SECONDS = 0.25  # where other processes commit, too
_SLOW_POLL_SECONDS = 5.0  # where every commit wakes
_log = structlog.get_logger(__name__)


class Portion(Struct, frozen=True, kw_only=True):
    """The messages that follow a sequence: all that were chosen up to ``reached``.

    ``last`` is the last sequence of the log.
    """

    messages: list[Message]
    reached: int
    last: int


class Start(Struct, frozen=True, kw_only=True):
    """Where a follower starts: after a sequence of a log that ended with ``last`` then."""

    after: int
    last: int


def start_of(
    connection: sa.Connection, organization_id: int, after: int | None, name: str = "after"
) -> Start:
    """The start after a sequence, or after the newest event; raises ``BeyondLog``.

    ``name`` is the parameter that gives the sequence.
    """
    last = log_head.head_of(connection, organization_id).sequence
    return Start(after=last if after is None else within(name, after, 0, last), last=last)


EVERYTHING = MessageFilter(only_open=False)


def read_portion(
    connection: sa.Connection,
    organization_id: int,
    after: int,
    chosen: MessageFilter = EVERYTHING,
    *,
    with_values: bool = True,
) -> Portion:
    """The next portion of a log, of the events that were chosen."""
    last = log_head.head_of(connection, organization_id).sequence
    end = min(after + _WINDOW, last)
    found: list[Message] = []
    size = 0
    covered = EventFilter(
        after=after, until=end, tags=_tags(chosen), assistant_id=chosen.assistant_id
    )
    for rows in log_search.read_stored(connection, organization_id, covered):
        for one in _messages(connection, organization_id, rows, with_values=with_values):
            if chosen.matches(one):
                found.append(one)
                size += one.size
        if size > _PORTION_BYTES:
            return Portion(messages=found, reached=rows[-1][0], last=last)
    return Portion(messages=found, reached=max(after, end), last=last)


def _tags(chosen: MessageFilter) -> tuple[str, ...] | None:
    if chosen.event_type is not None:
        return tags(chosen.event_type, None)
    return OPEN_TAGS if chosen.only_open else None


def _messages(
    connection: sa.Connection, organization_id: int, rows: list[Stored], *, with_values: bool
) -> Iterator[Message]:
    described = [describe(stored) for stored in map(Stored._make, rows)]
    erased: dict[int, int] = {}
    if with_values:
        ids = {one.event.assistant_id for one in described} - {None}
        _, erased = current.names_and_erasures(connection, organization_id, ids)  # type: ignore[arg-type]  # as said
    for one in described:
        erased_version = erased.get(one.event.assistant_id or 0, 0)
        yield message(one, erased_version, with_values=with_values)


class _End:
    """The end of a followed log: its last messages, within a bound."""

    def __init__(self, organization_id: int, reached: int) -> None:
        self.organization_id = organization_id
        self.begins = self.reached = reached  # the messages are of the sequences between
        self.messages: deque[Message] = deque()
        self.followers = 0
        self.is_behind = asyncio.Event()
        self._size = 0
        self._growth = asyncio.Event()  # another one for each growth

    def add(self, portion: Portion) -> None:
        """Keep the next messages, drop those that are too many, and wake who waits."""
        for one in portion.messages:
            self.messages.append(one)
            self._size += one.size
        while len(self.messages) > _KEPT or self._size > _KEPT_BYTES:
            dropped = self.messages.popleft()
            self._size -= dropped.size
            self.begins = dropped.sequence
        self.reached = portion.reached
        growth, self._growth = self._growth, asyncio.Event()
        growth.set()

    def after(self, sequence: int) -> list[Message]:
        """The messages after a sequence that is not before ``begins``."""
        return list(islice(self.messages, sequence - self.begins, None))

    async def grows(self) -> None:
        """Wait for the next growth."""
        await self._growth.wait()


class Followers:
    """The logs that are followed in this process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seconds = _SLOW_POLL_SECONDS if database.is_embedded else _POLL_SECONDS
        self._ends: dict[int, _End] = {}
        self._readers: dict[int, asyncio.Task[None]] = {}
        self._polling: asyncio.Task[None] | None = None

    def grew(self, sequences: Mapping[int, int]) -> None:
        """Wake the readers of logs that have grown, to these last sequences."""
        for organization_id, sequence in sequences.items():
            end = self._ends.get(organization_id)
            if end is not None and sequence > end.reached:
                end.is_behind.set()

    @contextmanager
    def following(
        self,
        organization_id: int,
        start: Start,
        chosen: MessageFilter,
        *,
        with_values: bool,
    ) -> Iterator[Follower]:
        """A follower of a log. Use it in the event loop's thread."""
        end = self._enter(organization_id, start.last)
        try:
            yield Follower(self._database, end, start.after, chosen, with_values=with_values)
        finally:
            self._leave(end)

    def close(self) -> None:
        """Read no more, though there may be followers."""
        for task in (*self._readers.values(), self._polling):
            if task is not None:
                task.cancel()

    def _enter(self, organization_id: int, last: int) -> _End:
        end = self._ends.get(organization_id)
        if end is None:
            end = self._ends[organization_id] = _End(organization_id, last)
            end.is_behind.set()  # something may have been committed meanwhile
            self._readers[organization_id] = asyncio.create_task(self._read_on(end))
        if self._polling is None:
            self._polling = asyncio.create_task(self._poll())
        end.followers += 1
        return end

    def _leave(self, end: _End) -> None:
        end.followers -= 1
        if end.followers:
            return
        del self._ends[end.organization_id]
        ended = [self._readers.pop(end.organization_id)]
        if not self._ends and self._polling is not None:
            ended.append(self._polling)
            self._polling = None
        for task in ended:
            task.cancel()

    async def _read_on(self, end: _End) -> None:
        """Keep the end of a log up to date."""
        while True:
            await end.is_behind.wait()
            end.is_behind.clear()
            try:
                await self._catch_up(end)
            except Exception as error:  # noqa: BLE001  # whatever it is, the next poll tries again
                _log.warning("log_not_read", error=f"{type(error).__name__}: {error}")

    async def _catch_up(self, end: _End) -> None:
        is_behind = True
        while is_behind:
            read = partial(read_portion, organization_id=end.organization_id, after=end.reached)
            portion = await self._database.followed(end.organization_id, read)
            end.add(portion)
            is_behind = portion.reached < portion.last

    async def _poll(self) -> None:
        """Look whether the logs have grown: other processes say nothing when they commit."""
        while True:
            await asyncio.sleep(self._seconds)
            with suppress(Exception):  # the database is away: the next look may find it
                self.grew(await self._sequences())

    async def _sequences(self) -> dict[int, int]:
        """The last sequences of the logs that are followed."""
        ids = list(self._ends)
        if not self._database.is_embedded:
            rows = await self._database.glance(log_head.SEQUENCES, organization_ids=ids)
            return {row[0]: row[1] for row in rows}
        ends = [await self._database.glance(log_head.END, organization_id=one) for one in ids]
        return {one: rows[0][0] for one, rows in zip(ids, ends, strict=True)}


class Follower:
    """One who follows a log, with what was chosen of it."""

    def __init__(
        self,
        database: Database,
        end: _End,
        after: int,
        chosen: MessageFilter,
        *,
        with_values: bool,
    ) -> None:
        self._database = database
        self._end = end
        self._with_values = with_values
        self.chosen = chosen
        self.reached = after  # every event up to here was given, or not chosen

    @property
    def is_at_end(self) -> bool:
        """Whether it has all that this process knows of the log."""
        return self.reached >= self._end.reached

    async def next(self, seconds: float) -> list[Message]:
        """The next messages. None if none was chosen of a portion, or none came in so many seconds.

        Raises ``Busy``.
        """
        if self.reached < self._end.begins:
            return await self._from_log()
        if self.is_at_end:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._end.grows()
        return self._from_end()

    def _from_end(self) -> list[Message]:
        if not self._end.begins <= self.reached < self._end.reached:
            return []
        found = self._end.after(self.reached)
        self.reached = self._end.reached
        return [one for one in found if self.chosen.matches(one)]

    async def _from_log(self) -> list[Message]:
        read = partial(
            read_portion,
            organization_id=self._end.organization_id,
            after=self.reached,
            chosen=self.chosen,
            with_values=self._with_values,
        )
        portion = await self._database.followed(self._end.organization_id, read)
        self.reached = portion.reached
        return portion.messages
