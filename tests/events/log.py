"""A real database with organizations in it, for what the core alone cannot show."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from msgspec import Struct

from app.assistants import changes, phone_numbers, policy, reversals
from app.assistants.references import Reference
from app.assistants.requests import ChangeRequest
from app.transactions.caller import Caller
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import Vault, open_vault
from events import store
from events.assistant_key import AssistantKey
from events.bodies.patch import read_create, read_patch
from events.changed import State
from events.commands import (
    ChangeSettings,
    Command,
    CreateAssistant,
    DeleteAssistant,
    OnConflict,
    RestoreSettings,
)
from events.errors import DomainError
from events.pointers import Tree
from events.tables import organizations
from projections import current, history
from tests.conftest import make_organizations
from tests.databases import config_of, writing_engine
from tests.events.given import ACTOR, NAME, PATCH, at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ORGANIZATIONS = (1, 2, 3)


class Log(Struct, frozen=True):
    """An open database file and the vault of its secrets."""

    path: Path
    engine: sa.Engine
    vault: Vault

    @contextmanager
    def undone(self) -> Iterator[sa.Connection]:
        """A transaction that leaves no trace, so that each example starts from an empty log."""
        with self.engine.connect() as connection, connection.begin() as transaction:
            yield connection
            transaction.rollback()

    @contextmanager
    def committed(self) -> Iterator[sa.Connection]:
        with self.engine.begin() as connection:
            yield connection


@contextmanager
def opened(path: Path) -> Iterator[Log]:
    make_organizations(path, len(ORGANIZATIONS))
    engine = writing_engine(path)
    with engine.begin() as connection:  # the tests' own time begins before they were made
        connection.execute(sa.update(organizations).values(last_occurred_at=0))
    vault = open_vault(config_of(path))
    try:
        yield Log(path, engine, vault)
    finally:
        engine.dispose()


class Desk:
    """Hands requests to units of work, as the service does, one minute after another.

    ``rest`` ends a unit: what comes after it is decided by what the tables say.
    """

    def __init__(self, log: Log, connection: sa.Connection) -> None:
        self._log = log
        self._connection = connection
        self._minutes = itertools.count(1)
        self._unit = self._new_unit()

    def _new_unit(self) -> UnitOfWork:
        return UnitOfWork(self._connection, self._log.vault, self._now)

    def _now(self) -> datetime:
        return at(next(self._minutes))

    def rest(self) -> None:
        self._unit.flush()
        self._unit = self._new_unit()

    def create(self, organization_id: int, body: Tree) -> int:
        command = CreateAssistant(patch=read_create({"name": NAME} | body).tree)
        return self._handle(organization_id, None, command)[0]

    def patch(self, organization_id: int, assistant_id: int, body: Tree) -> State:
        command = ChangeSettings(patch=read_patch(body).tree, cause=PATCH)
        return self._handle(organization_id, assistant_id, command)[1]

    def restore(self, organization_id: int, assistant_id: int, number: int) -> State:
        """Restore one of the states that there were; the number chooses."""
        version = number % self._unit.state(AssistantKey(organization_id, assistant_id)).version + 1
        settings = self.settings_after(organization_id, assistant_id, version)
        command = RestoreSettings(settings=settings, to_version=version)
        return self._handle(organization_id, assistant_id, command)[1]

    def delete(self, organization_id: int, assistant_id: int) -> State:
        return self._handle(organization_id, assistant_id, DeleteAssistant())[1]

    def revive(self, organization_id: int, assistant_id: int) -> None:
        reversals.restore(self._unit, self._request(organization_id, assistant_id))

    def end_or_revive(self, organization_id: int, assistant_id: int) -> None:
        """Delete an assistant that lives, and restore one that doesn't."""
        if self._unit.state(AssistantKey(organization_id, assistant_id)).deleted:
            self.revive(organization_id, assistant_id)
        else:
            self.delete(organization_id, assistant_id)

    def undo(self, organization_id: int, assistant_id: int, number: int) -> None:
        """Undo one of the changes that there were; what it does with conflicts, too, varies."""
        request = self._request(organization_id, assistant_id)
        how = _ON_CONFLICT[number % len(_ON_CONFLICT)]
        reversals.undo(
            self._unit, request, self._version(request, number, first=2), on_conflict=how
        )

    def roll_back(
        self, organization_id: int, assistant_id: int, number: int, paths: tuple[str, ...]
    ) -> None:
        """Restore parts of one of the states that there were."""
        request = self._request(organization_id, assistant_id)
        reversals.roll_back(self._unit, request, self._version(request, number), paths=paths)

    def label(self, organization_id: int, assistant_id: int, number: int, name: str | None) -> None:
        """Name one of the versions that there are, or take its name away."""
        request = self._request(organization_id, assistant_id)
        changes.set_label(self._unit, request, self._version(request, number), name)

    def demand(self, organization_id: int, members: Tree) -> None:
        """Change the organization's policy."""
        policy.change(self._unit, _caller(organization_id), members, None)

    def add_number(self, organization_id: int, number: int) -> None:
        """Add one of some phone numbers."""
        digits = _DIGITS[number % len(_DIGITS)]
        phone_numbers.add(self._unit, _caller(organization_id), digits, None, None)

    def name_number(self, organization_id: int, number: int, name: str | None) -> None:
        """Rename one of some phone numbers."""
        caller = _caller(organization_id)
        known = phone_numbers.by_digits(self._unit, caller, _DIGITS[number % len(_DIGITS)])
        phone_numbers.rename(self._unit, caller, known, name, None)

    def assign(self, organization_id: int, assistant_id: int, number: int) -> None:
        """Assign one of some phone numbers, or take it from the assistant that has it."""
        request = self._request(organization_id, assistant_id)
        state = phone_numbers.checked(self._unit, request)
        digits = _DIGITS[number % len(_DIGITS)]
        known = phone_numbers.by_digits(self._unit, request.caller, digits)
        if known.assistant_id == assistant_id:
            phone_numbers.unassign(self._unit, request, state, known)
        else:
            phone_numbers.assign(self._unit, request, state, known)

    def _version(self, request: ChangeRequest, number: int, first: int = 1) -> Reference:
        state = self._unit.state(request.caller.assistant_key(request.assistant_id))
        version = number % max(state.version - first + 1, 1) + first
        return Reference(text=str(version), number=version)

    def _request(self, organization_id: int, assistant_id: int) -> ChangeRequest:
        return ChangeRequest(caller=_caller(organization_id), assistant_id=assistant_id)

    def settings_after(self, organization_id: int, assistant_id: int, version: int) -> Tree:
        """The settings after a version, from today's backwards."""
        key = AssistantKey(organization_id, assistant_id)
        state = self._unit.state(key)
        for event in self._unit.read(store.read_stream, *key, newest_first=True):
            if event.version == version:
                break
            state = history.before(event, state)
        return state.settings

    def _handle(
        self, organization_id: int, assistant_id: int | None, command: Command
    ) -> tuple[int, State]:
        return self._unit.handle(_caller(organization_id), assistant_id, command)


_DIGITS = ("+14155550001", "+14155550002")
_ON_CONFLICT: tuple[OnConflict, ...] = ("skip", "force", "fail")


def _caller(organization_id: int) -> Caller:
    return Caller(organization_id=organization_id, actor=ACTOR, may_reveal=True, request_id="r")


_REQUESTS: dict[str, Callable[..., Any]] = {
    "end or revive": Desk.end_or_revive,
    "undo": Desk.undo,
    "roll back": Desk.roll_back,
    "label": Desk.label,
    "assign": Desk.assign,
}


def play(desk: Desk, steps: list[tuple[int, Any]]) -> None:
    """Play random steps on the assistants that there are.

    Each step is a number that chooses, and a body to merge or to create with, the number of
    a state to restore, "rest", or the name of another request with what it says.
    """
    ids = {organization: [desk.create(organization, {})] for organization in ORGANIZATIONS}
    for organization_id, (first,) in ids.items():  # something to undo and to go back to
        desk.patch(organization_id, first, {"llm_settings": {"temperature": 0.7}})
    for number, step in steps:
        organization_id = ORGANIZATIONS[number % len(ORGANIZATIONS)]
        known = ids[organization_id]
        assistant_id = known[number % len(known)]
        try:
            match step:
                case "create", body:
                    known.append(desk.create(organization_id, body))
                case "rest":
                    desk.rest()
                case "demand", members:
                    desk.demand(organization_id, members)
                case "add number", name:
                    desk.add_number(organization_id, number)
                    desk.name_number(organization_id, number, name)
                case str(request), *said:
                    _REQUESTS[request](desk, organization_id, assistant_id, *said)
                case int():
                    desk.restore(organization_id, assistant_id, step)
                case _:
                    desk.patch(organization_id, assistant_id, step)
        except DomainError:  # a refused request leaves no trace: that is what is being shown
            continue
    desk.rest()


def rows(connection: sa.Connection, table: sa.Table = current.assistants) -> list[Any]:
    """Every row of a table, in the order of its key."""
    return [tuple(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key))]
