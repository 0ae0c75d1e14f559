"""Refused keys become events of their organization, a flood of them only in part.

Somebody who guesses must not fill the disk: each organization has a few events at once, and
then one a minute; each says how many refusals went unrecorded since the one before it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from msgspec import Struct

from app.transactions.unit_of_work import Caller, system
from events.changed import LoginRefused

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from app.accounts.principals import RejectedKey
    from app.transactions.unit_of_work import UnitOfWork
    from app.transactions.write_queue import WriteQueue

_AT_ONCE = 10
_SECONDS_EACH = 60.0
_log = structlog.get_logger(__name__)


class FailedLogin(Struct, frozen=True, kw_only=True):
    """A call with a key that is no good."""

    stranger: RejectedKey
    key_prefix: str
    ip_address: str | None
    request_id: str


class _Allowance(Struct):
    left: float
    at: datetime
    unrecorded: int = 0
    last: FailedLogin | None = None  # of those

    def take(self, now: datetime) -> bool:
        regained = (now - self.at).total_seconds() / _SECONDS_EACH
        self.left = min(self.left + max(regained, 0), _AT_ONCE)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class FailedLogins:
    """Records attempts behind the answer, which does not wait for it."""

    def __init__(self, writer: WriteQueue, clock: Callable[[], datetime]) -> None:
        self._writer = writer
        self._clock = clock
        # For each organization's unknown keys, and for each key that it revoked.
        self._allowances: dict[tuple[int, int | None], _Allowance] = {}
        self._recording: set[asyncio.Task[None]] = set()

    def note(self, attempt: FailedLogin) -> None:
        """Record an attempt, or count it where there were too many."""
        now = self._clock()
        who = attempt.stranger
        allowance = self._allowances.setdefault(
            (who.organization_id, who.key_id), _Allowance(_AT_ONCE, now)
        )
        if allowance.take(now):
            self._start(attempt, allowance)
        else:
            allowance.unrecorded += 1
            allowance.last = attempt

    async def settle(self) -> None:
        """Record what was only counted, as far as it may be by now."""
        now = self._clock()
        for allowance in self._allowances.values():
            if allowance.last is not None and allowance.take(now):
                self._start_last(allowance)

    def _start_last(self, allowance: _Allowance) -> None:
        if allowance.last is not None:
            allowance.unrecorded -= 1
            self._start(allowance.last, allowance)

    def _start(self, attempt: FailedLogin, allowance: _Allowance) -> None:
        unrecorded, allowance.unrecorded, allowance.last = allowance.unrecorded, 0, None
        task = asyncio.create_task(self._record(attempt, unrecorded, allowance))
        self._recording.add(task)
        task.add_done_callback(self._recording.discard)

    async def drain(self) -> None:
        """Record what was only counted, and wait for all that is being recorded."""
        for allowance in self._allowances.values():
            self._start_last(allowance)
        await asyncio.gather(*self._recording)

    async def _record(self, attempt: FailedLogin, unrecorded: int, allowance: _Allowance) -> None:
        who = system(attempt.stranger.organization_id, "authentication")
        caller = Caller(
            organization_id=who.organization_id, actor=who.actor, request_id=attempt.request_id
        )

        def work(unit: UnitOfWork) -> None:
            unit.record(
                caller,
                LoginRefused,
                key_id=attempt.stranger.key_id,
                key_prefix=attempt.key_prefix,
                ip_address=attempt.ip_address,
                unrecorded=unrecorded,
            )

        try:
            await self._writer.write(who.organization_id, work)
        except Exception as error:  # noqa: BLE001  # the answer is out: say it, and go on
            allowance.unrecorded += unrecorded + 1
            allowance.last = attempt
            _log.warning("refusal_not_recorded", error=f"{type(error).__name__}: {error}")
