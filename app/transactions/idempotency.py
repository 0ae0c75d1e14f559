"""``Idempotency-Key``: the same request, sent again, gets the answer that it got, and does nothing.

The answer is stored in the transaction of what it answers, so that a crash between the commit and
the answer cannot make a retry do it twice. Answers are sealed: one may show a new API key.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa
from litestar import Response
from msgspec import Struct

from app.storage.tables import answers
from app.vault import store
from events.errors import DomainError
from events.tables import rows_of, to_micros

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from app.transactions.unit_of_work import Caller, UnitOfWork
    from app.transactions.write_queue import WriteQueue

    Work = Callable[[UnitOfWork], Response[bytes]]

_REPLAYED = {"idempotent-replayed": "true"}
_SUCCESSES = range(200, 300)


class IdempotencyKeyReused(DomainError):
    """The key came with another request before."""


class RequestRunning(DomainError):
    """The same request is being carried out at this moment."""


class IdempotentRequest(Struct, frozen=True, kw_only=True):
    """A request that must not be carried out twice."""

    key: str
    fingerprint: bytes


class _Answer(Struct, frozen=True, kw_only=True):
    status: int
    media_type: str
    headers: dict[str, str]
    body: bytes


def fingerprint(method: str, target: str, content_type: str, body: bytes) -> bytes:
    """What tells one request from another. It is stored only under a key: see ``_keyed``."""
    text = msgspec.json.encode([method, target, content_type])
    return hashlib.sha256(text + b"\n" + body).digest()


class Idempotency:
    """Carries requests out, each with a key once."""

    def __init__(
        self, writer: WriteQueue, clock: Callable[[], datetime], lifetime: timedelta
    ) -> None:
        self._writer = writer
        self._clock = clock
        self._lifetime = lifetime
        self._running: set[tuple[int, str, str]] = set()

    async def carry_out(
        self, caller: Caller, once: IdempotentRequest | None, work: Work
    ) -> Response[bytes]:
        """The answer of the work, or the one that the same request got before.

        Raises ``IdempotencyKeyReused`` and ``RequestRunning``. What is refused is not kept: it
        changed nothing, and may be granted the next time.
        """
        if once is None:
            return await self._writer.write(caller.organization_id, work)
        running = (caller.organization_id, _named(caller), once.key)
        if running in self._running:
            raise RequestRunning
        self._running.add(running)
        try:
            return await self._writer.write(
                caller.organization_id, lambda unit: self._once(unit, caller, once, work)
            )
        finally:
            self._running.discard(running)

    async def forget(self, organization_ids: list[int]) -> None:
        """Remove the answers that are older than their lifetime."""
        for organization_id in organization_ids:
            await self._writer.write(organization_id, partial(self._forget, organization_id))

    def _once(
        self, unit: UnitOfWork, caller: Caller, once: IdempotentRequest, work: Work
    ) -> Response[bytes]:
        unit.counter(caller.organization_id)
        row = unit.connection.execute(
            rows_of(answers, caller.organization_id).where(*_is(caller, once))
        ).one_or_none()
        if row is not None and row.answered_at > self._oldest(unit, caller.organization_id):
            # Rows of earlier releases have the bare digest, until they expire.
            if row.fingerprint not in (_keyed(unit, caller, once), once.fingerprint):
                raise IdempotencyKeyReused
            return _replay(unit, caller, once, row.sealed)
        response = work(unit)
        if response.status_code in _SUCCESSES:
            self._keep(unit, caller, once, response)
        return response

    def _keep(
        self, unit: UnitOfWork, caller: Caller, once: IdempotentRequest, response: Response[bytes]
    ) -> None:
        answer = _Answer(
            status=response.status_code or 200,
            media_type=str(response.media_type or ""),
            headers=dict(response.headers),
            body=response.content,
        )
        place = sa.delete(answers).where(
            answers.c.organization_id == caller.organization_id, *_is(caller, once)
        )
        unit.connection.execute(place)
        row = {
            "organization_id": caller.organization_id,
            "caller": _named(caller),
            "idempotency_key": once.key,
            "fingerprint": _keyed(unit, caller, once),
            "sealed": store.seal_answer(
                unit.keys(caller.organization_id), msgspec.msgpack.encode(answer),
                *_bound(caller, once),
            ),
            "answered_at": to_micros(self._clock()),
        }  # fmt: skip
        unit.connection.execute(sa.insert(answers), [row])

    def _forget(self, organization_id: int, unit: UnitOfWork) -> None:
        unit.connection.execute(
            sa.delete(answers).where(
                answers.c.organization_id == organization_id,
                answers.c.answered_at <= self._oldest(unit, organization_id),
            )
        )

    def _oldest(self, unit: UnitOfWork, organization_id: int) -> int:
        """Forgotten, an answer would let a retry run twice: it must be as old as it seems."""
        return to_micros(unit.longer_ago(organization_id, self._lifetime))


def _keyed(unit: UnitOfWork, caller: Caller, once: IdempotentRequest) -> bytes:
    """A fingerprint as it is stored: a copy of the database confirms no guess of a body with it.

    The key is made of the pepper, as that of the answers is, and outlives rotation and erasure.
    """
    pepper = unit.keys(caller.organization_id).pepper
    key = hmac.digest(pepper.secret, b"backstory request fingerprints", "sha256")
    return hmac.digest(key, once.fingerprint, "sha256")


def _replay(
    unit: UnitOfWork, caller: Caller, once: IdempotentRequest, sealed: bytes
) -> Response[bytes]:
    text = store.open_answer(unit.keys(caller.organization_id), sealed, *_bound(caller, once))
    answer = msgspec.msgpack.decode(text, type=_Answer)
    return Response(
        answer.body,
        status_code=answer.status,
        media_type=answer.media_type,
        headers=answer.headers | _REPLAYED,
    )


def _is(caller: Caller, once: IdempotentRequest) -> tuple[sa.ColumnElement[bool], ...]:
    return (answers.c.caller == _named(caller), answers.c.idempotency_key == once.key)


def _bound(caller: Caller, once: IdempotentRequest) -> tuple[str | int, ...]:
    return (caller.organization_id, _named(caller), once.key, once.fingerprint.hex())


def _named(caller: Caller) -> str:
    return f"{caller.actor.type}:{caller.actor.id}"
