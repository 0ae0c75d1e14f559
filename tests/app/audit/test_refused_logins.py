"""Refused logins are recorded without the key, and a flood of them in part."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx

from app.accounts import tokens
from tests.app import stored
from tests.app.standing_clock import Clock
from tests.conftest import (
    ASSISTANTS,
    Organization,
    Server,
    make_organizations,
    serving_process,
)
from tests.databases import query

if TYPE_CHECKING:
    from pathlib import Path
from tests.app.audit.log_reader import KEYS, LOGS, eventually, ids, logs, try_key


def test_a_revoked_key_is_recorded_with_its_id_and_never_itself(
    server: Server, organization: Organization, admin: httpx.Client
) -> None:
    made = admin.post(KEYS, json={"name": "Leaked"}).json()
    admin.delete(f"{KEYS}/{made['api_key']['id']}")
    answer = try_key(server, made["key"])
    (entry,) = eventually(admin, 1)
    assert entry["api_key_id"] == entry["details"]["key_id"] == made["api_key"]["id"]
    assert entry["resource_id"] == str(made["api_key"]["id"])
    assert entry["details"]["key_prefix"] == made["key"][:12]
    assert entry["ip_address"] == "127.0.0.1"
    assert entry["request_id"] == answer.headers["x-request-id"]
    assert made["key"][12:] not in admin.get(LOGS).text
    assert made["key"][12:] not in repr(stored.rows(server.database, organization.id))


def test_an_unknown_key_is_recorded_with_its_prefix_and_never_itself(
    server: Server, organization: Organization, admin: httpx.Client
) -> None:
    token = tokens.make_token(organization.id)
    try_key(server, token)
    (entry,) = eventually(admin, 1)
    assert entry["api_key_id"] is None
    assert entry["resource_id"] is None
    assert entry["details"] == {
        "actor": "system:0",
        "actor_name": "authentication",
        "key_prefix": token[:12],
        "unrecorded": 0,
    }
    assert entry["status"] == "failure"
    assert token[12:] not in admin.get(LOGS).text
    assert token[12:] not in repr(stored.rows(server.database, organization.id))


def refused(server: Server) -> int:
    """The refused logins that are recorded, of all organizations."""
    ((count,),) = query(
        server.database, "SELECT count(*) FROM events WHERE type = 'login_refused.v1'"
    )
    return int(count)


def test_what_is_no_key_of_an_organization_records_nothing(
    server: Server, organization: Organization, admin: httpx.Client
) -> None:
    real = tokens.make_token(organization.id)
    wrong_checksum = real[:-1] + ("0" if real[-1] != "0" else "1")
    junk = [
        "", "x", "bks_", real[:-1], real + "0", real.lower(), wrong_checksum,
        tokens.make_token(10**6), tokens.make_token(0), tokens.make_token(2**31 - 1),
        "eyJhbGciOiJIUzI1NiJ9.e30.x", "0" * 5000, f"{real} {real}",
    ]  # fmt: skip
    before = refused(server)
    with server.client(None) as nobody:
        for token in junk:
            headers = {"authorization": f"Bearer {token}".strip()}
            assert nobody.get(f"{ASSISTANTS}/count", headers=headers).status_code == 401
        for header in (real, f"Basic {real}", f"Token {real}", f"Bearer{real}", ""):
            headers = {"authorization": header}
            assert nobody.get(f"{ASSISTANTS}/count", headers=headers).status_code == 401
        headers = {"x-api-key": real}
        assert nobody.get(f"{ASSISTANTS}/count", headers=headers).status_code == 401
    try_key(server, real)  # the control: this one is recorded, and nothing was before it
    (entry,) = eventually(admin, 1)
    assert ids(logs(admin)) == [entry["id"]] == [1]
    assert refused(server) == before + 1


def test_a_good_key_records_no_login(admin: httpx.Client, viewer: httpx.Client) -> None:
    for _ in range(5):
        assert viewer.get(f"{ASSISTANTS}/count").status_code == 200
        assert viewer.post(ASSISTANTS, json={"name": "x"}).status_code == 403
    assert logs(admin) == []


def flood(server: Server, tokens: list[str]) -> None:
    with server.client(None) as outsider, ThreadPoolExecutor(8) as pool:

        def send(token: str) -> int:
            headers = {"authorization": f"Bearer {token}"}
            return outsider.get(f"{ASSISTANTS}/count", headers=headers).status_code

        assert set(pool.map(send, tokens)) == {401}


def test_a_flood_of_refused_logins_is_recorded_in_part_and_counted(
    timed: tuple[Server, Clock],
) -> None:
    server, clock = timed
    flooded, other = server.organization(), server.organization()
    with server.client(flooded.admin) as admin, server.client(other.admin) as neighbour:
        flood(server, [tokens.make_token(flooded.id) for _ in range(500)])
        assert [entry["details"]["unrecorded"] for entry in eventually(admin, 10)] == [0] * 10
        clock.now += timedelta(seconds=59)
        try_key(server, tokens.make_token(flooded.id))
        clock.now += timedelta(seconds=1)
        try_key(server, tokens.make_token(flooded.id))
        assert eventually(admin, 11)[0]["details"]["unrecorded"] == 491
        try_key(server, tokens.make_token(flooded.id))
        # A flood of one organization takes nothing from another.
        try_key(server, tokens.make_token(other.id))
        eventually(neighbour, 1)
        assert len(logs(admin)) == 11
        clock.now += timedelta(days=30)  # no more is saved up than at first
        flood(server, [tokens.make_token(flooded.id) for _ in range(20)])
        entries = eventually(admin, 21)
        try_key(server, tokens.make_token(other.id))
        eventually(neighbour, 2)
        assert len(logs(admin)) == 21
        assert sum(entry["details"]["unrecorded"] for entry in entries) == 492


def test_without_the_limit_a_flood_is_recorded_whole(tmp_path: Path) -> None:
    """The control of the test above."""
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 1)
    guard_off = "from app.buckets import Buckets; Buckets.take = lambda *_: 0.0"
    with serving_process(database, waiting, preamble=guard_off) as server:
        organization = server.organization()
        flood(server, [tokens.make_token(organization.id) for _ in range(100)])
        with server.client(organization.admin) as admin:
            assert len(eventually(admin, 100)) == 100


def test_a_flood_does_not_keep_a_good_key_out(server: Server, organization: Organization) -> None:
    with server.client(organization.editor) as editor:
        flood(server, [tokens.make_token(organization.id) for _ in range(50)])
        assert editor.post(ASSISTANTS, json={"name": "Still"}).status_code == 201


def test_refused_logins_that_were_answered_are_in_the_log_after_a_shutdown(
    tmp_path: Path,
) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 1)
    organization = waiting[0]
    with serving_process(database, waiting) as server:
        flood(server, [tokens.make_token(organization.id) for _ in range(9)])
    types = [event["type"] for event in stored.events(database, organization.id)]
    assert types == ["login_refused.v1"] * 9
