"""What callers and operators do with secrets: read back, erase, rotate, purge.

The functions work in the transaction of a ``UnitOfWork``, so that the server and the command line
share them.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from msgspec import Struct

from app.assistants import changes
from app.transactions.unit_of_work import system
from app.vault import store
from events.changed import NOTHING, Cause, SecretKeysRotated
from events.commands import EraseSecrets
from events.secrets.references import is_erased, places
from events.upcasters import UPCASTERS
from projections import current

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from app.log import Revealed
    from app.storage.database import Database
    from app.transactions.unit_of_work import Caller, UnitOfWork
    from app.transactions.write_queue import WriteQueue
    from events.changed import State


_log = structlog.get_logger(__name__)


def erase_assistant(
    unit: UnitOfWork, caller: Caller, assistant_id: int, reason: str | None, cause: Cause
) -> int:
    """Destroy an assistant's sealed values; how many there were. Living or deleted.

    Where there are none, nothing is recorded, unless there is a secret that was never sealed: it
    is revealed no more.
    """
    state = changes.living_or_deleted(unit, caller, assistant_id)
    unit.flush()
    there = store.existing(unit.connection, caller.organization_id, assistant_id)
    if there or _has_readable(state):
        unit.handle(caller, assistant_id, EraseSecrets(cause=cause), reason)
        store.destroy(unit.connection, caller.organization_id, assistant_id)
    return len(there)


def erase_organization(unit: UnitOfWork, caller: Caller, reason: str | None, cause: Cause) -> int:
    """Destroy every sealed value of an organization, and the keys that sealed them."""
    organization_id = caller.organization_id
    unit.counter(organization_id)  # locks: who has secrets is not to change from here on
    unit.flush()
    count = sum(
        erase_assistant(unit, caller, assistant_id, reason, cause)
        for assistant_id in _with_secrets(unit, organization_id)
    )
    unit.renew_keys(
        organization_id,
        lambda: unit.vault.destroy_all(unit.connection, organization_id, unit.clock()),
    )
    return count


def rotate(unit: UnitOfWork, caller: Caller, *, data_keys: bool) -> None:
    """Wrap the organization's keys under the newest master key; on demand, seal anew as well."""
    organization_id = caller.organization_id

    def renew() -> None:
        unit.vault.rewrap(unit.connection, organization_id)
        if data_keys:
            unit.vault.renew_data_key(unit.connection, organization_id, unit.clock())

    unit.renew_keys(organization_id, renew)
    unit.record(caller, SecretKeysRotated, data_keys=data_keys)


class Purged(Struct, frozen=True, kw_only=True):
    """How many values were destroyed, and of how many assistants they wait for proof of time."""

    count: int
    doubted: int


def purge(organization_id: int, grace: timedelta, unit: UnitOfWork) -> Purged:
    """Destroy the secrets of assistants that were deleted longer ago than the grace time.

    Those that only an implausible clock calls so old wait.
    """
    unit.counter(organization_id)  # locks: who is deleted is not to be restored from here on
    unit.flush()
    believed = unit.longer_ago(organization_id, grace)
    unit.save_time(organization_id)
    said = _deleted_before(unit, organization_id, unit.clock() - grace)
    due = [
        one
        for one in said
        if current.deleted_before(unit.connection, organization_id, one, believed)
    ]
    caller, cause = system(organization_id, "purge"), Cause(type="purge")
    count = sum(erase_assistant(unit, caller, assistant_id, None, cause) for assistant_id in due)
    return Purged(count=count, doubted=len(said) - len(due))


def _deleted_before(unit: UnitOfWork, organization_id: int, moment: datetime) -> list[int]:
    """The assistants with secrets that were deleted before a moment."""
    return [
        assistant_id
        for assistant_id in _with_secrets(unit, organization_id)
        if current.deleted_before(unit.connection, organization_id, assistant_id, moment)
    ]


def _with_secrets(unit: UnitOfWork, organization_id: int) -> list[int]:
    """The assistants with secrets that can be read, sealed or not; deleted ones too."""
    sealed = store.with_secrets(unit.connection, organization_id)
    if not any(upcaster.made_secret for upcaster in UPCASTERS):
        return sealed  # without a look at every assistant
    some = (current.Selection(deleted=deleted) for deleted in (False, True))
    place = (unit.connection, organization_id)
    ids = [one for chosen in some for one in current.select_stamps(*place, chosen)]
    plain = (one for one in ids if _has_readable(current.load(*place, one) or NOTHING))
    return sorted({*sealed, *plain})


def _has_readable(state: State) -> bool:
    found = places(state.settings)
    return any(not is_erased(one.reference, state.erased_version) for one in found)


class Secrets:
    """The secrets of the caller's organization, over HTTP."""

    def __init__(self, database: Database, writer: WriteQueue, revealed: Revealed) -> None:
        self._database = database
        self._writer = writer
        self._revealed = revealed

    async def reveal(
        self, caller: Caller, assistant_id: int, paths: tuple[str, ...], reason: str | None
    ) -> dict[str, Any]:
        """The values at or below the paths; the reading is recorded before it is answered."""
        values = await self._writer.write(
            caller.organization_id,
            lambda unit: unit.reveal(caller, assistant_id, paths, reason),
        )
        self._revealed.remember(values.values())
        return values

    async def purge(self, organization_ids: list[int], grace: timedelta) -> int:
        """Purge each organization in a transaction of its own; how many values were destroyed."""
        count = 0
        for organization_id in organization_ids:
            work = partial(purge, organization_id, grace)
            purged = await self._writer.write(organization_id, work)
            count += purged.count
            if purged.doubted:
                _log.warning(
                    "purge_waits",
                    organization=organization_id,
                    assistants=purged.doubted,
                    reason="the clock is further ahead than the servers have seen time pass",
                    advice="if the clock is right: backstory vault purge --confirm-clock",
                )
        await self.scrub()
        return count

    async def scrub(self) -> bool:
        """Take the bytes of what was destroyed out of the files; they are there until this is True.

        Whether there are any stands in the database, so that a process that died leaves it to the
        next one.
        """
        is_done = await self._database.scrub()
        if not is_done:
            _log.warning("scrub_is_due", advice="a long reader holds the log of writes")
        return is_done
