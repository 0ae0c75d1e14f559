"""``Idempotency-Key``: a request that is sent again gets its first answer, and changes nothing.

The answer is stored in the transaction of the request's own changes, so that a crash after the
commit cannot make a retry change things twice. Answers are sealed: one may hold a new API key.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from app.storage.tables import answers
from app.vault import sealing
from events.errors import DomainError
from events.tables import rows_of, to_micros

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from app.transactions.caller import Caller
    from app.transactions.unit_of_work import UnitOfWork
    from app.transactions.write_queue import WriteQueue

T = TypeVar("T")

_REPLAYED = {"idempotent-replayed": "true"}
_SUCCESSES = range(200, 300)
_REMOVED_AT_ONCE = 100  # expired answers: one may hold as much as an assistant


class IdempotencyKeyReused(DomainError):
    """The key came with another request before."""


class RequestRunning(DomainError):
    """A request with this key is running at this moment."""


class IdempotentRequest(Struct, frozen=True, kw_only=True):
    """A request with an idempotency key; it may change things once only."""

    key: str
    fingerprint: bytes
    """``fingerprint`` of the request: the same key with another one is an error."""


class Answer(Struct, frozen=True, kw_only=True):
    """A rendered answer. Its members are stored: keep their names and types."""

    status: int
    media_type: str
    headers: dict[str, str]
    body: bytes


def fingerprint(method: str, target: str, content_type: str, body: bytes) -> bytes:
    """SHA-256 over what makes two requests the same one. Stored only under a key: ``_keyed``."""
    text = msgspec.json.encode([method, target, content_type])
    return hashlib.sha256(text + b"\n" + body).digest()


class Idempotency:
    """Runs requests with a key through the write queue, each once only."""

    def __init__(
        self, queue: WriteQueue, clock: Callable[[], datetime], lifetime: timedelta
    ) -> None:
        self._queue = queue
        self._clock = clock
        self._lifetime = lifetime
        self._running: set[tuple[int, str, str]] = set()

    async def run(
        self,
        request: IdempotentRequest,
        caller: Caller,
        work: Callable[[UnitOfWork], T],
        render: Callable[[T], Answer],
        size: int = 0,
        *,
        is_alone: bool = False,
        is_essential: bool = False,
    ) -> Answer:
        """Run ``work`` in a write transaction: the rendered result, once it is durable.

        A repeated request gets the stored answer instead. ``render`` runs inside the transaction,
        because its bytes are stored there. Only answers of 2xx are stored: an error changed
        nothing, and a retry may succeed. Raises ``IdempotencyKeyReused`` and ``RequestRunning``.
        """
        running = (caller.organization_id, _caller_id(caller), request.key)
        if running in self._running:
            raise RequestRunning
        self._running.add(running)
        try:
            return await self._queue.write(
                caller.organization_id,
                lambda unit: self._run(unit, request, caller, work, render),
                size,
                is_alone=is_alone,
                is_essential=is_essential,
            )
        finally:
            self._running.discard(running)

    async def is_answered(self, request: IdempotentRequest, caller: Caller) -> bool:
        """Whether an answer is stored. Raises ``IdempotencyKeyReused``."""
        return await self._queue.write(
            caller.organization_id, lambda unit: self._find(unit, request, caller) is not None
        )

    async def remove_expired(self, organization_ids: list[int]) -> None:
        """Remove the answers that are older than their lifetime."""
        for organization_id in organization_ids:
            remove = partial(self._remove_expired, organization_id)
            while await self._queue.write(organization_id, remove, is_background=True):
                pass

    def _run(
        self,
        unit: UnitOfWork,
        request: IdempotentRequest,
        caller: Caller,
        work: Callable[[UnitOfWork], T],
        render: Callable[[T], Answer],
    ) -> Answer:
        if (stored := self._find(unit, request, caller)) is not None:
            return stored
        answer = render(work(unit))
        if answer.status in _SUCCESSES:
            self._store(unit, request, caller, answer)
        return answer

    def _find(self, unit: UnitOfWork, request: IdempotentRequest, caller: Caller) -> Answer | None:
        """The stored answer; None if there is none, or it has expired."""
        unit.log_head(caller.organization_id)  # locks the organization
        query = rows_of(answers, caller.organization_id).where(*_matches(request, caller))
        row = unit.execute(query).one_or_none()
        if row is None or row.answered_at <= self._oldest(unit, caller.organization_id):
            return None
        # Rows of earlier releases have the bare digest, until they expire.
        if row.fingerprint not in (_keyed(unit, request, caller), request.fingerprint):
            raise IdempotencyKeyReused
        keys = unit.keys(caller.organization_id)
        text = sealing.open_answer(keys, row.sealed, *_bound(request, caller))
        answer = msgspec.msgpack.decode(text, type=Answer)
        return msgspec.structs.replace(answer, headers=answer.headers | _REPLAYED)

    def _store(
        self, unit: UnitOfWork, request: IdempotentRequest, caller: Caller, answer: Answer
    ) -> None:
        organization_id = caller.organization_id
        text = msgspec.msgpack.encode(answer)
        row = {
            "organization_id": organization_id,
            "caller": _caller_id(caller),
            "idempotency_key": request.key,
            "fingerprint": _keyed(unit, request, caller),
            "sealed": sealing.seal_answer(
                unit.keys(organization_id), text, *_bound(request, caller)
            ),
            "answered_at": to_micros(self._clock()),
        }
        expired = sa.delete(answers).where(
            answers.c.organization_id == organization_id, *_matches(request, caller)
        )
        unit.execute(expired)
        unit.execute(sa.insert(answers), row)

    def _remove_expired(self, organization_id: int, unit: UnitOfWork) -> bool:
        """Remove some expired answers: whether there may be more."""
        key = (answers.c.caller, answers.c.idempotency_key)
        is_expired = answers.c.answered_at <= self._oldest(unit, organization_id)
        some = rows_of(answers, organization_id, *key).where(is_expired).limit(_REMOVED_AT_ONCE)
        removed = sa.delete(answers).where(
            answers.c.organization_id == organization_id, sa.tuple_(*key).in_(some)
        )
        return unit.execute(removed).rowcount == _REMOVED_AT_ONCE

    def _oldest(self, unit: UnitOfWork, organization_id: int) -> int:
        """Answers up to this moment have expired. A clock set ahead must not make a retry run."""
        return to_micros(unit.longer_ago(organization_id, self._lifetime))


def _keyed(unit: UnitOfWork, request: IdempotentRequest, caller: Caller) -> bytes:
    """A fingerprint as it is stored: with a copy of the database, nobody can test guessed bodies.

    Its key is derived from the pepper, as that of the answers is; rotation and erasure keep it.
    """
    pepper = unit.keys(caller.organization_id).pepper
    key = hmac.digest(pepper.secret, b"backstory request fingerprints", "sha256")
    return hmac.digest(key, request.fingerprint, "sha256")


def _matches(request: IdempotentRequest, caller: Caller) -> tuple[sa.ColumnElement[bool], ...]:
    return (answers.c.caller == _caller_id(caller), answers.c.idempotency_key == request.key)


def _bound(request: IdempotentRequest, caller: Caller) -> tuple[str | int, ...]:
    return (
        caller.organization_id,
        _caller_id(caller),
        request.key,
        request.fingerprint.hex(),
    )


def _caller_id(caller: Caller) -> str:
    return f"{caller.actor.type}:{caller.actor.id}"
