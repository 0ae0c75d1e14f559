"""An assistant with versions."""

from __future__ import annotations

import httpx
import pytest

from tests.conftest import ASSISTANTS, Organization, Server


@pytest.fixture(scope="module")
def told(server: Server, organization: Organization, editor: httpx.Client) -> str:
    """An assistant that the tests only read: each of its versions 2 to 5 changed another path."""
    with server.client(organization.admin) as admin:
        created = editor.post(ASSISTANTS, json={"name": "Told", "api_keys": {"own": "k1"}}).json()
        place = f"{ASSISTANTS}/{created['id']}"
        editor.patch(place, json={"description": "First", "change_description": "Said so"})
        admin.patch(place, json={"llm_settings": {"temperature": 0.3}})
        editor.patch(place, json={"stt_settings": {"keyterms": ["Seeblick"]}})
        editor.patch(place, json={"idle_message": None})
        editor.put(f"{place}/versions/3/label", json={"label": "good"})
    return place


@pytest.fixture
def edited(editor: httpx.Client) -> str:
    """Three changes of one free-form map: a value, a removal and an addition."""
    body = {"name": "Edited", "llm_provider_config": {"custom_config": {"a": 1, "b": 2}}}
    path = f"{ASSISTANTS}/{editor.post(ASSISTANTS, json=body).json()['id']}"
    for change in ({"a": 3}, {"b": None, "c": [1]}, {"c": [1, 2]}):
        editor.patch(path, json={"llm_provider_config": {"custom_config": change}})
    return path
