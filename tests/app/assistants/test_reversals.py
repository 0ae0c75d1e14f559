"""Going back over HTTP: to a version, by one change, to life; planned first, and told after."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from app.services import utc_now
from app.transactions.caller import system
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import open_vault
from events.commands import CreateAssistant
from tests.app import stored
from tests.conftest import (
    ASSISTANTS,
    Organization,
    Server,
    make_organizations,
    serving,
    version_of,
)
from tests.databases import config_of, hold, writing_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MASK = "********"
KEY = "/llm_provider_config/api_key"
# What moves with every change, whatever it is of.
_MOVING = {"version", "updated_at"}


@pytest.fixture(scope="module")
def organization(server: Server) -> Organization:
    return server.organization()


@pytest.fixture(scope="module")
def editor(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.editor) as client:
        yield client


@pytest.fixture(scope="module")
def admin(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.admin) as client:
        yield client


@pytest.fixture(scope="module")
def viewer(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.viewer) as client:
        yield client


@pytest.fixture(scope="module")
def runtime(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.runtime) as client:
        yield client


@pytest.fixture
def rows(server: Server, organization: Organization) -> Callable[[], Any]:
    """All rows of the organization."""
    return partial(stored.rows, server.database, organization.id)


@pytest.fixture
def path(editor: httpx.Client, admin: httpx.Client) -> str:
    return with_a_past(editor, admin)


@pytest.fixture(scope="module")
def still(editor: httpx.Client, admin: httpx.Client) -> str:
    """For the tests that change nothing."""
    return with_a_past(editor, admin)


def with_a_past(editor: httpx.Client, admin: httpx.Client) -> str:
    """An assistant with a past.

    Version 2: a description and the temperature, 3: the temperature again (an admin),
    4: the voice, 5: the description again.
    """
    created = editor.post(ASSISTANTS, json={"name": "Front desk", "description": "v1"})
    place = f"{ASSISTANTS}/{created.json()['id']}"
    steps: list[tuple[httpx.Client, dict[str, Any]]] = [
        (editor, {"description": "v2", "llm_settings": {"temperature": 0.2}}),
        (admin, {"llm_settings": {"temperature": 0.3}, "change_description": "Too stiff"}),
        (editor, {"tts_settings": {"voice_id": "anna"}, "change_description": "A new voice"}),
        (editor, {"description": "v5"}),
    ]
    for version, (client, body) in enumerate(steps, 2):
        assert ok(client.patch(place, json=body))["version"] == version
    return place


def ok(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def roll_back(client: httpx.Client, place: str, **body: Any) -> httpx.Response:
    return client.post(f"{place}/rollback", json=body)


def undo(client: httpx.Client, place: str, **body: Any) -> httpx.Response:
    return client.post(f"{place}/undo", json=body)


def at(client: httpx.Client, place: str, version: int | str = "latest") -> dict[str, Any]:
    shown = ok(client.get(place, params={"version": version}))
    return {name: value for name, value in shown.items() if name not in _MOVING}


def versions(client: httpx.Client, place: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ok(client.get(f"{place}/versions"))
    return found


def reveal(runtime: httpx.Client, place: str, *paths: str) -> Any:
    answer = runtime.post(f"{place}/secrets/reveal", json={"paths": paths})
    return ok(answer)["secrets"]


def errors(answer: httpx.Response) -> list[tuple[list[Any], str]]:
    assert answer.status_code == 422, answer.text
    return [(error["loc"], error["type"]) for error in answer.json()["detail"]]


# -- rolling back: where to


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


# -- rolling back: in part


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


# -- plans


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
        "version": 5,
        "applicable": True,
        "changes": [
            {"path": "/description", "before": "v5", "after": "v2"},
            {"path": "/llm_settings/temperature", "before": 0.3, "after": 0.2},
            {"path": "/tts_settings/voice_id", "before": "anna", "after": "rachel"},
        ],
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


# -- values that today's rules refuse


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


# -- undo


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


# -- links in the history


def links(client: httpx.Client, path: str) -> dict[int, tuple[list[int], list[int]]]:
    """What each version took back, and what took it back; both lists of versions agree."""
    found = {one["version"]: (one["reverts"], one["reverted_by"]) for one in versions(client, path)}
    entries = ok(client.get(f"{path}/settings-history"))
    assert {one["version"]: (one["reverts"], one["reverted_by"]) for one in entries} == {
        version: pair for version, pair in found.items() if version > 1
    }
    for version, pair in found.items():
        shown = ok(client.get(f"{path}/versions/{version}"))
        assert (shown["reverts"], shown["reverted_by"]) == pair
        assert all(version in found[one][1] for one in pair[0])
        assert all(version in found[one][0] for one in pair[1])
    return {version: pair for version, pair in found.items() if pair != ([], [])}


def test_history_links_an_undo_both_ways(editor: httpx.Client, path: str) -> None:
    undo(editor, path, version=4)
    assert links(editor, path) == {6: ([4], []), 4: ([], [6])}


def test_history_links_a_whole_rollback_to_all_that_it_took_back(
    editor: httpx.Client, path: str
) -> None:
    roll_back(editor, path, to_version=2)
    assert links(editor, path) == {
        6: ([5, 4, 3], []), 5: ([], [6]), 4: ([], [6]), 3: ([], [6]),
    }  # fmt: skip
    editor.post(f"{path}/settings-history/6/rollback")
    assert links(editor, path)[7] == ([6], [])
    assert links(editor, path)[6] == ([5, 4, 3], [7])


def test_history_links_a_rollback_of_paths_to_the_versions_that_changed_them(
    editor: httpx.Client, path: str
) -> None:
    roll_back(editor, path, to_version=1, paths=["/llm_settings"])
    assert links(editor, path) == {6: ([3, 2], []), 3: ([], [6]), 2: ([], [6])}


def test_a_version_may_be_taken_back_more_than_once(editor: httpx.Client, path: str) -> None:
    undo(editor, path, version=5)
    roll_back(editor, path, to_version=4, paths=["/description"])  # changes nothing
    assert links(editor, path) == {6: ([5], []), 5: ([], [6])}
    roll_back(editor, path, to_version=1)
    assert links(editor, path)[5] == ([], [6, 7])
    assert links(editor, path)[7] == ([6, 5, 4, 3, 2], [])


def test_history_links_a_restoration_and_its_deletion(editor: httpx.Client, path: str) -> None:
    for _ in range(2):
        editor.delete(path)
        editor.post(f"{path}/restore")
    assert links(editor, path) == {
        9: ([8], []), 8: ([], [9]), 7: ([6], []), 6: ([], [7]),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("place", "body", "cause"),
    [
        ("rollback", {"to_version": 2}, {"type": "rollback", "to_version": 2}),
        ("rollback", {"to_version": "-1"}, {"type": "rollback", "to_version": 4}),
        (
            "rollback",
            {"to_version": 1, "paths": ["/tts_settings"]},
            {"type": "rollback", "to_version": 1, "paths": ["/tts_settings"]},
        ),
        ("settings-history/3/rollback", {}, {"type": "rollback", "to_version": 2}),
        ("undo", {"version": "latest"}, {"type": "undo", "undoes": 5}),
    ],
)
def test_every_event_says_what_it_took_back_and_why(
    server: Server,
    organization: Organization,
    editor: httpx.Client,
    path: str,
    place: str,
    body: dict[str, Any],
    cause: dict[str, Any],
) -> None:
    ok(editor.post(f"{path}/{place}", json=body | {"change_description": " A mistake "}))
    event = stored.events(server.database, organization.id)[-1]
    assert (event["cause"], event["reason"]) == (cause, "A mistake")
    entry = ok(editor.get(f"{path}/settings-history/6"))
    assert (entry["cause"], entry["change_description"]) == (cause, "A mistake")
    shown = ok(editor.get(f"{path}/versions/6"))
    assert (shown["cause"], shown["change_description"]) == (cause, "A mistake")


# -- restore


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"json": {}},
        {"json": {"change_description": None}},
        {"json": {"change_description": " Deleted by mistake "}},
        {"content": b"null", "headers": {"content-type": "application/json"}},
    ],
)
def test_a_deleted_assistant_comes_back_with_its_id_and_its_history(
    editor: httpx.Client, path: str, options: dict[str, Any]
) -> None:
    now, past = at(editor, path), versions(editor, path)
    editor.delete(path)
    answer = editor.post(f"{path}/restore", **options)
    assert ok(answer)["version"] == 7
    assert version_of(answer) == 7
    assert at(editor, path) == now
    restoration, deletion, *older = versions(editor, path)
    assert older == past
    assert restoration["event"] == "AssistantRestored"
    assert restoration["cause"] == {"type": "restore", "undoes": 6}
    reason = (options.get("json") or {}).get("change_description")
    assert restoration["change_description"] == (reason and reason.strip())
    assert deletion["event"] == "AssistantDeleted"
    listed = ok(editor.get(ASSISTANTS, params={"limit": 1000}))
    assert ok(editor.get(path)) in listed
    assert ok(editor.patch(path, json={"name": "Alive"}))["version"] == 8


def test_only_a_deleted_assistant_is_restored(
    editor: httpx.Client, path: str, rows: Callable[[], Any]
) -> None:
    before = rows()
    living = editor.post(f"{path}/restore")
    assert living.status_code == 409
    assert living.json()["type"] == "urn:backstory:problem:not-deleted"
    for missing in ("99999", "0", "9" * 20):
        answer = editor.post(f"{ASSISTANTS}/{missing}/restore")
        assert answer.status_code == 404
    assert rows() == before


def test_a_deleted_assistant_is_neither_rolled_back_nor_undone_before_it_is_restored(
    editor: httpx.Client, path: str
) -> None:
    editor.delete(path)
    for dry_run in (False, True):
        assert roll_back(editor, path, to_version=1, dry_run=dry_run).status_code == 404
        assert undo(editor, path, version=2, dry_run=dry_run).status_code == 404
    editor.post(f"{path}/restore")
    assert roll_back(editor, path, to_version=1).status_code == 200


def test_a_rollback_over_a_deletion_keeps_the_assistant_alive(
    editor: httpx.Client, path: str
) -> None:
    editor.delete(path)
    editor.post(f"{path}/restore")
    roll_back(editor, path, to_version=6)  # the state that it was deleted with
    assert len(versions(editor, path)) == 7
    roll_back(editor, path, to_version=2)
    assert at(editor, path) == at(editor, path, 2)
    assert links(editor, path)[8] == ([5, 4, 3], [])


def test_the_secrets_of_a_restored_assistant_still_work(
    editor: httpx.Client, runtime: httpx.Client, path: str
) -> None:
    editor.patch(path, json={"llm_provider_config": {"api_key": "sk-1"}})
    editor.delete(path)
    answer = runtime.post(f"{path}/secrets/reveal", json={"paths": [KEY]})
    assert answer.status_code == 404
    editor.post(f"{path}/restore")
    assert reveal(runtime, path, KEY) == {KEY: "sk-1"}


def test_secrets_that_were_destroyed_meanwhile_stay_gone(
    editor: httpx.Client, admin: httpx.Client, runtime: httpx.Client, path: str
) -> None:
    editor.patch(path, json={"llm_provider_config": {"api_key": "sk-1"}})
    editor.delete(path)
    admin.delete(f"{path}/secrets")
    shown = ok(editor.post(f"{path}/restore"))
    assert shown["llm_provider_config"]["api_key"] == "erased"
    assert runtime.post(f"{path}/secrets/reveal", json={"paths": [KEY]}).status_code == 410
    # The erasure stands between the deletion and the restoration: the links find both.
    assert links(editor, path) == {9: ([7], []), 7: ([], [9])}


# -- secrets


@pytest.fixture
def secretive(editor: httpx.Client) -> str:
    """Version 2 rotates a secret and renames, 3 adds a secret, 4 removes the first one."""
    body = {"name": "One", "llm_provider_config": {"api_key": "sk-1"}}
    path = f"{ASSISTANTS}/{editor.post(ASSISTANTS, json=body).json()['id']}"
    for change in (
        {"name": "Two", "llm_provider_config": {"api_key": "sk-2"}},
        {"name": "Three", "api_keys": {"own": "sk-own"}},
        {"description": "Four", "llm_provider_config": {"api_key": None}},
    ):
        ok(editor.patch(path, json=change))
    return path


def test_a_rollback_keeps_the_current_secrets_and_names_them(
    editor: httpx.Client, runtime: httpx.Client, secretive: str
) -> None:
    editor.patch(secretive, json={"llm_provider_config": {"api_key": "sk-5"}})
    plan = ok(roll_back(editor, secretive, to_version=1, dry_run=True))
    assert sorted(plan["secrets_kept"]) == ["/api_keys/own", KEY]
    answer = roll_back(editor, secretive, to_version=1)
    assert answer.headers["x-secrets-kept"] == "2"
    assert ok(answer)["name"] == "One"
    assert reveal(runtime, secretive, KEY, "/api_keys") == {KEY: "sk-5", "/api_keys/own": "sk-own"}
    changes = ok(editor.get(f"{secretive}/settings-history?limit=1"))[0]["changes"]
    assert [one["path"] for one in changes] == ["/name", "/description"]


def test_a_rollback_of_a_secrets_path_alone_keeps_it(
    editor: httpx.Client, runtime: httpx.Client, secretive: str
) -> None:
    answer = roll_back(editor, secretive, to_version=2, paths=["/api_keys"])
    assert (ok(answer)["version"], answer.headers["x-secrets-kept"]) == (4, "1")
    assert reveal(runtime, secretive, "/api_keys") == {"/api_keys/own": "sk-own"}


@pytest.mark.parametrize("place", ["rollback", "undo", "settings-history/2/rollback"])
def test_old_secrets_are_for_admins(
    editor: httpx.Client, admin: httpx.Client, secretive: str, place: str
) -> None:
    body: dict[str, Any] = {"restore_secrets": True}
    body |= {"rollback": {"to_version": 1}, "undo": {"version": 3}}.get(place, {})
    for dry_run in (False, True):
        answer = editor.post(f"{secretive}/{place}", json=body | {"dry_run": dry_run})
        assert answer.status_code == 403
    # The controls: without old secrets an editor may, and with them an admin.
    tried = {"dry_run": True, "restore_secrets": False}
    assert ok(editor.post(f"{secretive}/{place}", json=body | tried))
    assert ok(admin.post(f"{secretive}/{place}", json=body))


@pytest.mark.parametrize(("version", "secret"), [(1, "sk-1"), (2, "sk-2")])
def test_a_rollback_brings_old_secrets_back_for_an_admin(
    admin: httpx.Client, runtime: httpx.Client, secretive: str, version: int, secret: str
) -> None:
    answer = roll_back(admin, secretive, to_version=version, restore_secrets=True)
    assert ok(answer)["llm_provider_config"]["api_key"] == MASK
    assert reveal(runtime, secretive, KEY) == {KEY: secret}
    (change,) = (
        one
        for one in ok(admin.get(f"{secretive}/settings-history?limit=1"))[0]["changes"]
        if one["path"] == KEY
    )
    assert change == {"path": KEY, "before": None, "after": MASK}


def test_an_undo_keeps_the_current_secrets(
    editor: httpx.Client, runtime: httpx.Client, secretive: str
) -> None:
    answer = undo(editor, secretive, version=3)
    assert (ok(answer)["name"], answer.headers["x-secrets-kept"]) == ("Two", "1")
    assert reveal(runtime, secretive, "/api_keys") == {"/api_keys/own": "sk-own"}
    answer = undo(editor, secretive, version=4)
    shown = ok(answer)
    assert (shown["description"], shown["llm_provider_config"]["api_key"]) == (None, None)


def test_an_undo_brings_a_removed_secret_back_for_an_admin(
    admin: httpx.Client, runtime: httpx.Client, secretive: str
) -> None:
    shown = ok(undo(admin, secretive, version=4, restore_secrets=True))
    assert (shown["description"], shown["llm_provider_config"]["api_key"]) == (None, MASK)
    assert reveal(runtime, secretive, KEY) == {KEY: "sk-2"}
    ok(undo(admin, secretive, version=2, restore_secrets=True, on_conflict="skip"))
    assert reveal(runtime, secretive, KEY) == {KEY: "sk-1"}


def test_an_undo_that_restores_secrets_takes_away_one_that_the_change_added(
    admin: httpx.Client, runtime: httpx.Client, secretive: str
) -> None:
    answer = undo(admin, secretive, version=3, restore_secrets=True)
    assert (ok(answer)["name"], ok(answer)["api_keys"]) == ("Two", None)
    assert answer.headers["x-secrets-kept"] == "0"
    asked = {"paths": ["/api_keys"]}
    assert runtime.post(f"{secretive}/secrets/reveal", json=asked).status_code == 422


@pytest.mark.parametrize("place", ["/api_keys/own", KEY])
def test_an_undo_that_restores_secrets_meets_one_that_was_rotated_since(
    admin: httpx.Client, runtime: httpx.Client, place: str
) -> None:
    """One of a map, which is removed, and one of its own member, which becomes null."""
    body = {"name": "One", "api_keys": {"other": "sk-0"}}
    path = f"{ASSISTANTS}/{admin.post(ASSISTANTS, json=body).json()['id']}"
    _, member, name = place.split("/")
    for value in ("sk-1", "sk-2"):
        ok(admin.patch(path, json={member: {name: value}}))
    assert undo(admin, path, version=2, restore_secrets=True).status_code == 409
    ok(undo(admin, path, version=2, restore_secrets=True, on_conflict="skip"))
    assert reveal(runtime, path, place) == {place: "sk-2"}
    # The control: without asking for the old secrets, by force too, the current one is kept.
    ok(undo(admin, path, version=2, on_conflict="force"))
    assert reveal(runtime, path, place) == {place: "sk-2"}
    shown = ok(undo(admin, path, version=2, restore_secrets=True, on_conflict="force"))
    assert shown[member].get(name) is None
    assert shown["api_keys"] == {"other": MASK}


def test_no_answer_shows_a_secret(admin: httpx.Client, secretive: str) -> None:
    body: dict[str, Any] = {"restore_secrets": True, "dry_run": True}
    answers = [
        roll_back(admin, secretive, to_version=1, **body),
        undo(admin, secretive, version=2, **body),
        undo(admin, secretive, version=2, restore_secrets=True),
        admin.get(f"{secretive}/versions"),
        admin.get(f"{secretive}/settings-history"),
    ]
    for answer in answers:
        assert "sk-" not in answer.text
        assert "fingerprint" not in answer.text


def test_old_secrets_that_were_erased_do_not_come_back(
    admin: httpx.Client, runtime: httpx.Client, secretive: str
) -> None:
    admin.delete(f"{secretive}/secrets")
    admin.patch(secretive, json={"llm_provider_config": {"api_key": "sk-6"}})
    roll_back(admin, secretive, to_version=2, restore_secrets=True)
    assert reveal(runtime, secretive, KEY) == {KEY: "sk-6"}


# -- who may


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


@pytest.mark.parametrize("on_conflict", ["fail", "force"])
def test_an_undo_of_a_removal_leaves_the_secret_that_was_set_since(
    editor: httpx.Client, runtime: httpx.Client, on_conflict: str
) -> None:
    place = {"llm_provider_config": {"api_key": "sk-first"}}
    created = editor.post(ASSISTANTS, json={"name": "Front desk"} | place).json()
    path = f"{ASSISTANTS}/{created['id']}"
    for value in (None, "sk-now"):
        ok(editor.patch(path, json={"llm_provider_config": {"api_key": value}}))
    ok(editor.post(f"{path}/undo", json={"version": 2, "on_conflict": on_conflict}))
    asked = {"paths": ["/llm_provider_config"]}
    shown = ok(runtime.post(f"{path}/secrets/reveal", json=asked))["secrets"]
    assert shown == {"/llm_provider_config/api_key": "sk-now"}


@pytest.mark.parametrize("place", ["rollback", "undo"])
def test_a_secret_does_not_follow_its_element_back_to_another_host(
    editor: httpx.Client, runtime: httpx.Client, place: str
) -> None:
    tool = {"tool_id": "t", "url": "https://old.example/x"}
    settings = {"name": "Front desk", "tools_settings": {"custom_tools": [tool]}}
    created = editor.post(ASSISTANTS, json=settings).json()
    path = f"{ASSISTANTS}/{created['id']}"
    new = {"tool_id": "t", "url": "https://new.example/x", "token": "tok-now"}
    ok(editor.patch(path, json={"tools_settings": {"custom_tools": [new]}}))
    body = {"to_version": 1} if place == "rollback" else {"version": 2}
    ok(editor.post(f"{path}/{place}", json=body))
    shown = ok(editor.get(path))["tools_settings"]["custom_tools"]
    assert shown == [tool]
    # Control: on the host that it was set for, it is kept.
    ok(editor.patch(path, json={"tools_settings": {"custom_tools": [new | {"more": 1}]}}))
    ok(editor.patch(path, json={"tools_settings": {"custom_tools": [new | {"more": 2}]}}))
    body = {"to_version": 4} if place == "rollback" else {"version": 5}
    ok(editor.post(f"{path}/{place}", json=body))
    asked = {"paths": ["/tools_settings"]}
    revealed = ok(runtime.post(f"{path}/secrets/reveal", json=asked))["secrets"]
    assert revealed == {"/tools_settings/custom_tools/0/token": "tok-now"}
