"""An undo takes one change back and keeps the later ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.app.assistants.answers import errors, ok
from tests.app.assistants.reversals.past import at, roll_back, undo, versions
from tests.conftest import (
    version_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def test_an_undo_of_some_paths_leaves_the_others_and_says_which(
    editor: httpx.Client, path: str
) -> None:
    change = {"idle_timeout": 9, "max_idle_messages": 8}
    ok(editor.patch(path, json=change))
    was = at(editor, path)
    plan = ok(undo(editor, path, version=6, paths=["/idle_timeout"], dry_run=True))
    assert [one["path"] for one in plan["changes"]] == ["/idle_timeout"]
    ok(undo(editor, path, version=6, paths=["/idle_timeout"]))
    now = at(editor, path)
    assert now["max_idle_messages"] == 8
    assert now["idle_timeout"] != was["idle_timeout"]
    newest = versions(editor, path)[0]
    assert newest["cause"] == {"type": "undo", "undoes": 6, "paths": ["/idle_timeout"]}
    refused = undo(editor, path, version=6, paths=["/idle_timeout", "/no_such"])
    (error,) = refused.json()["detail"]
    assert (error["loc"], error["type"]) == (["body", "paths", 1], "no_such_path")


def test_an_undo_takes_one_change_back_and_keeps_the_later_ones(
    editor: httpx.Client, path: str
) -> None:
    now = at(editor, path)
    answer = undo(editor, path, version=4, change_description="  The voice was fine ")
    assert ok(answer)["version"] == 6
    assert version_of(answer) == 6
    expected = now["tts_settings"] | {"voice_id": "rachel"}
    assert at(editor, path) == now | {"tts_settings": expected}
    newest = versions(editor, path)[0]
    assert newest["cause"] == {"type": "undo", "undoes": 4}
    assert newest["change_description"] == "The voice was fine"
    assert newest["changed_paths"] == ["/tts_settings/voice_id"]


def test_an_undo_of_what_was_changed_again_is_a_conflict_that_tells_who_and_why(
    editor: httpx.Client, path: str, rows: Callable[[], Any]
) -> None:
    before = rows()
    answer = undo(editor, path, version=2)
    assert answer.status_code == 409
    assert version_of(answer) == 5
    problem = answer.json()
    assert problem["type"] == "urn:backstory:problem:conflict"
    assert problem["version"] == 5
    conflicts = {one["path"]: one for one in problem["conflicts"]}
    by = {name: one["changed_by"] for name, one in conflicts.items()}
    sides = {
        name: {side: one[side] for side in one if side != "changed_by"}
        for name, one in conflicts.items()
    }
    assert sides == {
        name: {"path": name, "base": base, "theirs": theirs, "yours": yours}
        for name, base, theirs, yours in [
            ("/description", "v2", "v5", "v1"),
            ("/llm_settings/temperature", 0.2, 0.3, 0.5),
        ]
    }
    temperature, description = by["/llm_settings/temperature"], by["/description"]
    assert (temperature["version"], temperature["reason"]) == (3, "Too stiff")
    assert temperature["actor"]["name"] == "admin key"
    assert (description["version"], description["actor"]["name"]) == (5, "editor key")
    assert rows() == before

    plan = ok(undo(editor, path, version=2, dry_run=True))
    assert plan["applicable"] is False
    assert plan["conflicts"] == problem["conflicts"]
    assert [one["version"] for one in plan["came_between"]] == [5, 4, 3]


@pytest.mark.parametrize(("on_conflict", "description"), [("skip", "v7"), ("force", "v5")])
def test_an_undo_leaves_the_conflicts_or_sets_them_all_the_same(
    editor: httpx.Client, path: str, on_conflict: str, description: str
) -> None:
    editor.patch(path, json={"description": "v6", "tts_settings": {"voice_id": "bella"}})
    editor.patch(path, json={"description": "v7", "llm_settings": {"temperature": 0.7}})
    assert undo(editor, path, version=6).status_code == 409
    plan = ok(undo(editor, path, version=6, on_conflict=on_conflict, dry_run=True))
    assert plan["applicable"] is True
    assert [one["path"] for one in plan["conflicts"]] == ["/description"]
    shown = ok(undo(editor, path, version=6, on_conflict=on_conflict))
    assert shown["description"] == description
    assert shown["tts_settings"]["voice_id"] == "anna"
    assert shown["llm_settings"]["temperature"] == 0.7


def test_an_undo_of_which_every_path_conflicts_skips_to_nothing(
    editor: httpx.Client, path: str, rows: Callable[[], Any]
) -> None:
    before = rows()
    assert ok(undo(editor, path, version=2, on_conflict="skip"))["version"] == 5
    assert rows() == before
    shown = ok(undo(editor, path, version=2, on_conflict="force"))
    assert (shown["description"], shown["llm_settings"]["temperature"]) == ("v1", 0.5)
    assert shown["tts_settings"]["voice_id"] == "anna"


def test_a_change_below_or_above_what_an_undo_sets_is_a_conflict(
    editor: httpx.Client, path: str
) -> None:
    editor.patch(path, json={"stt_settings": {"flux_config": {"tag": "a"}}})
    editor.patch(path, json={"stt_settings": {"flux_config": {"tag": "b"}}})
    (conflict,) = undo(editor, path, version=6).json()["conflicts"]
    assert conflict["path"] == "/stt_settings/flux_config"
    assert conflict["changed_by"]["version"] == 7
    editor.patch(path, json={"stt_settings": {"flux_config": None}})
    (conflict,) = undo(editor, path, version=7).json()["conflicts"]
    assert conflict["changed_by"]["version"] == 8


def test_an_undo_of_what_was_undone_does_nothing(
    editor: httpx.Client, path: str, rows: Callable[[], Any]
) -> None:
    assert ok(undo(editor, path, version=4))["version"] == 6
    before = rows()
    assert ok(undo(editor, path, version=4))["version"] == 6
    assert rows() == before


def test_an_undo_can_be_undone_and_that_too(editor: httpx.Client, path: str) -> None:
    shown = [ok(undo(editor, path, version=version)) for version in (4, 6, 7)]
    voices = [one["tts_settings"]["voice_id"] for one in shown]
    assert voices == ["rachel", "anna", "rachel"]
    links = {one["version"]: (one["reverts"], one["reverted_by"]) for one in versions(editor, path)}
    assert links == {
        8: ([7], []), 7: ([6], [8]), 6: ([4], [7]), 5: ([], []), 4: ([], [6]),
        3: ([], []), 2: ([], []), 1: ([], []),
    }  # fmt: skip


def test_a_rollback_can_be_undone(editor: httpx.Client, path: str) -> None:
    now = at(editor, path)
    roll_back(editor, path, to_version=1)
    undo(editor, path, version=6)
    assert at(editor, path) == now


def test_only_changes_are_undone(
    editor: httpx.Client, admin: httpx.Client, path: str, rows: Callable[[], Any]
) -> None:
    editor.patch(path, json={"api_keys": {"own": "sk-1"}})
    admin.delete(f"{path}/secrets")
    editor.delete(path)
    editor.post(f"{path}/restore")
    before = rows()
    kinds = {
        1: "assistant_created", 7: "secrets_erased", 8: "assistant_deleted",
        9: "assistant_restored",
    }  # fmt: skip
    for version, kind in kinds.items():
        for options in ({}, {"on_conflict": "force"}, {"dry_run": True}):
            answer = undo(editor, path, version=version, **options)
            assert errors(answer) == [(["body", "version"], "not_undoable")]
            said = f"Version {version} is {kind}: only changes of settings are undone"
            assert answer.json()["detail"][0]["msg"] == said
    assert rows() == before
    # The control: what lies between them is a change.
    assert undo(editor, path, version=4).status_code == 200


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, ["body", "version"]),
        ({"version": None}, ["body", "version"]),
        ({"version": 2, "on_conflict": "theirs"}, ["body", "on_conflict"]),
        ({"version": 2, "change_description": 5}, ["body", "change_description"]),
    ],
)
def test_an_undo_that_cannot_be_read_is_refused_by_its_place(
    editor: httpx.Client, still: str, body: dict[str, Any], loc: list[str]
) -> None:
    assert [place for place, _ in errors(undo(editor, still, **body))] == [loc]
