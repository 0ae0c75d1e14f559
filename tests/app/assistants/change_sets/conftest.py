"""Assistants for change sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from app.services import utc_now
from app.transactions.caller import system
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import open_vault
from events.commands import CreateAssistant
from tests.app.assistants.change_sets.sets import create
from tests.conftest import (
    Server,
    make_organizations,
    serving,
)
from tests.databases import config_of, hold, writing_engine

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def trio(editor: httpx.Client) -> list[int]:
    """Three assistants, the second of which has a description and is inactive."""
    second: dict[str, Any] = {"description": "Second", "is_active": False}
    return [
        create(editor, name="Trio 0"),
        create(editor, name="Trio 1", **second),
        create(editor, name="Trio 2"),
    ]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """An editor of 501 assistants."""
    database = tmp_path_factory.mktemp("many") / "backstory.db"
    (organization,) = make_organizations(database, 1)
    config = config_of(database)
    with hold(database):
        engine = writing_engine(database)
        with engine.begin() as connection:
            unit = UnitOfWork(connection, open_vault(config), utc_now)
            for _ in range(501):
                command = CreateAssistant(patch={"name": "One of many"})
                unit.handle(system(organization.id, "tests"), None, command)
            unit.flush()
        engine.dispose()
    with serving(database, []) as server, server.client(organization.editor) as client:
        yield client


@pytest.fixture
def tenant(server: Server) -> Iterator[tuple[httpx.Client, httpx.Client, list[int]]]:
    """An admin, an editor and two assistants of an organization whose policy is to be changed."""
    found = server.organization()
    with server.client(found.admin) as admin, server.client(found.editor) as editor:
        yield admin, editor, [create(editor), create(editor)]
