"""A change set changes all of its assistants with one event each, or none of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from app.assistants import change_sets
from app.assistants.change_sets import SetChangeRequest
from app.services import utc_now
from app.transactions.caller import system
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import open_vault
from events.bodies.patch import read_patch
from events.commands import CreateAssistant
from events.upcasters import tag
from tests.app import stored
from tests.app.assistants.answers import MASK, errors, ok
from tests.app.assistants.change_sets.sets import (
    POLICY,
    SETS,
    change,
    create,
    events_of,
    place,
    revert,
    send,
    shown,
)
from tests.conftest import (
    Organization,
    Server,
    make_organizations,
    version_of,
)
from tests.databases import config_of, hold, writing_engine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


FALLBACKS = {"fallbacks": [{"provider": "groq", "model": "llama", "api_key": "sk-groq"}]}


def test_a_change_set_changes_all_of_its_assistants_with_one_event_each(
    server: Server, organization: Organization, editor: httpx.Client, trio: list[int]
) -> None:
    before = stored.events(server.database, organization.id)
    patch = {"llm_settings": {"temperature": 0.2}}
    made = change(editor, trio, patch, change_description=" Calmer everywhere ")
    first = before[-1]["sequence"] + 1
    assert made == {
        "change_set_id": first,
        "assistants": [
            {
                "assistant_id": one,
                "version": 2,
                "etag": editor.get(place(one)).headers["etag"],
                "changes": [{"path": "/llm_settings/temperature", "before": 0.5, "after": 0.2}],
                "warnings": [],
                "secrets_kept": [],
            }
            for one in trio
        ],
        "unchanged": [],
        "skipped": [],
    }
    events = stored.events(server.database, organization.id)[len(before) :]
    assert [one["sequence"] for one in events] == [first, first + 1, first + 2]
    assert [one["assistant_id"] for one in events] == trio
    for event in events:
        assert event["type"] == tag("assistant_settings_changed")
        assert event["cause"] == {"type": "change_set", "change_set_id": first}
        assert event["reason"] == "Calmer everywhere"
        assert event["request_id"] == events[0]["request_id"]
    for one in trio:
        assert version_of(editor.get(place(one))) == 2
        (entry,) = ok(editor.get(f"{place(one)}/settings-history"))
        assert entry["cause"] == {"type": "change_set", "change_set_id": first}
        assert entry["change_description"] == "Calmer everywhere"


def test_an_assistant_that_has_it_already_gets_no_event_and_is_listed(
    server: Server, organization: Organization, editor: httpx.Client, trio: list[int]
) -> None:
    count = len(stored.events(server.database, organization.id))
    made = change(editor, trio, {"description": "Second"})
    assert [one["assistant_id"] for one in made["assistants"]] == [trio[0], trio[2]]
    assert made["unchanged"] == [trio[1]]
    events = stored.events(server.database, organization.id)[count:]
    assert [(one["assistant_id"], one["sequence"]) for one in events] == [
        (trio[0], count + 1),
        (trio[2], count + 2),
    ]
    assert made["change_set_id"] == count + 1
    assert shown(editor, trio, "version") == [(2,), (1,), (2,)]


@pytest.mark.parametrize("patch", [{}, {"description": None}, {"nothing": 1}])
def test_where_nothing_has_to_change_there_is_no_set(
    editor: httpx.Client, rows: Callable[[], Any], patch: dict[str, Any]
) -> None:
    ids = [create(editor), create(editor)]
    before = rows()
    made = change(editor, ids, patch)
    assert made == {"change_set_id": None, "assistants": [], "unchanged": ids, "skipped": []}
    assert rows() == before


def test_an_assistant_that_is_named_twice_is_changed_once(
    editor: httpx.Client, trio: list[int]
) -> None:
    made = change(editor, [trio[2], trio[0], trio[2]], {"description": "New"})
    assert [one["assistant_id"] for one in made["assistants"]] == [trio[0], trio[2]]
    assert shown(editor, trio, "version") == [(2,), (1,), (2,)]


def test_the_reason_may_stand_in_the_patch(editor: httpx.Client, trio: list[int]) -> None:
    patch = {"description": "New", "change_description": "Inside"}
    inside = change(editor, trio, patch)["change_set_id"]
    assert ok(editor.get(f"{SETS}/{inside}"))["change_description"] == "Inside"
    patch = {"description": "Newer", "change_description": "Inside"}
    outside = change(editor, trio, patch, change_description="Outside")["change_set_id"]
    assert ok(editor.get(f"{SETS}/{outside}"))["change_description"] == "Outside"


def test_unknown_members_of_the_patch_are_named_and_in_strict_mode_refused(
    editor: httpx.Client, trio: list[int]
) -> None:
    patch = {"description": "New", "nme": 1, "llm_settings": {"temprature": 1}}
    planned = send(editor, trio, patch, dry_run=True)
    answer = send(editor, trio, patch)
    ok(answer, 201)
    for one in (planned, answer):
        assert one.headers["x-ignored-fields"] == "/patch/nme, /patch/llm_settings/temprature"
    for plan in planned.json()["plans"]:
        assert plan["ignored"] == ["/patch/nme", "/patch/llm_settings/temprature"]
    strict = send(editor, trio, patch, headers={"prefer": "handling=strict"})
    assert [loc for loc, _ in errors(strict)] == [
        ["body", "patch", "nme"],
        ["body", "patch", "llm_settings", "temprature"],
    ]


def test_what_was_changed_is_told_also_to_one_who_prefers_little(
    editor: httpx.Client, trio: list[int]
) -> None:
    answer = send(editor, trio, {"description": "x"}, headers={"prefer": "return=minimal"})
    assert len(ok(answer, 201)["assistants"]) == 3
    assert "preference-applied" not in answer.headers


def test_each_change_of_a_set_is_warned_about_by_itself(editor: httpx.Client) -> None:
    ids = [create(editor), create(editor, recording_settings={"enabled": False})]
    made = change(editor, ids, {"recording_settings": {"enabled": False}, "description": "x"})
    rules = [[warned["rule"] for warned in one["warnings"]] for one in made["assistants"]]
    assert rules == [["recording-switched-off"], []]


def test_a_secret_is_sealed_for_each_assistant(
    server: Server,
    organization: Organization,
    admin: httpx.Client,
    editor: httpx.Client,
    runtime: httpx.Client,
    trio: list[int],
) -> None:
    answer = send(editor, trio, {"api_keys": {"own": "sk-shared"}})
    assert "sk-shared" not in answer.text
    made = ok(answer, 201)
    assert made["assistants"][0]["changes"] == [
        {"path": "/api_keys", "before": None, "after": {"own": MASK}}
    ]
    for one in trio:
        revealed = runtime.post(f"{place(one)}/secrets/reveal", json={"paths": ["/api_keys"]})
        assert ok(revealed)["secrets"] == {"/api_keys/own": "sk-shared"}
    # The same value again is no change, for a caller who may read it.
    assert change(admin, trio, {"api_keys": {"own": "sk-shared"}})["unchanged"] == trio
    sealed = stored.rows(server.database, organization.id)["sealed_secrets"]
    assert len({one["ciphertext"] for one in sealed if one["assistant_id"] in trio}) == 3


def test_sets_of_many_callers_do_not_mix(
    server: Server, organization: Organization, editor: httpx.Client, trio: list[int]
) -> None:
    def send_one(number: int) -> dict[str, Any]:
        with server.client(organization.editor) as client:
            return change(client, trio, {"description": f"Set {number}"})

    with ThreadPoolExecutor(6) as pool:
        sets = {one["change_set_id"] for one in pool.map(send_one, range(12))}
    assert len(sets) == 12
    for one in sets:
        mine = events_of(server, organization, one)
        assert [e["sequence"] for e in mine] == [one, one + 1, one + 2]
        assert len({e["changes"]["/description"]["after"] for e in mine}) == 1
    assert len(set(shown(editor, trio, "description"))) == 1


def test_the_times_of_a_set_run_forwards_while_the_clock_steps_back(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    (organization,) = make_organizations(database, 1)
    config = config_of(database)
    caller = system(organization.id, "tests")
    now = utc_now() + timedelta(days=1)
    times = [now, now, now, *(now + timedelta(hours=hours) for hours in (3, 2, 1))]
    with hold(database):
        engine = writing_engine(database)
        with engine.begin() as connection:
            unit = UnitOfWork(connection, open_vault(config), lambda: times.pop(0))
            for _ in range(3):
                unit.handle(caller, None, CreateAssistant(patch={"name": "One"}))
            patch = read_patch({"description": "New"})
            outcome = change_sets.apply(unit, SetChangeRequest(caller=caller), (1, 2, 3), patch)
            unit.flush()
        engine.dispose()
    proposed = [one.event.occurred_at for one in outcome.outcomes if one.event]
    assert proposed == [now + timedelta(hours=hours) for hours in (3, 2, 1)]  # the control
    events = stored.events(database, organization.id)[-3:]
    recorded = [datetime.fromisoformat(event["occurred_at"]) for event in events]
    assert recorded == [now + timedelta(hours=3)] * 3
    # What was clamped says so, and what the clock said.
    said = [event.get("clock_time") for event in events]
    assert said[0] is None
    assert [datetime.fromisoformat(str(one)) for one in said[1:]] == proposed[1:]


def test_one_assistant_that_is_not_there_keeps_all_as_they_are(
    editor: httpx.Client, rows: Callable[[], Any], trio: list[int]
) -> None:
    deleted = create(editor)
    editor.delete(place(deleted))
    before = rows()
    for missing in (deleted, deleted + 1, 2**31 - 1):
        for dry_run in (False, True):
            answer = send(editor, [*trio, missing], {"description": "x"}, dry_run=dry_run)
            assert answer.status_code == 404
            assert answer.json()["type"] == "urn:backstory:problem:assistant-not-found"
            assert answer.json()["assistant_id"] == missing
    assert rows() == before
    # The control: without the missing one the others are changed.
    assert len(change(editor, trio, {"description": "x"})["assistants"]) == 3


def test_one_protected_path_keeps_all_as_they_are(server: Server) -> None:
    tenant = server.organization()
    with server.client(tenant.admin) as admin, server.client(tenant.editor) as editor:
        ok(admin.put(POLICY, json={"admin_paths": ["/description"]}))
        ids = [create(editor, description="x"), create(editor, description="x"), create(editor)]
        patch = {"description": "x", "name": "New"}
        before = stored.rows(server.database, tenant.id)
        answer = send(editor, ids, patch)
        assert answer.status_code == 403
        problem = answer.json()
        assert (problem["type"], problem["assistant_id"], problem["paths"]) == (
            "urn:backstory:problem:path-protected",
            ids[2],
            ["/description"],
        )
        assert stored.rows(server.database, tenant.id) == before
        # The controls: of the others nothing that is protected would change; an admin may.
        assert len(change(editor, ids[:2], patch)["assistants"]) == 2
        assert [one["assistant_id"] for one in change(admin, ids, patch)["assistants"]] == ids[2:]


def test_one_mask_without_a_secret_keeps_all_as_they_are(
    editor: httpx.Client, rows: Callable[[], Any]
) -> None:
    ids = [create(editor, llm_fallback_providers=FALLBACKS) for _ in range(2)] + [create(editor)]
    masked = {"fallbacks": [FALLBACKS["fallbacks"][0] | {"api_key": MASK}]}
    patch = {"llm_fallback_providers": masked, "name": "New"}
    before = rows()
    answer = send(editor, ids, patch)
    place_of_it = ["body", "patch", "llm_fallback_providers", "fallbacks", 0, "api_key"]
    assert errors(answer) == [(place_of_it, "secret_mask_unmatched")]
    assert answer.json()["assistant_id"] == ids[2]
    assert rows() == before
    assert len(change(editor, ids[:2], patch)["assistants"]) == 2


@pytest.mark.parametrize(
    ("patch", "loc"),
    [
        ({"name": ""}, ["body", "patch", "name"]),
        ({"llm_settings": {"max_tokens": "many"}}, ["body", "patch", "llm_settings", "max_tokens"]),
        ({"bypass_numbers": ["+1"]}, ["body", "patch", "bypass_numbers", 0]),
        ({"change_description": "x" * 501}, ["body", "patch", "change_description"]),
        ([], ["body", "patch"]),
        (None, ["body", "patch"]),
    ],
)
def test_what_is_wrong_with_the_patch_is_named_by_its_place_in_the_body(
    editor: httpx.Client, rows: Callable[[], Any], trio: list[int], patch: Any, loc: list[Any]
) -> None:
    before = rows()
    assert [place for place, _ in errors(send(editor, trio, patch))] == [loc]
    assert rows() == before


def test_a_set_without_a_patch_is_refused(editor: httpx.Client, trio: list[int]) -> None:
    answer = editor.post(SETS, json={"assistant_ids": trio})
    assert errors(answer) == [(["body", "patch"], "missing")]


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_viewer_reads_sets_and_makes_none(
    viewer: httpx.Client,
    editor: httpx.Client,
    rows: Callable[[], Any],
    trio: list[int],
    *,
    dry_run: bool,
) -> None:
    made = change(editor, trio, {"description": "New"})["change_set_id"]
    before = rows()
    assert send(viewer, trio, {"description": "x"}, dry_run=dry_run).status_code == 403
    assert revert(viewer, made, dry_run=dry_run).status_code == 403
    assert rows() == before
    assert ok(viewer.get(f"{SETS}/{made}"))
    assert ok(viewer.get(f"{SETS}/{made}/diff"))
    assert revert(editor, made, dry_run=dry_run).status_code == 200


def test_another_organizations_set_answers_like_none(server: Server) -> None:
    ours, theirs = server.organization(), server.organization()
    with server.client(ours.editor) as owner, server.client(theirs.admin) as foreign:
        ids = [create(owner), create(owner)]
        made = change(owner, ids, {"description": "New"})["change_set_id"]
        # Their log is as long as ours: the number is one of its events, but not of a set.
        for _ in range(made + 1):
            create(foreign)
        before = stored.rows(server.database, ours.id)
        for verb, rest in (("GET", ""), ("GET", "/diff"), ("POST", "/revert")):
            answer = foreign.request(verb, f"{SETS}/{made}{rest}")
            missing = foreign.request(verb, f"{SETS}/999999{rest}")
            assert answer.status_code == missing.status_code == 404
            assert answer.text == missing.text.replace("999999", str(made))
        # The same ids are their own assistants.
        assert change(foreign, ids, {"description": "Theirs"})["assistants"]
        assert stored.rows(server.database, ours.id) == before
        assert ok(owner.get(f"{SETS}/{made}"))
