"""The difference of two versions names each path, both sides and who changed it."""

from __future__ import annotations

from typing import Any

import httpx
import jsonpatch
import pytest

from tests.app.assistants.answers import MASK, ok
from tests.app.assistants.versions.reads import diff

JSON_PATCH = "application/json-patch+json"


PROMPT = "You are the receptionist of the Hotel Seeblick. Answer in one sentence, be kind to all."


def test_a_difference_names_each_path_both_sides_and_the_versions_that_changed_it(
    editor: httpx.Client, edited: str
) -> None:
    config = "/llm_provider_config/custom_config"
    assert diff(editor, edited, 1, 4) == [
        {"path": f"{config}/a", "op": "replace", "before": 1, "after": 3, "changed_by": [2]},
        {"path": f"{config}/b", "op": "remove", "before": 2, "changed_by": [3]},
        {"path": f"{config}/c", "op": "add", "after": [1, 2], "changed_by": [4, 3]},
    ]


def test_a_difference_without_who_made_it_is_the_same_otherwise(
    editor: httpx.Client, edited: str
) -> None:
    whole = diff(editor, edited, 1, 4)
    assert all(one.pop("changed_by") for one in whole)
    assert diff(editor, edited, 1, 4, changed_by=False) == whole


def test_a_difference_read_backwards_swaps_the_sides(editor: httpx.Client, edited: str) -> None:
    config = "/llm_provider_config/custom_config"
    assert diff(editor, edited, 4, 1) == [
        {"path": f"{config}/a", "op": "replace", "before": 3, "after": 1, "changed_by": [2]},
        {"path": f"{config}/c", "op": "remove", "before": [1, 2], "changed_by": [4, 3]},
        {"path": f"{config}/b", "op": "add", "after": 2, "changed_by": [3]},
    ]


def test_null_is_a_value_of_a_difference(editor: httpx.Client, path: str) -> None:
    editor.patch(path, json={"description": "Said", "idle_message": None})
    (said, idle) = diff(editor, path, 1, 2)
    assert (said["op"], said["before"], said["after"]) == ("replace", None, "Said")
    assert (idle["op"], idle["after"]) == ("replace", None)


@pytest.mark.parametrize("accept", ["application/json", JSON_PATCH])
def test_a_version_does_not_differ_from_itself(
    editor: httpx.Client, edited: str, accept: str
) -> None:
    for end in ("1", "latest"):
        query = {"from": end, "to": end}
        answer = editor.get(f"{edited}/diff", params=query, headers={"accept": accept})
        assert ok(answer) == []


def test_what_was_changed_and_changed_back_is_no_difference(
    editor: httpx.Client, path: str
) -> None:
    for text in ("There", None):
        editor.patch(path, json={"description": text})
    assert diff(editor, path, 1, 3) == []
    assert len(diff(editor, path, 1, 2)) == 1


def test_a_value_that_came_with_what_it_is_in_names_both_versions(
    editor: httpx.Client, path: str
) -> None:
    editor.patch(path, json={"stt_settings": {"flux_config": {"tag": "a"}}})
    editor.patch(path, json={"stt_settings": {"flux_config": {"tag": "b"}}})
    (entry,) = diff(editor, path, 1, 3)
    assert (entry["path"], entry["changed_by"]) == ("/stt_settings/flux_config", [3, 2])


@pytest.mark.parametrize(
    ("query", "missing"), [({}, "from"), ({"to": "1"}, "from"), ({"from": "1"}, "to")]
)
def test_a_difference_needs_both_ends(
    editor: httpx.Client, told: str, query: dict[str, str], missing: str
) -> None:
    answer = editor.get(f"{told}/diff", params=query)
    assert answer.status_code == 422
    (error,) = answer.json()["detail"]
    assert (error["loc"], error["type"]) == (["query", missing], "missing")


def test_secrets_are_compared_but_never_shown(editor: httpx.Client, path: str) -> None:
    for value in ("sk-one", "sk-two", None):
        editor.patch(
            path, json={"llm_provider_config": {"api_key": value}, "description": f"{value}"}
        )
    place = "/llm_provider_config/api_key"

    def secret(older: int, newer: int) -> Any:
        return [one for one in diff(editor, path, older, newer) if one["path"] == place]

    replaced = {"path": place, "op": "replace"}
    assert secret(1, 2) == [replaced | {"before": None, "after": MASK, "changed_by": [2]}]
    assert secret(2, 3) == [replaced | {"before": MASK, "after": MASK, "changed_by": [3]}]
    assert secret(3, 4) == [replaced | {"before": MASK, "after": None, "changed_by": [4]}]
    assert secret(1, 4) == []


def test_long_texts_are_compared_word_by_word_on_demand(editor: httpx.Client, path: str) -> None:
    other = PROMPT.replace("one sentence", "two short sentences").replace(" to all", "")
    for text in (PROMPT, other):
        editor.patch(path, json={"llm_settings": {"system_prompt": text}, "name": text[:20]})
    editor.patch(path, json={"name": "Short"})
    name, prompt = diff(editor, path, 2, 4, words=True)
    assert "words" not in name
    hunks = prompt["words"]
    assert "".join(h["text"] for h in hunks if h["op"] != "insert") == PROMPT
    assert "".join(h["text"] for h in hunks if h["op"] != "delete") == other
    assert {"op": "delete", "text": " to all"} in hunks
    assert all("words" not in entry for entry in diff(editor, path, 2, 4))


@pytest.mark.parametrize(("older", "newer"), [(1, 4), (4, 1), (2, 3), (3, 2)])
def test_as_json_patch_a_difference_turns_one_version_into_the_other(
    editor: httpx.Client, edited: str, older: int, newer: int
) -> None:
    query = {"from": older, "to": newer, "words": True}
    answer = editor.get(f"{edited}/diff", params=query, headers={"accept": JSON_PATCH})
    assert answer.headers["content-type"] == JSON_PATCH
    assert "Accept" in answer.headers["vary"].split(", ")
    steps = ok(answer)
    assert {tuple(step) for step in steps} <= {("op", "path", "value"), ("op", "path")}
    then = {"version", "updated_at"}
    one, other = (
        {name: value for name, value in shown.items() if name not in then}
        for shown in (ok(editor.get(edited, params={"version": end})) for end in (older, newer))
    )
    assert jsonpatch.apply_patch(one, steps) == other


def test_without_asking_for_a_json_patch_one_gets_the_difference(
    editor: httpx.Client, edited: str
) -> None:
    answer = editor.get(f"{edited}/diff?from=1&to=2")
    assert answer.headers["content-type"] == "application/json"
    assert "Accept" in answer.headers["vary"].split(", ")
