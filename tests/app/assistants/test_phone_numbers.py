"""Phone numbers: who answers one now, who did when, and what assigning one does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from app.assistants import phone_numbers
from tests.app import stored
from tests.app.route_table import NUMBERS
from tests.conftest import ASSISTANTS

if TYPE_CHECKING:
    import httpx

    from tests.conftest import Server

HISTORY = "/api/v1/phone-numbers/{}/history"
_NEXT = iter(range(1000, 10_000))


@pytest.fixture
def number(editor: httpx.Client) -> str:
    """A number that the organization has and nobody answers."""
    return added(editor)["phone_number"]  # type: ignore[no-any-return]


def added(client: httpx.Client, **members: Any) -> dict[str, Any]:
    body = {"phone_number": f"+1415555{next(_NEXT)}"} | members
    answer = client.post(NUMBERS, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def created(client: httpx.Client, name: str = "Front desk") -> int:
    return client.post(ASSISTANTS, json={"name": name}).json()["id"]  # type: ignore[no-any-return]


def assign(client: httpx.Client, assistant_id: int, number: str, **options: Any) -> httpx.Response:
    path = f"{ASSISTANTS}/{assistant_id}/phone-numbers/assign-by-number"
    return client.post(path, json={"phone_number": number} | options.pop("body", {}), **options)


def unassign(client: httpx.Client, assistant_id: int, number: str) -> httpx.Response:
    path = f"{ASSISTANTS}/{assistant_id}/phone-numbers/unassign-by-number"
    return client.post(path, json={"phone_number": number})


def answering(client: httpx.Client, number: str, **query: str) -> int | None:
    """The id of the assistant that answers a number."""
    answer = client.get(f"{ASSISTANTS}/by-phone/{number}", params=query)
    assert answer.status_code in (200, 404), answer.text
    return answer.json()["id"] if answer.status_code == 200 else None


def log_of(server: Server, organization_id: int) -> list[str]:
    """The types of the organization's events about numbers."""
    events = stored.events(server.database, organization_id)
    return [event["type"] for event in events if event["type"].startswith("phone_number")]


# -- who answers


@pytest.mark.parametrize("plus", ["+", "%2B", "%2b"])
def test_the_assistant_of_a_number_is_found_by_it(
    editor: httpx.Client, viewer: httpx.Client, number: str, plus: str
) -> None:
    desk = created(editor)
    assert answering(viewer, number) is None
    assert assign(editor, desk, number).json()["success"]
    answer = viewer.get(f"{ASSISTANTS}/by-phone/{plus}{number[1:]}")
    direct = viewer.get(f"{ASSISTANTS}/{desk}")
    assert (answer.content, answer.headers["etag"]) == (direct.content, direct.headers["etag"])
    unchanged = viewer.get(
        f"{ASSISTANTS}/by-phone/{number}", headers={"if-none-match": direct.headers["etag"]}
    )
    assert unchanged.status_code == 304
    # The control: a plus is no blank, and another number is another one.
    assert answering(viewer, f"%20{number[1:]}") is None
    assert answering(viewer, number[:-1]) is None


def test_the_past_says_which_assistant_answered(editor: httpx.Client, number: str) -> None:
    first, second = created(editor, "First"), created(editor, "Second")
    assign(editor, first, number, body={"change_description": "The campaign begins"})
    unassign(editor, first, number)
    assign(editor, second, number)
    entries = editor.get(HISTORY.format(number)).json()
    assert [(e["event"], e["assistant_id"]) for e in entries] == [
        ("phone_number_assigned", second),
        ("phone_number_unassigned", None),
        ("phone_number_assigned", first),
        ("phone_number_added", None),
    ]
    assert entries[2]["change_description"] == "The campaign begins"
    assert entries[2]["actor"]["name"] == "editor key"
    assert [e["assistant_name"] for e in entries] == ["Second", None, "First", None]
    for entry in entries:
        assert answering(editor, number, as_of=entry["occurred_at"]) == entry["assistant_id"]
    assert answering(editor, number, as_of="2020-01-01T00:00:00Z") is None


def test_the_past_shows_the_assistant_as_it_was_then(editor: httpx.Client, number: str) -> None:
    desk = created(editor, "Day desk")
    assign(editor, desk, number)
    then = editor.get(HISTORY.format(number)).json()[0]["occurred_at"]
    editor.patch(f"{ASSISTANTS}/{desk}", json={"name": "Night desk"})
    answer = editor.get(f"{ASSISTANTS}/by-phone/{number}", params={"as_of": then})
    assert answer.json()["name"] == "Day desk"
    assert answer.headers["content-location"] == f"{ASSISTANTS}/{desk}?version=1"
    assert editor.get(f"{ASSISTANTS}/by-phone/{number}").json()["name"] == "Night desk"


def test_a_history_has_pages(editor: httpx.Client, number: str) -> None:
    desk = created(editor)
    for _ in range(3):
        assign(editor, desk, number)
        unassign(editor, desk, number)
    whole = editor.get(HISTORY.format(number)).json()
    pages, path = [], f"{HISTORY.format(number)}?limit=2"
    while True:
        page = editor.get(path)
        pages += page.json()
        if "link" not in page.headers:
            break
        path = page.links["next"]["url"]
    assert pages == whole
    assert len(whole) == 7


# -- assigning


def test_a_number_that_another_assistant_has_stays_there(
    server: Server, organization: Any, editor: httpx.Client, number: str
) -> None:
    holder, other = created(editor, "Holder"), created(editor)
    assign(editor, holder, number)
    known = log_of(server, organization.id)
    answer = assign(editor, other, number, body={"friendly_name": "Mine"})
    assert answer.status_code == 200
    assert answer.json()["success"] is False
    assert answer.json()["message"] == f"Phone number {number} is already assigned to Holder"
    strict = assign(editor, other, number, headers={"prefer": "handling=strict"})
    assert strict.status_code == 409
    assert strict.json()["type"] == "urn:backstory:problem:phone-number-held"
    assert answering(editor, number) == holder
    assert log_of(server, organization.id) == known
    # The control: once it is free, it can be had.
    unassign(editor, holder, number)
    assert assign(editor, other, number).json()["success"]


def test_what_changes_nothing_is_no_event(
    server: Server, organization: Any, editor: httpx.Client
) -> None:
    one = added(editor, friendly_name="Line")
    desk = created(editor)
    assign(editor, desk, one["phone_number"])
    known = log_of(server, organization.id)
    assert assign(editor, desk, one["phone_number"], body={"friendly_name": "Line"}).is_success
    assert editor.post(NUMBERS, json={"phone_number": one["phone_number"]}).is_success
    for body in ({"friendly_name": " Line "}, {}):
        assert editor.patch(f"{NUMBERS}/{one['id']}", json=body).is_success
    assert log_of(server, organization.id) == known
    assert editor.patch(f"{NUMBERS}/{one['id']}", json={"friendly_name": None}).is_success
    assert log_of(server, organization.id) == [*known, "phone_number_renamed.v1"]


def test_of_assignments_at_once_one_wins(
    server: Server, organization: Any, editor: httpx.Client, number: str
) -> None:
    desks = [created(editor, f"Desk {n}") for n in range(6)]

    def take(desk: int) -> bool:
        with server.client(organization.editor) as client:
            return bool(assign(client, desk, number).json()["success"])

    with ThreadPoolExecutor(len(desks)) as pool:
        won = [desk for desk, has in zip(desks, pool.map(take, desks), strict=True) if has]
    assert won == [answering(editor, number)]
    entries = editor.get(HISTORY.format(number)).json()
    assert [e["event"] for e in entries] == ["phone_number_assigned", "phone_number_added"]


@pytest.fixture
def unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: nobody is asked who has a number."""
    monkeypatch.setattr(phone_numbers, "_holder", lambda *_: None)


@pytest.mark.usefixtures("unguarded")
def test_without_the_guard_a_number_is_taken_from_another(
    editor: httpx.Client, number: str
) -> None:
    first, second = created(editor), created(editor)
    assign(editor, first, number)
    assert assign(editor, second, number).json()["success"]
    assert answering(editor, number) == second


def test_several_numbers_are_assigned_each_by_itself(editor: httpx.Client) -> None:
    desk, other = created(editor, "Desk"), created(editor, "Other")
    free, held = added(editor), added(editor)
    assign(editor, other, held["phone_number"])
    path = f"{ASSISTANTS}/{desk}/phone-numbers/bulk-assign"
    ids = [free["id"], held["id"], 99_999, 2**53, -1]
    strict = editor.post(path, json=ids[:2], headers={"prefer": "handling=strict"})
    assert strict.status_code == 409
    assert answering(editor, free["phone_number"]) is None
    answer = editor.post(path, json=ids).json()
    assert answer["success"] is True
    assert answer["data"]["successes"] == [free["id"]]
    assert [f["phone_number_id"] for f in answer["data"]["failures"]] == ids[1:]
    assert "Other" in answer["data"]["failures"][0]["error"]
    assert answering(editor, free["phone_number"]) == desk
    assert editor.post(path, json=[]).status_code == 400
    wrongs: list[Any] = [{}, ["x"], [1.5], [None], 1]
    for wrong in wrongs:
        assert editor.post(path, json=wrong).status_code == 422, wrong
    assert editor.post(path, json=[1] * 1001).status_code == 422


def test_a_number_is_unassigned_from_who_has_it_alone(editor: httpx.Client, number: str) -> None:
    desk, other = created(editor), created(editor)
    nobody = unassign(editor, desk, number)
    assign(editor, desk, number)
    another = unassign(editor, other, number)
    assert [nobody.status_code, another.status_code] == [400, 400]
    assert nobody.json()["detail"] == f"Phone number {number} is not assigned to any assistant"
    assert another.json()["detail"] == f"Phone number {number} is not assigned to this assistant"
    done = unassign(editor, desk, number)
    assert done.json()["success"]
    assert answering(editor, number) is None


def test_assigning_by_id_is_as_by_digits(editor: httpx.Client) -> None:
    one, desk = added(editor), created(editor)
    path = f"{ASSISTANTS}/{desk}/phone-numbers/{one['id']}"
    why = {"change_description": "Because"}
    assert editor.post(f"{path}/assign", params=why).json()["data"]["assistant_id"] == desk
    assert answering(editor, one["phone_number"]) == desk
    assert editor.post(f"{path}/unassign").json()["success"]
    assert answering(editor, one["phone_number"]) is None
    entries = editor.get(HISTORY.format(one["phone_number"])).json()
    assert entries[1]["change_description"] == "Because"
    assert editor.post(f"{ASSISTANTS}/{desk}/phone-numbers/99999/assign").status_code == 404


def test_a_condition_on_the_assistant_holds_for_its_numbers(
    editor: httpx.Client, number: str
) -> None:
    desk = created(editor)
    stale = assign(editor, desk, number, headers={"if-match": '"7"'})
    assert stale.status_code == 412
    assert answering(editor, number) is None
    assert assign(editor, desk, number, headers={"if-match": '"1"'}).json()["success"]


def test_a_repeated_request_gets_its_first_answer(editor: httpx.Client, number: str) -> None:
    desk = created(editor)
    once = {"idempotency-key": f"assign {number}"}
    first = assign(editor, desk, number, headers=once)
    unassign(editor, desk, number)
    again = assign(editor, desk, number, headers=once)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.content == first.content
    assert answering(editor, number) is None


# -- the assistant ends, or is copied


def test_the_numbers_of_a_deleted_assistant_are_free(editor: httpx.Client, number: str) -> None:
    desk, other = created(editor, "Gone"), created(editor)
    assign(editor, desk, number)
    then = editor.get(HISTORY.format(number)).json()[0]["occurred_at"]
    gone = {"change_description": "Moved"}
    assert editor.delete(f"{ASSISTANTS}/{desk}", params=gone).is_success
    assert answering(editor, number) is None
    entry = editor.get(HISTORY.format(number)).json()[0]
    assert (entry["event"], entry["change_description"]) == ("phone_number_unassigned", "Moved")
    assert answering(editor, number, as_of=then) == desk  # the history stays true
    assert editor.post(f"{ASSISTANTS}/{desk}/restore").is_success
    assert answering(editor, number) is None
    assert assign(editor, other, number).json()["success"]


def test_a_dry_run_of_a_deletion_frees_nothing(editor: httpx.Client, number: str) -> None:
    desk = created(editor)
    assign(editor, desk, number)
    assert editor.delete(f"{ASSISTANTS}/{desk}", params={"dry_run": "true"}).is_success
    assert answering(editor, number) == desk


def test_a_copy_has_no_numbers(editor: httpx.Client, number: str) -> None:
    desk = created(editor)
    assign(editor, desk, number)
    copy = editor.post(f"{ASSISTANTS}/{desk}/duplicate").json()["id"]
    assert editor.get(f"{ASSISTANTS}/{copy}/phone-numbers").json() == []
    (shown,) = editor.get(f"{ASSISTANTS}/{desk}/phone-numbers").json()
    assert (shown["phone_number"], shown["assistant"]["id"]) == (number, desk)


# -- the organization's numbers


def test_lists_show_who_has_a_number_and_which_are_free(server: Server) -> None:
    with server.client(server.organization().editor) as client:
        desk = created(client)
        held, free = added(client, friendly_name="Held"), added(client)
        assign(client, desk, held["phone_number"])
        every = client.get(NUMBERS).json()
        assert [n["phone_number"] for n in every] == [held["phone_number"], free["phone_number"]]
        assert every[0]["assistant"] == {"id": desk, "name": "Front desk", "is_active": True}
        assert every[0]["assigned_at"] is not None
        assert every[1] == free
        for path in (f"{NUMBERS}/available", f"{ASSISTANTS}/{desk}/available-phone-numbers"):
            assert client.get(path).json() == [free]
        only = client.get(NUMBERS, params={"include_unassigned": "false"}).json()
        assert only == every[:1]
        assert client.get(NUMBERS, params={"include_assigned": "false"}).json() == [free]


def test_there_is_no_provider_to_sync_with(editor: httpx.Client) -> None:
    answer = editor.post(f"{NUMBERS}/sync")
    assert answer.status_code == 200
    assert (answer.json()["success"], answer.json()["synced_count"]) == (False, 0)


@pytest.mark.parametrize(
    "text",
    [
        "", "+", "14155551234", "+1 415 555 1234", "+141555512345678901", "+12345", "+1415555123x",
        "+\u0661\u0662\u0663\u0664\u0665\u0666\u0667", "++14155551234", "+1415\x005551234",
    ],
)  # fmt: skip
def test_what_is_no_number_is_refused_at_its_place(editor: httpx.Client, text: str) -> None:
    desk = created(editor)
    answers = [assign(editor, desk, text), unassign(editor, desk, text)]
    answers.append(editor.post(NUMBERS, json={"phone_number": text}))
    for answer in answers:
        assert answer.status_code == 422, answer.text
    assert editor.get(HISTORY.format("+1")).status_code == 404


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("+9991234567", "No country has this calling code"),
        ("+1415555", "This country's numbers have another length"),
        ("+4402079460958", "Input should be +442079460958: that is its E.164 form"),
    ],
)
def test_a_new_number_is_one_of_its_country(editor: httpx.Client, text: str, rule: str) -> None:
    answer = editor.post(NUMBERS, json={"phone_number": text})
    assert answer.status_code == 422
    (error,) = answer.json()["detail"]
    assert (error["loc"], error["msg"]) == (["body", "phone_number"], rule)
    # To assign it, it need only be known: that is the published rule.
    assert assign(editor, created(editor), text).status_code == 404
    assert editor.post(NUMBERS, json={"phone_number": " +442079460958 "}).is_success  # the control


def test_an_organization_has_so_many_numbers_and_no_more(
    editor: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    added(editor)
    monkeypatch.setattr(phone_numbers, "MOST_NUMBERS", 1)
    answer = editor.post(NUMBERS, json={"phone_number": "+14155559999"})
    assert answer.status_code == 409
    monkeypatch.undo()
    assert editor.post(NUMBERS, json={"phone_number": "+14155559999"}).is_success


def test_unknown_members_are_named_and_refused_if_strict(editor: httpx.Client) -> None:
    one = added(editor)
    body = {"friendly_name": "Line", "is_active": False}
    answer = editor.patch(f"{NUMBERS}/{one['id']}", json=body)
    assert answer.headers["x-ignored-fields"] == "/is_active"
    assert (answer.json()["friendly_name"], answer.json()["is_active"]) == ("Line", True)
    strict = editor.patch(
        f"{NUMBERS}/{one['id']}", json=body, headers={"prefer": "handling=strict"}
    )
    assert strict.status_code == 422


def test_two_organizations_have_the_same_number_and_know_nothing_of_it(server: Server) -> None:
    number = "+14155550000"
    one, other = server.organization(), server.organization()
    with server.client(one.editor) as ours, server.client(other.editor) as theirs:
        for client in (ours, theirs):
            assert client.post(NUMBERS, json={"phone_number": number}).is_success
        desk, their_first, their_desk = created(ours), created(theirs), created(theirs)
        assert assign(ours, desk, number).json()["success"]
        assert answering(theirs, number) is None
        assert theirs.get(f"{ASSISTANTS}/{their_first}/phone-numbers").json() == []
        assert assign(theirs, their_desk, number).json()["success"]
        assert (answering(ours, number), answering(theirs, number)) == (desk, their_desk)
        assert len(ours.get(HISTORY.format(number)).json()) == 2


# -- the log


def test_the_audit_log_has_each_event_of_a_number(
    admin: httpx.Client, editor: httpx.Client
) -> None:
    one, desk = added(editor), created(editor)
    assign(editor, desk, one["phone_number"], body={"change_description": "Why"})
    query = {"resource_type": "phone_number", "resource_id": str(one["id"])}
    entries = admin.get("/api/v1/audit/logs", params=query).json()["logs"]
    assert [e["event_type"] for e in entries] == ["phone_number_assigned", "phone_number_added"]
    place = f"/phone_numbers/{one['phone_number']}/assistant_id"
    assert entries[0]["new_values"] == {place: desk}
    assert entries[0]["resource_name"] == one["phone_number"]
    assert entries[0]["details"]["reason"] == "Why"
    of_assistant = {"resource_type": "assistant", "resource_id": str(desk)}
    about = admin.get("/api/v1/audit/logs", params=of_assistant).json()["logs"]
    assert [e["event_type"] for e in about] == ["assistant_created"]


def test_a_viewer_follows_the_events_of_a_number(
    editor: httpx.Client, viewer: httpx.Client
) -> None:
    one, desk = added(editor), created(editor)
    assign(editor, desk, one["phone_number"])
    query = {"follow": "false", "path": f"/phone_numbers/{one['phone_number']}"}
    text = viewer.get("/api/v1/events/stream", params=query | {"after": "0"}).text
    assert text.count("data:") == 2
    assert f'"phone_number":"{one["phone_number"]}"' in text
