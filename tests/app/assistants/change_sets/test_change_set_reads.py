"""Reading a change set: who made it, what it reached and what it changed."""

from __future__ import annotations

import httpx
import pytest

from app.assistants import searching
from tests.app.assistants.answers import MASK, errors, ok
from tests.app.assistants.change_sets.sets import SETS, change, place


def test_a_set_is_read_with_who_made_it_when_why_and_what_it_reached(
    editor: httpx.Client, viewer: httpx.Client, trio: list[int]
) -> None:
    editor.patch(place(trio[0]), json={"idle_message": "Before"})
    patch = {"description": "Second", "llm_settings": {"temperature": 0.1}}
    made = change(editor, trio, patch, change_description="Why")
    change_set_id = made["change_set_id"]
    newest = ok(editor.get(f"{place(trio[0])}/versions?limit=1"))[0]
    assert ok(viewer.get(f"{SETS}/{change_set_id}")) == {
        "change_set_id": change_set_id,
        "type": "change_set",
        "created_at": newest["created_at"],
        "actor": {
            "type": "api_key",
            "id": 2,
            "name": "editor key",
            "user_id": newest["changed_by"]["user_id"],
        },
        "change_description": "Why",
        "assistants": [
            {
                "assistant_id": one,
                "assistant_name": name,
                "version": version,
                "changed_paths": paths,
            }
            for one, name, version, paths in [
                (trio[0], "Trio 0", 3, ["/description", "/llm_settings/temperature"]),
                (trio[1], "Trio 1", 2, ["/llm_settings/temperature"]),
                (trio[2], "Trio 2", 2, ["/description", "/llm_settings/temperature"]),
            ]
        ],
    }


def test_the_difference_of_a_set_is_that_of_each_assistant(
    editor: httpx.Client, viewer: httpx.Client, trio: list[int]
) -> None:
    editor.patch(place(trio[0]), json={"api_keys": {"own": "sk-1", "old": "sk-0"}})
    patch = {"description": "Second", "api_keys": {"own": "sk-2", "old": None}}
    change_set_id = change(editor, trio, patch)["change_set_id"]
    editor.patch(place(trio[0]), json={"description": "Later"})
    answer = viewer.get(f"{SETS}/{change_set_id}/diff")
    added = {"path": "/api_keys", "op": "replace", "before": None, "after": {"own": MASK}}
    described = {"path": "/description", "op": "replace", "before": None, "after": "Second"}
    first, second, third = ok(answer)
    by_3, by_2 = {"changed_by": [3]}, {"changed_by": [2]}
    assert (first["assistant_id"], first["version"]) == (trio[0], 3)
    assert sorted(first["diff"], key=lambda one: str(one["path"])) == [
        {"path": "/api_keys/old", "op": "remove", "before": MASK} | by_3,
        {"path": "/api_keys/own", "op": "replace", "before": MASK, "after": MASK} | by_3,
        described | by_3,
    ]
    assert second == {
        "assistant_id": trio[1], "assistant_name": "Trio 1", "version": 2, "diff": [added | by_2],
    }  # fmt: skip
    assert third["diff"] in ([described | by_2, added | by_2], [added | by_2, described | by_2])
    assert "sk-" not in answer.text


def test_the_difference_of_a_set_shows_what_was_erased_since(
    editor: httpx.Client, admin: httpx.Client, trio: list[int]
) -> None:
    made = change(editor, trio, {"api_keys": {"own": "sk-1"}})["change_set_id"]
    admin.delete(f"{place(trio[1])}/secrets")
    found = ok(editor.get(f"{SETS}/{made}/diff"))
    assert [one["diff"][0]["after"] for one in found] == [
        {"own": MASK}, {"own": "erased"}, {"own": MASK},
    ]  # fmt: skip


def test_only_the_first_event_of_a_set_names_it(editor: httpx.Client, trio: list[int]) -> None:
    made = change(editor, trio, {"description": "Second"})["change_set_id"]
    editor.patch(place(trio[0]), json={"description": "No set"})
    assert len(ok(editor.get(f"{SETS}/{made}"))["assistants"]) == 2
    for other in (made - 1, made + 1, made + 2, made + 99, 0, 2**53, "9" * 50, "-1"):
        for answer in (
            editor.get(f"{SETS}/{other}"),
            editor.get(f"{SETS}/{other}/diff"),
            editor.post(f"{SETS}/{other}/revert"),
        ):
            assert answer.status_code == 404
            assert answer.json()["type"] == "urn:backstory:problem:change-set-not-found"
    assert errors(editor.get(f"{SETS}/first")) == [(["path", "change_set_id"], "int_parsing")]


def test_a_set_of_the_past_is_read_though_its_assistants_are_deleted(
    editor: httpx.Client, trio: list[int]
) -> None:
    made = change(editor, trio, {"description": "x"})["change_set_id"]
    before = ok(editor.get(f"{SETS}/{made}")), ok(editor.get(f"{SETS}/{made}/diff"))
    for one in trio:
        editor.delete(place(one))
    assert (ok(editor.get(f"{SETS}/{made}")), ok(editor.get(f"{SETS}/{made}/diff"))) == before


def test_the_log_shows_each_event_of_a_set(admin: httpx.Client, trio: list[int]) -> None:
    made = change(admin, trio, {"description": "x"})["change_set_id"]
    logs = ok(admin.get("/api/v1/audit/logs?limit=3"))["logs"]
    assert [one["id"] for one in logs] == [made + 2, made + 1, made]
    assert {one["details"]["cause"]["change_set_id"] for one in logs} == {made}


def test_the_sets_are_listed_newest_first_page_by_page(
    editor: httpx.Client, viewer: httpx.Client, trio: list[int]
) -> None:
    made = [
        change(editor, trio, {"tts_settings": {"speed": speed}})["change_set_id"]
        for speed in (1.1, 1.2, 1.3)
    ]
    editor.patch(place(trio[0]), json={"idle_message": "Alone"})
    newest = viewer.get(SETS, params={"limit": 2})
    assert [one["change_set_id"] for one in ok(newest)] == made[:0:-1]
    assert [len(one["assistants"]) for one in ok(newest)] == [3, 3]
    rest = viewer.get(newest.links["next"]["url"])
    assert [one["change_set_id"] for one in ok(rest)][:1] == made[:1]
    assert ok(rest)[0] == ok(viewer.get(f"{SETS}/{made[0]}"))


def test_a_listing_that_takes_too_long_goes_on_at_the_next_page(
    editor: httpx.Client, viewer: httpx.Client, trio: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = change(editor, trio, {"tts_settings": {"speed": 1.1}})["change_set_id"]
    editor.patch(place(trio[0]), json={"idle_message": "Alone"})
    monkeypatch.setattr(searching, "SECONDS", 0)
    page = viewer.get(SETS)
    assert ok(page) == []
    assert ok(viewer.get(page.links["next"]["url"]))[0]["change_set_id"] == made
