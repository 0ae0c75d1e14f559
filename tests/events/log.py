"""A real database with organizations in it, for what the core alone cannot show."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from msgspec import Struct

from app.config import Config
from app.database import writing_engine
from app.unit import Caller, Unit
from app.vault import Vault, open_vault
from events.changed import State
from events.decider import (
    ChangeSettings,
    Command,
    CreateAssistant,
    DeleteAssistant,
    RestoreSettings,
)
from events.errors import Refusal
from events.patch import read_create, read_patch
from events.pointers import Tree
from events.tables import organizations
from projections import current, history
from tests.conftest import make_organizations
from tests.events.given import ACTOR, NAME, PATCH, at

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    vault = open_vault(Config(database_url=f"sqlite+aiosqlite:///{path}"))
    try:
        yield Log(path, engine, vault)
    finally:
        engine.dispose()


class Desk:
    """Hands wishes to units of work, as the service does, one minute after another.

    ``rest`` ends a unit: what comes after it is decided by what the tables say.
    """

    def __init__(self, log: Log, connection: sa.Connection) -> None:
        self._log = log
        self._connection = connection
        self._minutes = itertools.count(1)
        self._unit = self._new_unit()

    def _new_unit(self) -> Unit:
        return Unit(self._connection, self._log.vault, self._now)

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
        version = number % self._unit.state(organization_id, assistant_id).version + 1
        settings = self.settings_after(organization_id, assistant_id, version)
        command = RestoreSettings(settings=settings, to_version=version)
        return self._handle(organization_id, assistant_id, command)[1]

    def delete(self, organization_id: int, assistant_id: int) -> State:
        return self._handle(organization_id, assistant_id, DeleteAssistant())[1]

    def settings_after(self, organization_id: int, assistant_id: int, version: int) -> Tree:
        """The settings after a version, from today's backwards."""
        state = self._unit.state(organization_id, assistant_id)
        for event in self._unit.newest_first(organization_id, assistant_id):
            if event.version == version:
                break
            state = history.before(event, state)
        return state.settings

    def _handle(
        self, organization_id: int, assistant_id: int | None, command: Command
    ) -> tuple[int, State]:
        caller = Caller(organization_id=organization_id, actor=ACTOR, request_id="r")
        return self._unit.handle(caller, assistant_id, command)


def play(desk: Desk, steps: list[tuple[int, Any]]) -> None:
    """Play random steps on the assistants that there are.

    Each step is a number that chooses, and a body to merge or to create with, the number of
    a state to restore, or a word.
    """
    ids = {organization: [desk.create(organization, {})] for organization in ORGANIZATIONS}
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
                case "delete":
                    desk.delete(organization_id, assistant_id)
                case int():
                    desk.restore(organization_id, assistant_id, step)
                case _:
                    desk.patch(organization_id, assistant_id, step)
        except Refusal:  # a refused wish leaves no trace: that is what is being shown
            continue
    desk.rest()


def rows(connection: sa.Connection, table: sa.Table = current.assistants) -> list[Any]:
    """Every row of a table, in the order of its key."""
    return [tuple(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key))]
