"""Change sets over HTTP: one patch for several assistants, all of them or none; and back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
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
    from pathlib import Path

SETS = "/api/v1/change-sets"
POLICY = "/api/v1/policy"
MASK = "********"
DRY_RUN = {"prefer": "dry-run"}
SETTINGS = ["body", "filter", "settings"]
FALLBACKS = {"fallbacks": [{"provider": "groq", "model": "llama", "api_key": "sk-groq"}]}


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
def trio(editor: httpx.Client) -> list[int]:
    """Three assistants, the second of which has a description and is inactive."""
    second: dict[str, Any] = {"description": "Second", "is_active": False}
    return [
        create(editor, name="Trio 0"),
        create(editor, name="Trio 1", **second),
        create(editor, name="Trio 2"),
    ]


def create(client: httpx.Client, **settings: Any) -> int:
    answer = client.post(ASSISTANTS, json={"name": "One"} | settings)
    assert answer.status_code == 201, answer.text
    assistant_id: int = answer.json()["id"]
    return assistant_id


def place(assistant_id: int) -> str:
    return f"{ASSISTANTS}/{assistant_id}"


def ok(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


def send(client: httpx.Client, ids: list[int], patch: Any, **options: Any) -> httpx.Response:
    headers = options.pop("headers", None)
    body = {"assistant_ids": ids, "patch": patch} | options
    return client.post(SETS, json=body, headers=headers)


def change(client: httpx.Client, ids: list[int], patch: Any, **options: Any) -> dict[str, Any]:
    made: dict[str, Any] = ok(send(client, ids, patch, **options), 201)
    return made


def revert(client: httpx.Client, change_set_id: int, **body: Any) -> httpx.Response:
    headers = body.pop("headers", None)
    return client.post(f"{SETS}/{change_set_id}/revert", json=body, headers=headers)


def shown(client: httpx.Client, ids: list[int], *names: str) -> list[Any]:
    """The members of each assistant."""
    found = [ok(client.get(place(one))) for one in ids]
    return [tuple(one[name] for name in names) for one in found]


def events_of(server: Server, organization: Organization, change_set_id: int) -> list[Any]:
    return [
        event
        for event in stored.events(server.database, organization.id)
        if event.get("cause", {}).get("change_set_id") == change_set_id
    ]


def errors(answer: httpx.Response) -> list[tuple[list[Any], str]]:
    assert answer.status_code == 422, answer.text
    return [(error["loc"], error["type"]) for error in answer.json()["detail"]]


# -- one patch, several assistants


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


# -- which assistants


@pytest.mark.parametrize(
    ("body", "loc", "kind"),
    [
        ({}, ["body"], "one_of"),
        ({"assistant_ids": None, "filter": None}, ["body"], "one_of"),
        ({"assistant_ids": [1], "filter": {}}, ["body"], "one_of"),
        ({"assistant_ids": []}, ["body", "assistant_ids"], ""),
        ({"assistant_ids": [0]}, ["body", "assistant_ids", 0], ""),
        ({"assistant_ids": [1, 2**31]}, ["body", "assistant_ids", 1], ""),
        ({"assistant_ids": ["one"]}, ["body", "assistant_ids", 0], ""),
        ({"assistant_ids": list(range(1, 502))}, ["body", "assistant_ids"], ""),
        ({"filter": {"is_active": "perhaps"}}, ["body", "filter", "is_active"], ""),
        ({"filter": {"is_activ": True}}, ["body", "filter", "is_activ"], "extra_forbidden"),
        ({"filter": {"search": "x" * 201}}, ["body", "filter", "search"], ""),
        ({"filter": {"settings": {"name": 1}}}, SETTINGS, "json_pointer"),
        ({"filter": {"settings": {"/name": 1, "": 1}}}, SETTINGS, "json_pointer"),
        ({"filter": {"settings": {"/a~b": 1, "/": 1}}}, SETTINGS, "json_pointer"),
        ({"filter": {"settings": []}}, SETTINGS, ""),
        ({"filter": []}, ["body", "filter"], ""),
    ],
)
def test_whom_a_set_is_for_is_said_in_one_way(
    editor: httpx.Client,
    rows: Callable[[], Any],
    trio: list[int],
    body: dict[str, Any],
    loc: list[Any],
    kind: str,
) -> None:
    before = rows()
    answer = editor.post(SETS, json={"patch": {"description": "x"}} | body)
    ((found, its_kind),) = errors(answer)
    assert found == loc
    assert kind in ("", its_kind)
    assert rows() == before
    assert change(editor, trio, {"description": "x"})["change_set_id"]


@pytest.fixture(scope="module")
def hotel(server: Server) -> Iterator[tuple[httpx.Client, dict[str, int]]]:
    """An organization whose assistants are chosen from, by name; one of them is deleted."""
    with server.client(server.organization().editor) as client:
        assistants: dict[str, dict[str, Any]] = {
            "Lobby": {"description": "Greets guests", "is_active": False},
            "Bar": {"llm_settings": {"temperature": 1.0, "max_tokens": 7}},
            "Spa": {"stt_settings": {"keyterms": ["sauna"]}, "api_keys": {"own": "sk-spa"}},
            "Guest wifi": {"custom_settings": {"n": 1, "f": 1.0, "t": True}},
            "Gone": {},
        }
        made = {name: create(client, name=name, **rest) for name, rest in assistants.items()}
        ok(client.delete(place(made.pop("Gone"))))
        yield client, made


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ({}, ["Lobby", "Bar", "Spa", "Guest wifi"]),
        ({"is_active": None, "search": "", "settings": {}}, ["Lobby", "Bar", "Spa", "Guest wifi"]),
        ({"is_active": True}, ["Bar", "Spa", "Guest wifi"]),
        ({"is_active": False}, ["Lobby"]),
        ({"search": "GUEST"}, ["Lobby", "Guest wifi"]),
        ({"search": "gone"}, []),
        ({"search": "%"}, []),
        ({"search": "guest", "is_active": True}, ["Guest wifi"]),
        ({"settings": {"/name": "Bar"}}, ["Bar"]),
        ({"settings": {"/llm_settings/temperature": 1.0}}, ["Bar"]),
        ({"settings": {"/llm_settings/temperature": 1}}, ["Bar"]),
        ({"settings": {"/llm_settings/max_tokens": 7.0}}, ["Bar"]),
        ({"settings": {"/llm_settings/temperature": 0.5, "/is_active": False}}, ["Lobby"]),
        ({"settings": {"/stt_settings/keyterms": ["sauna"]}}, ["Spa"]),
        ({"settings": {"/stt_settings/keyterms/0": "sauna"}}, []),
        ({"settings": {"/custom_settings": {"t": True, "n": 1.0, "f": 1}}}, ["Guest wifi"]),
        ({"settings": {"/custom_settings/t": 1}}, []),
        ({"settings": {"/custom_settings/n": True}}, []),
        ({"settings": {"/custom_settings": {"n": 1}}}, []),
        ({"settings": {"/custom_settings": None, "/is_active": True}}, ["Bar", "Spa"]),
        ({"settings": {"/nothing": None}}, []),
        ({"settings": {"/": None}}, []),
    ],
)
def test_a_filter_chooses_those_that_hold_all_of_it(
    hotel: tuple[httpx.Client, dict[str, int]], chosen: dict[str, Any], names: list[str]
) -> None:
    client, made = hotel
    body = {"filter": chosen, "patch": {"idle_message": "Hello?"}, "dry_run": True}
    plans = ok(client.post(SETS, json=body))["plans"]
    assert [plan["assistant_id"] for plan in plans] == [made[name] for name in names]


@pytest.mark.parametrize(
    ("wanted", "is_chosen"),
    [
        ({"/api_keys/own": MASK}, True),
        ({"/api_keys": {"own": MASK}}, True),
        ({"/api_keys/own": "sk-spa"}, False),
        ({"/api_keys/own": "sk-"}, False),
        ({"/api_keys": {"own": "sk-spa"}}, False),
        ({"/api_keys/own": "***"}, False),
        ({"/api_keys/own": "erased"}, False),
        ({"/api_keys/own/$secret": {}}, False),
        ({"/api_keys/own/$secret/id": "x"}, False),
    ],
)
def test_a_filter_cannot_probe_a_secret(
    hotel: tuple[httpx.Client, dict[str, int]], wanted: dict[str, Any], *, is_chosen: bool
) -> None:
    client, made = hotel
    body = {"filter": {"settings": wanted}, "patch": {"idle_message": "Hello?"}, "dry_run": True}
    plans = ok(client.post(SETS, json=body))["plans"]
    assert [plan["assistant_id"] for plan in plans] == [made["Spa"]] * is_chosen


def test_a_filter_takes_a_reference_for_what_it_shows(
    server: Server, editor: httpx.Client, organization: Organization
) -> None:
    """What an event holds of a sealed secret does not find its assistant."""
    one = create(editor, api_keys={"own": "sk-1"})
    events = stored.events(server.database, organization.id)
    reference = events[-1]["changes"]["/api_keys/own"]["after"]
    assert set(reference["$secret"]) == {"id"}
    for wanted in (reference, reference["$secret"], reference["$secret"]["id"]):
        chosen = {"settings": {"/api_keys/own": wanted}}
        body = {"filter": chosen, "patch": {"description": "x"}, "dry_run": True}
        assert ok(editor.post(SETS, json=body))["plans"] == []
    body["filter"] = {"settings": {"/api_keys/own": MASK}}
    assert one in [plan["assistant_id"] for plan in ok(editor.post(SETS, json=body))["plans"]]


def test_an_erased_secret_is_chosen_by_what_it_shows(
    editor: httpx.Client, admin: httpx.Client
) -> None:
    one = create(editor, name="Erased", api_keys={"own": "sk-1"})
    admin.delete(f"{place(one)}/secrets")

    def chosen(value: str) -> list[int]:
        wanted = {"search": "Erased", "settings": {"/api_keys/own": value}}
        body = {"filter": wanted, "patch": {"description": "x"}, "dry_run": True}
        return [plan["assistant_id"] for plan in ok(editor.post(SETS, json=body))["plans"]]

    assert (chosen("erased"), chosen(MASK)) == ([one], [])


def test_a_set_by_filter_is_applied_to_those_whom_it_chooses(
    editor: httpx.Client, trio: list[int]
) -> None:
    body: dict[str, Any] = {"filter": {"search": "Trio"}, "patch": {"name": f"Renamed {trio[0]}"}}
    body["filter"]["settings"] = {"/description": "Second"}
    made = ok(editor.post(SETS, json=body), 201)
    assert trio[1] in [one["assistant_id"] for one in made["assistants"]]
    assert shown(editor, trio, "name") == [("Trio 0",), (f"Renamed {trio[0]}",), ("Trio 2",)]


# -- how many


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """An editor of 501 assistants."""
    database = tmp_path_factory.mktemp("many") / "backstory.db"
    (organization,) = make_organizations(database, 1)
    config = config_of(database)
    with hold(database):
        engine = writing_engine(database)
        with engine.begin() as connection:
            unit = UnitOfWork(connection, open_vault(config), utc_now)
            for _ in range(501):
                command = CreateAssistant(patch={"name": "One of many"})
                unit.handle(system(organization.id, "tests"), None, command)
            unit.flush()
        engine.dispose()
    with serving(database, []) as server, server.client(organization.editor) as client:
        yield client


def test_a_set_holds_at_most_500_assistants(many: httpx.Client) -> None:
    body: dict[str, Any] = {"filter": {}, "patch": {"description": "Many"}}
    assert errors(many.post(SETS, json=body)) == [(["body", "filter"], "too_many")]
    assert errors(many.post(SETS, json=body | {"dry_run": True}))
    ok(many.patch(f"{place(7)}/status?is_active=false"))
    body["filter"] = {"is_active": True}
    made = ok(many.post(SETS, json=body), 201)
    assert len(made["assistants"]) == 500
    assert [one["assistant_id"] for one in made["assistants"]] == [
        number for number in range(1, 502) if number != 7
    ]
    listed = ok(many.get(ASSISTANTS, params={"limit": 1000}))
    assert [one["id"] for one in listed if one["description"] != "Many"] == [7]


def test_a_filter_compares_no_more_assistants_than_can_be_read_in_time(
    monkeypatch: pytest.MonkeyPatch,
    server: Server,
    editor: httpx.Client,
    organization: Organization,
) -> None:
    one = create(editor, name="Compared", description="This one")
    for _ in range(3):
        create(editor, name="Compared")
    wanted = {"search": "Compared", "settings": {"/description": "This one"}}
    body = {"filter": wanted, "patch": {"tts_limit": 7}}
    before = stored.rows(server.database, organization.id)
    monkeypatch.setattr("app.api.change_set_request.MOST_COMPARED", 3)
    assert errors(editor.post(SETS, json=body)) == [(["body", "filter"], "too_many")]
    assert stored.rows(server.database, organization.id) == before
    # The control: among as many as that, it finds the one.
    monkeypatch.setattr("app.api.change_set_request.MOST_COMPARED", 4)
    made = ok(editor.post(SETS, json=body), 201)
    assert [changed["assistant_id"] for changed in made["assistants"]] == [one]


def test_a_key_of_a_filter_that_is_no_pointer_is_told_by_its_number_and_not_repeated(
    editor: httpx.Client,
) -> None:
    wanted = {"settings": {"/name": "x", "sk-secret": 1, "/a": 1, "sk-other": 1}}
    answer = editor.post(SETS, json={"filter": wanted, "patch": {"tts_limit": 7}})
    assert errors(answer) == [(SETTINGS, "json_pointer")] * 2
    assert [one["msg"].split(" should")[0] for one in answer.json()["detail"]] == ["Key 2", "Key 4"]
    assert "sk-" not in answer.text


def test_a_filter_asks_for_at_most_50_settings(editor: httpx.Client, trio: list[int]) -> None:
    wanted = {f"/custom_settings/{number}": "x" for number in range(51)}
    body = {"filter": {"settings": wanted}, "patch": {"description": f"Of {trio}"}}
    assert [found for found, _ in errors(editor.post(SETS, json=body))] == [SETTINGS]
    wanted.popitem()
    assert ok(editor.post(SETS, json=body), 201)["assistants"] == []


def test_the_patches_of_a_set_are_not_larger_than_can_be_written_in_time(
    many: httpx.Client,
) -> None:
    ids = list(range(1, 501))
    long = {"llm_settings": {"system_prompt": "x" * 80_000}}
    assert errors(send(many, ids, long)) == [(["body", "assistant_ids"], "too_many")]
    assert len(change(many, ids[:2], long)["assistants"]) == 2


# -- all or nothing


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


# -- plans


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


# -- reading a set


def test_a_set_is_read_with_who_made_it_when_why_and_what_it_reached(
    editor: httpx.Client, viewer: httpx.Client, trio: list[int]
) -> None:
    editor.patch(place(trio[0]), json={"idle_message": "Before"})
    patch = {"description": "Second", "llm_settings": {"temperature": 0.1}}
    made = change(editor, trio, patch, change_description="Why")
    change_set_id = made["change_set_id"]
    newest = ok(editor.get(f"{place(trio[0])}/versions?limit=1"))[0]
    assert ok(viewer.get(f"{SETS}/{change_set_id}")) == {
        "change_set_id": change_set_id,
        "type": "change_set",
        "created_at": newest["created_at"],
        "actor": {
            "type": "api_key",
            "id": 2,
            "name": "editor key",
            "user_id": newest["changed_by"]["user_id"],
        },
        "change_description": "Why",
        "assistants": [
            {
                "assistant_id": one,
                "version": version,
                "changed_paths": paths,
            }
            for one, version, paths in [
                (trio[0], 3, ["/description", "/llm_settings/temperature"]),
                (trio[1], 2, ["/llm_settings/temperature"]),
                (trio[2], 2, ["/description", "/llm_settings/temperature"]),
            ]
        ],
    }


def test_the_difference_of_a_set_is_that_of_each_assistant(
    editor: httpx.Client, viewer: httpx.Client, trio: list[int]
) -> None:
    editor.patch(place(trio[0]), json={"api_keys": {"own": "sk-1", "old": "sk-0"}})
    patch = {"description": "Second", "api_keys": {"own": "sk-2", "old": None}}
    change_set_id = change(editor, trio, patch)["change_set_id"]
    editor.patch(place(trio[0]), json={"description": "Later"})
    answer = viewer.get(f"{SETS}/{change_set_id}/diff")
    added = {"path": "/api_keys", "op": "replace", "before": None, "after": {"own": MASK}}
    described = {"path": "/description", "op": "replace", "before": None, "after": "Second"}
    first, second, third = ok(answer)
    by_3, by_2 = {"changed_by": [3]}, {"changed_by": [2]}
    assert (first["assistant_id"], first["version"]) == (trio[0], 3)
    assert sorted(first["diff"], key=lambda one: str(one["path"])) == [
        {"path": "/api_keys/old", "op": "remove", "before": MASK} | by_3,
        {"path": "/api_keys/own", "op": "replace", "before": MASK, "after": MASK} | by_3,
        described | by_3,
    ]
    assert second == {"assistant_id": trio[1], "version": 2, "diff": [added | by_2]}
    assert third["diff"] in ([described | by_2, added | by_2], [added | by_2, described | by_2])
    assert "sk-" not in answer.text


def test_the_difference_of_a_set_shows_what_was_erased_since(
    editor: httpx.Client, admin: httpx.Client, trio: list[int]
) -> None:
    made = change(editor, trio, {"api_keys": {"own": "sk-1"}})["change_set_id"]
    admin.delete(f"{place(trio[1])}/secrets")
    found = ok(editor.get(f"{SETS}/{made}/diff"))
    assert [one["diff"][0]["after"] for one in found] == [
        {"own": MASK}, {"own": "erased"}, {"own": MASK},
    ]  # fmt: skip


def test_only_the_first_event_of_a_set_names_it(editor: httpx.Client, trio: list[int]) -> None:
    made = change(editor, trio, {"description": "Second"})["change_set_id"]
    editor.patch(place(trio[0]), json={"description": "No set"})
    assert len(ok(editor.get(f"{SETS}/{made}"))["assistants"]) == 2
    for other in (made - 1, made + 1, made + 2, made + 99, 0, 2**53, "9" * 50, "-1"):
        for answer in (
            editor.get(f"{SETS}/{other}"),
            editor.get(f"{SETS}/{other}/diff"),
            editor.post(f"{SETS}/{other}/revert"),
        ):
            assert answer.status_code == 404
            assert answer.json()["type"] == "urn:backstory:problem:change-set-not-found"
    assert errors(editor.get(f"{SETS}/first")) == [(["path", "change_set_id"], "int_parsing")]


def test_a_set_of_the_past_is_read_though_its_assistants_are_deleted(
    editor: httpx.Client, trio: list[int]
) -> None:
    made = change(editor, trio, {"description": "x"})["change_set_id"]
    before = ok(editor.get(f"{SETS}/{made}")), ok(editor.get(f"{SETS}/{made}/diff"))
    for one in trio:
        editor.delete(place(one))
    assert (ok(editor.get(f"{SETS}/{made}")), ok(editor.get(f"{SETS}/{made}/diff"))) == before


def test_the_log_shows_each_event_of_a_set(admin: httpx.Client, trio: list[int]) -> None:
    made = change(admin, trio, {"description": "x"})["change_set_id"]
    logs = ok(admin.get("/api/v1/audit/logs?limit=3"))["logs"]
    assert [one["id"] for one in logs] == [made + 2, made + 1, made]
    assert {one["details"]["cause"]["change_set_id"] for one in logs} == {made}


# -- taking a set back


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


# -- the policy


@pytest.fixture
def tenant(server: Server) -> Iterator[tuple[httpx.Client, httpx.Client, list[int]]]:
    """An admin, an editor and two assistants of an organization whose policy is to be changed."""
    found = server.organization()
    with server.client(found.admin) as admin, server.client(found.editor) as editor:
        yield admin, editor, [create(editor), create(editor)]


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


# -- who may


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
