"""The changes of all assistants of an organization."""

from __future__ import annotations

import httpx

from tests.conftest import ASSISTANTS, Server

CHANGES = "/api/v1/changes"


def test_changes_are_listed_newest_first_with_who_what_and_why(server: Server) -> None:
    organization = server.organization()
    with server.client(organization.editor) as editor, server.client(organization.viewer) as viewer:
        made = [editor.post(ASSISTANTS, json={"name": f"Desk {n}"}).json()["id"] for n in range(2)]
        body = {
            "llm_provider_config": {"api_key": "sk-1"},
            "tts_settings": {"speed": 1.2},
            "llm_settings": {"system_prompt": "long " * 500},
            "change_description": "Why",
        }
        editor.patch(f"{ASSISTANTS}/{made[0]}", json=body)
        found = viewer.get(CHANGES).json()
        assert [(one["assistant_name"], one["version"]) for one in found] == [
            ("Desk 0", 2), ("Desk 1", 1), ("Desk 0", 1),
        ]  # fmt: skip
        newest = found[0]
        assert newest["change_description"] == "Why"
        assert "/llm_settings/system_prompt" in newest["changed_paths"]
        shown = {one["path"]: one["after"] for one in newest["changes"]}
        assert shown["/tts_settings/speed"] == 1.2
        assert "/llm_settings/system_prompt" not in shown, "a long value is left out"
        assert "sk-1" not in viewer.get(CHANGES).text
        first = viewer.get(CHANGES, params={"limit": 2})
        rest = viewer.get(first.links["next"]["url"])
        assert first.json() + rest.json() == found
        at_once = viewer.get(CHANGES, params={"since": newest["created_at"]}).json()
        assert at_once == found[:1]
    with server.client(server.organization().viewer) as outsider:
        assert outsider.get(CHANGES).json() == []


def test_a_bad_query_is_refused(editor: httpx.Client) -> None:
    for query in ({"since": "monday"}, {"cursor": "x"}, {"limit": 0}):
        assert editor.get(CHANGES, params=query).status_code == 422
