"""Work that grows with what is stored is done in portions, so that other writes come in between."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.assistants import purging, secrets
from app.main import Chore
from app.storage.database import Busy, Database
from app.storage.turns import TooManyReads
from app.transactions import idempotency
from tests.app.api.test_unavailable import serving
from tests.conftest import ASSISTANTS, Organization, Server, make_organizations
from tests.databases import is_of, query

SECRETS = "/api/v1/vault/secrets"
COUNT = 5
PORTIONS = pytest.mark.parametrize(("at_once", "transactions"), [(2, 3), (COUNT, 1)])
"""The second is the control: everything in one transaction."""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "backstory.db"


@pytest.fixture
def organization(database: Path) -> Organization:
    return make_organizations(database, 1)[0]


@pytest.fixture
def written(database: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """One element for each write transaction of the test's own database.

    Its background tasks make none meanwhile; those of the shared server, in this process, may.
    """
    monkeypatch.setattr(
        "app.main._background_work",
        lambda *_: [Chore("idle", partial(asyncio.sleep, 0), 60.0)],
    )
    transactions: list[Any] = []
    write = Database.write

    async def counted(writing: Database, work: Any) -> Any:
        if is_of(writing, database):
            transactions.append(work)
        return await write(writing, work)

    monkeypatch.setattr(Database, "write", counted)
    return transactions


def headers(organization: Organization, key: str | None = None) -> dict[str, str]:
    given = {"authorization": f"Bearer {organization.admin}"}
    return given if key is None else given | {"idempotency-key": key}


async def make_assistants(client: httpx.AsyncClient, organization: Organization) -> None:
    for number in range(COUNT):
        body = {"name": f"Desk {number}", "api_keys": {"own": f"sk-{number}"}}
        answer = await client.post(ASSISTANTS, json=body, headers=headers(organization))
        assert answer.status_code == 201


def sealed(database: Path) -> int:
    ((count,),) = query(database, "SELECT count(*) FROM sealed_secrets")
    return int(count)


def test_only_the_transactions_of_the_database_are_counted(
    database: Path, organization: Organization, written: list[Any], server: Server
) -> None:
    with server.client(server.organization().editor) as elsewhere:
        assert elsewhere.post(ASSISTANTS, json={"name": "Elsewhere"}).status_code == 201
    assert written == []

    async def story() -> None:
        async with serving(database) as (client, _):
            await make_assistants(client, organization)

    asyncio.run(story())
    assert len(written) >= COUNT


# -- erasure


@PORTIONS
@pytest.mark.parametrize("key", [None, "once"])
def test_all_secrets_are_erased_in_portions_and_counted_together(
    database: Path,
    organization: Organization,
    monkeypatch: pytest.MonkeyPatch,
    written: list[Any],
    at_once: int,
    transactions: int,
    key: str | None,
) -> None:
    monkeypatch.setattr(secrets, "_AT_ONCE", at_once)

    async def story() -> None:
        async with serving(database) as (client, _):
            await make_assistants(client, organization)
            written.clear()
            answer = await client.delete(SECRETS, headers=headers(organization, key))
            assert answer.json()["message"] == f"{COUNT} secrets erased"
            assert len(written) == transactions + (key is not None)
            assert sealed(database) == 0

    asyncio.run(story())


def test_a_repeated_erasure_erases_nothing_that_was_sealed_since(
    database: Path, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "_AT_ONCE", 1)

    async def story() -> None:
        async with serving(database) as (client, _):
            await make_assistants(client, organization)
            first = await client.delete(SECRETS, headers=headers(organization, "once"))
            await make_assistants(client, organization)
            again = await client.delete(SECRETS, headers=headers(organization, "once"))
            assert again.headers["idempotent-replayed"] == "true"
            assert again.content == first.content
            assert sealed(database) == COUNT
            # The control: another key is another request.
            await client.delete(SECRETS, headers=headers(organization, "twice"))
            assert sealed(database) == 0

    asyncio.run(story())


def test_an_erasure_that_is_cut_short_does_not_say_that_nothing_was_changed(
    database: Path,
    organization: Organization,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(secrets, "_AT_ONCE", 2)
    erase = secrets.erase_assistant

    def busy(unit: Any, caller: Any, assistant_id: int, *args: Any) -> int:
        if assistant_id == 3:
            raise Busy("locked")
        return erase(unit, caller, assistant_id, *args)

    async def story() -> None:
        async with serving(database) as (client, _):
            await make_assistants(client, organization)
            with monkeypatch.context() as patched:
                patched.setattr(secrets, "erase_assistant", busy)
                answer = await client.delete(SECRETS, headers=headers(organization))
            assert answer.status_code == 503
            assert answer.json()["type"] == "urn:backstory:problem:outcome-unknown"
            assert sealed(database) == COUNT - 2
            answer = await client.delete(SECRETS, headers=headers(organization))
            assert answer.json()["message"] == f"{COUNT - 2} secrets erased"

    asyncio.run(story())


# -- what the service removes by itself


@PORTIONS
def test_deleted_assistants_secrets_are_purged_in_portions(
    database: Path,
    organization: Organization,
    monkeypatch: pytest.MonkeyPatch,
    written: list[Any],
    at_once: int,
    transactions: int,
) -> None:
    monkeypatch.setattr(secrets, "_AT_ONCE", at_once)

    async def story() -> None:
        async with serving(database) as (client, services):
            await make_assistants(client, organization)
            for number in range(1, COUNT + 1):
                path = f"{ASSISTANTS}/{number}"
                await client.delete(path, headers=headers(organization))
            written.clear()
            purged = await purging.purge_all(
                services.database, services.writer, [1], timedelta(), services.clock()
            )
            assert (purged, len(written)) == (COUNT, transactions)
            assert sealed(database) == 0

    asyncio.run(story())


def test_a_purge_goes_on_past_an_organization_that_keeps_all_its_turns(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy, other = make_organizations(database, 2)
    export = Database.export

    async def full_for_one(database: Database, organization_id: int, *args: Any) -> Any:
        if organization_id == busy.id:
            raise TooManyReads(1)
        return await export(database, organization_id, *args)

    async def story() -> list[int]:
        async with serving(database) as (client, services):
            for organization in (busy, other):
                await make_assistants(client, organization)
                await client.delete(f"{ASSISTANTS}/1", headers=headers(organization))
            counts = []
            for purged in (full_for_one, export):  # the second is the control
                monkeypatch.setattr(Database, "export", purged)
                counts.append(
                    await purging.purge_all(
                        services.database,
                        services.writer,
                        [busy.id, other.id],
                        timedelta(),
                        services.clock(),
                    )
                )
            return counts

    assert asyncio.run(story()) == [1, 1]


@pytest.mark.parametrize(("at_once", "transactions"), [(2, 3), (COUNT + 1, 1)])
def test_expired_answers_are_removed_in_portions(
    database: Path,
    organization: Organization,
    monkeypatch: pytest.MonkeyPatch,
    written: list[Any],
    at_once: int,
    transactions: int,
) -> None:
    monkeypatch.setattr(idempotency, "_REMOVED_AT_ONCE", at_once)

    async def story() -> None:
        async with serving(database) as (client, services):
            for number in range(COUNT):
                given = headers(organization, f"key {number}")
                await client.post(ASSISTANTS, json={"name": "Desk"}, headers=given)
            monkeypatch.setattr(services.idempotency, "_lifetime", timedelta())
            written.clear()
            await services.idempotency.remove_expired([1])
            assert len(written) == transactions

    asyncio.run(story())
    assert query(database, "SELECT count(*) FROM answers") == [(0,)]
