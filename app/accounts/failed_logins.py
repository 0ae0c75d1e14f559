"""Failed logins are recorded as ``LoginRefused`` events of their organization, up to a limit.

Guessing keys must not fill the disk. Of all unknown keys of an organization, and of each revoked
key, ten failures are recorded at once, then one a minute; of all of these together 100, then ten a
minute. Each event says how many went unrecorded since the one before it.
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

_AT_ONCE, _SECONDS_EACH = 10, 60.0
_OF_ORGANIZATION_AT_ONCE, _OF_ORGANIZATION_SECONDS_EACH = 100, 6.0
_log = structlog.get_logger(__name__)


class FailedLogin(Struct, frozen=True, kw_only=True):
    """A request with an unknown or revoked key."""

    key: RejectedKey
    key_prefix: str
    ip_address: str | None
    request_id: str


class _Allowance(Struct):
    """How many failed logins may be recorded now."""

    most: int
    seconds_each: float
    left: float
    at: datetime

    def is_full(self, now: datetime) -> bool:
        regained = (now - self.at).total_seconds() / self.seconds_each
        self.left = min(self.left + max(regained, 0), self.most)
        self.at = now
        return self.left >= self.most

    def take(self, now: datetime) -> bool:
        self.is_full(now)
        if self.left < 1:
            return False
        self.left -= 1
        return True


class _Source(Struct):
    """All unknown keys of an organization, or one revoked key."""

    allowance: _Allowance
    organization: _Allowance  # of all sources together
    unrecorded: int = 0
    last: FailedLogin | None = None  # the last unrecorded one

    def take(self, now: datetime) -> bool:
        return self.allowance.take(now) and self.organization.take(now)

    def is_idle(self, now: datetime) -> bool:
        """Whether it is as if it were new."""
        return self.last is None and self.allowance.is_full(now)


class FailedLogins:
    """Records failed logins in the background; the response does not wait for it."""

    def __init__(self, writer: WriteQueue, clock: Callable[[], datetime]) -> None:
        self._writer = writer
        self._clock = clock
        self._sources: dict[tuple[int, int | None], _Source] = {}
        self._organizations: dict[int, _Allowance] = {}
        self._recording: set[asyncio.Task[None]] = set()

    def note(self, login: FailedLogin) -> None:
        """Record a failed login, or only count it when there were too many."""
        now = self._clock()
        source = self._source(login.key, now)
        if source.take(now):
            self._start(login, source)
        else:
            source.unrecorded += 1
            source.last = login

    def _source(self, key: RejectedKey, now: datetime) -> _Source:
        name = (key.organization_id, key.key_id)
        if (source := self._sources.get(name)) is None:
            source = self._sources[name] = _Source(
                _Allowance(_AT_ONCE, _SECONDS_EACH, _AT_ONCE, now),
                self._organization(key.organization_id, now),
            )
        return source

    def _organization(self, organization_id: int, now: datetime) -> _Allowance:
        most, seconds_each = _OF_ORGANIZATION_AT_ONCE, _OF_ORGANIZATION_SECONDS_EACH
        new = _Allowance(most, seconds_each, most, now)
        return self._organizations.setdefault(organization_id, new)

    async def settle(self) -> None:
        """Record failed logins that were only counted, as far as the limits allow now."""
        now = self._clock()
        for source in self._sources.values():
            if source.last is not None and source.take(now):
                self._start_last(source)
        self._sources = {name: s for name, s in self._sources.items() if not s.is_idle(now)}
        used = {organization_id for organization_id, _ in self._sources}
        for organization_id in self._organizations.keys() - used:
            if self._organizations[organization_id].is_full(now):
                del self._organizations[organization_id]

    def _start_last(self, source: _Source) -> None:
        if source.last is not None:
            source.unrecorded -= 1
            self._start(source.last, source)

    def _start(self, login: FailedLogin, source: _Source) -> None:
        unrecorded, source.unrecorded, source.last = source.unrecorded, 0, None
        task = asyncio.create_task(self._record(login, unrecorded, source))
        self._recording.add(task)
        task.add_done_callback(self._recording.discard)

    async def drain(self) -> None:
        """Record what was only counted, and wait until all is recorded."""
        for source in self._sources.values():
            self._start_last(source)
        await asyncio.gather(*self._recording)

    async def _record(self, login: FailedLogin, unrecorded: int, source: _Source) -> None:
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
            source.unrecorded += unrecorded + 1
            source.last = login
            self._sources.setdefault((organization_id, login.key.key_id), source)
            _log.warning("refusal_not_recorded", error=f"{type(error).__name__}: {error}")
