"""Each export is recorded once, and a client that polls comes to the end of the log."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from events.upcasters import tag
from tests.app import stored
from tests.app.audit.exports import AUDIT, EXPORT, FORMATS, read, read_cut, sequences
from tests.app.audit.written_logs import Filled
from tests.conftest import (
    ASSISTANTS,
    Organization,
    Server,
    make_organizations,
    serving_process,
)


def test_each_export_is_recorded_once_and_is_no_part_of_itself(
    server: Server, organization: Organization
) -> None:
    with server.client(organization.admin) as admin:
        admin.post(ASSISTANTS, json={"name": "Desk"})
        query = {"format": "csv", "until_sequence": "1", "path": "/name"}
        answer = admin.get(EXPORT, params=query, headers={"x-request-id": "mine"})
        assert sequences("csv", answer.content) == [1]
        (_, recorded) = stored.events(server.database, organization.id)
        assert recorded["type"] == "audit_exported.v1"
        assert recorded["actor"]["name"] == "admin key"
        assert recorded["request_id"] == "mine"
        assert {name: recorded[name] for name in ("format", "after", "until_sequence")} == {
            "format": "csv",
            "after": 0,
            "until_sequence": 1,
        }
        assert recorded["filter"] == {"path": "/name"}
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: read(admin), range(12)))
        for one in answers:
            assert sequences("ndjson", one.body) == list(range(1, one.until + 1))
        events = stored.events(server.database, organization.id)
        assert [event["type"] for event in events[1:]] == ["audit_exported.v1"] * 13


def test_an_export_that_is_cut_off_is_recorded(filled: Filled) -> None:
    server = filled.server
    before = stored.rows(server.database, filled.heavy.id)["events"][-1]["sequence"]
    with server.client(filled.heavy.admin) as admin:
        read_cut(admin, 10)
    rows = stored.rows(server.database, filled.heavy.id)["events"]
    assert [row["type"] for row in rows[before:]] == ["audit_exported.v1"]


def test_a_viewer_exports_nothing_and_nothing_is_recorded(
    server: Server, organization: Organization
) -> None:
    with server.client(organization.admin) as admin:
        admin.post(ASSISTANTS, json={"name": "Desk"})
    for token in (organization.viewer, organization.editor, organization.runtime):
        with server.client(token) as client:
            assert client.get(EXPORT).status_code == 403
    assert len(stored.events(server.database, organization.id)) == 1


@pytest.mark.parametrize("form", FORMATS)
def test_a_client_that_polls_becomes_quiet(
    server: Server, organization: Organization, form: str
) -> None:
    with server.client(organization.admin) as admin:
        path = f"{ASSISTANTS}/{admin.post(ASSISTANTS, json={'name': 'Desk'}).json()['id']}"
        after = 0
        found: list[int] = []
        for _ in range(6):
            answer = read(admin, format=form, after=after)
            found += range(after + 1, answer.until + 1)
            after = answer.until
        assert found == [1, 2]
        assert len(stored.events(server.database, organization.id)) == 2
        # The control: what is new is exported, and that is recorded.
        admin.patch(path, json={"name": "Other"})
        for _ in range(6):
            after = read(admin, format=form, after=after).until
        assert [event["type"] for event in stored.events(server.database, organization.id)] == [
            tag("assistant_created"),
            "audit_exported.v1",
            tag("assistant_settings_changed"),
            "audit_exported.v1",
        ]


def test_a_client_that_polls_becomes_quiet_beside_checkpoints(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 2)
    organization, other = waiting
    with (
        serving_process(database, waiting, BACKSTORY_CHECKPOINT_INTERVAL="1s") as server,
        server.client(organization.admin) as admin,
        server.client(other.admin) as neighbour,
    ):
        admin.post(ASSISTANTS, json={"name": "Desk"})
        neighbour.post(ASSISTANTS, json={"name": "Desk"})
        after = 0
        lengths: list[int] = []
        deadline = time.monotonic() + 20
        # The neighbour's checkpoints count the intervals: its log grows in each of them.
        while len(lengths) < 6:
            assert time.monotonic() < deadline, "no checkpoints"
            answer = read(admin, after=after)
            after = answer.until
            checkpoints = neighbour.get(f"{AUDIT}/checkpoints").json()
            if len(checkpoints) > len(lengths):
                neighbour.patch(f"{ASSISTANTS}/1", json={"description": f"{len(lengths)}"})
                lengths.append(admin.get(f"{AUDIT}/logs").json()["total"])
            time.sleep(0.1)
        assert lengths[3:] == [lengths[3]] * 3, lengths
