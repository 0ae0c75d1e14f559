"""Reveal and erase secrets, and rotate the keys that seal them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app import log
from app.assistants import states
from app.vault.store import (
    assistants_with_secrets,
    count_secrets,
    destroy_all_secrets,
    destroy_secrets,
    existing_secrets,
    renew_data_key,
)
from events.changed import NOTHING, Cause, SecretKeysRotated
from events.commands import EraseSecrets
from events.errors import DomainError
from events.secrets.references import is_erased, places
from events.upcasters import UPCASTERS
from projections import current

if TYPE_CHECKING:
    import sqlalchemy as sa

    from app.transactions.caller import Caller
    from app.transactions.unit_of_work import UnitOfWork
    from events.changed import State

_AT_ONCE = 16  # assistants; each may take 2 MiB
MOST_ROTATED = 20_000


class TooManySecrets(DomainError):
    """An organization has more sealed values than can be sealed again while others wait."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count


def reveal(
    unit: UnitOfWork,
    caller: Caller,
    assistant_id: int,
    paths: tuple[str, ...],
    reason: str | None,
    state: State | None = None,
) -> dict[str, str | int | float]:
    """The values of the secrets at or below the paths. The reading is recorded as an event.

    ``state`` is a past one; None for the current one. From now on the log leaves these values out.
    """
    values = unit.reveal(caller, assistant_id, paths, reason, state)
    log.REVEALED.remember(values.values())
    return values


def erase_assistant(
    unit: UnitOfWork, caller: Caller, assistant_id: int, reason: str | None, cause: Cause
) -> int:
    """Destroy the sealed values of an assistant, deleted or not; return how many there were.

    An event is recorded if there were any, or if there is a secret that was never sealed, which
    cannot be revealed afterwards.
    """
    key = caller.assistant_key(assistant_id)
    state = states.existing_or_deleted(unit, key)
    sealed = unit.read(existing_secrets, *key)
    if sealed or _has_readable(state):
        unit.handle(caller, assistant_id, EraseSecrets(cause=cause), reason)
        unit.write(destroy_secrets, *key)
    return len(sealed)


def portions(assistant_ids: list[int]) -> list[list[int]]:
    """The assistants whose secrets are erased together, so that no transaction is long."""
    starts = range(0, len(assistant_ids), _AT_ONCE)
    return [assistant_ids[start : start + _AT_ONCE] for start in starts]


def erase_organization(unit: UnitOfWork, caller: Caller, reason: str | None, cause: Cause) -> int:
    """Destroy every sealed value of an organization, and the keys that sealed them."""
    organization_id = caller.organization_id
    unit.log_head(organization_id)  # lock it first, so that no assistant gets secrets meanwhile
    count = sum(
        erase_assistant(unit, caller, assistant_id, reason, cause)
        for assistant_id in unit.read(with_secrets, organization_id)
    )
    unit.renew_keys(
        organization_id,
        lambda connection: destroy_all_secrets(
            connection, unit.vault, organization_id, unit.clock()
        ),
    )
    return count


def rotate(unit: UnitOfWork, caller: Caller, *, data_keys: bool) -> None:
    """Wrap the organization's keys under the newest master key.

    ``data_keys`` also makes a new data key, and seals every secret under it.
    """
    organization_id = caller.organization_id

    def renew(connection: sa.Connection) -> None:
        unit.vault.rewrap(connection, organization_id)
        if data_keys:
            renew_data_key(connection, unit.vault, organization_id, unit.clock())

    unit.renew_keys(organization_id, renew)
    unit.record(caller, SecretKeysRotated, data_keys=data_keys)


def check_count(unit: UnitOfWork, organization_id: int) -> None:
    """Raise ``TooManySecrets`` where a rotation of data keys would take long."""
    count = unit.read(count_secrets, organization_id)
    if count > MOST_ROTATED:
        raise TooManySecrets(count)


def with_secrets(connection: sa.Connection, organization_id: int) -> list[int]:
    """The assistants with readable secrets, sealed or not; deleted ones too."""
    sealed = assistants_with_secrets(connection, organization_id)
    if not any(upcaster.made_secret for upcaster in UPCASTERS):
        return sealed  # without a look at every assistant
    selections = (current.Selection(deleted=deleted) for deleted in (False, True))
    ids = [
        assistant_id
        for selection in selections
        for assistant_id in current.select_stamps(connection, organization_id, selection)[0]
    ]
    readable = (
        assistant_id
        for assistant_id in ids
        if _has_readable(current.load(connection, organization_id, assistant_id) or NOTHING)
    )
    return sorted({*sealed, *readable})


def _has_readable(state: State) -> bool:
    return any(
        not is_erased(place.reference, state.erased_version) for place in places(state.settings)
    )
