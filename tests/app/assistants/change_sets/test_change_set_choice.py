"""Which assistants a change set is for: ids or a filter, and how many."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from app.assistants import matching
from app.assistants.matching import Compared
from tests.app import stored
from tests.app.assistants.answers import MASK, errors, ok
from tests.app.assistants.change_sets.sets import SETS, change, create, place, send, shown
from tests.conftest import (
    ASSISTANTS,
    Organization,
    Server,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


SETTINGS = ["body", "filter", "settings"]


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


@pytest.mark.parametrize("by_filter", [False, True])
def test_a_set_is_not_larger_than_can_be_written_while_others_wait(
    monkeypatch: pytest.MonkeyPatch, editor: httpx.Client, *, by_filter: bool
) -> None:
    """The settings of its assistants count, too. The answer names what they take and the limit."""
    settings = {"text": "x" * 20_000}
    ids = [create(editor, name=f"Large {by_filter}", custom_settings=settings) for _ in range(3)]
    choice = {"filter": {"search": f"Large {by_filter}"}} if by_filter else {"assistant_ids": ids}
    body = choice | {"patch": {"tts_limit": 9}}
    monkeypatch.setattr("app.api.change_set_request.MOST_BYTES", 60_000)
    refused = editor.post(SETS, json=body)
    assert errors(refused) == [(["body", *choice], "too_many")]
    assert "at most 60000. Choose fewer" in refused.json()["detail"][0]["msg"]
    assert errors(editor.post(SETS, json=body | {"dry_run": True})) == errors(refused)
    # The control: two of them, and three with more room.
    change(editor, ids[:2], {"tts_limit": 8})
    monkeypatch.setattr("app.api.change_set_request.MOST_BYTES", 100_000)
    assert len(ok(editor.post(SETS, json=body), 201)["assistants"]) == 3


def _numbered(editor: httpx.Client, name: str) -> list[int]:
    """Three assistants that a number tells apart."""
    long = {"text": "x" * 20_000}
    return [create(editor, name=name, custom_settings=long | {"number": n}) for n in range(3)]


def _with_number(name: str) -> dict[str, Any]:
    wanted = {"search": name, "settings": {"/custom_settings/number": 1}}
    return {"filter": wanted, "patch": {"tts_limit": 9}}


def test_a_filter_compares_more_settings_than_a_set_may_change(
    monkeypatch: pytest.MonkeyPatch, editor: httpx.Client
) -> None:
    _, one, _ = _numbered(editor, "Compared by bytes")
    monkeypatch.setattr("app.api.change_set_request.MOST_BYTES", 30_000)
    monkeypatch.setattr("app.assistants.matching._PORTION_SECONDS", 0.0)  # each is a portion
    made = ok(editor.post(SETS, json=_with_number("Compared by bytes")), 201)
    assert [changed["assistant_id"] for changed in made["assistants"]] == [one]


def test_a_filter_that_takes_too_long_says_where_it_stopped(
    monkeypatch: pytest.MonkeyPatch, editor: httpx.Client
) -> None:
    _numbered(editor, "Slowly compared")
    body = _with_number("Slowly compared")
    monkeypatch.setattr("app.assistants.matching._PORTION_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr("app.assistants.matching.SECONDS", 0.0)
        refused = editor.post(SETS, json=body)
    assert errors(refused) == [(["body", "filter"], "too_many")]
    assert "the settings of 1 of 3 assistants were compared" in refused.json()["detail"][0]["msg"]
    assert len(ok(editor.post(SETS, json=body), 201)["assistants"]) == 1


@pytest.mark.parametrize("is_guarded", [True, False])
def test_what_changes_after_it_was_compared_is_compared_again(
    monkeypatch: pytest.MonkeyPatch, editor: httpx.Client, *, is_guarded: bool
) -> None:
    """Without that, the control, an assistant is changed that the filter does not choose."""
    name = f"Raced {is_guarded}"
    zero, one, two = _numbered(editor, name)
    compare = matching.compare

    async def then_change(*args: Any) -> Compared:
        compared = await compare(*args)
        for assistant, number in ((one, 5), (two, 1)):
            change = {"custom_settings": {"number": number}}
            await asyncio.to_thread(editor.patch, place(assistant), json=change)
        await asyncio.to_thread(editor.delete, place(zero))
        return compared

    monkeypatch.setattr(matching, "compare", then_change)
    if not is_guarded:
        monkeypatch.setattr(Compared, "changed", lambda *_: [])
    made = ok(editor.post(SETS, json=_with_number(name)), 201)
    chosen = [changed["assistant_id"] for changed in made["assistants"]]
    assert chosen == ([two] if is_guarded else [one])
