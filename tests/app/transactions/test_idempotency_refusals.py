"""A key of a request that was refused can be used again; a key in use is refused."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from events import log_head
from tests.app import stored
from tests.app.transactions.keyed_requests import (
    PATIENCE,
    content_of,
    count,
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
)
from tests.databases import writing_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

POLICY = "/api/v1/policy"
_JSON = {"content-type": "application/json"}


# -- what is not stored


def _label(client: httpx.Client, version: int, **options: Any) -> httpx.Response:
    place = f"{ASSISTANTS}/1/versions/{version}/label"
    return client.put(place, json={"label": "good"}, **options)


def _patch(client: httpx.Client, **options: Any) -> httpx.Response:
    return client.patch(f"{ASSISTANTS}/1", json={"name": "New"}, **options)


def _policy(**rules: Any) -> Callable[[httpx.Client], httpx.Response]:
    return lambda admin: admin.put(POLICY, json=rules)


def _another_change(admin: httpx.Client) -> httpx.Response:
    return admin.patch(f"{ASSISTANTS}/1", json={"description": "Changed"})


# A request, what stands against it first, its refusal, and what takes that away.
_Step = tuple[
    "Callable[..., httpx.Response]",
    "Callable[[httpx.Client], object]",
    tuple[int, str],
    "Callable[[httpx.Client], object]",
]
_REFUSED: dict[str, _Step] = {
    "missing": (
        lambda client, headers: client.patch(
            f"{ASSISTANTS}/2", json={"name": "New"}, headers=headers
        ),
        lambda _: None,
        (404, "assistant-not-found"),
        lambda admin: admin.post(ASSISTANTS, json={"name": "Second"}),
    ),
    "label taken": (
        lambda client, headers: _label(client, 2, headers=headers),
        lambda admin: (_another_change(admin), _label(admin, 1)),
        (409, "label-taken"),
        lambda admin: admin.delete(f"{ASSISTANTS}/1/versions/1/label"),
    ),
    "not deleted": (
        lambda client, headers: client.post(f"{ASSISTANTS}/1/restore", headers=headers),
        lambda _: None,
        (409, "not-deleted"),
        lambda admin: admin.delete(f"{ASSISTANTS}/1"),
    ),
    "another version": (
        lambda client, headers: _patch(client, headers={"if-match": '"2"'} | headers),
        lambda _: None,
        (412, "precondition-failed"),
        _another_change,
    ),
    "condition": (
        lambda client, headers: _patch(client, headers=headers),
        _policy(require_condition=True),
        (428, "precondition-required"),
        _policy(require_condition=False),
    ),
    "reason": (
        lambda client, headers: _patch(client, headers=headers),
        _policy(require_reason=True),
        (422, "reason-required"),
        _policy(require_reason=False),
    ),
    "path": (
        lambda client, headers: _patch(client, headers=headers),
        _policy(admin_paths=["/name"]),
        (403, "path-protected"),
        _policy(admin_paths=[]),
    ),
}


@pytest.mark.parametrize("what", _REFUSED)
def test_a_refused_request_is_not_stored_and_may_be_granted_the_next_time(
    server: Server,
    organization: Organization,
    admin: httpx.Client,
    editor: httpx.Client,
    assistant: dict[str, Any],
    what: str,
) -> None:
    assert assistant["id"] == 1
    ask, stand_against, refusal, take_away = _REFUSED[what]
    stand_against(admin)
    before = stored.rows(server.database, organization.id)
    for _ in range(2):
        refused = ask(editor, headers=keyed("refused"))
        assert (refused.status_code, problem(refused)) == refusal
        assert not is_replayed(refused)
    assert stored.rows(server.database, organization.id) == before
    take_away(admin)
    granted = ask(editor, headers=keyed("refused"))
    assert granted.is_success
    assert not is_replayed(granted)
    again = ask(editor, headers=keyed("refused"))
    assert is_replayed(again)
    assert content_of(again) == content_of(granted)


def test_a_malformed_body_uses_no_key_up(admin: httpx.Client) -> None:
    for body in (b"{", b'{"name": 5}', b"{}"):
        answer = admin.post(ASSISTANTS, content=body, headers=_JSON | keyed("second thought"))
        assert answer.status_code == 422
        assert problem(answer) != "idempotency-key-reused"
    assert create(admin, "second thought").status_code == 201


def test_a_dry_run_stores_nothing_and_replays_nothing(
    server: Server, organization: Organization, admin: httpx.Client, assistant: dict[str, Any]
) -> None:
    path = f"{ASSISTANTS}/{assistant['id']}"
    body = {"name": "New"}
    before = stored.rows(server.database, organization.id)
    dry = keyed("plan") | {"prefer": "dry-run"}
    for plan in (
        admin.patch(path, json=body, headers=dry),
        admin.patch(path, json=body | {"dry_run": True}, headers=keyed("plan")),
        admin.post(f"{path}/rollback", json={"to_version": 1, "dry_run": True}, headers=dry),
    ):
        assert plan.json()["dry_run"] is True
        assert not is_replayed(plan)
    assert stored.rows(server.database, organization.id) == before

    done = admin.patch(path, json=body, headers=keyed("plan"))
    assert done.json()["version"] == 2
    assert not is_replayed(done)
    # A plan is made anew, whatever the key has seen.
    plan = admin.patch(path, json=body, headers=dry)
    assert (plan.json()["version"], plan.json()["changes"]) == (2, [])
    assert not is_replayed(plan)


# -- two at once


def test_the_same_request_from_many_at_once_happens_once(
    server: Server, organization: Organization
) -> None:
    with server.client(organization.admin) as admin, ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: create(admin, "at once"), range(48)))
    granted = [answer for answer in answers if answer.status_code == 201]
    assert {problem(answer) for answer in answers if answer not in granted} <= {"request-running"}
    assert sum(not is_replayed(answer) for answer in granted) == 1
    assert len({str(content_of(answer)) for answer in granted}) == 1
    assert count(server, organization) == 1


@contextmanager
def _write_lock(database: Path, organization: Organization) -> Iterator[None]:
    """Holds the lock of the organization: every other write for it waits."""
    engine = writing_engine(database)
    with engine.connect() as connection:
        log_head.lock(connection, organization.id)
        yield
    engine.dispose()


def test_the_second_request_is_told_that_the_first_still_runs(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 1)
    organization = waiting[0]
    with (
        serving(database, waiting) as server,
        server.client(organization.admin) as admin,
        server.client(organization.editor) as editor,
        ThreadPoolExecutor(3) as threads,
    ):
        assert admin.get(ASSISTANTS).json() == editor.get(ASSISTANTS).json() == []
        with _write_lock(database, organization):
            asked = [threads.submit(create, one, "slow") for one in (admin, admin, editor)]
            done, running = wait(asked, PATIENCE, FIRST_COMPLETED)
        (refused,) = (one.result() for one in done)
        assert (refused.status_code, problem(refused)) == (409, "request-running")
        assert refused.headers["retry-after"] == "1"
        # The one that ran is carried out, and so is the other caller's, whose key it is not.
        answers = [one.result() for one in running]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert not any(map(is_replayed, answers))
        again = create(admin, "slow")
        assert is_replayed(again)
        assert again.content in [answer.content for answer in answers]
        assert count(server, organization) == 2
