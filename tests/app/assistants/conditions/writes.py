"""Every way to write, each as a request with a condition or a preference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from tests.conftest import ASSISTANTS

POLICY = "/api/v1/policy"


JSON_PATCH = {"content-type": "application/json-patch+json"}


Send = Callable[..., httpx.Response]


def json_patch(
    client: httpx.Client, path: str, headers: dict[str, str] | None = None
) -> httpx.Response:
    steps = [{"op": "replace", "path": "/name", "value": "New"}]
    return client.patch(path, json=steps, headers=JSON_PATCH | (headers or {}))


# Every way to change an assistant, each over version 3 of the one that ``path`` makes.
CHANGES: dict[str, Send] = {
    "PATCH": lambda c, p, **o: c.patch(p, json={"name": "New"}, **o),
    "JSON Patch": json_patch,
    "PUT": lambda c, p, **o: c.put(p, json={"name": "New"}, **o),
    "status": lambda c, p, **o: c.patch(f"{p}/status", params={"is_active": False}, **o),
    "rollback": lambda c, p, **o: c.post(f"{p}/rollback", json={"to_version": 1}, **o),
    "rollback to an entry": lambda c, p, **o: c.post(f"{p}/settings-history/2/rollback", **o),
    "undo": lambda c, p, **o: c.post(f"{p}/undo", json={"version": 2}, **o),
    "DELETE": lambda c, p, **o: c.delete(p, **o),
}


# These change no settings: a policy does not ask that they be conditional.
OTHERS: dict[str, Send] = {
    "label": lambda c, p, **o: c.put(f"{p}/versions/2/label", json={"label": "second"}, **o),
    "label away": lambda c, p, **o: c.delete(f"{p}/versions/1/label", **o),
}


WRITES = CHANGES | OTHERS


READS: dict[str, Send] = {
    "one": lambda c, p, **o: c.get(p, **o),
    "one of a version": lambda c, p, **o: c.get(f"{p}?version=2", **o),
    "one of a moment": lambda c, p, **o: c.get(f"{p}?as_of=2126-01-01T00:00:00Z", **o),
    "a version": lambda c, p, **o: c.get(f"{p}/versions/2", **o),
    "a list": lambda c, p, **o: c.get(f"{p.rpartition('/')[0]}?limit=2", **o),
    "a list of a moment": lambda c, p, **o: c.get(
        f"{p.rpartition('/')[0]}?as_of=2126-01-01T00:00:00Z", **o
    ),
}


def make(editor: httpx.Client) -> str:
    """An assistant in version 3; its version 1 has a label."""
    created = editor.post(ASSISTANTS, json={"name": "Front desk"}).json()
    path = f"{ASSISTANTS}/{created['id']}"
    changes: list[dict[str, Any]] = [{"tts_limit": 7}, {"description": "Third"}]
    for number, change in enumerate(changes, 2):
        answer = editor.patch(path, json=change | {"change_description": f"Reason {number}"})
        assert answer.json()["version"] == number
    assert editor.put(f"{path}/versions/1/label", json={"label": "first"}).is_success
    return path


def if_match(tags: str) -> dict[str, str]:
    return {"if-match": tags}


def if_none_match(tags: str) -> dict[str, str]:
    return {"if-none-match": tags}


def prefer(preference: str) -> dict[str, str]:
    return {"prefer": preference}


def problem(answer: httpx.Response) -> str:
    kind: str = answer.json()["type"]
    return kind.removeprefix("urn:backstory:problem:")


def patch(client: httpx.Client, path: str, **options: Any) -> httpx.Response:
    return CHANGES["PATCH"](client, path, **options)
