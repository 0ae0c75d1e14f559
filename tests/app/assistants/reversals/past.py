"""An assistant with a past, and requests that go back in it."""

from __future__ import annotations

from typing import Any

import httpx

from tests.app.assistants.answers import ok
from tests.conftest import (
    ASSISTANTS,
)

KEY = "/llm_provider_config/api_key"


# What moves with every change, whatever it is of.
MOVING = {"version", "updated_at"}


def with_a_past(editor: httpx.Client, admin: httpx.Client) -> str:
    """An assistant with a past.

    Version 2: a description and the temperature, 3: the temperature again (an admin),
    4: the voice, 5: the description again.
    """
    created = editor.post(ASSISTANTS, json={"name": "Front desk", "description": "v1"})
    place = f"{ASSISTANTS}/{created.json()['id']}"
    steps: list[tuple[httpx.Client, dict[str, Any]]] = [
        (editor, {"description": "v2", "llm_settings": {"temperature": 0.2}}),
        (admin, {"llm_settings": {"temperature": 0.3}, "change_description": "Too stiff"}),
        (editor, {"tts_settings": {"voice_id": "anna"}, "change_description": "A new voice"}),
        (editor, {"description": "v5"}),
    ]
    for version, (client, body) in enumerate(steps, 2):
        assert ok(client.patch(place, json=body))["version"] == version
    return place


def roll_back(client: httpx.Client, place: str, **body: Any) -> httpx.Response:
    return client.post(f"{place}/rollback", json=body)


def undo(client: httpx.Client, place: str, **body: Any) -> httpx.Response:
    return client.post(f"{place}/undo", json=body)


def at(client: httpx.Client, place: str, version: int | str = "latest") -> dict[str, Any]:
    shown = ok(client.get(place, params={"version": version}))
    return {name: value for name, value in shown.items() if name not in MOVING}


def versions(client: httpx.Client, place: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ok(client.get(f"{place}/versions"))
    return found


def reveal(runtime: httpx.Client, place: str, *paths: str) -> Any:
    answer = runtime.post(f"{place}/secrets/reveal", json={"paths": paths})
    return ok(answer)["secrets"]


def links(client: httpx.Client, path: str) -> dict[int, tuple[list[int], list[int]]]:
    """What each version took back, and what took it back; both lists of versions agree."""
    found = {one["version"]: (one["reverts"], one["reverted_by"]) for one in versions(client, path)}
    entries = ok(client.get(f"{path}/settings-history"))
    assert {one["version"]: (one["reverts"], one["reverted_by"]) for one in entries} == {
        version: pair for version, pair in found.items() if version > 1
    }
    for version, pair in found.items():
        shown = ok(client.get(f"{path}/versions/{version}"))
        assert (shown["reverts"], shown["reverted_by"]) == pair
        assert all(version in found[one][1] for one in pair[0])
        assert all(version in found[one][0] for one in pair[1])
    return {version: pair for version, pair in found.items() if pair != ([], [])}
