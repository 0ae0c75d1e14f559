"""``Idempotency-Key``: a request that is sent again gets its first answer, and changes nothing.

The answer is stored in the transaction of the request's own changes, so that a crash after the
commit cannot make a retry change things twice. Answers are sealed: one may hold a new API key. An
organization may have so many at a time, and no more: one is never dropped before its time.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from app.storage.tables import answers
from app.transactions import answer_totals
from app.transactions.answer_totals import Totals
from app.transactions.answers import Answer
from app.vault import sealing
from events import prepared
from events.errors import DomainError
from events.prepared import Prepared
from events.tables import OF_ORGANIZATION, rows_of, to_micros

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from app.transactions.caller import Caller
    from app.transactions.unit_of_work import UnitOfWork
    from app.transactions.write_queue import WriteQueue

T = TypeVar("T")

_REPLAYED = {"idempotent-replayed": "true"}
_SUCCESSES = range(200, 300)
_OF_NONE = 0  # for a read of the service's own: no organization waits for it
_REMOVED_AT_ONCE = 500
_SECOND = 1_000_000  # microseconds
_INSERT = prepared.insert(answers)
_FIND = Prepared(
    lambda _: rows_of(answers, OF_ORGANIZATION).where(
        answers.c.caller == sa.bindparam("caller", type_=sa.Text),
        answers.c.idempotency_key == sa.bindparam("idempotency_key", type_=sa.Text),
    )
)


class IdempotencyKeyReused(DomainError):
    """The key came with another request before."""


class RequestRunning(DomainError):
    """A request with this key is running at this moment."""


class TooManyKeys(DomainError):
    """The organization has as many stored answers as it may.

    One lives for ``lifetime`` seconds; after ``wait`` seconds there is room for another.
    """

    def __init__(self, most: int, *, lifetime: int, wait: int) -> None:
        super().__init__(most)
        self.most = most
        self.lifetime = lifetime
        self.wait = wait


class IdempotentRequest(Struct, frozen=True, kw_only=True):
    """A request with an idempotency key; it may change things once only."""

    key: str
    fingerprint: bytes
    """``fingerprint`` of the request: the same key with another one is an error."""


def fingerprint(method: str, target: str, content_type: str, body: bytes) -> bytes:
    """SHA-256 over what makes two requests the same one. Stored only under a key: ``_keyed``."""
    text = msgspec.json.encode([method, target, content_type])
    return hashlib.sha256(text + b"\n" + body).digest()


class Idempotency:
    """Runs requests with a key through the write queue, each once only."""

    def __init__(
        self, queue: WriteQueue, clock: Callable[[], datetime], lifetime: timedelta, most: int
    ) -> None:
        self._queue = queue
        self._clock = clock
        self._lifetime = lifetime
        self._most = most  # answers of an organization
        self._running: set[tuple[int, str, str]] = set()

    async def run(
        self,
        request: IdempotentRequest,
        caller: Caller,
        work: Callable[[UnitOfWork], T],
        answer_of: Callable[[T], Answer],
        size: int = 0,
        *,
        is_alone: bool = False,
        is_essential: bool = False,
    ) -> T | Answer:
        """Run ``work`` in a write transaction: what it returned, once that is durable.

        A repeated request gets the stored answer of the first one instead. ``answer_of`` is what
        is stored, in the same transaction. Only answers of 2xx are stored: an error changed
        nothing, and a retry may succeed. Raises ``IdempotencyKeyReused``, ``RequestRunning`` and
        ``TooManyKeys``.
        """
        running = (caller.organization_id, _caller_id(caller), request.key)
        if running in self._running:
            raise RequestRunning
        self._running.add(running)
        try:
            return await self._queue.write(
                caller.organization_id,
                lambda unit: self._run(unit, request, caller, work, answer_of),
                size,
                is_alone=is_alone,
                is_essential=is_essential,
            )
        finally:
            self._running.discard(running)

    async def is_answered(self, request: IdempotentRequest, caller: Caller) -> bool:
        """Whether an answer is stored. Raises ``IdempotencyKeyReused`` and ``TooManyKeys``."""

        def work(unit: UnitOfWork) -> bool:
            if self._find(unit, request, caller) is not None:
                return True
            self._make_room(unit, caller.organization_id)
            return False

        return await self._queue.write(caller.organization_id, work, is_essential=True)

    async def remove_expired(self, organization_ids: list[int]) -> None:
        """Remove the answers that are older than their lifetime, some in each transaction."""
        for organization_id in await self._queue.preview(_OF_NONE, answer_totals.find_wrong):
            correct = partial(answer_totals.correct, organization_id=organization_id)
            await self._queue.write(organization_id, correct, is_background=True)
        for organization_id in organization_ids:
            remove = partial(self._remove_some, organization_id)
            removed = _REMOVED_AT_ONCE
            while removed >= _REMOVED_AT_ONCE:  # essential, since it makes room on the disk
                removed = await self._queue.write(
                    organization_id, remove, is_background=True, is_essential=True
                )

    def _run(
        self,
        unit: UnitOfWork,
        request: IdempotentRequest,
        caller: Caller,
        work: Callable[[UnitOfWork], T],
        answer_of: Callable[[T], Answer],
    ) -> T | Answer:
        if (stored := self._find(unit, request, caller)) is not None:
            return stored
        self._make_room(unit, caller.organization_id)
        result = work(unit)
        answer = answer_of(result)
        if answer.status in _SUCCESSES:
            self._store(unit, request, caller, answer)
        return result

    def _find(self, unit: UnitOfWork, request: IdempotentRequest, caller: Caller) -> Answer | None:
        """The stored answer; None if there is none. One that has expired is removed."""
        organization_id = caller.organization_id
        unit.log_head(organization_id)  # locks the organization
        row = unit.execute(_FIND, _key_of(request, caller)).one_or_none()
        if row is None:
            return None
        if row.answered_at <= self._oldest(unit, organization_id):
            key = _key_of(request, caller)
            _remove(unit, organization_id, *(answers.c[name] == key[name] for name in key))
            return None
        # Rows of earlier releases have the bare digest, until they expire.
        if row.fingerprint not in (_keyed(unit, request, caller), request.fingerprint):
            raise IdempotencyKeyReused
        keys = unit.keys(organization_id)
        text = sealing.open_answer(keys, row.sealed, *_bound(request, caller))
        answer = msgspec.msgpack.decode(text, type=Answer)
        return msgspec.structs.replace(answer, headers=answer.headers | _REPLAYED)

    def _make_room(self, unit: UnitOfWork, organization_id: int) -> None:
        """Remove expired answers if there is no room for another; raise ``TooManyKeys``."""
        if not answer_totals.read(unit, organization_id).fill(self._most):
            return
        self._remove_some(organization_id, unit)
        totals = answer_totals.read(unit, organization_id)
        if totals.fill(self._most):
            lifetime = ceil(self._lifetime.total_seconds())
            wait = self._until_room(unit, organization_id, totals) or lifetime
            raise TooManyKeys(self._most, lifetime=lifetime, wait=wait)

    def _until_room(self, unit: UnitOfWork, organization_id: int, totals: Totals) -> int | None:
        """Seconds until enough of the oldest answers expire; None if these are very many."""
        moment, size = answers.c.answered_at, sa.func.length(answers.c.sealed)
        query = rows_of(answers, organization_id, moment, size).order_by(moment)
        rows: Any = unit.execute(query.limit(_REMOVED_AT_ONCE))
        for answered_at, gone in rows:
            totals = Totals(totals.answers - 1, totals.size - gone)
            if not totals.fill(self._most):
                left: int = answered_at - self._oldest(unit, organization_id)
                return max(1, ceil(left / _SECOND))
        return None

    def _store(
        self, unit: UnitOfWork, request: IdempotentRequest, caller: Caller, answer: Answer
    ) -> None:
        organization_id = caller.organization_id
        text = msgspec.msgpack.encode(answer)
        sealed = sealing.seal_answer(unit.keys(organization_id), text, *_bound(request, caller))
        row = _key_of(request, caller) | {
            "fingerprint": _keyed(unit, request, caller),
            "sealed": sealed,
            "answered_at": to_micros(self._clock()),
        }
        unit.execute(_INSERT, row)
        answer_totals.add(unit, organization_id, Totals(1, len(sealed)))

    def _remove_some(self, organization_id: int, unit: UnitOfWork) -> int:
        """Remove the first expired answers; return how many there were."""
        moment = answers.c.answered_at
        until = self._oldest(unit, organization_id)
        last = (
            rows_of(answers, organization_id, moment)
            .where(moment <= until)
            .order_by(moment)
            .offset(_REMOVED_AT_ONCE - 1)
            .limit(1)
        )
        last_moment = unit.execute(last).scalar_one_or_none()
        return _remove(unit, organization_id, moment <= (last_moment or until))

    def _oldest(self, unit: UnitOfWork, organization_id: int) -> int:
        """Answers up to this moment have expired. A clock set ahead must not make a retry run."""
        return to_micros(unit.longer_ago(organization_id, self._lifetime))


def _remove(unit: UnitOfWork, organization_id: int, *conditions: sa.ColumnElement[bool]) -> int:
    """Remove answers; return how many there were."""
    gone = answer_totals.count(unit, organization_id, *conditions)
    if gone.answers:
        is_theirs = answers.c.organization_id == organization_id
        unit.execute(sa.delete(answers).where(is_theirs, *conditions))
        answer_totals.add(unit, organization_id, Totals(-gone.answers, -gone.size))
    return gone.answers


def _keyed(unit: UnitOfWork, request: IdempotentRequest, caller: Caller) -> bytes:
    """A fingerprint as it is stored: with a copy of the database, nobody can test guessed bodies.

    Its key is derived from the pepper, as that of the answers is; rotation and erasure keep it.
    """
    pepper = unit.keys(caller.organization_id).pepper
    key = hmac.digest(pepper.secret, b"backstory request fingerprints", "sha256")
    return hmac.digest(key, request.fingerprint, "sha256")


def _key_of(request: IdempotentRequest, caller: Caller) -> dict[str, Any]:
    """The primary key of the answer to a request."""
    return {
        "organization_id": caller.organization_id,
        "caller": _caller_id(caller),
        "idempotency_key": request.key,
    }


def _bound(request: IdempotentRequest, caller: Caller) -> tuple[str | int, ...]:
    return (
        caller.organization_id,
        _caller_id(caller),
        request.key,
        request.fingerprint.hex(),
    )


def _caller_id(caller: Caller) -> str:
    return f"{caller.actor.type}:{caller.actor.id}"
