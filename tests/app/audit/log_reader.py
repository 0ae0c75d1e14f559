"""Reading the audit log over HTTP, and servers whose clock is given."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx

from app.services import utc_now
from tests.conftest import (
    ASSISTANTS,
    Server,
)

if TYPE_CHECKING:
    from collections.abc import Callable


AUDIT = "/api/v1/audit"


LOGS = f"{AUDIT}/logs"


KEYS = "/api/v1/users/me/api-keys"


POLICY = "/api/v1/policy"


NEXT = re.compile(r'<([^>]+)>; rel="next"')


JSON_BODY = {"content-type": "application/json"}


# The published contract's AuditLogEntry.
FIELDS = {
    "id", "event_type", "event_timestamp", "user_id", "user_email", "organization_id",
    "ip_address", "user_agent", "request_id", "api_key_id", "resource_type", "resource_id",
    "resource_name", "action", "status", "details", "old_values", "new_values", "phi_accessed",
    "error_message",
}  # fmt: skip


CANARY = "canary-4f1c"


SECRETS = {
    "llm_provider_config": {
        "api_key": f"{CANARY}-llm",
        "base_url": f"https://user:{CANARY}-url@llm.example/v1",
    },
    "api_keys": {"openai_api_key": f"{CANARY}-own"},
    "webhook_headers": {"Authorization": f"Bearer {CANARY}-hook"},
    "custom_settings": {"crm": {"token": f"{CANARY}-crm", "url": "https://crm.example"}},
    "llm_fallback_providers": {
        "fallbacks": [{"provider": "openai", "model": "gpt-4o", "api_key": f"{CANARY}-list"}]
    },
}


def look(client: httpx.Client, **query: Any) -> dict[str, Any]:
    answer = client.get(LOGS, params=query)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


def logs(client: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    """Every entry that a search finds, newest first."""
    page = look(client, limit=500, **query)
    assert page["total"] == len(page["logs"])
    found: list[dict[str, Any]] = page["logs"]
    return found


def ids(entries: list[dict[str, Any]]) -> list[int]:
    return [entry["id"] for entry in entries]


def eventually(
    client: httpx.Client, count: int, event_type: str = "login_refused"
) -> list[dict[str, Any]]:
    """The log's entries of a type once there are so many: refusals are recorded behind the 401."""
    deadline = time.monotonic() + 10
    while len(found := logs(client, event_type=event_type)) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} {event_type}"
        time.sleep(0.01)
    return found


def try_key(server: Server, token: str) -> httpx.Response:
    with server.client(token) as outsider:
        answer = outsider.get(f"{ASSISTANTS}/count")
    assert answer.status_code == 401
    return answer


def midnight() -> datetime:
    """One that is not yet: what was made before the server started is older."""
    return (utc_now() + timedelta(days=2)).replace(hour=0, minute=0, second=0, microsecond=0)


def create_assistant(editor: httpx.Client) -> int:
    answer = editor.post(ASSISTANTS, json={"name": "Front desk"} | SECRETS)
    assert answer.status_code == 201
    return int(answer.json()["id"])


def pages(
    client: httpx.Client, between: Callable[[], object] = lambda: None, **query: Any
) -> list[list[int]]:
    """The ids on every page, following ``Link`` to the end."""
    found = []
    url = str(httpx.URL(LOGS, params=query))
    while url:
        answer = client.get(url)
        assert answer.status_code == 200
        found.append(ids(answer.json()["logs"]))
        assert len(found) < 200, "the walk does not end"
        link = NEXT.fullmatch(answer.headers.get("link", ""))
        url = link[1] if link else ""
        between()
    return found
