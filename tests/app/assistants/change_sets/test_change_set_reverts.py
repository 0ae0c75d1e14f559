"""A change set is taken back as another one; later changes are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.app.assistants.answers import errors, ok
from tests.app.assistants.change_sets.sets import (
    DRY_RUN,
    SETS,
    change,
    create,
    events_of,
    place,
    revert,
    shown,
)
from tests.conftest import (
    Organization,
    Server,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_set_is_taken_back_as_a_set_of_its_own_and_that_too(
    server: Server, organization: Organization, editor: httpx.Client, trio: list[int]
) -> None:
    made = change(editor, trio, {"description": "New"})["change_set_id"]
    editor.patch(place(trio[0]), json={"idle_message": "Later, and kept"})
    answer = revert(editor, made, change_description=" Calls got longer ")
    reverted = ok(answer)
    assert [(one["assistant_id"], one["version"]) for one in reverted["assistants"]] == [
        (trio[0], 4), (trio[1], 3), (trio[2], 3),
    ]  # fmt: skip
    assert shown(editor, trio, "description") == [(None,), ("Second",), (None,)]
    assert ok(editor.get(place(trio[0])))["idle_message"] == "Later, and kept"

    second = reverted["change_set_id"]
    events = events_of(server, organization, second)
    assert [one["sequence"] for one in events] == [second, second + 1, second + 2]
    assert [one["cause"] for one in events] == [
        {"type": "undo", "undoes": 2, "change_set_id": second}
    ] * 3
    read = ok(editor.get(f"{SETS}/{second}"))
    assert (read["type"], read["change_description"]) == ("undo", "Calls got longer")

    third = ok(revert(editor, second))["change_set_id"]
    assert shown(editor, trio, "description") == [("New",)] * 3
    assert ok(editor.get(f"{SETS}/{third}"))["type"] == "undo"
    links = {
        one["version"]: (one["reverts"], one["reverted_by"])
        for one in ok(editor.get(f"{place(trio[1])}/versions"))
    }
    assert links == {4: ([3], []), 3: ([2], [4]), 2: ([], [3]), 1: ([], [])}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"json": {}},
        {"json": {"change_description": None}},
        {"content": b"null", "headers": {"content-type": "application/json"}},
    ],
)
def test_a_revert_needs_no_body(
    editor: httpx.Client, trio: list[int], options: dict[str, Any]
) -> None:
    made = change(editor, trio, {"description": "New"})["change_set_id"]
    answer = editor.post(f"{SETS}/{made}/revert", **options)
    assert len(ok(answer)["assistants"]) == 3


def test_what_was_taken_back_already_is_unchanged(
    editor: httpx.Client, rows: Callable[[], Any], trio: list[int]
) -> None:
    made = change(editor, trio, {"description": "New"})["change_set_id"]
    ok(editor.post(f"{place(trio[0])}/undo", json={"version": 2}))
    first = ok(revert(editor, made))
    assert [one["assistant_id"] for one in first["assistants"]] == trio[1:]
    assert first["unchanged"] == trio[:1]
    before = rows()
    again = ok(revert(editor, made))
    assert again == {"change_set_id": None, "assistants": [], "unchanged": trio, "skipped": []}
    assert rows() == before


@pytest.fixture
def overtaken(editor: httpx.Client, trio: list[int]) -> int:
    """A set of which one assistant's description, but not its idle message, changed again."""
    made = change(editor, trio, {"description": "Set", "idle_message": "Set"})["change_set_id"]
    body = {"description": "Later", "change_description": "Not so"}
    ok(editor.patch(place(trio[1]), json=body))
    assert isinstance(made, int)
    return made


def test_a_later_change_of_the_same_stands_in_the_way_of_a_revert(
    editor: httpx.Client, rows: Callable[[], Any], trio: list[int], overtaken: int
) -> None:
    before = rows()
    for body in ({}, {"on_conflict": "fail"}):
        answer = revert(editor, overtaken, **body)
        assert answer.status_code == 409
        problem = answer.json()
        assert problem["assistant_id"] == trio[1]
        assert problem["version"] == 3
        (conflict,) = problem["conflicts"]
        by = conflict.pop("changed_by")
        assert conflict == {
            "path": "/description", "base": "Set", "theirs": "Later", "yours": "Second",
        }  # fmt: skip
        assert (by["version"], by["reason"], by["actor"]["name"]) == (3, "Not so", "editor key")
    assert rows() == before


@pytest.mark.parametrize(("on_conflict", "description"), [("skip", "Later"), ("force", "Second")])
def test_a_revert_leaves_the_conflicts_or_sets_them_all_the_same(
    editor: httpx.Client, trio: list[int], overtaken: int, on_conflict: str, description: str
) -> None:
    made = ok(revert(editor, overtaken, on_conflict=on_conflict))
    assert [one["assistant_id"] for one in made["assistants"]] == trio
    assert shown(editor, trio, "description") == [(None,), (description,), (None,)]
    assert ("Set",) not in shown(editor, trio, "idle_message")


def test_a_revert_is_planned_and_made_under_the_plans_tag(
    editor: httpx.Client, rows: Callable[[], Any], trio: list[int], overtaken: int
) -> None:
    before = rows()
    failing = ok(revert(editor, overtaken, dry_run=True))
    assert failing["applicable"] is False
    assert [one["applicable"] for one in failing["plans"]] == [True, False, True]
    assert [one["path"] for one in failing["plans"][1]["conflicts"]] == ["/description"]
    answer = revert(editor, overtaken, on_conflict="skip", headers=DRY_RUN)
    plan = ok(answer)
    assert plan["applicable"] is True
    assert rows() == before
    condition = {"if-match": answer.headers["etag"]}
    ok(editor.patch(place(trio[2]), json={"name": "Moved"}))
    moved = revert(editor, overtaken, on_conflict="skip", headers=condition)
    assert moved.status_code == 412
    condition = {"if-match": moved.headers["etag"]}
    made = ok(revert(editor, overtaken, on_conflict="skip", headers=condition))
    assert [one["changes"] for one in made["assistants"]] == [
        one["changes"] for one in plan["plans"]
    ]


@pytest.mark.parametrize("on_conflict", ["skip", "force"])
def test_an_assistant_that_was_deleted_since_is_in_the_way_or_is_skipped(
    editor: httpx.Client, rows: Callable[[], Any], trio: list[int], on_conflict: str
) -> None:
    made = change(editor, trio, {"description": "Set"})["change_set_id"]
    editor.delete(place(trio[0]))
    before = rows()
    answer = revert(editor, made)
    assert answer.status_code == 404
    assert answer.json()["assistant_id"] == trio[0]
    assert rows() == before
    plan = ok(revert(editor, made, on_conflict=on_conflict, dry_run=True))
    assert plan["skipped"] == trio[:1]
    reverted = ok(revert(editor, made, on_conflict=on_conflict))
    assert reverted["skipped"] == trio[:1]
    assert [one["assistant_id"] for one in reverted["assistants"]] == trio[1:]
    assert editor.get(place(trio[0])).status_code == 404
    # Restored, it can be taken back by the set as before.
    ok(editor.post(f"{place(trio[0])}/restore"))
    again = ok(revert(editor, made))
    assert [one["assistant_id"] for one in again["assistants"]] == trio[:1]


def test_a_revert_keeps_the_current_secrets_unless_an_admin_asks_for_the_old(
    editor: httpx.Client, admin: httpx.Client, runtime: httpx.Client
) -> None:
    key = "/llm_provider_config/api_key"
    ids = [create(editor, llm_provider_config={"api_key": f"sk-{n}"}) for n in range(2)]

    def revealed() -> list[str]:
        answers = [
            runtime.post(f"{place(one)}/secrets/reveal", json={"paths": [key]}) for one in ids
        ]
        return [ok(answer)["secrets"][key] for answer in answers]

    patch = {"llm_provider_config": {"api_key": "sk-new"}, "description": "New"}
    made = change(editor, ids, patch)["change_set_id"]
    answer = revert(editor, made, restore_secrets=True)
    assert answer.status_code == 403
    reverted = ok(revert(editor, made))
    assert [one["secrets_kept"] for one in reverted["assistants"]] == [[key]] * 2
    assert shown(editor, ids, "description") == [(None,)] * 2
    assert revealed() == ["sk-new", "sk-new"]
    answer = revert(admin, made, restore_secrets=True)
    assert "sk-" not in answer.text
    assert [one["secrets_kept"] for one in ok(answer)["assistants"]] == [[], []]
    assert revealed() == ["sk-0", "sk-1"]


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"on_conflict": "theirs"}, ["body", "on_conflict"]),
        ({"change_description": "x" * 501}, ["body", "change_description"]),
        ({"dry_run": "perhaps"}, ["body", "dry_run"]),
    ],
)
def test_a_revert_that_cannot_be_read_is_refused_by_its_place(
    editor: httpx.Client, trio: list[int], body: dict[str, Any], loc: list[str]
) -> None:
    made = change(editor, trio, {"description": "New"})["change_set_id"]
    assert [place for place, _ in errors(revert(editor, made, **body))] == [loc]


def test_a_set_is_taken_back_only_where_others_need_not_wait_long(
    monkeypatch: pytest.MonkeyPatch, editor: httpx.Client
) -> None:
    settings = {"text": "x" * 20_000}
    ids = [create(editor, custom_settings=settings) for _ in range(3)]
    made = change(editor, ids, {"description": "New"})["change_set_id"]
    with monkeypatch.context() as patched:
        patched.setattr("app.api.change_set_request.MOST_BYTES", 60_000)
        assert errors(revert(editor, made)) == [(["path", "change_set_id"], "too_many")]
    assert shown(editor, ids, "description") == [("New",)] * 3
    ok(revert(editor, made))  # the control
    assert shown(editor, ids, "description") == [(None,)] * 3
