"""Blame names the change that set each value, or all changes of one path."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import msgspec

from tests.app.assistants.answers import MASK, ok
from tests.app.assistants.versions.reads import blame, pages, versions


def leaves(value: Any, at: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and value:
        return {
            path: leaf
            for name, member in value.items()
            for path, leaf in leaves(member, f"{at}/{name}").items()
        }
    return {at: value}


def test_every_path_has_its_value_and_whoever_set_it(viewer: httpx.Client, told: str) -> None:
    found = {one["path"]: one for one in blame(viewer, told)}
    shown = leaves(ok(viewer.get(told)))
    assert {path: one["value"] for path, one in found.items()} == {
        path: value for path, value in shown.items() if path in found
    }
    assert set(shown) - set(found) == {
        "/id", "/organization_id", "/user_id", "/created_at", "/updated_at", "/version",
        "/total_calls", "/avg_call_duration", "/success_rate",
    }  # fmt: skip
    changes = {one["version"]: one for one in versions(viewer, told)}
    set_by = {path: one["changed_by"] for path, one in found.items()}
    assert {path: said["version"] for path, said in set_by.items() if said["version"] > 1} == {
        "/description": 2,
        "/llm_settings/temperature": 3,
        "/stt_settings/keyterms": 4,
        "/idle_message": 5,
    }
    for path, said in set_by.items():
        entry = changes[said["version"]]
        assert said == {
            "version": entry["version"],
            "actor": {
                "type": "api_key",
                "id": 3 if entry["version"] == 3 else 2,
                "name": entry["changed_by"]["name"],
                "user_id": entry["changed_by"]["user_id"],
            },
            "reason": entry["change_description"],
            "created_at": entry["created_at"],
            "paths": [path],
        }
    assert set_by["/description"]["reason"] == "Said so"
    assert set_by["/llm_settings/temperature"]["actor"]["name"] == "admin key"
    assert found["/api_keys/own"]["value"] == MASK


def test_what_was_removed_is_blamed_without_a_value(editor: httpx.Client, edited: str) -> None:
    config = "/llm_provider_config/custom_config"
    found = {
        one["path"]: (one["changed_by"]["version"], one.get("value", "nothing"))
        for one in blame(editor, edited)
        if one["path"].startswith(config)
    }
    assert found == {
        f"{config}/a": (2, 3),
        f"{config}/b": (3, "nothing"),
        f"{config}/c": (4, [1, 2]),
    }


def test_blame_of_a_past_version_is_what_it_was_then(editor: httpx.Client, path: str) -> None:
    then = [blame(editor, path)]
    for number in range(4):
        editor.patch(
            path,
            json={
                "description": f"{number}",
                "llm_provider_config": {"custom_config": {f"k{number}": 1, f"k{number - 1}": None}},
            },
        )
        then.append(blame(editor, path))
    for version, found in enumerate(then, 1):
        assert blame(editor, path, version=version) == found
    assert len({msgspec.json.encode(found) for found in then}) == 5


def test_a_path_is_told_with_all_of_its_changes_newest_first(
    editor: httpx.Client, path: str
) -> None:
    for number in range(5):
        editor.patch(path, json={"llm_settings": {"temperature": number / 10}})
        editor.patch(path, json={"llm_settings": {"max_tokens": number}})
    for limit in (1, 2, 6, 200):
        found = list(pages(editor, f"{path}/blame", path="/llm_settings/temperature", limit=limit))
        told = list(itertools.chain(*found))
        # Version 1, the creation, set it first; the last of the changes is version 10.
        assert [one["changed_by"]["version"] for one in told] == [10, 8, 6, 4, 2, 1]
        assert len(found) == -(-6 // limit)
    values = [[(c.get("before"), c["after"]) for c in one["changes"]] for one in told]
    assert values == [
        [(0.3, 0.4)], [(0.2, 0.3)], [(0.1, 0.2)], [(0.0, 0.1)], [(0.5, 0.0)], [(None, 0.5)],
    ]  # fmt: skip
    assert all("value" not in one for one in told)


def test_a_paths_changes_are_those_at_below_and_above_it(editor: httpx.Client, path: str) -> None:
    editor.patch(path, json={"stt_settings": {"flux_config": {"tag": "a"}}})
    editor.patch(path, json={"stt_settings": {"flux_config": {"tag": "b"}}})
    editor.patch(path, json={"stt_settings": {"flux_config": None}})
    editor.patch(path, json={"stt_settings": {"model": "nova-3"}})
    told = {
        wanted: [one["changed_by"]["version"] for one in blame(editor, path, path=wanted)]
        for wanted in ("/stt_settings", "/stt_settings/flux_config/tag", "/stt_settings/flux")
    }
    assert told == {
        "/stt_settings": [5, 4, 3, 2, 1],
        "/stt_settings/flux_config/tag": [4, 3, 2, 1],
        "/stt_settings/flux": [],
    }
    versions = blame(editor, path, path="/stt_settings/flux_config", version=3)
    assert [one["changed_by"]["version"] for one in versions] == [3, 2, 1]


def test_a_path_is_a_pointer(viewer: httpx.Client, told: str) -> None:
    answer = viewer.get(f"{told}/blame", params={"path": "name"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "path"]


def test_a_paths_changes_show_no_secret(editor: httpx.Client, path: str) -> None:
    for value in ("sk-one", "sk-two"):
        editor.patch(path, json={"api_keys": {"own": value}})
    answer = editor.get(f"{path}/blame", params={"path": "/api_keys/own"})
    assert [one["changes"] for one in ok(answer)] == [
        [{"path": "/api_keys/own", "before": MASK, "after": MASK}],
        [{"path": "/api_keys", "before": None, "after": {"own": MASK}}],
        [{"path": "/api_keys", "after": None}],
    ]
    assert "sk-" not in answer.text
