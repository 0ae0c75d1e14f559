"""The lists of an assistant's calls, and how receipts end."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from app.calls import purging
from app.services import utc_now
from tests.app import stored
from tests.app.assistants.answers import errors, ok
from tests.app.standing_clock import Clock, confirm, wait_until
from tests.conftest import ASSISTANTS, make_organizations, serving

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

RESOLVE, CALLS = "/api/v1/resolve", "/api/v1/calls"


def ask(client: httpx.Client, assistant: dict[str, Any], call: str, **more: Any) -> dict[str, Any]:
    body = {"call_id": call, "assistant_id": assistant["id"]} | more
    told: dict[str, Any] = ok(client.post(RESOLVE, json=body))
    return told


def listed(client: httpx.Client, path: str, **query: Any) -> list[str]:
    """The calls of all pages."""
    answer = client.get(path, params=query)
    calls = [receipt["call_id"] for receipt in ok(answer)]
    while "next" in answer.links:
        answer = client.get(answer.links["next"]["url"])
        calls += [receipt["call_id"] for receipt in ok(answer)]
    return calls


def test_the_calls_of_an_assistant_are_listed_newest_first_each_once(
    runtime: httpx.Client, editor: httpx.Client, viewer: httpx.Client, assistant: dict[str, Any]
) -> None:
    path = f"{ASSISTANTS}/{assistant['id']}/calls"
    had = ask(runtime, assistant, "a")
    ran = {"version": 1, "digest": had["digest"]}
    at = "2026-01-02T03:04:05Z"
    for call in ("old-1", "old-2", "old-3"):  # of one moment
        ask(runtime, assistant, call, ran=ran, at=at)
    ok(editor.patch(f"{ASSISTANTS}/{assistant['id']}", json={"description": "Later"}))
    ask(runtime, assistant, "b")
    every = ["b", "a", "old-3", "old-2", "old-1"]
    for limit in (1, 2, 5):
        assert listed(viewer, path, limit=limit) == every
    assert listed(viewer, path, version=2) == ["b"]
    assert listed(viewer, path, since=had["resolved_at"]) == ["b", "a"]
    assert listed(viewer, path, until=had["resolved_at"], limit=2) == every[2:]
    assert ok(viewer.get(path))[1] == ok(viewer.get(f"{CALLS}/a"))

    ok(editor.delete(f"{ASSISTANTS}/{assistant['id']}"))
    assert listed(viewer, path) == every
    assert viewer.get(f"{CALLS}/b/settings").json()["version"] == 2


@pytest.mark.parametrize("cursor", ["x", "W10", "WzEsMl0", "é"])
def test_a_cursor_of_another_list_is_refused(
    viewer: httpx.Client, assistant: dict[str, Any], cursor: str
) -> None:
    assert errors(viewer.get(f"{ASSISTANTS}/{assistant['id']}/calls", params={"cursor": cursor}))


@pytest.mark.parametrize("is_confirmed", [True, False])
def test_receipts_end_after_their_time_unless_the_clock_alone_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_confirmed: bool
) -> None:
    monkeypatch.setattr(purging, "_AT_ONCE", 2)
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 1)
    (organization,) = waiting
    clock = Clock(utc_now() + timedelta(minutes=1))
    with (
        serving(database, waiting, clock, clock.monotonic) as server,
        server.client(organization.admin) as admin,
    ):
        made = admin.post(ASSISTANTS, json={"name": "Front desk"}).json()
        for number in range(5):
            ask(admin, made, f"c{number}")
        clock.now += timedelta(days=300)
        ask(admin, made, "young")
    clock.now += timedelta(days=101)
    if is_confirmed:
        confirm(database, clock)

    def calls() -> set[str]:
        return {row["call_id"] for row in stored.rows(database, organization.id)["receipts"]}

    with serving(database, waiting, clock, clock.monotonic):
        if is_confirmed:
            wait_until(lambda: calls() == {"young"})
    assert ("c0" in calls()) is not is_confirmed
