"""Requests with an ``Idempotency-Key``, and what their answers say."""

from __future__ import annotations

import httpx

from tests.app import stored
from tests.conftest import (
    ASSISTANTS,
    Organization,
    Server,
)

REPLAYED = "idempotent-replayed"
PATIENCE = 30  # seconds
_OF_EACH_REQUEST = frozenset(("date", "x-request-id", REPLAYED))


def keyed(key: str) -> dict[str, str]:
    return {"idempotency-key": key}


def content_of(answer: httpx.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    """Status, body and headers, except the headers that differ for each request."""
    headers = answer.headers.multi_items()
    return (
        answer.status_code,
        answer.content,
        sorted(item for item in headers if item[0] not in _OF_EACH_REQUEST),
    )


def is_replayed(answer: httpx.Response) -> bool:
    assert answer.headers.get(REPLAYED) in (None, "true")
    return REPLAYED in answer.headers


def problem(answer: httpx.Response) -> str:
    kind: str = answer.json()["type"]
    return kind.removeprefix("urn:backstory:problem:")


def create(client: httpx.Client, key: str, name: str = "Front desk") -> httpx.Response:
    return client.post(ASSISTANTS, json={"name": name}, headers=keyed(key))


def count(server: Server, organization: Organization) -> int:
    """The events of an organization."""
    return len(stored.events(server.database, organization.id))
