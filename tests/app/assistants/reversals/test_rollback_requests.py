"""A rollback restores a version or a moment, whole or in part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.app.assistants.answers import errors, ok
from tests.app.assistants.reversals.past import at, roll_back, versions
from tests.conftest import (
    version_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_a_rollback_restores_the_state_after_a_version(
    editor: httpx.Client, path: str, version: int
) -> None:
    answer = roll_back(editor, path, to_version=version)
    assert ok(answer)["version"] == 6
    assert version_of(answer) == 6
    assert at(editor, path) == at(editor, path, version)


@pytest.mark.parametrize("version", [1, 3])
def test_a_rollback_may_name_a_moment(editor: httpx.Client, path: str, version: int) -> None:
    moment = versions(editor, path)[-version]["created_at"]
    roll_back(editor, path, to_time=moment)
    assert at(editor, path) == at(editor, path, version)
    assert versions(editor, path)[0]["cause"] == {"type": "rollback", "to_version": version}


def test_a_rollback_may_name_a_label(editor: httpx.Client, path: str) -> None:
    editor.put(f"{path}/versions/2/label", json={"label": "calm"})
    roll_back(editor, path, to_label="calm")
    assert at(editor, path) == at(editor, path, 2)
    assert versions(editor, path)[0]["cause"] == {"type": "rollback", "to_version": 2}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"to_version": None, "to_time": None},
        {"paths": ["/name"]},
        {"to_version": 1, "to_label": "x"},
        {"to_version": 1, "to_time": "2999-01-01T00:00:00Z"},
        {"to_time": "2999-01-01T00:00:00Z", "to_label": "x"},
        {"to_version": 1, "to_time": "2999-01-01T00:00:00Z", "to_label": "x"},
    ],
)
def test_a_rollback_names_exactly_one_place_to_go_to(
    editor: httpx.Client, still: str, rows: Callable[[], Any], body: dict[str, Any]
) -> None:
    before = rows()
    assert errors(roll_back(editor, still, **body)) == [(["body"], "one_of")]
    assert rows() == before


@pytest.mark.parametrize(
    "body",
    [
        {"to_version": 0},
        {"to_version": 6},
        {"to_version": -5},
        {"to_label": "nothing"},
        {"to_label": ""},
        {"to_time": "2001-01-01T00:00:00Z"},
    ],
)
def test_there_is_no_way_to_a_version_that_never_was(
    editor: httpx.Client, still: str, body: dict[str, Any]
) -> None:
    for dry_run in (False, True):
        answer = roll_back(editor, still, dry_run=dry_run, **body)
        assert answer.status_code == 404
        assert answer.json()["type"] == "urn:backstory:problem:version-not-found"


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"to_version": "soon"}, ["body", "to_version"]),
        ({"to_version": []}, ["body", "to_version"]),
        ({"to_time": "soon"}, ["body", "to_time"]),
        ({"to_time": 5}, ["body", "to_time"]),
        ({"to_label": "x" * 81}, ["body", "to_label"]),
        ({"to_version": 1, "paths": []}, ["body", "paths"]),
        ({"to_version": 1, "paths": "/name"}, ["body", "paths"]),
        ({"to_version": 1, "paths": ["/name", "name"]}, ["body", "paths", 1]),
        ({"to_version": 1, "paths": ["/name"] * 101}, ["body", "paths"]),
        ({"to_version": 1, "change_description": "x" * 501}, ["body", "change_description"]),
        ({"to_version": 1, "dry_run": "perhaps"}, ["body", "dry_run"]),
    ],
)
def test_a_rollback_that_cannot_be_read_is_refused_by_its_place(
    editor: httpx.Client, still: str, rows: Callable[[], Any], body: dict[str, Any], loc: list[Any]
) -> None:
    before = rows()
    assert [place for place, _ in errors(roll_back(editor, still, **body))] == [loc]
    assert rows() == before


def test_a_rollback_to_what_is_records_nothing(
    editor: httpx.Client, still: str, rows: Callable[[], Any]
) -> None:
    before, shown = rows(), editor.get(still)
    answer = roll_back(editor, still, to_version="latest", change_description="Just in case")
    assert ok(answer) == shown.json()
    assert answer.headers["etag"] == shown.headers["etag"]
    assert version_of(answer) == 5
    assert rows() == before


def test_a_rollback_of_some_paths_leaves_the_others(editor: httpx.Client, path: str) -> None:
    now, then = at(editor, path), at(editor, path, 1)
    roll_back(editor, path, to_version=1, paths=["/llm_settings", "/name"])
    assert at(editor, path) == now | {"llm_settings": then["llm_settings"]}
    newest = versions(editor, path)[0]
    assert newest["changed_paths"] == ["/llm_settings/temperature"]
    assert newest["cause"] == {
        "type": "rollback",
        "to_version": 1,
        "paths": ["/llm_settings", "/name"],
    }


@pytest.mark.parametrize(
    ("paths", "changed"),
    [
        ([""], {"/description", "/llm_settings/temperature", "/tts_settings/voice_id"}),
        (["/description"], {"/description"}),
        (["/llm_settings/temperature"], {"/llm_settings/temperature"}),
        (["/tts_settings", "/description"], {"/tts_settings/voice_id", "/description"}),
        (["/tts_settings/background_sound"], set()),
    ],
)
def test_a_path_takes_itself_and_what_is_below_it(
    editor: httpx.Client, path: str, paths: list[str], changed: set[str]
) -> None:
    plan = ok(roll_back(editor, path, to_version=1, paths=paths, dry_run=True))
    assert {one["path"] for one in plan["changes"]} == changed
    assert ok(roll_back(editor, path, to_version=1, paths=paths))["version"] == 5 + bool(changed)


def test_a_path_that_came_since_goes_and_one_that_went_comes_back(
    editor: httpx.Client, path: str
) -> None:
    for change in ({"gone": 1, "kept": 1}, {"gone": None, "kept": 2, "came": 3}):
        editor.patch(path, json={"llm_provider_config": {"custom_config": change}})
    config = "/llm_provider_config/custom_config"
    roll_back(editor, path, to_version=6, paths=[f"{config}/gone", f"{config}/came"])
    assert at(editor, path)["llm_provider_config"]["custom_config"] == {"gone": 1, "kept": 2}


@pytest.mark.parametrize(
    "wrong", ["/nowhere", "/llm_settings/temprature", "/stt_settings/keyterms/0", "/name/x", "/"]
)
def test_a_path_that_holds_nothing_then_or_now_is_refused_by_its_position(
    editor: httpx.Client, path: str, rows: Callable[[], Any], wrong: str
) -> None:
    editor.patch(path, json={"stt_settings": {"keyterms": ["Seeblick"]}})
    before = rows()
    paths = ["/name", wrong, "/tts_settings", wrong]
    for dry_run in (False, True):
        answer = roll_back(editor, path, to_version=1, paths=paths, dry_run=dry_run)
        assert errors(answer) == [
            (["body", "paths", 1], "no_such_path"),
            (["body", "paths", 3], "no_such_path"),
        ]
    assert rows() == before


@pytest.mark.parametrize(
    ("place", "body"),
    [
        ("rollback", {"to_version": 1}),
        ("rollback", {"to_version": 1, "dry_run": True}),
        ("undo", {"version": 4}),
        ("undo", {"version": 4, "dry_run": True}),
        ("settings-history/3/rollback", {"dry_run": True}),
        ("restore", {}),
    ],
)
def test_a_viewer_takes_nothing_back(
    viewer: httpx.Client,
    editor: httpx.Client,
    path: str,
    rows: Callable[[], Any],
    place: str,
    body: dict[str, Any],
) -> None:
    if place == "restore":
        editor.delete(path)
    before = rows()
    assert viewer.post(f"{path}/{place}", json=body).status_code == 403
    assert rows() == before
    assert editor.post(f"{path}/{place}", json=body).status_code == 200
