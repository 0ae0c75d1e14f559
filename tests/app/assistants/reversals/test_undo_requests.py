"""An undo takes one change back and keeps the later ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx

    from tests.app.given import Given


def test_an_undo_takes_one_change_back_and_keeps_the_later_ones(given: Given) -> None:
    undo = given.when_undone(version=4, change_description="  The voice was fine ")
    newest = undo.then(6, {"/tts_settings/voice_id": "rachel"})
    assert newest["cause"] == {"type": "undo", "undoes": 4}
    assert newest["change_description"] == "The voice was fine"
    assert newest["changed_paths"] == ["/tts_settings/voice_id"]


def test_an_undo_of_some_paths_leaves_the_others(given: Given) -> None:
    idle_timeout = given.state()["idle_timeout"]
    given.after({"idle_timeout": 9, "max_idle_messages": 8})
    plan = given.when_undone(version=6, paths=["/idle_timeout"], dry_run=True).planned()
    assert [change["path"] for change in plan["changes"]] == ["/idle_timeout"]
    undo = given.when_undone(version=6, paths=["/idle_timeout"])
    newest = undo.then(7, {"/idle_timeout": idle_timeout})
    assert newest["cause"] == {"type": "undo", "undoes": 6, "paths": ["/idle_timeout"]}
    wrong = given.when_undone(version=6, paths=["/idle_timeout", "/no_such"])
    assert wrong.errors() == [(["body", "paths", 1], "no_such_path")]


def test_an_undo_of_what_was_changed_again_is_a_conflict_that_tells_who_and_why(
    given: Given,
) -> None:
    problem = given.when_undone(version=2).refused(409, "conflict")
    assert problem["version"] == 5
    conflicts = {conflict["path"]: conflict for conflict in problem["conflicts"]}
    by = {path: conflict.pop("changed_by") for path, conflict in conflicts.items()}
    assert conflicts == {
        path: {"path": path, "base": base, "theirs": theirs, "yours": yours}
        for path, base, theirs, yours in [
            ("/description", "v2", "v5", "v1"),
            ("/llm_settings/temperature", 0.2, 0.3, 0.5),
        ]
    }
    temperature, description = by["/llm_settings/temperature"], by["/description"]
    assert (temperature["version"], temperature["reason"]) == (3, "Too stiff")
    assert temperature["actor"]["name"] == "admin key"
    assert (description["version"], description["actor"]["name"]) == (5, "editor key")


def test_the_plan_of_an_undo_has_the_conflicts_and_what_came_between(given: Given) -> None:
    problem = given.when_undone(version=2).refused(409, "conflict")
    plan = given.when_undone(version=2, dry_run=True).planned()
    assert plan["applicable"] is False
    assert plan["conflicts"] == problem["conflicts"]
    assert [change["version"] for change in plan["came_between"]] == [5, 4, 3]


@pytest.mark.parametrize(
    ("on_conflict", "values"),
    [
        ("skip", {"/llm_settings/temperature": 0.3}),
        ("force", {"/llm_settings/temperature": 0.3, "/description": "v5"}),
    ],
)
def test_an_undo_leaves_the_conflicts_or_sets_them_all_the_same(
    given: Given, on_conflict: str, values: dict[str, Any]
) -> None:
    given.after(
        {"description": "v6", "llm_settings": {"temperature": 0.7}},
        {"description": "v7", "tts_settings": {"voice_id": "bella"}},
    )
    given.when_undone(version=6).refused(409, "conflict")
    plan = given.when_undone(version=6, on_conflict=on_conflict, dry_run=True).planned()
    assert plan["applicable"] is True
    assert [conflict["path"] for conflict in plan["conflicts"]] == ["/description"]
    given.when_undone(version=6, on_conflict=on_conflict).then(8, values)


def test_an_undo_of_which_every_path_conflicts_skips_to_nothing(given: Given) -> None:
    given.when_undone(version=2, on_conflict="skip").unchanged()
    forced = given.when_undone(version=2, on_conflict="force")
    forced.then(6, {"/description": "v1", "/llm_settings/temperature": 0.5})


def test_a_change_below_or_above_what_an_undo_sets_is_a_conflict(given: Given) -> None:
    given.after(
        {"stt_settings": {"flux_config": {"tag": "a"}}},
        {"stt_settings": {"flux_config": {"tag": "b"}}},
    )
    (conflict,) = given.when_undone(version=6).refused(409, "conflict")["conflicts"]
    assert conflict["path"] == "/stt_settings/flux_config"
    assert conflict["changed_by"]["version"] == 7
    given.after({"stt_settings": {"flux_config": None}})
    (conflict,) = given.when_undone(version=7).refused(409, "conflict")["conflicts"]
    assert conflict["changed_by"]["version"] == 8


def test_an_undo_of_what_was_undone_does_nothing(given: Given) -> None:
    given.when_undone(version=4).then(6, {"/tts_settings/voice_id": "rachel"})
    given.when_undone(version=4).unchanged()


def test_an_undo_can_be_undone_and_that_too(given: Given) -> None:
    for version, undone, voice in [(6, 4, "rachel"), (7, 6, "anna"), (8, 7, "rachel")]:
        given.when_undone(version=undone).then(version, {"/tts_settings/voice_id": voice})
    links = {
        version["version"]: (version["reverts"], version["reverted_by"])
        for version in given.versions
    }
    assert links == {
        8: ([7], []), 7: ([6], [8]), 6: ([4], [7]), 5: ([], []), 4: ([], [6]),
        3: ([], []), 2: ([], []), 1: ([], []),
    }  # fmt: skip


def test_a_rollback_can_be_undone(given: Given) -> None:
    before = given.state()
    given.when_rolled_back(to_version=1).sent()
    assert given.state() != before
    given.when_undone(version=6).sent()
    assert given.state() == before


def test_only_changes_are_undone(given: Given, admin: httpx.Client) -> None:
    given.after({"api_keys": {"own": "sk-1"}})
    admin.delete(f"{given.path}/secrets")
    given.when("DELETE").sent()
    given.when("POST", "/restore").sent()
    kinds = {
        1: "assistant_created", 7: "secrets_erased", 8: "assistant_deleted",
        9: "assistant_restored",
    }  # fmt: skip
    for version, kind in kinds.items():
        for options in ({}, {"on_conflict": "force"}, {"dry_run": True}):
            undo = given.when_undone(version=version, **options)
            assert undo.errors() == [(["body", "version"], "not_undoable")]
            message = f"Version {version} is {kind}: only changes of settings are undone"
            assert undo.sent().json()["detail"][0]["msg"] == message
    # The control: what lies between them is a change.
    given.when_undone(version=4).then(10, {"/tts_settings/voice_id": "rachel"})


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
    given_still: Given, body: dict[str, Any], loc: list[str]
) -> None:
    assert [place for place, _ in given_still.when_undone(**body).errors()] == [loc]


def test_the_plan_of_an_undo_that_forces_names_the_later_changes_it_overwrites(
    given: Given,
) -> None:
    forced = given.when_undone(version=2, on_conflict="force", dry_run=True).planned()
    assert [change["version"] for change in forced["lost"]] == [5, 3]
    skipped = given.when_undone(version=2, on_conflict="skip", dry_run=True).planned()
    assert skipped["lost"] == []  # the control: it overwrites nothing
