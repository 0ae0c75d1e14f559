"""Requests for change sets, and what the tests read of their answers."""

from __future__ import annotations

from typing import Any

import httpx

from tests.app import stored
from tests.app.assistants.answers import ok
from tests.conftest import (
    ASSISTANTS,
    Organization,
    Server,
)

SETS = "/api/v1/change-sets"


POLICY = "/api/v1/policy"


DRY_RUN = {"prefer": "dry-run"}


def create(client: httpx.Client, **settings: Any) -> int:
    answer = client.post(ASSISTANTS, json={"name": "One"} | settings)
    assert answer.status_code == 201, answer.text
    assistant_id: int = answer.json()["id"]
    return assistant_id


def place(assistant_id: int) -> str:
    return f"{ASSISTANTS}/{assistant_id}"


def send(client: httpx.Client, ids: list[int], patch: Any, **options: Any) -> httpx.Response:
    headers = options.pop("headers", None)
    body = {"assistant_ids": ids, "patch": patch} | options
    return client.post(SETS, json=body, headers=headers)


def change(client: httpx.Client, ids: list[int], patch: Any, **options: Any) -> dict[str, Any]:
    made: dict[str, Any] = ok(send(client, ids, patch, **options), 201)
    return made


def revert(client: httpx.Client, change_set_id: int, **body: Any) -> httpx.Response:
    headers = body.pop("headers", None)
    return client.post(f"{SETS}/{change_set_id}/revert", json=body, headers=headers)


def shown(client: httpx.Client, ids: list[int], *names: str) -> list[Any]:
    """The members of each assistant."""
    found = [ok(client.get(place(one))) for one in ids]
    return [tuple(one[name] for name in names) for one in found]


def events_of(server: Server, organization: Organization, change_set_id: int) -> list[Any]:
    return [
        event
        for event in stored.events(server.database, organization.id)
        if event.get("cause", {}).get("change_set_id") == change_set_id
    ]
