from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from app.storage.tables import MAX_ID
from tests.app import stored
from tests.app.route_table import CHANGE_SETS, FILLABLE, KEYS, OPERATIONS, OWNED, Operation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Organization, Server

ASSISTANTS = "/api/v1/assistants"
RESOLVE = "/api/v1/resolve"
MARK = "Only Northwind says this"
_OWNED = [operation for operation in OPERATIONS if OWNED.intersection(operation.parameters)]
_LISTS = [
    operation
    for operation in OPERATIONS
    if operation.verb == "GET" and operation.needs_a_key and not operation.parameters
]
SECRET = {"llm_provider_config": {"api_key": "sk-owned"}}
_SAME_REQUEST = {"x-request-id": "the-same"}  # it is echoed, and answers are compared whole


@pytest.fixture(scope="module")
def owner(server: Server) -> Organization:
    return server.organization()


@pytest.fixture(scope="module")
def outsider(server: Server) -> Organization:
    return server.organization()


@pytest.fixture(scope="module")
def owning(server: Server, owner: Organization) -> Iterator[httpx.Client]:
    with server.client(owner.admin) as client:
        yield client


@pytest.fixture(scope="module")
def foreign(server: Server, outsider: Organization) -> Iterator[httpx.Client]:
    with server.client(outsider.admin) as client:
        # Something happened there, too, so that its log has a first event.
        assert client.put(f"{KEYS}/1", json={"name": "Renamed"}).is_success
        yield client


@pytest.fixture
def ids(server: Server, owner: Organization) -> dict[str, Any]:
    """Ids that nothing has yet in either organization, and the owner's next things will get."""
    have = stored.rows(server.database, owner.id)
    (counters,) = have["organizations"]
    last_key = max(key["key_id"] for key in have["api_keys"])
    return {
        "assistant_id": counters["last_assistant_id"] + 1,
        "key_id": last_key + 1,
        "version_id": 2,
        "version": 2,
        "change_set_id": counters["sequence"] + 4,
        "call_id": f"call-{counters['sequence']}",
    }


def make(owning: httpx.Client, ids: dict[str, Any]) -> None:
    """Make the assistant, its version 2, the key and the change set that the ids promise."""
    created = owning.post(ASSISTANTS, json={"name": MARK, "is_active": False} | SECRET).json()
    assert created["id"] == ids["assistant_id"]
    path = f"{ASSISTANTS}/{created['id']}"
    body = {"description": MARK, "llm_settings": {"temperature": 0.9}}
    assert owning.patch(path, json=body).json()["version"] == 2
    made = owning.post(KEYS, json={"name": MARK}).json()
    assert made["api_key"]["id"] == ids["key_id"]
    change_request = {"assistant_ids": [created["id"]], "patch": {"tts_limit": 7}}
    changed = owning.post(CHANGE_SETS, json=change_request).json()
    assert changed["change_set_id"] == ids["change_set_id"]
    call = {"call_id": ids["call_id"], "assistant_id": created["id"]}
    assert owning.post(RESOLVE, json=call).is_success


def everything(answer: httpx.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    """Status, body and headers; only the clock may differ."""
    return (
        answer.status_code,
        answer.content,
        sorted(item for item in answer.headers.multi_items() if item[0] != "date"),
    )


def test_every_route_of_the_application_can_be_called_by_these_tests() -> None:
    unknown = {str(o): set(o.parameters) - FILLABLE for o in OPERATIONS}
    assert not {route: names for route, names in unknown.items() if names}


def test_there_are_routes_to_test() -> None:
    assert len(_OWNED) >= 11
    assert len(_LISTS) >= 6


@pytest.mark.parametrize("operation", _OWNED, ids=str)
def test_another_organizations_things_answer_like_missing_ones_and_stay_as_they_are(
    server: Server,
    owner: Organization,
    owning: httpx.Client,
    foreign: httpx.Client,
    ids: dict[str, Any],
    operation: Operation,
) -> None:
    missing = operation.send(foreign, ids, headers=_SAME_REQUEST)
    make(owning, ids)
    operation.prepare(owning, ids)
    before = stored.rows(server.database, owner.id)

    answer = operation.send(foreign, ids, headers=_SAME_REQUEST)

    assert answer.status_code == 404
    assert everything(answer) == everything(missing)
    assert stored.rows(server.database, owner.id) == before
    # The control: the owner's key reaches what the stranger's does not.
    assert operation.send(owning, ids).is_success


@pytest.mark.parametrize(
    "operation", [operation for operation in _OWNED if operation.writes], ids=str
)
def test_the_owner_changes_what_the_stranger_could_not(
    server: Server,
    owner: Organization,
    owning: httpx.Client,
    ids: dict[str, Any],
    operation: Operation,
) -> None:
    make(owning, ids)
    operation.prepare(owning, ids)
    before = stored.rows(server.database, owner.id)
    assert operation.send(owning, ids).is_success
    assert stored.rows(server.database, owner.id) != before


@pytest.mark.parametrize("operation", _LISTS, ids=str)
def test_no_list_shows_another_organizations_things(
    owning: httpx.Client, foreign: httpx.Client, ids: dict[str, Any], operation: Operation
) -> None:
    make(owning, ids)
    answer = operation.send(foreign, {})
    assert answer.is_success
    assert MARK not in answer.text


def test_the_owners_lists_do_show_them(owning: httpx.Client, ids: dict[str, Any]) -> None:
    make(owning, ids)
    showing = [str(o) for o in _LISTS if MARK in o.send(owning, {}).text]
    audit = ["GET /api/v1/audit/logs", "GET /api/v1/audit/export"]
    lists = [f"GET {ASSISTANTS}", f"GET {ASSISTANTS}/export", f"GET {ASSISTANTS}/activity"]
    sets = [f"GET {CHANGE_SETS}", "GET /api/v1/changes", "GET /api/v1/search"]
    assert showing == [*lists, *sets, *audit, f"GET {KEYS}"]


def test_an_export_of_another_organizations_ids_is_empty(
    owning: httpx.Client, foreign: httpx.Client, ids: dict[str, Any]
) -> None:
    make(owning, ids)
    listed = owning.get(ASSISTANTS).json()
    query = {"format": "json", "assistant_ids": ",".join(str(one["id"]) for one in listed)}
    assert len(owning.get(f"{ASSISTANTS}/export", params=query).json()) == len(listed)
    assert foreign.get(f"{ASSISTANTS}/export", params=query).json() == []


def test_the_same_id_is_another_assistant_in_another_organization(
    server: Server, editor: httpx.Client
) -> None:
    ours = editor.post(ASSISTANTS, json={"name": "Ours"}).json()
    with server.client(server.organization().editor) as other:
        theirs = other.post(ASSISTANTS, json={"name": "Theirs"}).json()
        assert (ours["id"], ours["name"]) == (1, "Ours")
        assert (theirs["id"], theirs["name"]) == (1, "Theirs")
        assert editor.patch(f"{ASSISTANTS}/1", json={"name": "Still ours"}).is_success
        assert other.get(f"{ASSISTANTS}/1").json() == theirs


def test_a_body_cannot_move_an_assistant_or_name_its_owner(
    server: Server,
    owner: Organization,
    outsider: Organization,
    owning: httpx.Client,
    ids: dict[str, Any],
) -> None:
    make(owning, ids)
    path = f"{ASSISTANTS}/{ids['assistant_id']}"
    before = owning.get(path).json()
    taken = {"organization_id": outsider.id, "user_id": MAX_ID, "id": MAX_ID, "version": 9}
    for verb in ("PATCH", "PUT"):
        assert owning.request(verb, path, json=taken).json() == before
    created = owning.post(ASSISTANTS, json={"name": MARK} | taken).json()
    assert created["organization_id"] == owner.id
    assert created["user_id"] == before["user_id"]
    assert stored.rows(server.database, outsider.id)["assistants"] == []
