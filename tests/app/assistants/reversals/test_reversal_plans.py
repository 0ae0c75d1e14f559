"""A plan of a rollback, deletion or restoration is what then happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from app.services import utc_now
from app.transactions.caller import system
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import open_vault
from events.commands import CreateAssistant
from tests.app.assistants.answers import errors, ok
from tests.app.assistants.reversals.past import roll_back, undo, versions
from tests.conftest import (
    ASSISTANTS,
    make_organizations,
    serving,
    version_of,
)
from tests.databases import config_of, hold, writing_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def test_a_plan_of_a_rollback_tells_what_would_change_and_what_would_be_lost(
    editor: httpx.Client, still: str, rows: Callable[[], Any]
) -> None:
    before = rows()
    answer = roll_back(editor, still, to_version=2, dry_run=True)
    plan = ok(answer)
    assert rows() == before
    made = {one["version"]: one for one in versions(editor, still)}
    assert answer.headers["etag"] == plan.pop("etag")
    assert version_of(answer) == 5
    assert answer.headers["preference-applied"] == "dry-run"
    assert answer.headers["x-secrets-kept"] == "0"
    assert plan.pop("lost") == [
        {
            "version": version,
            "actor": {
                "type": "api_key",
                "id": key,
                "name": f"{role} key",
                "user_id": made[version]["changed_by"]["user_id"],
            },
            "reason": reason,
            "created_at": made[version]["created_at"],
            "paths": paths,
        }
        for version, key, role, reason, paths in [
            (5, 2, "editor", None, ["/description"]),
            (4, 2, "editor", "A new voice", ["/tts_settings/voice_id"]),
            (3, 3, "admin", "Too stiff", ["/llm_settings/temperature"]),
        ]
    ]
    assert plan == {
        "dry_run": True,
        "assistant_id": int(still.rpartition("/")[2]),
        "assistant_name": "Front desk",
        "version": 5,
        "applicable": True,
        "changes": [
            {"path": "/description", "before": "v5", "after": "v2"},
            {"path": "/llm_settings/temperature", "before": 0.3, "after": 0.2},
            {"path": "/tts_settings/voice_id", "before": "anna", "after": "rachel"},
        ],
        "takes_effect": "next_turn",
        "warnings": [],
        "came_between": [],
        "conflicts": [],
        "not_accepted": [],
        "secrets_kept": [],
        "refused": [],
        "ignored": [],
    }


def test_only_changes_of_what_a_rollback_changes_are_lost(editor: httpx.Client, still: str) -> None:
    plan = ok(roll_back(editor, still, to_version=1, paths=["/llm_settings"], dry_run=True))
    assert [one["version"] for one in plan["lost"]] == [3, 2]


def test_the_past_endpoint_plans_the_same_rollback(
    editor: httpx.Client, path: str, rows: Callable[[], Any]
) -> None:
    before = rows()
    plan = ok(roll_back(editor, path, to_version=2, dry_run=True))
    old = f"{path}/settings-history/3/rollback"
    by_body = editor.post(old, json={"dry_run": True})
    by_header = editor.post(old, headers={"prefer": "dry-run"})
    assert ok(by_body) == ok(by_header) == plan
    assert version_of(by_body) == 5
    assert rows() == before
    # The control: without it the rollback is made.
    assert ok(editor.post(old, json={"change_description": "As it was"}))["version"] == 6
    assert versions(editor, path)[0]["change_description"] == "As it was"


@pytest.mark.parametrize(
    ("place", "body"), [("rollback", {"to_version": 1}), ("undo", {"version": 4})]
)
def test_a_plan_is_what_then_happens_under_its_tag(
    editor: httpx.Client, path: str, place: str, body: dict[str, Any]
) -> None:
    planned = editor.post(f"{path}/{place}", json=body, headers={"prefer": "dry-run"})
    condition = {"if-match": planned.headers["etag"]}
    ok(editor.post(f"{path}/{place}", json=body, headers=condition))
    history = ok(editor.get(f"{path}/settings-history?limit=1"))
    assert history[0]["changes"] == planned.json()["changes"]
    # Its version is no more: the same again is refused, and told what came since.
    again = editor.post(f"{path}/{place}", json=body, headers=condition)
    assert again.status_code == 412
    assert version_of(again) == 6
    assert [one["version"] for one in again.json()["changed_since"]] == [6]
    assert len(versions(editor, path)) == 6


@pytest.mark.parametrize(
    ("place", "body"),
    [
        ("rollback", {"to_version": 1, "dry_run": True}),
        ("undo", {"version": 4, "dry_run": True}),
    ],
)
def test_a_plan_over_another_version_is_not_made(
    editor: httpx.Client, path: str, place: str, body: dict[str, Any]
) -> None:
    answer = editor.post(f"{path}/{place}", json=body, headers={"if-match": '"4"'})
    assert answer.status_code == 412
    assert ok(editor.post(f"{path}/{place}", json=body, headers={"if-match": '"5"'}))


def test_a_deletion_can_be_tried(editor: httpx.Client, path: str, rows: Callable[[], Any]) -> None:
    before = rows()
    answer = editor.delete(path, headers={"prefer": "dry-run"})
    plan = ok(answer)
    assert (plan["dry_run"], plan["applicable"], plan["changes"]) == (True, True, [])
    assert answer.headers["etag"] == plan["etag"]
    assert version_of(answer) == 5
    assert rows() == before
    assert ok(editor.get(path))
    # The control: the same request without the preference.
    assert ok(editor.delete(path, headers={"if-match": plan["etag"]}))["success"] is True
    assert editor.get(path).status_code == 404
    assert editor.delete(path, headers={"prefer": "dry-run"}).status_code == 404


def test_a_restoration_can_be_tried(
    editor: httpx.Client, path: str, rows: Callable[[], Any]
) -> None:
    editor.delete(path)
    before = rows()
    answer = editor.post(f"{path}/restore", headers={"prefer": "dry-run"})
    assert ok(answer)["applicable"] is True
    assert rows() == before
    assert editor.get(path).status_code == 404


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, str]]:
    """An assistant whose version 1 was made under other rules, and an admin of it.

    Its volume, its transfer type and its longest call are not accepted any more.
    """
    database = tmp_path_factory.mktemp("ruled") / "backstory.db"
    (organization,) = make_organizations(database, 1)
    patch: dict[str, Any] = {
        "name": "Of old",
        "max_call_length": 0,
        "tts_settings": {"background_sound": {"volume": 7.0}},
        "tools_settings": {"transfer_call": {"transfer_type": "warmed"}},
    }
    config = config_of(database)
    with hold(database):
        engine = writing_engine(database)
        with engine.begin() as connection:
            unit = UnitOfWork(connection, open_vault(config), utc_now)
            caller = system(organization.id, "tests")
            for _ in range(4):
                unit.handle(caller, None, CreateAssistant(patch=patch))
            unit.flush()
        engine.dispose()
    with serving(database, []) as server, server.client(organization.admin) as client:
        yield client, ASSISTANTS


MENDED = {
    "name": "Of today",
    "max_call_length": 60,
    "tts_settings": {"background_sound": {"volume": 0.5}},
    "tools_settings": {"transfer_call": {"transfer_type": "cold"}},
}


NOT_ACCEPTED = {
    "/max_call_length": ("greater_than_equal", 1),
    "/tts_settings/background_sound/volume": ("less_than_equal", 1.0),
    "/tools_settings/transfer_call/transfer_type": ("literal_error", "warm"),
}


@pytest.mark.parametrize(
    ("assistant_id", "place", "body"),
    [(1, "rollback", {"to_version": 1}), (2, "undo", {"version": 2})],
)
def test_a_value_that_todays_rules_refuse_does_not_come_back_but_the_nearest_is_told(
    ruled: tuple[httpx.Client, str], assistant_id: int, place: str, body: dict[str, Any]
) -> None:
    client, prefix = ruled
    path = f"{prefix}/{assistant_id}"
    ok(client.patch(path, json=MENDED))
    plan = ok(client.post(f"{path}/{place}", json=body | {"dry_run": True}))
    assert plan["applicable"] is False
    told = {one["path"]: (one["type"], one["nearest"]) for one in plan["not_accepted"]}
    assert told == NOT_ACCEPTED
    assert len(plan["changes"]) == 4

    answer = client.post(f"{path}/{place}", json=body)
    assert {("/" + "/".join(loc[1:]), kind) for loc, kind in errors(answer)} == {
        (at, kind) for at, (kind, _) in told.items()
    }
    assert len(versions(client, path)) == 2


def test_what_is_accepted_of_a_version_comes_back_alone(ruled: tuple[httpx.Client, str]) -> None:
    client, prefix = ruled
    path = f"{prefix}/3"
    ok(client.patch(path, json=MENDED))
    assert ok(roll_back(client, path, to_version=1, paths=["/name"]))["name"] == "Of old"
    answer = roll_back(client, path, to_version=1, paths=["/tts_settings"])
    assert errors(answer) == [
        (["body", "tts_settings", "background_sound", "volume"], "less_than_equal")
    ]


def test_a_value_of_other_rules_that_is_left_alone_stands_in_nobodys_way(
    ruled: tuple[httpx.Client, str],
) -> None:
    client, prefix = ruled
    path = f"{prefix}/4"
    ok(client.patch(path, json={"name": "Renamed"}))
    ok(undo(client, path, version=2))
    shown = ok(roll_back(client, path, to_version=2))
    assert shown["name"] == "Renamed"
    assert shown["tts_settings"]["background_sound"]["volume"] == 7.0
