"""The keys that a server knows without asking its database, and the uses that it counts."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from app.accounts import api_keys
from app.accounts.authenticator import Authenticator
from app.accounts.principals import Principal, Role
from app.assistants import changes
from app.services import Services, open_services, utc_now
from app.transactions.caller import system
from app.vault.keys import open_vault
from events.assistant_key import AssistantKey
from events.bodies.patch import read_create
from tests.app import stored
from tests.conftest import Organization, make_organizations
from tests.databases import config_of, on_sqlite, query, reading_engine, writing_engine

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from app.transactions.unit_of_work import UnitOfWork

_MANY = 250
KEY_OF_VIEWER = 1
HEAVIEST_KEY = 1100  # bytes of memory


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "backstory.db"


@pytest.fixture
def tenant(database: Path) -> Organization:
    (made,) = make_organizations(database, 1)
    return made


def running(database: Path, story: Callable[[Services], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with open_services(config_of(database), utc_now) as services:
            return await story(services)

    return asyncio.run(run())


def authenticator(services: Services, most_known: int) -> Authenticator:
    """With room for so many keys, of about the same weight."""
    hour = timedelta(hours=1)
    most_bytes = most_known * HEAVIEST_KEY
    return Authenticator(services.database, services.vault, utc_now, hour, most_bytes)


async def asked(keys: Authenticator, *tokens: str) -> list[bool]:
    """Whether the database had to be asked for each key in turn."""
    found = []
    for token in tokens:
        with stored.statements() as seen:
            assert isinstance(await keys.principal(token), Principal)
        found.append("api_keys" in [statement.table for statement in seen])
    return found


def test_the_key_that_was_used_least_recently_makes_room(
    database: Path, tenant: Organization
) -> None:
    async def story(services: Services) -> tuple[list[bool], list[bool]]:
        story = (tenant.viewer, tenant.editor, tenant.viewer, tenant.admin, tenant.viewer)
        small = await asked(authenticator(services, 2), *story, tenant.editor)
        large = await asked(authenticator(services, 3), *story, tenant.editor)
        return small, large

    small, large = running(database, story)
    assert small == [True, True, False, True, False, True]
    assert large == [True, True, False, True, False, False]  # the control


def counted(database: Path) -> dict[str, int]:
    return dict(query(database, "SELECT name, usage_count FROM api_keys WHERE usage_count > 0"))


def test_uses_are_written_once_those_of_keys_that_made_room_too(
    database: Path, tenant: Organization
) -> None:
    async def story(services: Services) -> list[dict[str, int]]:
        keys, found = authenticator(services, 1), []
        for token in (tenant.viewer, tenant.editor, tenant.viewer):
            await keys.principal(token)
        for _ in range(2):  # the second time there is nothing to write
            await keys.save_usage(services.writer)
            found.append(counted(database))
        await keys.principal(tenant.viewer)
        await keys.save_usage(services.writer)
        return [*found, counted(database)]

    began = utc_now()
    first, second, third = running(database, story)
    with reading_engine(database).connect() as connection:
        shown = {key.name: key for key in api_keys.list_keys(connection, tenant.id)}
    used = shown["viewer key"].last_used_at
    assert used is not None
    assert began <= used <= utc_now()
    assert shown["viewer key"].usage_count == 3
    assert shown["admin key"].last_used_at is None
    assert first == second == {"viewer key": 2, "editor key": 1}
    assert third == {"viewer key": 3, "editor key": 1}


def test_requests_at_the_same_time_share_one_query_for_their_key_and_their_assistants(
    database: Path, tenant: Organization
) -> None:
    """On a server, where each key is read for each request, and each view's stamp compared."""

    async def story(services: Services) -> None:
        places = [AssistantKey(tenant.id, number) for number in (1, 2, 3)]
        stamps = {}
        for key in places[:2]:
            await services.writer.write(tenant.id, create)
            stamps[key.assistant_id] = (await services.views.view(key)).stamp
        keys = Authenticator(services.database, services.vault, utc_now)
        await keys.principal(tenant.viewer)  # the organization's pepper is known now
        keys.invalidate(tenant.id, KEY_OF_VIEWER)
        with stored.statements() as statements:
            checks = (keys.check(tenant.viewer, number) for number in (1, 2, 1, 3, None))
            checked = await asyncio.gather(*checks)
        assert [statement.table for statement in statements] == ["api_keys"]
        for caller, seen in checked:
            assert isinstance(caller, Principal)
            assert caller.key_id == KEY_OF_VIEWER
            assert seen is not None
            assert seen.stamps == ({} if on_sqlite() else stamps)

    running(database, story)


def create(unit: UnitOfWork) -> None:
    changes.create(unit, system(1, "tests"), read_create({"name": "Front desk"}))


def test_a_use_that_is_counted_while_others_are_written_is_written_the_next_time(
    database: Path, tenant: Organization
) -> None:
    async def story(services: Services) -> tuple[dict[str, int], dict[str, int]]:
        keys = authenticator(services, 10)
        await keys.principal(tenant.viewer)
        saving = asyncio.create_task(keys.save_usage(services.writer))
        await asyncio.sleep(0)  # it waits for the writer now
        await keys.principal(tenant.viewer)
        await saving
        before = counted(database)
        await keys.save_usage(services.writer)
        return before, counted(database)

    assert running(database, story) == ({"viewer key": 1}, {"viewer key": 2})


def test_the_uses_of_many_keys_are_few_statements_between_which_others_write(
    database: Path, tenant: Organization
) -> None:
    tokens = _make_keys(database, tenant)

    async def story(services: Services) -> list[str]:
        keys = authenticator(services, _MANY)
        for token in tokens:
            await keys.principal(token)
        order: list[str] = []

        async def save() -> None:
            await keys.save_usage(services.writer)
            order.append("saved")

        async def write() -> None:
            await services.writer.write(tenant.id, lambda _: None)
            order.append("written")

        with stored.statements() as seen:
            saving = asyncio.create_task(save())
            await asyncio.sleep(0)
            await asyncio.gather(saving, write())
        updates = [one for one in seen if one.text.startswith("UPDATE api_keys")]
        assert len(updates) == 3  # of a hundred keys each, or less
        return order

    assert running(database, story) == ["written", "saved"]
    uses = query(database, "SELECT usage_count FROM api_keys WHERE name LIKE 'spare%'")
    assert uses == [(1,)] * _MANY


def _make_keys(database: Path, tenant: Organization) -> list[str]:
    safe, engine = open_vault(config_of(database)), writing_engine(database)
    with engine.begin() as connection:
        made = [
            api_keys.add_key(
                connection,
                safe,
                organization_id=tenant.id,
                user_id=1,
                name=f"spare {number}",
                role=Role.viewer,
                permissions={},
                now=utc_now(),
            )[1]
            for number in range(_MANY)
        ]
    engine.dispose()
    return made
