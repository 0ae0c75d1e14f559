from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from app.accounts import organizations
from events.tables import metadata
from tests.app import stored
from tests.app.route_table import (
    CHANGE_SETS,
    KEYS,
    NUMBER,
    OPERATIONS,
    OWNED,
    Operation,
    make_webhook,
)
from tests.console import Browser
from tests.databases import query, reading_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Organization, Server

ASSISTANTS = "/api/v1/assistants"
RESOLVE = "/api/v1/resolve"
_KINDS = {"SELECT", "INSERT", "UPDATE", "DELETE"}
# Uses are counted in memory and written now and then, each by its own organization and key.
_CHORES = ("usage_count=(", "FROM organizations \nWHERE organizations.organization_id = ")


@pytest.fixture(scope="module")
def tenant(server: Server) -> Organization:
    wait_for_the_first_purge(server)
    return server.organization()


def wait_for_the_first_purge(server: Server) -> None:
    """A server that has just started forgets what is old, one organization after the other."""
    [(newest,)] = query(server.database, "SELECT max(organization_id) FROM organizations")
    last = f"({newest}, "
    deadline = server.since + 10
    with stored.statements() as seen:
        while time.monotonic() < deadline:
            if any(
                "receipts.resolved_at <=" in s.text and s.bound.startswith(last) for s in list(seen)
            ):
                return
            time.sleep(0.05)


@pytest.fixture(scope="module")
def boss(server: Server, tenant: Organization) -> Iterator[httpx.Client]:
    with server.client(tenant.admin) as client:
        yield client


def make_ids(boss: httpx.Client) -> dict[str, Any]:
    secret = {"name": "Front desk", "llm_provider_config": {"api_key": "sk-hidden"}}
    assistant = boss.post(ASSISTANTS, json=secret).json()
    boss.patch(f"{ASSISTANTS}/{assistant['id']}", json={"description": "Answers"})
    change_request = {"assistant_ids": [assistant["id"]], "patch": {"tts_limit": 7}}
    changed = boss.post(CHANGE_SETS, json=change_request).json()
    made = boss.post(KEYS, json={"name": "spare"}).json()
    call = {"call_id": f"call-{assistant['id']}", "assistant_id": assistant["id"]}
    assert boss.post(RESOLVE, json=call).is_success
    return {
        "call_id": call["call_id"],
        "assistant_id": assistant["id"],
        "version_id": 2,
        "version": 2,
        "change_set_id": changed["change_set_id"],
        "key_id": made["api_key"]["id"],
        "phone_number": NUMBER,
        "phone_number_id": 1,
        "webhook_id": make_webhook(boss),
        "path": "nothing",
    }


def run(boss: httpx.Client, operation: Operation) -> None:
    """The operation as it is granted, refused for want of the thing, and without a key."""
    ids = make_ids(boss)
    operation.prepare(boss, ids)
    once = {"idempotency-key": str(uuid4())}
    for _ in range(2):
        operation.send(boss, ids, headers=once)
    missing = dict.fromkeys(OWNED, 99_999)
    operation.send(boss, ids | missing)
    operation.send(boss, ids, headers={"authorization": "Bearer none"})


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_every_statement_of_a_request_stays_in_one_organization(
    tenant: Organization, boss: httpx.Client, operation: Operation
) -> None:
    with stored.statements() as seen:
        run(boss, operation)
    ours = [statement for statement in seen if statement.table]
    assert ours
    for statement in ours:
        assert statement.stays_in_one_organization, statement.text
        if not any(chore in statement.text for chore in _CHORES):
            assert str(tenant.id) in statement.bound, statement


def sign_in_and_out(server: Server, tenant: Organization) -> None:
    with Browser(server.url) as browser:
        browser.sign_in(tenant.viewer)
        browser.submit("/sign-out", {})


def test_every_statement_of_a_session_stays_in_one_organization(
    server: Server, tenant: Organization
) -> None:
    with stored.statements() as seen:
        sign_in_and_out(server, tenant)
    ended = [statement for statement in seen if statement.table == "ended_sessions"]
    assert {s.text.split(maxsplit=1)[0] for s in ended} == {"SELECT", "INSERT", "DELETE"}
    for statement in ended:
        assert statement.stays_in_one_organization, statement.text
        assert str(tenant.id) in statement.bound, statement


def test_the_run_sees_every_kind_of_statement_on_every_table(
    server: Server, tenant: Organization, boss: httpx.Client
) -> None:
    with stored.statements() as seen:
        for operation in OPERATIONS:
            run(boss, operation)
        sign_in_and_out(server, tenant)
    assert {s.text.split(maxsplit=1)[0] for s in seen if s.table} == _KINDS
    reached = {statement.table for statement in seen if statement.table}
    assert reached == set(metadata.tables) - {"foldings"}  # which commands and starts alone reach


def test_a_new_key_is_looked_up_inside_its_organization(
    server: Server, tenant: Organization, boss: httpx.Client
) -> None:
    token = boss.post(KEYS, json={"name": "new"}).json()["key"]
    with server.client(token) as client, stored.statements() as seen:
        assert client.get(f"{ASSISTANTS}/count").status_code == 200
    looked_up = [statement for statement in seen if statement.table]
    assert any("JOIN users" in s.text and "JOIN organizations" in s.text for s in looked_up)
    assert all(s.stays_in_one_organization for s in looked_up)
    assert all(str(tenant.id) in s.bound for s in looked_up)


@pytest.mark.usefixtures("tenant")
def test_an_operators_search_by_name_does_reach_across(server: Server) -> None:
    engine = reading_engine(server.database)
    with engine.connect() as connection, stored.statements() as seen:
        assert organizations.find_organization(connection, "Organization 0") is not None
    engine.dispose()
    (statement,) = [one for one in seen if one.table]
    assert statement.table == "organizations"
    assert not statement.stays_in_one_organization
