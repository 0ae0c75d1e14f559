from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from msgspec import structs

from app.accounts import api_keys, principals, tokens
from app.accounts.authenticator import Authenticator
from app.main import create_app
from app.services import utc_now
from app.storage import tables
from app.storage.database import Database
from app.vault.keys import open_vault
from tests.app import stored
from tests.app.route_table import (
    CHANGE_SETS,
    KEYS,
    NUMBER,
    OPERATIONS,
    Operation,
    make_webhook,
    routes_of,
)
from tests.conftest import make_organizations
from tests.databases import config_of, url_of, writing_engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Organization, Server

ASSISTANTS = "/api/v1/assistants"
_PROTECTED = [operation for operation in OPERATIONS if operation.needs_a_key]
_OPEN = [operation for operation in OPERATIONS if not operation.needs_a_key]
_WRITES = [operation for operation in _PROTECTED if operation.writes]
_READS = [o for o in _PROTECTED if not (o.writes or o.is_for_admins or o.needs_a_scope)]
_FOR_ADMINS = [operation for operation in _PROTECTED if operation.is_for_admins]
_FOR_EDITORS = [operation for operation in _WRITES if not operation.is_for_admins]
_REVOCATIONS = 25


@pytest.fixture(scope="module")
def tenant(server: Server) -> Organization:
    return server.organization()


@pytest.fixture(scope="module")
def boss(server: Server, tenant: Organization) -> Iterator[httpx.Client]:
    with server.client(tenant.admin) as client:
        yield client


@pytest.fixture
def ids(boss: httpx.Client) -> dict[str, Any]:
    """Things of a test's own, which it may change."""
    return make_ids(boss)


@pytest.fixture(scope="module")
def standing(boss: httpx.Client) -> dict[str, Any]:
    """Things that no test changes: they are asked for, or their change is refused."""
    return make_ids(boss)


def make_ids(boss: httpx.Client) -> dict[str, Any]:
    """Things that are there to be reached: an assistant, its versions, a set, a spare key."""
    assistant = boss.post(ASSISTANTS, json={"name": "Front desk"}).json()
    boss.patch(f"{ASSISTANTS}/{assistant['id']}", json={"description": "Answers"})
    change_request = {"assistant_ids": [assistant["id"]], "patch": {"tts_limit": 7}}
    changed = boss.post(CHANGE_SETS, json=change_request).json()
    key, _ = make_key(boss)
    call = {"call_id": f"call-{assistant['id']}", "assistant_id": assistant["id"]}
    assert boss.post("/api/v1/resolve", json=call).is_success
    return {
        "call_id": call["call_id"],
        "assistant_id": assistant["id"],
        "version_id": 2,
        "version": 2,
        "change_set_id": changed["change_set_id"],
        "key_id": key["id"],
        "phone_number": NUMBER,
        "phone_number_id": 1,
        "webhook_id": make_webhook(boss),
        "path": "nothing",
    }


def make_key(boss: httpx.Client, **settings: Any) -> tuple[dict[str, Any], str]:
    made = boss.post(KEYS, json={"name": "spare"} | settings).json()
    return made["api_key"], made["key"]


def with_key(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def refused(answer: httpx.Response, needed: str, role: str) -> bool:
    text = f"This needs the role {needed}; the API key has the role {role}"
    return answer.status_code == 403 and answer.json()["detail"] == text


# -- what each role may do, from the route table


@pytest.mark.parametrize("operation", _WRITES, ids=str)
def test_a_viewers_key_writes_nothing(
    server: Server,
    tenant: Organization,
    boss: httpx.Client,
    ids: dict[str, Any],
    operation: Operation,
) -> None:
    operation.prepare(boss, ids)
    before = stored.rows(server.database, tenant.id)
    answer = operation.send(boss, ids, headers=with_key(tenant.viewer))
    needed = "admin" if operation.is_for_admins else "editor"
    assert refused(answer, needed, "viewer")
    assert stored.rows(server.database, tenant.id) == before
    # The control: the same request with an admin's key is granted.
    assert operation.send(boss, ids).is_success


@pytest.mark.parametrize("operation", _READS, ids=str)
def test_a_viewers_key_reads_everything_but_keys(
    tenant: Organization, boss: httpx.Client, standing: dict[str, Any], operation: Operation
) -> None:
    operation.prepare(boss, standing)
    answer = operation.send(boss, standing, headers=with_key(tenant.viewer))
    assert answer.status_code == 200


@pytest.mark.parametrize("operation", _FOR_EDITORS, ids=str)
def test_an_editors_key_writes_settings(
    tenant: Organization, boss: httpx.Client, ids: dict[str, Any], operation: Operation
) -> None:
    operation.prepare(boss, ids)
    assert operation.send(boss, ids, headers=with_key(tenant.editor)).is_success


@pytest.mark.parametrize("operation", _FOR_ADMINS, ids=str)
@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_only_an_admins_key_sees_and_changes_keys(
    tenant: Organization, boss: httpx.Client, ids: dict[str, Any], role: str, operation: Operation
) -> None:
    answer = operation.send(boss, ids, headers=with_key(getattr(tenant, role)))
    assert refused(answer, "admin", role)
    assert operation.send(boss, ids).is_success


@pytest.mark.parametrize("operation", _PROTECTED, ids=str)
def test_nothing_is_answered_without_a_key(
    server: Server, standing: dict[str, Any], operation: Operation
) -> None:
    with server.client(None) as nobody:
        answer = operation.send(nobody, standing)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


_BEFORE = ("/", "//", "/%2F", "/.", "/%2e", "/x/..", "/%2e%2e/")
_AFTER = ("/", "//", "/.", "%2F", "?", ";", "%00")


@pytest.mark.parametrize("operation", _PROTECTED, ids=str)
@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.long)])
def test_no_spelling_of_a_path_gets_around_the_key(
    server: Server, tenant: Organization, standing: dict[str, Any], every: int, operation: Operation
) -> None:
    """Each operation in some of the spellings; in all of them with
    ``pytest -m long tests/app/accounts/test_roles.py``.
    """
    chosen = slice(_PROTECTED.index(operation) % every, None, every)
    before = stored.rows(server.database, tenant.id)
    with server.client(None) as nobody:
        for spelling in _BEFORE[chosen]:
            url = f"{server.url}{spelling}{operation.path}"
            answer = structs.replace(operation, path=url).send(nobody, standing)
            assert answer.status_code in (401, 404), spelling
        for ending in _AFTER[chosen]:
            url = f"{operation.path}{ending}"
            answer = structs.replace(operation, path=url).send(nobody, standing)
            assert answer.status_code in (401, 404, 405), ending
    assert stored.rows(server.database, tenant.id) == before


@pytest.mark.parametrize("operation", _OPEN, ids=str)
def test_what_holds_no_settings_is_open(
    server: Server, standing: dict[str, Any], operation: Operation
) -> None:
    with server.client(None) as nobody:
        answer = operation.send(nobody, standing)
    nothing_there = "path" in operation.parameters
    assert answer.status_code == (404 if nothing_there else 200)


def test_nothing_but_the_providers_is_open_below_api() -> None:
    below = [str(operation) for operation in _OPEN if operation.path.startswith("/api")]
    assert below == [f"GET {ASSISTANTS}/providers"]


# -- permissions narrow a role


@pytest.mark.parametrize("operation", _WRITES, ids=str)
def test_a_key_without_write_is_a_viewers_whatever_its_role(
    boss: httpx.Client, ids: dict[str, Any], operation: Operation
) -> None:
    operation.prepare(boss, ids)
    _, token = make_key(boss, role="admin", permissions={"write": False})
    needed = "admin" if operation.is_for_admins else "editor"
    assert refused(operation.send(boss, ids, headers=with_key(token)), needed, "viewer")
    _, token = make_key(boss, role="admin", permissions={"write": True})
    assert operation.send(boss, ids, headers=with_key(token)).is_success


def test_a_key_without_admin_is_an_editors(boss: httpx.Client) -> None:
    _, token = make_key(boss, role="admin", permissions={"admin": False})
    assert refused(boss.get(KEYS, headers=with_key(token)), "admin", "editor")
    created = boss.post(ASSISTANTS, json={"name": "Narrow"}, headers=with_key(token))
    assert created.status_code == 201


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_permissions_never_widen_a_role(boss: httpx.Client, role: str) -> None:
    everything = {"read": True, "write": True, "admin": True}
    key, token = make_key(boss, role=role)
    assert boss.put(f"{KEYS}/{key['id']}", json={"permissions": everything}).status_code == 422
    assert refused(boss.get(KEYS, headers=with_key(token)), "admin", role)


def test_a_key_that_is_narrowed_is_narrower_on_its_next_request(boss: httpx.Client) -> None:
    key, token = make_key(boss)
    path = f"{ASSISTANTS}/1/status?is_active=true"
    for _ in range(5):
        assert boss.patch(path, headers=with_key(token)).status_code in (200, 404)
        boss.put(f"{KEYS}/{key['id']}", json={"permissions": {"write": False}})
        assert refused(boss.patch(path, headers=with_key(token)), "editor", "viewer")
        boss.put(f"{KEYS}/{key['id']}", json={"permissions": None})


def test_an_editor_cannot_read_what_was_deleted(
    boss: httpx.Client, tenant: Organization, ids: dict[str, Any]
) -> None:
    path = f"{ASSISTANTS}/{ids['assistant_id']}"
    boss.delete(path)
    for place in ("/settings-history", "/settings-history/2"):
        asked = f"{path}{place}?include_deleted=true"
        assert boss.get(asked).status_code == 200
        for role in ("viewer", "editor"):
            answer = boss.get(asked, headers=with_key(getattr(tenant, role)))
            assert refused(answer, "admin", role)


# -- a revoked key


def revoke(boss: httpx.Client, key_id: int, how: str) -> httpx.Response:
    path = f"{KEYS}/{key_id}"
    return boss.delete(path) if how == "DELETE" else boss.put(path, json={"is_active": False})


@pytest.mark.parametrize("how", ["DELETE", "PUT"])
def test_a_revoked_key_is_refused_on_its_next_request(boss: httpx.Client, how: str) -> None:
    for _ in range(_REVOCATIONS):
        key, token = make_key(boss)
        # Used before, so that it is one of those the server remembers.
        assert boss.get(f"{ASSISTANTS}/count", headers=with_key(token)).status_code == 200
        assert revoke(boss, key["id"], how).status_code == 200
        assert boss.get(f"{ASSISTANTS}/count", headers=with_key(token)).status_code == 401


def test_a_revoked_key_that_never_was_used_is_refused(boss: httpx.Client) -> None:
    key, token = make_key(boss)
    assert revoke(boss, key["id"], "DELETE").status_code == 200
    assert boss.get(f"{ASSISTANTS}/count", headers=with_key(token)).status_code == 401


def test_a_key_that_is_switched_on_again_works_again(boss: httpx.Client) -> None:
    key, token = make_key(boss)
    revoke(boss, key["id"], "DELETE")
    assert boss.get(f"{ASSISTANTS}/count", headers=with_key(token)).status_code == 401
    boss.put(f"{KEYS}/{key['id']}", json={"is_active": True})
    assert boss.get(f"{ASSISTANTS}/count", headers=with_key(token)).status_code == 200


def test_no_request_that_starts_after_a_revocation_gets_through(
    server: Server, boss: httpx.Client
) -> None:
    for _ in range(4):
        key, token = make_key(boss)
        revoked = threading.Event()
        warm = threading.Barrier(5, timeout=30)
        with ThreadPoolExecutor(4) as pool:
            running = [pool.submit(hammer, server, token, revoked, warm) for _ in range(4)]
            warm.wait()
            assert revoke(boss, key["id"], "DELETE").status_code == 200
            revoked.set()
            for one in running:
                before, after = one.result(timeout=30)
                assert 200 in before  # the control: it was a good key
                assert after == [401] * len(after)
                assert len(after) >= 10


def hammer(
    server: Server, token: str, revoked: threading.Event, warm: threading.Barrier
) -> tuple[list[int], list[int]]:
    """Statuses of requests that started before the revocation was answered, and after it."""
    before: list[int] = []
    after: list[int] = []
    with server.client(token) as client:
        before.append(client.get(f"{ASSISTANTS}/count").status_code)
        warm.wait()
        while len(after) < 10:
            statuses = after if revoked.is_set() else before
            statuses.append(client.get(f"{ASSISTANTS}/count").status_code)
    return before, after


def test_a_key_that_is_looked_up_while_it_is_revoked_is_not_remembered(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    (tenant,) = make_organizations(database, 1)
    app: Any = create_app(config_of(database))
    routes = routes_of(app)

    async def revoke_and_look_up(boss: httpx.AsyncClient, after: int) -> None:
        authenticator = routes.state.services.authenticator
        made = (await boss.post(KEYS, json={"name": "spare"})).json()
        revoking = asyncio.create_task(boss.delete(f"{KEYS}/{made['api_key']['id']}"))
        for _ in range(after):  # so many turns of the loop, to meet it at every moment
            await asyncio.sleep(0)
        await authenticator.principal(made["key"])
        assert (await revoking).is_success
        refused = await authenticator.principal(made["key"])
        assert refused == principals.RejectedKey(
            organization_id=tenant.id, key_id=made["api_key"]["id"]
        )

    async def try_every_moment() -> None:
        transport = httpx.ASGITransport(app)
        async with (
            routes.lifespan(),
            httpx.AsyncClient(
                base_url="http://here", transport=transport, headers=with_key(tenant.admin)
            ) as boss,
        ):
            for after in range(0, 120, 2):
                await revoke_and_look_up(boss, after)

    asyncio.run(try_every_moment())


class Slow(Database):
    """A database whose next glance waits, with what it has read, until it is let go."""

    def __init__(self, path: Path) -> None:
        super().__init__(url_of(path))
        self.is_slow = False
        self.has_read, self.may_go = asyncio.Event(), asyncio.Event()

    async def glance(self, query: Any, **values: Any) -> Any:
        is_slow, self.is_slow = self.is_slow, False
        found = await super().glance(query, **values)
        if is_slow:
            self.has_read.set()
            await self.may_go.wait()
        return found


class Forgetful(Authenticator):
    """One that does not notice that a key was forgotten while it was looked up."""

    def invalidate(self, organization_id: int, key_id: int) -> None:
        super().invalidate(organization_id, key_id)
        self._invalidations = 0


@pytest.mark.parametrize(
    ("kind", "role"), [(Authenticator, principals.Role.viewer), (Forgetful, principals.Role.admin)]
)
def test_a_look_up_that_began_before_a_key_was_changed_does_not_bring_its_role_back(
    tmp_path: Path, kind: type[Authenticator], role: principals.Role
) -> None:
    path = tmp_path / "backstory.db"
    (tenant,) = make_organizations(path, 1)
    engine = writing_engine(path)

    def narrow(key_id: int) -> None:
        values = {"role": principals.Role.viewer.name}
        with engine.begin() as connection:
            api_keys.change_key(connection, tenant.id, key_id, utc_now(), **values)

    async def story() -> tuple[principals.Role, principals.Role]:
        database = Slow(path)
        safe = open_vault(config_of(path))
        authenticator = kind(database, safe, utc_now, timedelta(hours=1))

        async def caller_of(token: str) -> principals.Principal:
            found = await authenticator.principal(token)
            assert isinstance(found, principals.Principal)
            return found

        database.is_slow = True
        early = asyncio.create_task(caller_of(tenant.admin))
        await database.has_read.wait()
        with engine.connect() as connection:
            (key_id,) = [
                key.id
                for key in api_keys.list_keys(connection, tenant.id)
                if tenant.admin.startswith(key.key_prefix)
            ]
        narrow(key_id)
        authenticator.invalidate(tenant.id, key_id)
        database.may_go.set()
        found = (await early).role, (await caller_of(tenant.admin)).role
        await database.close()
        return found

    assert asyncio.run(story()) == (principals.Role.admin, role)
    engine.dispose()


# -- junk


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: token[:-1] + ("0" if token[-1] != "0" else "1"),
        lambda token: token[:10] + ("a" if token[10] != "a" else "b") + token[11:],
        lambda token: token[:-1],
        lambda token: token + "0",
        lambda token: token.removeprefix("bks_"),
        lambda token: token.upper(),
        lambda _: "bks_",
        lambda _: "bks_" + "-" * 36,
        lambda _: "burki_" + "a" * 32,
        lambda _: "x" * 60_000,
    ],
)
def test_junk_is_turned_away_without_a_query(
    server: Server, tenant: Organization, spoil: Any
) -> None:
    with server.client(None) as client, stored.statements() as seen:
        answer = client.get(ASSISTANTS, headers=with_key(spoil(tenant.admin)))
    assert answer.status_code == 401
    assert "api_keys" not in [statement.table for statement in seen]


def test_a_key_of_the_right_form_is_looked_up(server: Server, tenant: Organization) -> None:
    forged = tokens.make_token(tenant.id)
    with server.client(None) as client, stored.statements() as seen:
        answer = client.get(ASSISTANTS, headers=with_key(forged))
    assert answer.status_code == 401
    read = [statement.table for statement in seen if statement.text.startswith("SELECT")]
    assert read.count("api_keys") == 1  # the server's chores may read other tables beside it


def test_a_key_for_an_organization_that_is_not_there_is_refused(server: Server) -> None:
    with server.client(None) as client:
        for organization_id in (0, 999_999, tables.MAX_ID):
            forged = tokens.make_token(organization_id)
            assert client.get(ASSISTANTS, headers=with_key(forged)).status_code == 401


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Basic {token}", "Token {token}", "{token}", "Bearer {token} x"],
)
def test_only_a_bearer_token_is_a_key(server: Server, tenant: Organization, header: str) -> None:
    sent = {"authorization": header.format(token=tenant.viewer)}
    with server.client(None) as client:
        assert client.get(ASSISTANTS, headers=sent).status_code == 401
        sent = {"authorization": f"bEARER {tenant.viewer}"}
        assert client.get(ASSISTANTS, headers=sent).status_code == 200
