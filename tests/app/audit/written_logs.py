"""Logs that are written before a server starts: long and varied, short, large."""

from __future__ import annotations

import random
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from app.services import utc_now
from app.transactions.caller import Caller
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import open_vault
from events.bodies.patch import read_create, read_patch
from events.changed import Actor, Cause
from events.commands import ChangeSettings, CreateAssistant
from tests.conftest import (
    ASSISTANTS,
    Organization,
    Server,
)
from tests.databases import config_of, copy_database, hold, writing_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


ODD = (
    "=1+1", "line\r\nfeed", 'say "so"', "a,b;c", "\u2028", "😀 é", "'=x", "\t", "-1", "x\n2,y",
    "\r", '","', "plain",
)  # fmt: skip


EDITOR = Actor(type="api_key", id=2, name="editor key", user_id=2)


ADMIN = Actor(type="api_key", id=3, name="admin key", user_id=3)


SOMEBODY = Actor(type="user", id=2, name="Ärger", user_id=2)


class Filled(Struct, frozen=True, kw_only=True):
    """A server with a log of many small events, a shorter one, one of large events, empty ones."""

    server: Server
    varied: Organization
    brief: Organization
    heavy: Organization


def write(database: Path, *works: Callable[[UnitOfWork], None]) -> None:
    """Work on a database that no server holds, each in a transaction."""
    config = config_of(database)
    with hold(database):
        safe = open_vault(config)
        engine = writing_engine(database)
        for work in works:
            with engine.begin() as connection:
                unit = UnitOfWork(connection, safe, utc_now)
                work(unit)
                unit.flush()
        engine.dispose()


def create(unit: UnitOfWork, caller: Caller, **settings: Any) -> int:
    patch = read_create({"name": "Desk"} | settings).tree
    return unit.handle(caller, None, CreateAssistant(patch=patch))[0]


def change(
    unit: UnitOfWork, caller: Caller, assistant_id: int, reason: str | None = None, **settings: Any
) -> None:
    command = ChangeSettings(patch=read_patch(settings).tree, cause=Cause(type="patch"))
    unit.handle(caller, assistant_id, command, reason)


def write_varied(organization_id: int, count: int) -> Callable[[UnitOfWork], None]:
    choose = random.Random(11)  # fixed, so that a failure comes again

    def work(unit: UnitOfWork) -> None:
        callers = [
            Caller(organization_id=organization_id, actor=actor, request_id=f"request-{number}")
            for number, actor in enumerate((EDITOR, ADMIN, SOMEBODY))
        ]
        # The last one is written to by nobody.
        assistants = [
            create(unit, callers[number % 3], description=ODD[number]) for number in range(6)
        ]
        for number in range(count - 6):
            text = f"{choose.choice(ODD)} {number} {'lorem ' * choose.randint(0, 60)}"
            settings: list[dict[str, Any]] = [
                {"description": text},
                {"llm_settings": {"temperature": number % 20 / 10, "max_tokens": number + 1}},
                {"custom_settings": {f"{choose.choice(ODD)}": text, "n": number}},
                {"api_keys": {"openai_api_key": f"sk-{number}"}},
            ]
            change(
                unit,
                choose.choice(callers),
                choose.choice(assistants[:5]),
                choose.choice((None, *ODD)),
                **settings[number % 4] | {"max_idle_messages": number % 7},
            )

    return work


def write_heavy(organization_id: int, count: int) -> Callable[[UnitOfWork], None]:
    caller = Caller(organization_id=organization_id, actor=EDITOR)

    def work(unit: UnitOfWork) -> None:
        assistant = create(unit, caller)
        for number in range(count):
            change(unit, caller, assistant, custom_settings={"note": f"{number:06}" * 1000})

    return work


class Written(Struct, frozen=True, kw_only=True):
    """A folder with a database that no server holds, made once, to be copied."""

    folder: Path
    waiting: list[Organization]
    varied: Organization
    brief: Organization
    heavy: Organization

    def copy(self, folder: Path) -> Path:
        return copy_database(self.folder / "backstory.db", folder / "backstory.db")


@contextmanager
def writing(server: Server, organization: Organization) -> Iterator[Callable[[], None]]:
    """What adds an event to a log."""
    numbers = iter(range(10**9))
    with server.client(organization.editor) as client:

        def add() -> None:
            body = {"description": f"Meanwhile {next(numbers)}"}
            assert client.patch(f"{ASSISTANTS}/1", json=body).status_code == 200

        yield add
