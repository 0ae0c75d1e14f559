"""How many idempotency keys an organization may have in use, and how expired ones are removed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import pytest
from structlog.testing import capture_logs

from app.services import utc_now
from app.transactions import answer_totals, idempotency
from app.transactions.answer_totals import Totals
from tests.app import stored
from tests.app.standing_clock import Clock, confirm, wait_until
from tests.app.transactions.keyed_requests import content_of, create, is_replayed, keyed, problem
from tests.conftest import ASSISTANTS, Organization, make_organizations, serving
from tests.databases import execute

if TYPE_CHECKING:
    from pathlib import Path

_HOUR = timedelta(hours=1)


def totals(database: Path, organization: Organization) -> tuple[int, int]:
    """The stored totals."""
    rows = stored.rows(database, organization.id)["answer_totals"]
    return (rows[0]["answers"], rows[0]["size"]) if rows else (0, 0)


def counted(database: Path, organization: Organization) -> tuple[int, int]:
    """What the totals should be."""
    rows = stored.rows(database, organization.id)["answers"]
    return len(rows), sum(len(row["sealed"]) for row in rows)


def make(tmp_path: Path, count: int = 1) -> tuple[Path, list[Organization], Clock]:
    database = tmp_path / "backstory.db"
    return database, make_organizations(database, count), Clock(utc_now() + timedelta(minutes=1))


# -- the quota


def test_over_its_quota_an_organization_learns_when_there_is_room_and_nothing_else_suffers(
    tmp_path: Path,
) -> None:
    database, waiting, clock = make(tmp_path, 2)
    organization, other = waiting
    with (
        serving(database, waiting, clock, clock.monotonic, idempotency_keys=3) as server,
        server.client(organization.admin) as admin,
        server.client(organization.editor) as editor,
        server.client(other.admin) as outsider,
    ):
        first = create(admin, "a")
        clock.now += _HOUR
        create(admin, "b")
        create(editor, "c")
        before = stored.rows(database, organization.id)
        for client in (admin, editor):
            refused = create(client, "d")
            assert (refused.status_code, problem(refused)) == (429, "too-many-idempotency-keys")
            assert refused.headers["retry-after"] == str(23 * 3600)
            assert refused.headers["ratelimit-policy"] == '"idempotency-keys";q=3;w=86400'
            assert refused.headers["ratelimit"] == f'"idempotency-keys";a=0;w={23 * 3600}'
            assert "3 idempotency keys" in refused.json()["detail"]
        assert stored.rows(database, organization.id) == before
        assert content_of(create(admin, "a")) == content_of(first)
        assert admin.post(ASSISTANTS, json={"name": "Without a key"}).status_code == 201
        assert create(outsider, "a").status_code == 201
        # The oldest one expires, and makes room for one.
        clock.now += 23 * _HOUR
        made = create(admin, "d")
        assert made.status_code == 201
        assert is_replayed(create(admin, "b"))
        assert create(admin, "e").headers["retry-after"] == "3600"
        assert content_of(create(admin, "d")) == content_of(made)
    assert totals(database, organization) == counted(database, organization)
    assert counted(database, organization)[0] == 3


def test_without_the_quota_the_next_key_would_be_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control."""
    monkeypatch.setattr(Totals, "fill", lambda *_: False)
    database, waiting, clock = make(tmp_path)
    (organization,) = waiting
    with (
        serving(database, waiting, clock, clock.monotonic, idempotency_keys=3) as server,
        server.client(organization.admin) as admin,
    ):
        assert [create(admin, key).status_code for key in "abcd"] == [201] * 4


def test_the_quota_counts_the_bytes_of_the_answers_too(tmp_path: Path) -> None:
    database, waiting, clock = make(tmp_path)
    (organization,) = waiting
    lenient = {"prefer": "handling=lenient"}
    with (
        serving(database, waiting, clock, clock.monotonic, idempotency_keys=4) as server,
        server.client(organization.admin) as admin,
    ):
        unknown = {"x" * 5000: 1}  # the answer names it
        made = admin.post(ASSISTANTS, json={"name": "a"} | unknown, headers=keyed("a") | lenient)
        assert made.json()["ignored"] == ["/" + "x" * 5000]
        assert problem(create(admin, "b")) == "too-many-idempotency-keys"
        again = admin.post(ASSISTANTS, json={"name": "a"} | unknown, headers=keyed("a") | lenient)
        assert content_of(again) == content_of(made)


@pytest.mark.parametrize("looked_at", [1, 500])
def test_when_there_is_room_depends_on_the_bytes_of_the_answers_that_expire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    """The oldest one is too small to make room; what is said if too few are looked at is true."""
    monkeypatch.setattr(idempotency, "_REMOVED_AT_ONCE", looked_at)
    database, waiting, clock = make(tmp_path)
    (organization,) = waiting
    lenient = {"prefer": "handling=lenient"}
    with (
        serving(database, waiting, clock, clock.monotonic, idempotency_keys=4) as server,
        server.client(organization.admin) as admin,
    ):
        create(admin, "a")
        clock.now += _HOUR
        unknown = {"x" * 5000: 1}
        admin.post(ASSISTANTS, json={"name": "b"} | unknown, headers=keyed("b") | lenient)
        clock.now += _HOUR
        wait = int(create(admin, "c").headers["retry-after"])
        assert wait == (23 if looked_at > 1 else 24) * 3600
        clock.now += _HOUR * 22  # the oldest one expires, and leaves no room
        assert problem(create(admin, "c")) == "too-many-idempotency-keys"
        clock.now += timedelta(seconds=wait) - _HOUR * 22
        assert create(admin, "c").status_code == 201


# -- what has expired


def test_expired_answers_are_removed_a_portion_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "_REMOVED_AT_ONCE", 2)
    database, waiting, clock = make(tmp_path)
    (organization,) = waiting
    with (
        serving(database, waiting, clock, clock.monotonic) as server,
        server.client(organization.admin) as admin,
    ):
        for key in "abcde":
            create(admin, key)
            clock.now += timedelta(seconds=1)
        clock.now += 23 * _HOUR
        assert create(admin, "later").status_code == 201
    clock.now += _HOUR
    confirm(database, clock)
    with stored.statements() as seen, serving(database, waiting, clock, clock.monotonic):
        wait_until(lambda: counted(database, organization)[0] == 1)
    portions = [one for one in seen if one.text.startswith("DELETE FROM answers")]
    assert len(portions) == 3
    assert totals(database, organization) == counted(database, organization)


@pytest.mark.parametrize("lost", ["answers WHERE idempotency_key = 'a'", "answer_totals"])
def test_totals_follow_what_a_release_without_them_stored_or_removed(
    tmp_path: Path, lost: str
) -> None:
    database, waiting, clock = make(tmp_path)
    (organization,) = waiting
    with (
        serving(database, waiting, clock, clock.monotonic) as server,
        server.client(organization.admin) as admin,
    ):
        assert [create(admin, key).status_code for key in "ab"] == [201] * 2
    execute(database, f"DELETE FROM {lost}")
    assert totals(database, organization) != counted(database, organization)
    with serving(database, waiting, clock, clock.monotonic):
        wait_until(lambda: totals(database, organization) == counted(database, organization))


def test_a_request_that_fails_after_its_answer_was_made_leaves_no_trace_in_the_totals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, waiting, clock = make(tmp_path)
    (organization,) = waiting

    def fail(*_: object) -> bytes:
        raise RuntimeError("on purpose")

    with (
        serving(database, waiting, clock, clock.monotonic) as server,
        server.client(organization.admin) as admin,
    ):
        create(admin, "a")
        before = stored.rows(database, organization.id)
        with monkeypatch.context() as patched, capture_logs():
            patched.setattr(answer_totals, "add", fail)
            failed: httpx.Response = create(admin, "b")
        assert failed.status_code == 500
        assert stored.rows(database, organization.id) == before
        assert create(admin, "b").status_code == 201
    assert totals(database, organization) == counted(database, organization)
