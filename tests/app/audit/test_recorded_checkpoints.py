"""Checkpoints are recorded as events and copied to files, once while the log does not grow."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from msgspec import Struct

from app.audit import signing
from app.audit.verify import read_keys, read_note, verify
from tests.app import stored
from tests.conftest import (
    Organization,
    Server,
    make_organizations,
    serving,
    serving_process,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
from tests.app.audit.proof_checker import (
    AUDIT,
    NEXT,
    Log,
    begin,
    consistency,
    keys_of,
    proves_consistency,
    read_checkpoint,
    tree_root,
)


def eventually(what: Callable[[], list[Any]], count: int) -> list[Any]:
    """What there is once there are so many."""
    deadline = time.monotonic() + 20
    while len(found := what()) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count}"
        time.sleep(0.05)
    return found


def recorded(client: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    answer = client.get(f"{AUDIT}/checkpoints", params=query)
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json()
    return found


class Kept(Struct, frozen=True, kw_only=True):
    """What a server left behind that recorded a checkpoint each second."""

    database: Path
    folder: Path
    quiet: Organization  # wrote once, then nothing
    busy: Organization  # wrote after each checkpoint
    waiting: list[Organization]  # the others, which wrote nothing


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    home = tmp_path_factory.mktemp("kept")
    database, folder = home / "backstory.db", home / "checkpoints"
    waiting = make_organizations(database, 3)
    quiet, busy = waiting.pop(), waiting.pop()
    with (
        serving_process(
            database,
            waiting,
            BACKSTORY_CHECKPOINT_INTERVAL="1s",
            BACKSTORY_CHECKPOINT_DIR=str(folder),
        ) as server,
        server.client(quiet.admin) as once,
        server.client(busy.admin) as often,
    ):
        begin(server, quiet, once)
        log = begin(server, busy, often)
        eventually(lambda: recorded(once), 1)
        # The busy one's checkpoints count the seconds for the quiet one.
        for number in range(1, 5):
            eventually(lambda: recorded(often), number)
            log.change(number)
        eventually(lambda: recorded(often), 5)
        eventually(lambda: list(folder.glob("*.checkpoint")), 6)
    return Kept(database=database, folder=folder, quiet=quiet, busy=busy, waiting=waiting)


@pytest.fixture(scope="module")
def again(kept: Kept) -> Iterator[Server]:
    """A server on that database that records none."""
    with serving(kept.database, kept.waiting) as server:
        yield server


def test_a_checkpoint_is_recorded_once_while_nothing_happens(kept: Kept, again: Server) -> None:
    with again.client(kept.quiet.admin) as quiet, again.client(kept.busy.admin) as busy:
        (only,) = recorded(quiet)
        assert (only["sequence"], only["size"]) == (2, 1)
        assert len(stored.events(kept.database, kept.quiet.id)) == 2
        assert len(recorded(busy)) == 5  # the control: there was time for more
    with again.client(kept.waiting[0].admin) as idle:
        assert recorded(idle) == []


def test_recorded_checkpoints_sign_all_events_before_them(kept: Kept, again: Server) -> None:
    with again.client(kept.busy.admin) as busy:
        log = Log(server=again, organization=kept.busy, admin=busy)
        keys, leaves = keys_of(busy), log.leaves
        found = recorded(busy)
        assert [one["sequence"] for one in found] == sorted(
            (one["sequence"] for one in found), reverse=True
        )
        for one in found:
            assert set(one) == {"sequence", "size", "recorded_at", "checkpoint"}
            checkpoint = read_checkpoint(one["checkpoint"])
            checkpoint.verify(keys)
            assert checkpoint.size == one["size"] == one["sequence"] - 1
            assert checkpoint.root == tree_root(leaves[: one["size"]])
        for later, earlier in pairwise(found):
            proof = consistency(busy, earlier["size"], later["size"])
            roots = tuple(read_checkpoint(one["checkpoint"]).root for one in (earlier, later))
            assert proves_consistency(proof, (roots[0], roots[1]))


def test_recorded_checkpoints_are_events(kept: Kept, again: Server) -> None:
    with again.client(kept.busy.admin) as busy:
        events = {
            event["sequence"]: event
            for event in stored.events(kept.database, kept.busy.id)
            if event["type"] == "checkpoint_recorded.v1"
        }
        found = recorded(busy)
        assert {one["sequence"] for one in found} == set(events)
        for one in found:
            event = events[one["sequence"]]
            assert event["checkpoint"] == one["checkpoint"]
            assert event["occurred_at"] == one["recorded_at"]
            assert event["actor"] == {"type": "system", "id": 0, "name": "checkpoint", "user_id": 0}
        page = busy.get(f"{AUDIT}/logs", params={"event_type": "checkpoint_recorded"}).json()
        assert [entry["id"] for entry in page["logs"]] == [one["sequence"] for one in found]


def test_recorded_checkpoints_are_files(kept: Kept, again: Server) -> None:
    expected = {}
    for organization in (kept.quiet, kept.busy):
        with again.client(organization.admin) as admin:
            for one in recorded(admin):
                origin = one["checkpoint"].splitlines()[0].replace("/", "-")
                name = f"{origin}-{one['size']:012}.checkpoint"
                expected[name] = one["checkpoint"]
    found = {path.name: path.read_text("utf-8") for path in kept.folder.iterdir()}
    assert found == expected


def test_pages_of_recorded_checkpoints_join_to_the_whole_list(kept: Kept, again: Server) -> None:
    with again.client(kept.busy.admin) as busy:
        whole = recorded(busy)
        assert len(whole) == 5
        for limit in (1, 2, 4, 5, 200):
            joined, url = [], f"{AUDIT}/checkpoints?limit={limit}"
            while url:
                answer = busy.get(url)
                joined.append(answer.json())
                link = NEXT.fullmatch(answer.headers.get("link", ""))
                url = link[1] if link else ""
            assert [one for page in joined for one in page] == whole
            assert all(joined)
        for query in ({"limit": "0"}, {"limit": "201"}, {"cursor": "x"}, {"cursor": ""}):
            answer = busy.get(f"{AUDIT}/checkpoints", params=query)
            assert answer.status_code == 422


def test_an_export_with_recorded_checkpoints_verifies_from_each_of_the_files(
    kept: Kept, again: Server
) -> None:
    with again.client(kept.busy.admin) as busy:
        exported = busy.get(f"{AUDIT}/export").content.splitlines(keepends=True)
        keys = read_keys(busy.get(f"{AUDIT}/key").content)
    files = sorted(kept.folder.glob(f"organization-{kept.busy.id}-*"))
    for file in files:
        earlier = read_note(file.read_text("utf-8"))
        assert verify(exported, keys, earlier).events == len(exported) - 1


def test_recorded_checkpoints_of_a_retired_key_stay_in_a_verified_export(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 1)
    organization = waiting[0]
    for run in range(2):
        with (
            serving_process(database, [], BACKSTORY_CHECKPOINT_INTERVAL="1s") as server,
            server.client(organization.admin) as admin,
        ):
            if not run:
                begin(server, organization, admin)
            Log(server=server, organization=organization, admin=admin).change(run + 1)
            eventually(lambda: recorded(admin), run + 1)
        signing.rotate(database.with_name(database.name + ".audit.key"))
    with serving(database, []) as server, server.client(organization.admin) as admin:
        notes = [read_checkpoint(one["checkpoint"]) for one in recorded(admin)]
        assert len({note.key_id for note in notes}) == 2
        exported = admin.get(f"{AUDIT}/export").content.splitlines(keepends=True)
        keys = read_keys(admin.get(f"{AUDIT}/key").content)
        assert verify(exported, keys).events == len(exported) - 1
