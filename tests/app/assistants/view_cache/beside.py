"""A database that others write beside the cache of its views, and what tests read of both."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from app.assistants import changes
from app.assistants.long_list import LongList
from app.assistants.requests import ChangeRequest
from app.assistants.view_cache import Listed, ViewCache
from app.services import utc_now
from app.storage.database import Database
from app.transactions.caller import system
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import open_vault
from events.assistant_key import AssistantKey
from events.bodies.patch import read_create, read_patch
from events.changed import Cause
from tests.conftest import make_organizations
from tests.databases import config_of, copy_database, url_of, writing_engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def kept(views: ViewCache, number: int) -> bool:
    return views._views.peek(AssistantKey(1, number)) is not None  # noqa: SLF001  # nobody else asks


class Slow:
    """Makes each glance at a database wait with its result until it may go, as a server may."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self._glance = database.glance
        self.has_read, self.may_go = asyncio.Event(), asyncio.Event()
        monkeypatch.setattr(database, "glance", self.glance)

    async def glance(self, query: Any, **values: Any) -> Any:
        result = await self._glance(query, **values)
        self.has_read.set()
        await self.may_go.wait()
        return result


class Beside:
    """A database, and a writer that the cache under test knows nothing of."""

    def __init__(self, path: Path, database: Database) -> None:
        self.database = database
        self._path = path
        self._safe = open_vault(config_of(path))
        self._engine = writing_engine(path)
        self._caller = system(1, "tests")

    def create(self, description: str = "", **settings: Any) -> None:
        with self._engine.begin() as connection:
            unit = UnitOfWork(connection, self._safe, utc_now)
            settings = {"name": "Front desk", "description": description} | settings
            patch = read_create(settings)
            changes.create(unit, self._caller, patch)
            unit.flush()

    def change(self, assistant_id: int, name: str) -> None:
        with self._engine.begin() as connection:
            unit = UnitOfWork(connection, self._safe, utc_now)
            change_request = ChangeRequest(caller=self._caller, assistant_id=assistant_id)
            changes.change(unit, change_request, read_patch({"name": name}), Cause(type="patch"))
            unit.flush()

    def delete(self, assistant_id: int) -> None:
        with self._engine.begin() as connection:
            unit = UnitOfWork(connection, self._safe, utc_now)
            changes.delete(unit, ChangeRequest(caller=self._caller, assistant_id=assistant_id))
            unit.flush()

    def copied(self, path: Path) -> Beside:
        """The same as of now, in a database of its own."""
        self._engine.dispose()
        copy_database(self._path, path)
        return Beside(path, Database(url_of(path)))

    def close(self) -> None:
        self._engine.dispose()


@asynccontextmanager
async def beside(folder: Path) -> AsyncIterator[Beside]:
    path = folder / "backstory.db"
    make_organizations(path, 1)
    database = Database(url_of(path))
    writer = Beside(path, database)
    try:
        yield writer
    finally:
        writer.close()
        await database.close()


def versions(found: Listed | LongList) -> list[int]:
    assert isinstance(found, Listed)
    return [assistant["version"] for assistant in msgspec.json.decode(found.body)]
