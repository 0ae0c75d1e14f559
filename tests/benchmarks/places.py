"""The databases that are measured: each new, with one organization and its keys.

On the embedded engine, or on a PostgreSQL of their own, which is as durable as it comes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import sqlalchemy as sa
from msgspec import Struct

from app.assistants import changes
from app.assistants.requests import ChangeRequest
from app.config import Config
from app.storage.database import Database
from app.transactions.caller import Caller
from app.transactions.state_cache import StateCache
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import Vault, open_vault
from events.bodies.patch import read_create, read_patch
from events.changed import Actor, Cause
from tests import databases
from tests.conftest import Organization, make_organizations
from tests.databases import config_of, text_of, url_of, writing_engine

BATCH = 64
_START = datetime(2100, 1, 1, tzinfo=UTC)  # after the organization was made
_SECOND = timedelta(seconds=1)
CALLER = Caller(
    organization_id=1,
    actor=Actor(type="api_key", id=1, name="Ada Okafor", user_id=1),
    is_admin=True,
)
_PROMPT = (
    "You are the receptionist of Northwind Dental. Greet the caller, find out what they need, "
    "and book, move or cancel appointments. Never give medical advice."
)


class Place(Struct, frozen=True, kw_only=True):
    """A database, and the keys of its organization 1."""

    path: Path
    keys: Organization

    @property
    def folder(self) -> Path:
        """Where its servers leave what they leave."""
        return self.path.parent

    @property
    def url(self) -> str:
        """What a server is told of it."""
        return text_of(self.path)

    @property
    def config(self) -> Config:
        """What a server of it is told."""
        return config_of(self.path)

    def engine(self) -> sa.Engine:
        """An engine that writes, while no server holds it."""
        return writing_engine(self.path)

    def database(self) -> Database:
        """What a server reads it with."""
        return Database(url_of(self.path))

    def vault(self) -> Vault:
        """What seals its secrets."""
        return open_vault(self.config)

    def headers(self, **others: str) -> dict[str, str]:
        """The headers of a request of its editor."""
        return {"authorization": f"Bearer {self.keys.editor}"} | others


def choose(kind: str) -> None:
    """Measure on this engine; the tests' own server would not keep what it says that it keeps."""
    databases.choose(kind)
    if not databases.on_sqlite() and databases.SERVER not in os.environ:
        started = databases.start_postgresql(Path(tempfile.mkdtemp(prefix="backstory-bench-")))
        os.environ[databases.SERVER] = started.get_uri()


@contextmanager
def fresh() -> Iterator[Place]:
    """A new database on the chosen engine; a file is gone after."""
    with tempfile.TemporaryDirectory(prefix="backstory-bench-") as folder:
        path = Path(folder, "bench.db")
        (keys,) = make_organizations(path, 1)
        yield Place(path=path, keys=keys)


class _Clock:
    """A second for each event."""

    def __init__(self) -> None:
        self.now = _START

    def __call__(self) -> datetime:
        self.now += _SECOND
        return self.now


def create(unit: UnitOfWork) -> None:
    """An assistant of about three kilobytes."""
    llm = {"system_prompt": _PROMPT, "welcome_message": "Northwind Dental, hello!"}
    body = {"name": "Front desk", "llm_settings": llm}
    changes.create(unit, CALLER, read_create(body))


def change(unit: UnitOfWork, assistant: int, number: int) -> None:
    """Set a number of an assistant to what it is not."""
    patch = read_patch({"llm_settings": {"max_tokens": number}})
    change_request = ChangeRequest(
        caller=CALLER, assistant_id=assistant, reason="Callers said that answers wander"
    )
    changes.change(unit, change_request, patch, Cause(type="patch"))


Change = Callable[[UnitOfWork, int, int], None]  # of an assistant, in its turn


def fill(place: Place, lengths: Sequence[int], changed: Change = change) -> None:
    """Give a place an assistant of each length, their events mixed, as a server would write."""
    engine, safe, clock, recalled = place.engine(), place.vault(), _Clock(), StateCache()
    events = (
        (turn, position)
        for turn in range(max(lengths))
        for position, length in enumerate(lengths, 1)
        if turn < length
    )
    while batch := list(islice(events, BATCH)):
        with engine.begin() as connection:
            unit = UnitOfWork(connection, safe, clock, recalled)
            for turn, position in batch:
                if turn:
                    changed(unit, position, turn)
                else:
                    create(unit)
            unit.flush()
        unit.committed()
    engine.dispose()
