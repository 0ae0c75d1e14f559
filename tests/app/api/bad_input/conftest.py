"""One organization that no bad input may change, and another for what is granted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.app import stored
from tests.app.route_table import CHANGE_SETS, make_webhook
from tests.conftest import ASSISTANTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Organization, Server


@pytest.fixture(scope="module")
def organization(server: Server) -> Organization:
    return server.organization()


@pytest.fixture(scope="module")
def admin(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.admin) as client:
        yield client


@pytest.fixture(scope="module")
def spare(server: Server) -> Iterator[httpx.Client]:
    """Another organization, for what is large or does change things."""
    with server.client(server.organization().admin) as client:
        yield client


@pytest.fixture(scope="module")
def ids(admin: httpx.Client) -> dict[str, Any]:
    """What the requests are about: none of them may change it."""
    assert admin.post(ASSISTANTS, json={"name": "Front desk"}).json()["id"] == 1
    assert admin.patch(f"{ASSISTANTS}/1", json={"description": "Answers"}).json()["version"] == 2
    change_request = {"assistant_ids": [1], "patch": {"tts_limit": 7}}
    call = {"call_id": "c1", "assistant_id": 1}
    assert admin.post("/api/v1/resolve", json=call).is_success
    return {
        "assistant_id": 1,
        "version_id": 2,
        "version": 2,
        "change_set_id": admin.post(CHANGE_SETS, json=change_request).json()["change_set_id"],
        "key_id": 1,
        "webhook_id": make_webhook(admin),
        "phone_number": "+1",
        "phone_number_id": 1,
        "call_id": "c1",
        "path": "x",
    }


@pytest.fixture
def path(ids: dict[str, Any]) -> str:
    return f"{ASSISTANTS}/{ids['assistant_id']}"


@pytest.fixture
def unchanged(server: Server, organization: Organization, ids: dict[str, Any]) -> Iterator[None]:
    """Version, history, keys and everything else of the organization stay as they were."""
    del ids
    before = stored.rows(server.database, organization.id)
    yield
    assert stored.rows(server.database, organization.id) == before


@pytest.fixture
def unchanged_but_for_exports(
    server: Server, organization: Organization, ids: dict[str, Any]
) -> Iterator[None]:
    """As ``unchanged``; but an export is an event, and moves the counters."""
    del ids

    def all_else() -> dict[str, Any]:
        rows = stored.rows(server.database, organization.id)
        del rows["organizations"]
        rows["events"] = [row for row in rows["events"] if row["type"] != "audit_exported.v1"]
        return rows

    before = all_else()
    yield
    assert all_else() == before
