from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.conftest import ASSISTANTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Organization, Server

ACTIVITY = f"{ASSISTANTS}/activity"


def activity(client: httpx.Client, **query: Any) -> dict[str, Any]:
    answer = client.get(ACTIVITY, params=query)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def names(client: httpx.Client, **query: Any) -> list[str]:
    return [one["name"] for one in activity(client, **query)["assistants"]]


@pytest.fixture
def organization(server: Server) -> Organization:
    """A new one for each test: its activity is all that happened in it."""
    return server.organization()


@pytest.fixture
def editor(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.editor) as client:
        yield client


@pytest.fixture
def viewer(server: Server, organization: Organization) -> Iterator[httpx.Client]:
    with server.client(organization.viewer) as client:
        yield client


@pytest.fixture
def three(editor: httpx.Client) -> list[int]:
    made = [
        editor.post(ASSISTANTS, json={"name": name, "description": text}).json()["id"]
        for name, text in (("Front desk", "Opening hours"), ("after hours", None), ("Recall", None))
    ]
    editor.patch(f"{ASSISTANTS}/{made[0]}", json={"idle_timeout": 7, "change_description": "Calm"})
    editor.patch(f"{ASSISTANTS}/{made[2]}/status", params={"is_active": False})
    return made


def test_each_assistant_says_who_changed_what_last_and_why(
    viewer: httpx.Client, three: list[int]
) -> None:
    found = {one["id"]: one for one in activity(viewer)["assistants"]}
    last = found[three[0]]["last_change"]
    assert (last["version"], last["actor"]["name"]) == (2, "editor key")
    assert (last["reason"], last["paths"]) == ("Calm", ["/idle_timeout"])
    assert found[three[1]]["last_change"]["version"] == 1


def test_the_days_count_the_events_of_each_assistant(
    viewer: httpx.Client, three: list[int]
) -> None:
    found = activity(viewer)
    today = datetime.now(UTC).date()
    assert found["until"] in (str(today), str(today - timedelta(days=1)))
    counted = {one["id"]: sum(day["changes"] for day in one["days"]) for one in found["assistants"]}
    assert counted == dict(zip(three, (2, 1, 2), strict=True))
    assert found["since"] == str(datetime.fromisoformat(found["until"]).date() - timedelta(89))


def test_assistants_are_sorted_searched_filtered_and_paged(
    viewer: httpx.Client, three: list[int]
) -> None:
    del three
    assert names(viewer) == ["Recall", "Front desk", "after hours"]
    assert names(viewer, sort="created") == ["Recall", "after hours", "Front desk"]
    assert names(viewer, sort="name") == ["after hours", "Front desk", "Recall"]
    assert names(viewer, search="HOURS") == ["Front desk", "after hours"]
    assert names(viewer, status="inactive") == ["Recall"]
    assert names(viewer, status="active", search="%") == []
    assert names(viewer, skip=1, limit=1) == ["Front desk"]
    assert activity(viewer, skip=1, limit=1)["total"] == 3
    assert activity(viewer, search="hours")["total"] == 2


def test_a_deleted_assistant_is_left_out(
    editor: httpx.Client, viewer: httpx.Client, three: list[int]
) -> None:
    assert editor.delete(f"{ASSISTANTS}/{three[0]}").is_success
    assert names(viewer) == ["Recall", "after hours"]
    assert names(viewer, status="deleted") == ["Front desk"]
    assert activity(viewer, status="deleted")["assistants"][0]["last_change"]["version"] == 3


def test_no_other_organizations_changes_are_counted(
    server: Server, viewer: httpx.Client, three: list[int]
) -> None:
    with server.client(server.organization().editor) as other:
        other.post(ASSISTANTS, json={"name": "Theirs"})
        assert names(other) == ["Theirs"]
        assert sum(day["changes"] for day in activity(other)["assistants"][0]["days"]) == 1
    assert len(names(viewer)) == len(three)


@pytest.mark.parametrize(
    ("name", "value"),
    [("days", "0"), ("days", "367"), ("sort", "size"), ("status", "on"), ("limit", "201"),
     ("skip", "-1"), ("search", "x" * 201), ("search", "\x00"), ("days", "many")],
)  # fmt: skip
def test_what_cannot_be_asked_is_said(viewer: httpx.Client, name: str, value: str) -> None:
    answer = viewer.get(ACTIVITY, params={name: value})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", name]


def test_a_choice_that_is_none_is_told_those_that_there_are(viewer: httpx.Client) -> None:
    (error,) = viewer.get(ACTIVITY, params={"sort": "size"}).json()["detail"]
    assert error["msg"] == "Input should be 'changed' or 'created' or 'name'"
