"""Deliver the logs to the endpoints: a background task of each process, off the path of requests.

A look finds the endpoints that are behind their logs. Each gets a turn: its events in the order of
the log, one request at a time, until it has all, one fails, or the turn is over. Turns run side by
side within a limit, of which one organization has at most a quarter.

Delivery is at least once. An event that fails holds back the later ones of its endpoint.
"""

from __future__ import annotations

import asyncio
import secrets as entropy
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import structlog

from app.audit.following import EVERYTHING, read_portion
from app.metrics import catalog
from app.webhooks import deliveries, messages, progress
from app.webhooks.deliveries import Made
from app.webhooks.messages import Log
from app.webhooks.progress import Progress
from events import log_search
from events.log_search import EventFilter, Stored
from events.pointers import overlaps
from projections.messages import describe, message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    import sqlalchemy as sa

    from app.audit.following import Portion
    from app.storage.database import Database
    from app.transactions.unit_of_work import UnitOfWork
    from app.transactions.write_queue import WriteQueue
    from app.webhooks.deliveries import Delivery
    from app.webhooks.messages import Told
    from app.webhooks.progress import Claimed, Due
    from app.webhooks.sending import Attempt, Sender
    from projections.messages import Message

T = TypeVar("T")

PAUSE = 0.5  # seconds between two looks
_TURN_SECONDS = 5.0  # after which a turn begins no other event
_SAVE_SECONDS = 1.0  # after which progress is saved; more is sent twice if the process dies
_UNSAVED = 10_000  # sequences that a cursor may lag behind what was looked at without a match
_MOST_SEEN = 50_000
_ENDING_SECONDS = 2.0
_log = structlog.get_logger(__name__)


class Deliverer:
    """Delivers, until it is closed. Use it in the event loop's thread."""

    def __init__(
        self,
        database: Database,
        writer: WriteQueue,
        sender: Sender,
        clock: Callable[[], datetime],
        *,
        most: int,
        console: str = "",
    ) -> None:
        self._database = database
        self._writer = writer
        self._sender = sender
        self._clock = clock
        self._most = most
        self._share = max(1, most // 4)
        self._console = console
        # A file has one process, which may go on at once after the one before it.
        self._owner = "one" if database.is_embedded else entropy.token_hex(8)
        self._is_closed = False
        self._turns: dict[tuple[int, int], asyncio.Task[None]] = {}
        # Up to where an endpoint chose nothing, for the state of it that was read.
        self._seen: dict[tuple[int, int], tuple[int, int, int]] = {}

    async def look(self) -> None:
        """Begin the turns that are due, as far as there is room; returns without waiting for them.

        ``settle`` waits.
        """
        due, waiting = await self._database.read(progress.find_due, self._clock(), self._owner)
        behind = [one for one in due if one.is_asked or self._start(one) < one.last]
        catalog.WEBHOOK_LAG.set(max([waiting, *(one.last - self._start(one) for one in behind)]))
        for one in behind:
            if self._has_room(one):
                self._turns[one.key] = asyncio.create_task(self._turn(one), name="webhook")

    async def settle(self) -> None:
        """Wait for the turns that run."""
        while self._turns:
            await asyncio.wait(self._turns.values())

    async def close(self) -> None:
        """Stop at once. What was not saved is sent again later."""
        self._is_closed = True
        turns = list(self._turns.values())
        for turn in turns:
            turn.cancel()
        await asyncio.gather(*turns, return_exceptions=True)
        self._sender.close()

    def _has_room(self, due: Due) -> bool:
        if self._is_closed or due.key in self._turns or len(self._turns) >= self._most:
            return False
        return sum(key[0] == due.organization_id for key in self._turns) < self._share

    def _start(self, due: Due) -> int:
        """The sequence after which the endpoint may have chosen something."""
        cursor, updated_at, reached = self._seen.get(due.key, (0, 0, 0))
        return reached if (cursor, updated_at) == (due.cursor, due.updated_at) else due.cursor

    async def _turn(self, due: Due) -> None:
        try:
            await self._serve(due, time.monotonic() + _TURN_SECONDS)
        except Exception as error:  # noqa: BLE001  # the next look tries again
            catalog.TASK_FAILURES.add("webhooks")
            _log.warning(
                "webhook_turn_failed",
                organization_id=due.organization_id,
                webhook_id=due.webhook_id,
                error=f"{type(error).__name__}: {error}",
            )
        finally:
            self._turns.pop(due.key, None)

    async def _serve(self, due: Due, end: float) -> None:
        if not due.is_asked and (await self._find(due, end)) is None:
            return
        claimed = await self._write(due, partial(progress.claim, key=due.key, owner=self._owner))
        if claimed is None:
            return
        try:
            if claimed.due.is_asked:
                await self._deliver_asked(claimed)
            if claimed.due.is_on:
                await self._deliver_log(claimed, end)
        finally:
            await self._release(due)

    async def _release(self, due: Due) -> None:
        release = partial(progress.release, key=due.key, owner=self._owner)
        with suppress(Exception):  # it is free when its time is over
            async with asyncio.timeout(_ENDING_SECONDS):
                await self._write(due, release)

    # -- reading the log

    async def _find(self, due: Due, end: float) -> Portion | None:
        """The next events that the endpoint chose; None if there is none that must be handled.

        Most logs grow by what most endpoints did not choose: that costs reads, and no write.
        """
        reached = self._start(due)
        while reached < due.last and time.monotonic() < end:
            portion = await self._read(due, reached)
            if any(self._chosen(due, portion)) or portion.reached - due.cursor > _UNSAVED:
                return portion
            reached = portion.reached
            if len(self._seen) > _MOST_SEEN:
                self._seen.clear()
            self._seen[due.key] = (due.cursor, due.updated_at, reached)
        return None

    async def _read(self, due: Due, after: int) -> Portion:
        read = partial(
            read_portion,
            organization_id=due.organization_id,
            after=after,
            chosen=EVERYTHING,
            with_values=False,
        )
        return await self._database.followed(due.organization_id, read)

    @staticmethod
    def _chosen(due: Due, portion: Portion) -> Iterator[Message]:
        """The messages that an endpoint chose."""
        for one in portion.messages:
            if (
                (not due.event_types or one.event_type in due.event_types)
                and (not due.assistant_ids or one.assistant_id in due.assistant_ids)
                and (
                    not due.paths
                    or any(overlaps(path, touched) for path in due.paths for touched in one.touched)
                )
            ):
                yield one

    # -- delivering

    async def _deliver_log(self, claimed: Claimed, end: float) -> None:
        """The events after the cursor, in order, until the end of the log or of the turn."""
        due, failures = claimed.due, claimed.failures
        saved, reached = due.cursor, self._start(due)
        made: list[Made] = []
        save_at = time.monotonic() + _SAVE_SECONDS
        while reached < due.last and time.monotonic() < end:
            portion = await self._read(due, reached)
            for one in self._chosen(due, portion):
                attempt = await self._send(claimed, messages.tell(*self._telling(claimed), one))
                made.append(self._made(one.sequence, failures + 1, attempt))
                is_failed = attempt.error is not None
                failures = failures + 1 if is_failed else 0
                reached = one.sequence - 1 if is_failed else one.sequence
                now = time.monotonic()
                if is_failed or now >= min(save_at, end):
                    goes_on = await self._save(due, saved, reached, failures, made)
                    if is_failed or now >= end or not goes_on:
                        return
                    saved, made, save_at = reached, [], now + _SAVE_SECONDS
            reached = portion.reached
        await self._save(due, saved, reached, 0, made)

    async def _deliver_asked(self, claimed: Claimed) -> None:
        due = claimed.due
        asked = await self._database.read(deliveries.queued, *due.key)
        for one in asked:
            told = await self._told(claimed, one)
            attempt = await self._send(claimed, told)
            settle = partial(
                progress.settle,
                key=due.key,
                owner=self._owner,
                delivery_id=one.id,
                outcome=attempt,
            )
            await self._write(due, settle)

    async def _told(self, claimed: Claimed, asked: Delivery) -> Told:
        kind, log = self._telling(claimed)
        if asked.sequence is None:
            number = claimed.due.webhook_id
            return messages.tell_test(kind, log, number, asked.id, self._clock())
        organization_id = claimed.due.organization_id
        read = partial(message_at, organization_id=organization_id, sequence=asked.sequence)
        found = await self._database.followed(organization_id, read)
        return messages.tell(kind, log, found)

    def _telling(self, claimed: Claimed) -> tuple[messages.Format, Log]:
        log = Log(
            organization_id=claimed.due.organization_id,
            origin=claimed.origin,
            console=self._console,
        )
        return claimed.format, log

    async def _send(self, claimed: Claimed, told: Told) -> Attempt:
        secret, now = claimed.confidential, self._clock()
        headers = messages.headers(claimed.format, told, secret.keys(now), now)
        return await self._sender.send(secret.url, headers, told.body)

    def _made(self, sequence: int, number: int, attempt: Attempt) -> Made:
        return Made(sequence=sequence, attempt=number, at=self._clock(), outcome=attempt)

    async def _save(
        self, due: Due, before: int, cursor: int, failures: int, made: list[Made]
    ) -> bool:
        step = Progress(
            before=before,
            updated_at=due.updated_at,
            cursor=cursor,
            failures=failures,
            made=tuple(made),
        )
        save = partial(progress.save, key=due.key, owner=self._owner, progress=step)
        return await self._write(due, save)

    async def _write(self, due: Due, work: Callable[[UnitOfWork], T]) -> T:
        return await self._writer.write(due.organization_id, work, is_background=True)


def message_at(connection: sa.Connection, organization_id: int, sequence: int) -> Message:
    """The message of one event."""
    chosen = EventFilter(after=sequence - 1, until=sequence)
    ((row,),) = log_search.read_stored(connection, organization_id, chosen)
    return message(describe(Stored._make(row)), 0, with_values=False)
