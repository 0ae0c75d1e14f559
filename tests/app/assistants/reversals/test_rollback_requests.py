"""A rollback restores a version or a moment, whole or in part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx

    from tests.app.given import Given

# What versions 3 to 5 changed, as it is in version 2, and what version 2 changed, as it was before.
_IN_2 = {
    "/description": "v2",
    "/llm_settings/temperature": 0.2,
    "/tts_settings/voice_id": "rachel",
}
_IN_1 = {
    "/description": "v1",
    "/llm_settings/temperature": 0.5,
    "/tts_settings/voice_id": "rachel",
}


@pytest.mark.parametrize(
    ("version", "values"),
    [
        (1, _IN_1),
        (2, _IN_2),
        (3, {"/description": "v2", "/tts_settings/voice_id": "rachel"}),
        (4, {"/description": "v2"}),
    ],
)
def test_a_rollback_restores_the_state_after_a_version(
    given: Given, version: int, values: dict[str, Any]
) -> None:
    given.when_rolled_back(to_version=version).then(6, values)
    assert given.state() == given.state(version)


@pytest.mark.parametrize(
    ("version", "values"),
    [(1, _IN_1), (3, {"/description": "v2", "/tts_settings/voice_id": "rachel"})],
)
def test_a_rollback_may_name_a_moment(given: Given, version: int, values: dict[str, Any]) -> None:
    moment = given.versions[-version]["created_at"]
    newest = given.when_rolled_back(to_time=moment).then(6, values)
    assert newest["cause"] == {"type": "rollback", "to_version": version}


def test_a_rollback_may_name_a_label(given: Given) -> None:
    given.when("PUT", "/versions/2/label", json={"label": "calm"}).sent()
    newest = given.when_rolled_back(to_label="calm").then(6, _IN_2)
    assert newest["cause"] == {"type": "rollback", "to_version": 2}


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
    given_still: Given, body: dict[str, Any]
) -> None:
    assert given_still.when_rolled_back(**body).errors() == [(["body"], "one_of")]


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
    given_still: Given, body: dict[str, Any]
) -> None:
    for dry_run in (False, True):
        rollback = given_still.when_rolled_back(dry_run=dry_run, **body)
        rollback.refused(404, "version-not-found")


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
    given_still: Given, body: dict[str, Any], loc: list[Any]
) -> None:
    assert [place for place, _ in given_still.when_rolled_back(**body).errors()] == [loc]


def test_a_rollback_to_what_is_records_nothing(given_still: Given) -> None:
    reason = "Just in case"
    given_still.when_rolled_back(to_version="latest", change_description=reason).unchanged()


def test_a_rollback_of_some_paths_leaves_the_others(given: Given) -> None:
    paths = ["/llm_settings", "/name"]
    rollback = given.when_rolled_back(to_version=1, paths=paths)
    newest = rollback.then(6, {"/llm_settings/temperature": 0.5})
    assert newest["changed_paths"] == ["/llm_settings/temperature"]
    assert newest["cause"] == {"type": "rollback", "to_version": 1, "paths": paths}


@pytest.mark.parametrize(
    ("paths", "changed"),
    [
        ([""], ["/description", "/llm_settings/temperature", "/tts_settings/voice_id"]),
        (["/description"], ["/description"]),
        (["/llm_settings/temperature"], ["/llm_settings/temperature"]),
        (["/tts_settings", "/description"], ["/tts_settings/voice_id", "/description"]),
        (["/tts_settings/background_sound"], []),
    ],
)
def test_a_path_takes_itself_and_what_is_below_it(
    given: Given, paths: list[str], changed: list[str]
) -> None:
    plan = given.when_rolled_back(to_version=1, paths=paths, dry_run=True).planned()
    assert {change["path"] for change in plan["changes"]} == set(changed)
    rollback = given.when_rolled_back(to_version=1, paths=paths)
    if changed:
        rollback.then(6, {path: _IN_1[path] for path in changed})
    else:
        rollback.unchanged()


def test_a_path_that_came_since_goes_and_one_that_went_comes_back(given: Given) -> None:
    for config in ({"gone": 1, "kept": 1}, {"gone": None, "kept": 2, "came": 3}):
        given.after({"llm_provider_config": {"custom_config": config}})
    place = "/llm_provider_config/custom_config"
    rollback = given.when_rolled_back(to_version=6, paths=[f"{place}/gone", f"{place}/came"])
    rollback.then(8, {f"{place}/gone": 1, f"{place}/came": None})


@pytest.mark.parametrize(
    "wrong", ["/nowhere", "/llm_settings/temprature", "/stt_settings/keyterms/0", "/name/x", "/"]
)
def test_a_path_that_holds_nothing_then_or_now_is_refused_by_its_position(
    given: Given, wrong: str
) -> None:
    given.after({"stt_settings": {"keyterms": ["Seeblick"]}})
    paths = ["/name", wrong, "/tts_settings", wrong]
    for dry_run in (False, True):
        rollback = given.when_rolled_back(to_version=1, paths=paths, dry_run=dry_run)
        assert rollback.errors() == [
            (["body", "paths", 1], "no_such_path"),
            (["body", "paths", 3], "no_such_path"),
        ]


@pytest.mark.parametrize(
    ("place", "body"),
    [
        ("/rollback", {"to_version": 1}),
        ("/rollback", {"to_version": 1, "dry_run": True}),
        ("/undo", {"version": 4}),
        ("/undo", {"version": 4, "dry_run": True}),
        ("/settings-history/3/rollback", {"dry_run": True}),
        ("/restore", {}),
    ],
)
def test_a_viewer_takes_nothing_back(
    given: Given, viewer: httpx.Client, place: str, body: dict[str, Any]
) -> None:
    if place == "/restore":
        given.when("DELETE").sent()
    given.by(viewer).when("POST", place, json=body).refused(403, "forbidden")
    assert given.when("POST", place, json=body).sent().is_success
