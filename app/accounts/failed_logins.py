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

from app.buckets import Buckets
from app.limits import Rate
from app.transactions.caller import system
from events.changed import LoginRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.accounts.principals import RejectedKey
    from app.transactions.unit_of_work import UnitOfWork
    from app.transactions.write_queue import WriteQueue

_Source = tuple[int, int | None]  # an organization's revoked key, or all unknown keys of it
_log = structlog.get_logger(__name__)


class FailedLogin(Struct, frozen=True, kw_only=True):
    """A request with an unknown or revoked key."""

    key: RejectedKey
    key_prefix: str
    ip_address: str | None
    request_id: str


class _Unrecorded(Struct):
    """The failures of a source that were only counted, and the last of them."""

    last: FailedLogin
    count: int = 0


class FailedLogins:
    """Records failed logins in the background; the response does not wait for it."""

    def __init__(self, writer: WriteQueue, monotonic: Callable[[], float]) -> None:
        self._writer = writer
        self._monotonic = monotonic
        self._of_sources = Buckets[_Source](Rate(count=1, seconds=60), at_once=10)
        self._of_organizations = Buckets[int](Rate(count=10, seconds=60), at_once=100)
        self._unrecorded: dict[_Source, _Unrecorded] = {}
        self._recording: set[asyncio.Task[None]] = set()

    def note(self, login: FailedLogin) -> None:
        """Record a failed login, or only count it when there were too many."""
        self._count(login, 1)
        self._record_if_allowed(_source(login))

    async def settle(self) -> None:
        """Record failed logins that were only counted, as far as the limits allow now."""
        for source in list(self._unrecorded):
            self._record_if_allowed(source)

    async def drain(self) -> None:
        """Record what was only counted, and wait until all is recorded."""
        for source in list(self._unrecorded):
            self._start(source)
        await asyncio.gather(*self._recording)

    def _count(self, login: FailedLogin, count: int) -> None:
        unrecorded = self._unrecorded.setdefault(_source(login), _Unrecorded(login))
        unrecorded.count += count
        unrecorded.last = login

    def _record_if_allowed(self, source: _Source) -> None:
        now = self._monotonic()
        if (
            self._of_sources.take(source, now) <= 0
            and self._of_organizations.take(source[0], now) <= 0
        ):
            self._start(source)

    def _start(self, source: _Source) -> None:
        unrecorded = self._unrecorded.pop(source)
        task = asyncio.create_task(self._record(unrecorded.last, unrecorded.count - 1))
        self._recording.add(task)
        task.add_done_callback(self._recording.discard)

    async def _record(self, login: FailedLogin, unrecorded: int) -> None:
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
            self._count(login, unrecorded + 1)
            _log.warning("refusal_not_recorded", error=f"{type(error).__name__}: {error}")


def _source(login: FailedLogin) -> _Source:
    return login.key.organization_id, login.key.key_id
