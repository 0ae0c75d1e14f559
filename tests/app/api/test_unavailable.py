"""What cannot be served now is 503, and says when to try again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_bytes
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from app.api import exception_handlers
from app.assistants import secrets
from app.main import create_app
from app.services import utc_now
from app.storage.database import ReadFailed
from app.transactions.caller import system
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import MasterKeyError, Vault, read_master_keys
from tests.app.route_table import routes_of
from tests.conftest import ASSISTANTS, Organization, make_organizations
from tests.databases import chosen, config_of, execute, writing_engine

SECRET = {"api_keys": {"openai_api_key": "sk-live-7d1e"}}


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, Any]]:
    """A client of an application in this process, and what the application is made of."""
    app: Any = create_app(config_of(path))
    routes = routes_of(app)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        routes.lifespan(),
        httpx.AsyncClient(base_url="http://here", transport=transport) as client,
    ):
        yield client, routes.state.services


def said(answer: httpx.Response) -> tuple[int, bool]:
    """The status, and whether it says when to try again."""
    return answer.status_code, "retry-after" in answer.headers


# -- a standby


@pytest.mark.parametrize(("is_standby", "status"), [(True, 503), (False, 200)])
def test_a_server_on_a_standby_is_not_ready(
    tmp_path: Path,
    is_standby: bool,  # noqa: FBT001  # pytest's way
    status: int,
) -> None:
    path = tmp_path / "backstory.db"
    make_organizations(path, 1)

    async def story() -> httpx.Response:
        async with serving(path) as (client, services):
            asks = sa.select(sa.literal(is_standby))
            services.database._engines.is_standby = asks  # noqa: SLF001  # no test has a standby
            return await client.get("/ready")

    assert said(asyncio.run(story())) == (status, is_standby)


# -- a database that cannot be read


@pytest.mark.parametrize("error", [ReadFailed, None])
def test_a_table_that_cannot_be_read_is_503(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception] | None
) -> None:
    path = tmp_path / "backstory.db"
    (organization,) = make_organizations(path, 1)
    if error is None:  # the control
        monkeypatch.delitem(exception_handlers.HANDLERS, ReadFailed)

    async def story() -> list[tuple[int, bool]]:
        async with serving(path) as (client, _):
            execute(path, "ALTER TABLE assistants RENAME TO elsewhere")
            places = (f"{ASSISTANTS}/1", f"{ASSISTANTS}/1?", ASSISTANTS)
            return [said(await client.get(at, headers=key_of(organization))) for at in places]

    of_glances = (503, True) if error else (500, False)
    assert asyncio.run(story()) == [of_glances, of_glances, (503, True)]


# -- a master key that was rotated beside the server


@pytest.fixture
def on_postgresql() -> Iterator[None]:
    """A file's server holds it, so that nobody rotates its keys beside it."""
    with chosen("postgresql"):
        yield


def rewrap(path: Path) -> None:
    """Wrap every organization's keys under a master key that the server has not heard of."""
    old = read_master_keys(config_of(path))
    engine = writing_engine(path)
    with engine.begin() as connection:
        unit = UnitOfWork(connection, Vault((token_bytes(32), *old)), utc_now)
        for organization_id in (1, 2):
            secrets.rotate(unit, system(organization_id, "tests"), data_keys=False)
        unit.flush()
    engine.dispose()


@pytest.mark.usefixtures("on_postgresql")
@pytest.mark.parametrize("is_guarded", [True, False])
def test_a_server_whose_master_key_is_too_old_says_to_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_guarded: bool
) -> None:
    path = tmp_path / "backstory.db"
    known, unknown = make_organizations(path, 2)

    async def story() -> list[httpx.Response]:
        async with serving(path) as (client, _):
            made = await client.post(ASSISTANTS, json={"name": "One"}, headers=key_of(known))
            assert made.status_code == 201
            rewrap(path)
            one = f"{ASSISTANTS}/1"
            needs_no_key = {"description": "No secret"}
            return [
                await client.patch(one, json=SECRET, headers=key_of(known)),
                await client.post(ASSISTANTS, json={"name": "x"}, headers=key_of(unknown)),
                await client.patch(one, json=needs_no_key, headers=key_of(known)),
            ]

    if not is_guarded:
        monkeypatch.delitem(exception_handlers.HANDLERS, MasterKeyError)
    sealing, caller, plain = asyncio.run(story())
    refused = (503, True) if is_guarded else (500, False)
    assert (said(sealing), said(caller)) == (refused, refused)
    assert (plain.status_code, plain.json()["version"]) == (200, 2)  # and the first did nothing


def key_of(organization: Organization) -> dict[str, str]:
    return {"authorization": f"Bearer {organization.admin}"}
