"""Failed logins are recorded as ``LoginRefused`` events of their organization, up to a limit.

Guessing keys must not fill the disk: an organization records a few failures at once, then one a
minute; each event says how many went unrecorded since the one before it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from msgspec import Struct, structs

from app.transactions.caller import system
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
    """A request with an unknown or revoked key."""

    key: RejectedKey
    key_prefix: str
    ip_address: str | None
    request_id: str


class _Allowance(Struct):
    left: float
    at: datetime
    unrecorded: int = 0
    last: FailedLogin | None = None  # the last unrecorded one

    def take(self, now: datetime) -> bool:
        regained = (now - self.at).total_seconds() / _SECONDS_EACH
        self.left = min(self.left + max(regained, 0), _AT_ONCE)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class FailedLogins:
    """Records failed logins in the background; the response does not wait for it."""

    def __init__(self, writer: WriteQueue, clock: Callable[[], datetime]) -> None:
        self._writer = writer
        self._clock = clock
        # One for all unknown keys of an organization, and one for each revoked key.
        self._allowances: dict[tuple[int, int | None], _Allowance] = {}
        self._recording: set[asyncio.Task[None]] = set()

    def note(self, login: FailedLogin) -> None:
        """Record a failed login, or only count it when there were too many."""
        now = self._clock()
        source = (login.key.organization_id, login.key.key_id)
        allowance = self._allowances.setdefault(source, _Allowance(_AT_ONCE, now))
        if allowance.take(now):
            self._start(login, allowance)
        else:
            allowance.unrecorded += 1
            allowance.last = login

    async def settle(self) -> None:
        """Record failed logins that were only counted, as far as the limit allows now."""
        now = self._clock()
        for allowance in self._allowances.values():
            if allowance.last is not None and allowance.take(now):
                self._start_last(allowance)

    def _start_last(self, allowance: _Allowance) -> None:
        if allowance.last is not None:
            allowance.unrecorded -= 1
            self._start(allowance.last, allowance)

    def _start(self, login: FailedLogin, allowance: _Allowance) -> None:
        unrecorded, allowance.unrecorded, allowance.last = allowance.unrecorded, 0, None
        task = asyncio.create_task(self._record(login, unrecorded, allowance))
        self._recording.add(task)
        task.add_done_callback(self._recording.discard)

    async def drain(self) -> None:
        """Record what was only counted, and wait until all is recorded."""
        for allowance in self._allowances.values():
            self._start_last(allowance)
        await asyncio.gather(*self._recording)

    async def _record(self, login: FailedLogin, unrecorded: int, allowance: _Allowance) -> None:
        organization_id = login.key.organization_id
        caller = structs.replace(
            system(organization_id, "authentication"), request_id=login.request_id
        )

        def work(unit: UnitOfWork) -> None:
            unit.record(
                caller,
                LoginRefused,
                key_id=login.key.key_id,
                key_prefix=login.key_prefix,
                ip_address=login.ip_address,
                unrecorded=unrecorded,
            )

        try:
            await self._writer.write(organization_id, work, is_background=True)
        except Exception as error:  # noqa: BLE001  # the response is out: log it and go on
            allowance.unrecorded += unrecorded + 1
            allowance.last = login
            _log.warning("refusal_not_recorded", error=f"{type(error).__name__}: {error}")
