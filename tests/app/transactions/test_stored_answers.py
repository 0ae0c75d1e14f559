"""Stored answers: sealed, bound to their request, kept for their time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from app.api import writes
from app.services import utc_now
from app.transactions import idempotency
from tests.app import stored
from tests.app.route_table import KEYS
from tests.app.standing_clock import Clock, confirm, wait_until
from tests.app.transactions.keyed_requests import (
    content_of,
    create,
    is_replayed,
    keyed,
    problem,
)
from tests.conftest import (
    ASSISTANTS,
    Organization,
    Server,
    make_organizations,
    serving,
    serving_process,
)
from tests.databases import contents, execute

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECRET = {"llm_provider_config": {"api_key": "sk-of-ours"}}


# -- secrets


def test_answers_outlive_the_rotation_of_keys_and_the_erasure_of_secrets(
    server: Server, organization: Organization, admin: httpx.Client
) -> None:
    def ask() -> list[httpx.Response]:
        body = {"name": "Front desk"} | SECRET
        return [
            admin.post(KEYS, json={"name": "CI"}, headers=keyed("a")),
            admin.post(ASSISTANTS, json=body, headers=keyed("b")),
        ]

    def rotate(**body: bool) -> httpx.Response:
        return admin.post("/api/v1/vault/rotate", json=body)

    first = ask()
    path = f"{ASSISTANTS}/{first[1].json()['id']}"
    steps: list[Callable[[], httpx.Response]] = [
        rotate,
        lambda: rotate(data_keys=True),
        lambda: rotate(data_keys=True),
        lambda: admin.delete(f"{path}/secrets"),
        lambda: admin.delete("/api/v1/vault/secrets"),
        lambda: admin.delete(path),
    ]
    for step in steps:
        assert step().is_success
        before = stored.rows(server.database, organization.id)
        again = ask()
        assert [content_of(answer) for answer in again] == [content_of(answer) for answer in first]
        assert all(map(is_replayed, again))
        assert stored.rows(server.database, organization.id) == before


def _make_key(server: Server, organization: Organization) -> str:
    with server.client(organization.admin) as admin:
        made = admin.post(KEYS, json={"name": "Of this name"}, headers=keyed("once"))
        again = admin.post(KEYS, json={"name": "Of this name"}, headers=keyed("once"))
    assert content_of(again) == content_of(made)
    assert is_replayed(again)
    key: str = again.json()["key"]
    return key


def test_the_answer_that_shows_an_api_key_is_nowhere_in_clear(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 2)
    with serving(database, waiting) as server:
        token = _make_key(server, server.organization())
        held = contents(database)
    closed = contents(database)
    for found in (held, closed):
        assert b"Of this name" in found  # what is meant to be seen is there
        assert token[12:].encode() not in found

    # The control: unsealed answers would have shown it.
    unsealed = (
        "from app.vault import sealing; sealing.seal_answer = lambda keys, text, *bound: text\n"
    )
    unsealed += "sealing.open_answer = lambda keys, sealed, *bound: sealed"
    with serving_process(database, waiting, preamble=unsealed) as server:
        token = _make_key(server, server.organization())
        assert token[12:].encode() in contents(database)


# -- time


def _kept(database: Path, organization: Organization) -> list[str]:
    """The keys whose answers are stored."""
    rows = stored.rows(database, organization.id)["answers"]
    return sorted(row["idempotency_key"] for row in rows)


def test_an_answer_is_kept_for_its_time_and_then_forgotten(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 2)
    organization, other = waiting
    clock = Clock(utc_now() + timedelta(minutes=1))  # the database was made before
    with serving(database, waiting, clock, clock.monotonic) as server:
        with server.client(organization.admin) as admin, server.client(other.admin) as outsider:
            first = create(admin, "daily")
            create(outsider, "daily")
            clock.now += timedelta(hours=24) - timedelta(microseconds=1)
            assert content_of(create(admin, "daily")) == content_of(first)
            clock.now += timedelta(microseconds=1)
            # Another request may have the key now; the answer to it takes the old one's place.
            second = create(admin, "daily", "Back office")
            assert (second.status_code, second.json()["id"]) == (201, 2)
            assert not is_replayed(second)
            assert content_of(create(admin, "daily", "Back office")) == content_of(second)
            assert create(admin, "later").json()["id"] == 3
        assert _kept(database, organization) == ["daily", "later"]
    clock.now += timedelta(hours=23)
    confirm(database, clock)
    with serving(database, waiting, clock, clock.monotonic) as server:
        wait_until(lambda: _kept(database, other) == [])
        assert _kept(database, organization) == ["daily", "later"]
        with server.client(organization.admin) as admin:
            assert is_replayed(create(admin, "later"))
    clock.now += timedelta(hours=1)
    confirm(database, clock)
    with serving(database, waiting, clock, clock.monotonic):
        wait_until(lambda: _kept(database, organization) == [])


@pytest.mark.parametrize(("lifetime", "replays"), [("0s", False), ("1s", True)])
def test_the_time_that_an_answer_is_kept_is_a_setting(
    tmp_path: Path, lifetime: str, *, replays: bool
) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 1)
    clock = Clock(utc_now() + timedelta(days=1))
    with (
        serving(database, waiting, clock, clock.monotonic, idempotency_ttl=lifetime) as server,
        server.client(server.organization().admin) as admin,
    ):
        assert create(admin, "short").json()["id"] == 1
        assert is_replayed(create(admin, "short")) is replays
        assert len(admin.get(ASSISTANTS).json()) == (1 if replays else 2)


# -- a database that was tampered with


def test_a_stored_answer_that_was_moved_to_another_request_does_not_open(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 1)
    (organization,) = waiting
    with serving(database, waiting) as server:
        with server.client(organization.admin) as admin:
            made = {key: _make_ci(admin, key) for key in ("a", "b")}
        with server.client(organization.editor) as editor:
            assert create(editor, "a").status_code == 201
    execute(
        database,
        "UPDATE answers SET sealed = (SELECT sealed FROM answers WHERE idempotency_key = 'b')"
        " WHERE idempotency_key = 'a'",
    )
    before = stored.rows(database, organization.id)["events"]
    with (
        serving(database, waiting) as server,
        server.client(organization.admin) as admin,
        server.client(organization.editor) as editor,
    ):
        for answer in (_make_ci(admin, "a"), create(editor, "a")):
            assert (answer.status_code, problem(answer)) == (500, "secret-unreadable")
        # The control: the one that stands where it was made still opens.
        assert content_of(_make_ci(admin, "b")) == content_of(made["b"])
    assert stored.rows(database, organization.id)["events"] == before


def test_a_stored_fingerprint_confirms_no_guess_and_a_bare_one_of_before_still_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 1)
    (organization,) = waiting
    bare = []

    def fingerprint(*sent: Any) -> bytes:
        bare.append(idempotency.fingerprint(*sent))
        return bare[-1]

    monkeypatch.setattr(writes, "fingerprint", fingerprint)
    with serving(database, waiting) as server, server.client(organization.admin) as admin:
        made = {key: _make_ci(admin, key) for key in ("a", "b")}
    assert bare[0] == bare[1]  # the control: this is what anybody can compute of a guess
    (one, other) = stored.rows(database, organization.id)["answers"]
    assert one["fingerprint"] == other["fingerprint"] != bare[0]
    # As an earlier release stored it.
    old = "UPDATE answers SET fingerprint = :bare WHERE idempotency_key = 'a'"
    execute(database, old, bare=bare[0])
    with serving(database, waiting) as server, server.client(organization.admin) as admin:
        for key, first in made.items():
            assert content_of(_make_ci(admin, key)) == content_of(first)


def _make_ci(admin: httpx.Client, key: str) -> httpx.Response:
    return admin.post(KEYS, json={"name": "CI"}, headers=keyed(key))
