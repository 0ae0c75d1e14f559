"""A change of an API key is recorded once; one that changes nothing is not."""

from __future__ import annotations

from typing import Any

import httpx

from tests.app import stored
from tests.app.audit.log_reader import KEYS, logs
from tests.conftest import (
    ASSISTANTS,
    Organization,
    Server,
)


def test_a_change_of_a_key_that_changes_nothing_records_nothing(
    server: Server, organization: Organization, admin: httpx.Client
) -> None:
    body = {"name": "Same", "permissions": {"write": False}}
    key = admin.post(KEYS, json=body).json()["api_key"]
    before = stored.events(server.database, organization.id)
    same: list[dict[str, Any]] = [{}, {"name": "Same"}, {"is_active": True}, body]
    for one in same:
        assert admin.put(f"{KEYS}/{key['id']}", json=one).status_code == 200
    assert stored.events(server.database, organization.id) == before
    assert admin.put(f"{KEYS}/{key['id']}", json={"name": "Other"}).status_code == 200  # control
    assert len(stored.events(server.database, organization.id)) == len(before) + 1


def test_a_key_is_revoked_once_and_switched_on_again(admin: httpx.Client) -> None:
    path = f"{KEYS}/{admin.post(KEYS, json={'name': 'Twice'}).json()['api_key']['id']}"
    admin.delete(path)
    admin.delete(path)
    admin.put(path, json={"is_active": True, "name": "Back"})
    admin.put(path, json={"is_active": False, "name": "Gone"})
    assert [entry["event_type"] for entry in logs(admin)] == [
        "api_key_revoked",
        "api_key_changed",
        "api_key_revoked",
        "api_key_created",
    ]


def test_a_change_that_is_refused_records_nothing(admin: httpx.Client) -> None:
    assert admin.post(KEYS, json={"name": ""}).status_code == 422
    assert admin.put(f"{KEYS}/999", json={"name": "x"}).status_code == 404
    assert admin.delete(f"{KEYS}/999").status_code == 404
    assert logs(admin) == []


def test_a_patch_that_changes_nothing_records_nothing(
    editor: httpx.Client, admin: httpx.Client, assistant: dict[str, Any]
) -> None:
    before = logs(admin)
    for verb in ("PATCH", "PUT"):
        editor.request(verb, f"{ASSISTANTS}/{assistant['id']}", json={"name": assistant["name"]})
    assert logs(admin) == before
