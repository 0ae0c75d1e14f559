"""A plan of a change set records nothing, and is applied under its tag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.app.assistants.answers import errors, ok
from tests.app.assistants.change_sets.sets import DRY_RUN, POLICY, SETS, change, place, revert, send

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_plan_tells_what_would_become_of_each_and_records_nothing(
    editor: httpx.Client, rows: Callable[[], Any], trio: list[int]
) -> None:
    before = rows()
    by_body = send(editor, trio, {"description": "Second"}, dry_run=True)
    by_header = send(editor, trio, {"description": "Second"}, headers=DRY_RUN)
    assert rows() == before
    plan = ok(by_body)
    assert ok(by_header) == plan
    assert by_header.headers["preference-applied"] == "dry-run"
    assert by_body.headers["etag"] == plan["etag"]
    assert (plan["dry_run"], plan["applicable"], plan["skipped"]) == (True, True, [])
    change = {"path": "/description", "before": None, "after": "Second"}
    assert [(one["assistant_id"], one["version"], one["changes"]) for one in plan["plans"]] == [
        (trio[0], 1, [change]),
        (trio[1], 1, []),
        (trio[2], 1, [change]),
    ]


def test_a_plan_is_applied_under_its_tag(editor: httpx.Client, trio: list[int]) -> None:
    patch = {"description": "New"}
    plan = ok(send(editor, trio, patch, dry_run=True))
    made = change(editor, trio, patch, headers={"if-match": plan["etag"]})
    assert [one["changes"] for one in made["assistants"]] == [
        one["changes"] for one in plan["plans"]
    ]


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_plan_is_not_applied_once_any_of_its_assistants_has_moved(
    editor: httpx.Client, rows: Callable[[], Any], trio: list[int], position: int
) -> None:
    patch = {"description": "New"}
    tag = ok(send(editor, trio, patch, dry_run=True))["etag"]
    editor.patch(place(trio[position]), json={"idle_message": "Moved"})
    before = rows()
    answer = send(editor, trio, patch, headers={"if-match": tag})
    assert answer.status_code == 412
    assert answer.json()["type"] == "urn:backstory:problem:precondition-failed"
    assert rows() == before
    # The answer's tag is that of a plan made now.
    assert answer.headers["etag"] == ok(send(editor, trio, patch, dry_run=True))["etag"] != tag
    assert change(editor, trio, patch, headers={"if-match": answer.headers["etag"]})


def test_a_plan_is_not_applied_to_others_than_those_it_was_made_for(
    editor: httpx.Client, trio: list[int]
) -> None:
    name = f"Chosen {trio[0]}"
    change(editor, trio[:2], {"name": name})
    body = {"filter": {"settings": {"/name": name}}, "patch": {"description": "New"}}
    tag = {"if-match": ok(editor.post(SETS, json=body, headers=DRY_RUN))["etag"]}
    ok(editor.patch(place(trio[2]), json={"name": name}))
    assert editor.post(SETS, json=body, headers=tag).status_code == 412
    ok(editor.patch(place(trio[2]), json={"name": "Another"}))
    assert len(ok(editor.post(SETS, json=body, headers=tag), 201)["assistants"]) == 2
    assert send(editor, trio, {"description": "y"}, headers=tag).status_code == 412


def test_a_policy_that_wants_conditions_wants_the_tag_of_a_plan(
    tenant: tuple[httpx.Client, httpx.Client, list[int]],
) -> None:
    admin, editor, ids = tenant
    assert change(editor, ids, {"description": "Before the policy"})["change_set_id"]
    ok(admin.put(POLICY, json={"require_condition": True}))
    patch = {"description": "New"}
    answer = send(editor, ids, patch)
    assert answer.status_code == 428
    assert answer.json()["rule"] == "require_condition"
    tag = ok(send(editor, ids, patch, dry_run=True))["etag"]
    made = change(editor, ids, patch, headers={"if-match": tag})["change_set_id"]
    # A revert keeps what came later by itself: it needs no tag.
    assert len(ok(revert(editor, made))["assistants"]) == 2


@pytest.mark.parametrize(
    "policy", [{"require_reason": True}, {"require_reason_for": ["/description"]}]
)
def test_a_policy_that_wants_reasons_wants_them_of_sets_and_of_their_reverts(
    tenant: tuple[httpx.Client, httpx.Client, list[int]], policy: dict[str, Any]
) -> None:
    admin, editor, ids = tenant
    ((rule, _),) = policy.items()
    patch = {"description": "New"}
    ok(revert(editor, change(editor, ids, patch)["change_set_id"]))
    ok(admin.put(POLICY, json=policy))
    for client in (editor, admin):
        answer = send(client, ids, patch)
        assert errors(answer) == [(["body", "change_description"], rule)]
        assert (answer.json()["rule"], answer.json()["assistant_id"]) == (rule, ids[0])
    plan = ok(send(editor, ids, patch, dry_run=True))
    assert plan["applicable"] is False
    assert [one["refused"][0]["rule"] for one in plan["plans"]] == [rule] * 2
    made = change(editor, ids, patch, change_description="Why")["change_set_id"]
    assert errors(revert(editor, made)) == [(["body", "change_description"], rule)]
    assert len(ok(revert(editor, made, change_description="Why not"))["assistants"]) == 2


def test_a_policy_that_protects_a_path_protects_it_from_sets_and_from_their_reverts(
    tenant: tuple[httpx.Client, httpx.Client, list[int]],
) -> None:
    admin, editor, ids = tenant
    patch = {"description": "New", "name": "New"}
    made = change(editor, ids, patch)["change_set_id"]
    ok(admin.put(POLICY, json={"admin_paths": ["/description"]}))
    for answer in (send(editor, ids, {"description": "x"}), revert(editor, made)):
        assert answer.status_code == 403
        problem = answer.json()
        assert (problem["rule"], problem["paths"]) == ("admin_paths", ["/description"])
        assert problem["assistant_id"] == ids[0]
    plan = ok(revert(editor, made, dry_run=True))
    assert plan["applicable"] is False
    refused = [{"rule": "admin_paths", "paths": ["/description"]}]
    assert [one["refused"] for one in plan["plans"]] == [refused] * 2
    assert len(change(editor, ids, {"name": "Free"})["assistants"]) == 2
    assert len(ok(revert(admin, made, on_conflict="skip"))["assistants"]) == 2
