"""A process that changes an assistant until it has made so many changes, and then is gone.

It writes a line to stdout for each change, once that is answered.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from app import log
from app.services import Services, open_services
from app.storage import database_file, sqlite, wal_checkpoints
from app.storage.database import Database
from app.storage.disk_state import WritingSuspended
from app.transactions.caller import system
from app.transactions.unit_of_work import UnitOfWork
from app.transactions.write_queue import OutcomeUnknown
from events.bodies.patch import read_patch
from events.changed import Cause
from events.commands import ChangeSettings
from tests.databases import config_of

_EVERY = 7  # changes between two checkpoints
_LARGE = 200_000  # bytes of a log that is emptied
Outcome = Literal["done", "unknown", "refused"]


class Answer(Struct, frozen=True):
    """The answer to a change."""

    number: int
    outcome: Outcome


class Plan(Struct, frozen=True, kw_only=True):
    """Which changes a process makes."""

    count: int  # that must be done before it ends, as if it was killed
    first: int = 1  # the number of the first
    is_patient: bool = True  # else it ends with the first that is not done
    guard: Literal["sync", "commit", "log", ""] = ""  # what a control switches off


def reason(number: int) -> str:
    """What the change with this number says why it was made."""
    return f"change {number}"


async def _make_changes(services: Services, plan: Plan) -> None:
    done = 0
    for number in itertools.count(plan.first):
        outcome = await _outcome(services, number)
        done += outcome == "done"
        os.write(1, f"{number} {outcome}\n".encode())
        if done == plan.count or (outcome != "done" and not plan.is_patient):
            return
        await services.database.resume()
        if not number % _EVERY:
            await services.database.checkpoint()


async def _outcome(services: Services, number: int) -> Outcome:
    try:
        await services.writer.write(1, lambda unit: _change(unit, number))
    except WritingSuspended:
        return "refused"
    except OutcomeUnknown:
        return "unknown"
    except sa.exc.DBAPIError:  # an error before the commit
        return "refused"
    return "done"


def _change(unit: UnitOfWork, number: int) -> None:
    caller = system(1, "tests")
    text = f"{number} " + "x" * (number % 19) * 997
    patch = read_patch({"custom_settings": {f"of_{number % 5}": text}})
    command = ChangeSettings(patch=patch.tree, cause=Cause(type="patch"))
    unit.handle(caller, 1, command, reason(number))


async def _main(path: Path, plan: Plan) -> None:
    if plan.guard == "sync":
        sa.event.listen(sa.Pool, "checkout", _sync_less)
    if plan.guard == "log":
        setattr(database_file, "write_wal_again", lambda _: None)  # noqa: B010
    if plan.guard == "commit":
        setattr(Database, "_commit", _ignore_errors)  # noqa: B010  # its name is private
    config = config_of(path)
    log.configure(config)  # to stderr
    async with open_services(config) as services:
        await _make_changes(services, plan)
        os._exit(0)  # as if it was killed


def _sync_less(connection: Any, *_: Any) -> None:
    """Control: a commit that does not wait for the disk."""
    connection.execute("PRAGMA synchronous=NORMAL")


def _ignore_errors(_: Database, connection: sa.Connection) -> None:
    """Control: a commit that is reported as done, whatever came of it."""
    try:
        connection.commit()
    except sa.exc.DBAPIError:
        connection.rollback()


def main(arguments: Sequence[str]) -> None:
    """Make changes in the database, by the plan."""
    path, plan = arguments
    for module in (sqlite, wal_checkpoints):
        module.LARGE = _LARGE  # type: ignore[attr-defined]
    asyncio.run(_main(Path(path), msgspec.json.decode(plan, type=Plan)))


if __name__ == "__main__":
    main(sys.argv[1:])
