"""Phone numbers of an organization: add and rename them, assign them, and find who answers one.

An assistant is found by a number with ``resolve``, now or at a past moment. Each change is an event
of the organization's log; what changes nothing is none.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from app.assistants import states
from app.assistants.review import check_condition
from app.pages import Page, page_of
from events import codec, log_search
from events.changed import (
    Actor,
    PhoneNumberAdded,
    PhoneNumberAssigned,
    PhoneNumberRenamed,
    PhoneNumberUnassigned,
)
from events.errors import DomainError
from events.log_search import EventFilter
from events.phone_numbers import ASSISTANT, FRIENDLY_NAME, changes
from events.pointers import Change
from events.secrets.references import mask
from events.setting_types import Moment
from projections import current, phone_numbers
from projections.event_types import event_type
from projections.phone_numbers import PhoneNumber

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from datetime import datetime

    import sqlalchemy as sa

    from app.assistants.requests import ChangeRequest
    from app.transactions.caller import Caller
    from app.transactions.unit_of_work import UnitOfWork
    from events.changed import LogEvent, State

MOST_NUMBERS = 10_000  # of an organization: lists of them have no pages


class PhoneNumberNotAssigned(DomainError):
    """No assistant of the organization has this phone number, or had it then."""

    def __init__(self, number: str) -> None:
        super().__init__(number)
        self.number = number


class PhoneNumberNotFound(DomainError):
    """The organization has no such phone number; it is named by its id or its digits."""

    def __init__(self, number: str | int) -> None:
        super().__init__(number)
        self.number = number


class PhoneNumberHeld(DomainError):
    """Another assistant has the number."""

    def __init__(self, number: str, holder: str) -> None:
        super().__init__(number, holder)
        self.number = number
        self.holder = holder  # its name


class PhoneNumberNotHeld(DomainError):
    """The assistant does not have the number that is to be taken from it."""

    def __init__(self, number: str, *, is_assigned: bool) -> None:
        super().__init__(number)
        self.number = number
        self.is_assigned = is_assigned  # to another assistant


class TooManyPhoneNumbers(DomainError):
    """The organization has as many phone numbers as it may."""


class Assignment(Struct, frozen=True, kw_only=True):
    """What became of a number that was to be assigned or unassigned."""

    number: PhoneNumber  # after it
    assistant_id: int
    assistant_name: str
    held_by: str | None = None  # the name of the other assistant that has it, and keeps it


class NumberEvent(Struct, frozen=True, kw_only=True):
    """An event of a phone number, and the assistant that answered the number from then on."""

    sequence: int
    event: str
    occurred_at: Moment
    assistant_id: int | None
    assistant_name: str | None  # as the assistant is called now
    actor: Actor
    change_description: str | None


# -- finding who answers


def resolve(
    connection: sa.Connection, organization_id: int, number: str, moment: datetime | None = None
) -> int:
    """The id of the assistant that answers a number of the organization, or did at a moment.

    Raises ``PhoneNumberNotAssigned``. The assistant may have been deleted by a server of a release
    that knows no phone numbers: who reads it finds that out.
    """
    assistant_id = (
        phone_numbers.assistant_of(connection, organization_id, number)
        if moment is None
        else phone_numbers.assistant_at(connection, organization_id, number, moment)
    )
    if assistant_id is None:
        raise PhoneNumberNotAssigned(number)
    return assistant_id


def history(
    connection: sa.Connection,
    organization_id: int,
    text: str,
    *,
    before: int | None,
    limit: int,
) -> Page:
    """The events of a number, newest first: which assistant answered it from when on, and why.

    Raises ``PhoneNumberNotFound``.
    """
    number = phone_numbers.find(connection, organization_id, text)
    if number is None:
        raise PhoneNumberNotFound(text)
    steps = phone_numbers.newest_steps(
        connection, organization_id, number.id, before=before, limit=limit + 1
    )
    ids = {step.assistant_id for step in steps if step.assistant_id is not None}
    names, _ = current.names_and_erasures(connection, organization_id, ids)
    holders = {step.sequence: step.assistant_id for step in steps}
    events = _events(connection, organization_id, number.id, holders)
    return page_of(
        ((event.sequence, _shown(event, holders[event.sequence], names)) for event in events), limit
    )


def _events(
    connection: sa.Connection,
    organization_id: int,
    phone_number_id: int,
    sequences: Collection[int],
) -> Iterator[LogEvent]:
    """The events of a number from the first to the last of some sequences, newest first."""
    among = EventFilter(
        after=min(sequences, default=1) - 1,
        until=max(sequences, default=0),
        among=phone_numbers.sequences_of(organization_id, phone_number_id),
    )
    with closing(
        log_search.read_stored(connection, organization_id, among, newest_first=True)
    ) as batches:
        for rows in batches:
            yield from (codec.decode(body, codec.tag_in(body)) for _, body, _ in rows)


def _shown(event: LogEvent, holder: int | None, names: Mapping[int, str]) -> NumberEvent:
    return NumberEvent(
        sequence=event.sequence,
        event=event_type(codec.tag_of(event)),
        occurred_at=event.occurred_at,
        assistant_id=holder,
        assistant_name=None if holder is None else names.get(holder),
        actor=event.actor,
        change_description=event.reason,
    )


# -- changing


def add(
    unit: UnitOfWork, caller: Caller, number: str, friendly_name: str | None, reason: str | None
) -> PhoneNumber:
    """Add a number to the organization; one that it has is renamed, if a name is given.

    Raises ``TooManyPhoneNumbers``.
    """
    organization_id = caller.organization_id
    found = unit.read(phone_numbers.find, organization_id, number)
    if found is not None:
        return (
            found if friendly_name is None else rename(unit, caller, found, friendly_name, reason)
        )
    count = unit.read(phone_numbers.count, organization_id)
    if count >= MOST_NUMBERS:
        raise TooManyPhoneNumbers
    unit.record(
        caller,
        PhoneNumberAdded,
        reason,
        phone_number_id=count + 1,
        phone_number=number,
        changes=changes(number, FRIENDLY_NAME, Change(after=friendly_name)),
    )
    return by_id(unit, caller, count + 1)


def rename(
    unit: UnitOfWork, caller: Caller, number: PhoneNumber, name: str | None, reason: str | None
) -> PhoneNumber:
    """Give a number another friendly name, or none."""
    if name == number.friendly_name:
        return number
    change = Change(before=number.friendly_name, after=name)
    unit.record(
        caller,
        PhoneNumberRenamed,
        reason,
        phone_number_id=number.id,
        phone_number=number.phone_number,
        changes=changes(number.phone_number, FRIENDLY_NAME, change),
    )
    return by_id(unit, caller, number.id)


def by_id(unit: UnitOfWork, caller: Caller, phone_number_id: int) -> PhoneNumber:
    """A number of the caller's organization; raises ``PhoneNumberNotFound``."""
    found = unit.read(phone_numbers.load, caller.organization_id, phone_number_id)
    if found is None:
        raise PhoneNumberNotFound(phone_number_id)
    return found


def by_digits(unit: UnitOfWork, caller: Caller, number: str) -> PhoneNumber:
    """As ``by_id``, of a number that is written so."""
    found = unit.read(phone_numbers.find, caller.organization_id, number)
    if found is None:
        raise PhoneNumberNotFound(number)
    return found


def checked(unit: UnitOfWork, request: ChangeRequest) -> State:
    """The assistant that numbers are to be assigned to or taken from.

    Raises ``AssistantNotFound`` and ``PreconditionFailed``.
    """
    state = states.existing(unit, request.key)
    check_condition(unit, request, state)
    return state


def assign(
    unit: UnitOfWork, request: ChangeRequest, state: State, number: PhoneNumber
) -> Assignment:
    """Let an assistant, whose state is given, answer a number from now on.

    A number that another one has stays there, and so does one that the assistant has already.
    """
    outcome = Assignment(
        number=number, assistant_id=request.assistant_id, assistant_name=name_of(state)
    )
    if number.assistant_id == request.assistant_id:
        return outcome
    holder = _holder(unit, request, number)
    if holder is not None:
        return msgspec.structs.replace(outcome, held_by=name_of(holder))
    changed = Change(before=number.assistant_id, after=request.assistant_id)
    _record(unit, request, PhoneNumberAssigned, number, changed)
    return msgspec.structs.replace(outcome, number=by_id(unit, request.caller, number.id))


def check_free(unit: UnitOfWork, request: ChangeRequest, ids: Iterable[int]) -> None:
    """Raise unless an assistant can get all of the numbers, or has them."""
    for phone_number_id in ids:
        number = by_id(unit, request.caller, phone_number_id)
        holder = (
            None if number.assistant_id == request.assistant_id else _holder(unit, request, number)
        )
        if holder is not None:
            raise PhoneNumberHeld(number.phone_number, name_of(holder))


def assign_each(
    unit: UnitOfWork, request: ChangeRequest, state: State, ids: Iterable[int]
) -> tuple[list[int], list[dict[str, Any]]]:
    """Assign numbers as ``assign`` does: the ids of those that the assistant has, and failures."""
    successes: list[int] = []
    failures: list[dict[str, Any]] = []
    for phone_number_id in ids:
        error = _assign_one(unit, request, state, phone_number_id)
        if error is None:
            successes.append(phone_number_id)
        else:
            failures.append({"phone_number_id": phone_number_id, "error": error})
    return successes, failures


def _assign_one(
    unit: UnitOfWork, request: ChangeRequest, state: State, phone_number_id: int
) -> str | None:
    """Assign a number; why that fails, or None."""
    number = unit.read(phone_numbers.load, request.organization_id, phone_number_id)
    if number is None:
        return "Phone number not found"
    held_by = assign(unit, request, state, number).held_by
    return None if held_by is None else f"Phone number is already assigned to {held_by}"


def unassign(
    unit: UnitOfWork, request: ChangeRequest, state: State, number: PhoneNumber
) -> Assignment:
    """Let an assistant answer a number no longer; raises ``PhoneNumberNotHeld``."""
    if number.assistant_id != request.assistant_id:
        is_assigned = _holder(unit, request, number) is not None
        raise PhoneNumberNotHeld(number.phone_number, is_assigned=is_assigned)
    changed = Change(before=request.assistant_id, after=None)
    _record(unit, request, PhoneNumberUnassigned, number, changed)
    return Assignment(
        number=by_id(unit, request.caller, number.id),
        assistant_id=request.assistant_id,
        assistant_name=name_of(state),
    )


def free(unit: UnitOfWork, request: ChangeRequest) -> None:
    """Take all numbers from an assistant that is deleted."""
    for number in unit.read(phone_numbers.of_assistant, *request.key):
        changed = Change(before=request.assistant_id, after=None)
        _record(unit, request, PhoneNumberUnassigned, number, changed)


def _record(
    unit: UnitOfWork,
    request: ChangeRequest,
    kind: type[PhoneNumberAssigned | PhoneNumberUnassigned],
    number: PhoneNumber,
    change: Change,
) -> None:
    unit.record(
        request.caller,
        kind,
        request.reason,
        assistant_id=request.assistant_id,
        phone_number_id=number.id,
        phone_number=number.phone_number,
        changes=changes(number.phone_number, ASSISTANT, change),
    )


def _holder(unit: UnitOfWork, request: ChangeRequest, number: PhoneNumber) -> State | None:
    """The assistant that has a number; None for nobody, and for one that is deleted.

    A server of a release that knows no phone numbers deletes an assistant and takes none from it.
    """
    if number.assistant_id is None:
        return None
    state = unit.state(request.caller.assistant_key(number.assistant_id))
    return None if state.deleted else state


def name_of(state: State) -> str:
    """The name of an assistant, masked."""
    name: str = mask(state.settings["name"])
    return name


# -- lists


def holders_of(
    connection: sa.Connection, organization_id: int, numbers: Iterable[PhoneNumber]
) -> dict[int, tuple[str, bool]]:
    """The names of the assistants that have the numbers, by id, and whether they are active."""
    ids = tuple({n.assistant_id for n in numbers if n.assistant_id is not None})
    selection = current.Selection(assistant_ids=ids)
    found = current.select_short(connection, organization_id, selection) if ids else []
    return {one.id: (one.name, one.is_active) for one in found}
