"""What is stored of an answer: what it is made from again, never a copy of the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
from msgspec import Struct
from structlog.testing import capture_logs

import projections.current
from app.api import stored_answers
from app.assistants import current
from app.transactions import idempotency
from app.transactions.answers import Answer
from projections.keyframes import EVERY
from tests.app import stored
from tests.app.transactions.keyed_requests import content_of, is_replayed, keyed, problem
from tests.conftest import ASSISTANTS, Organization, Server, make_organizations, serving
from tests.databases import on_sqlite, query

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from litestar import Response

CHANGE_SETS = "/api/v1/change-sets"
KEYS = "/api/v1/users/me/api-keys"
_LARGE = {"custom_settings": {f"text {n}": "So it begins. " * 1000 for n in range(70)}}  # 980 kB
_PATH = f"{ASSISTANTS}/1"


_answer_of = stored_answers.answer_of


def store_whole(response: Response[bytes]) -> Answer:
    """What earlier releases stored: the bytes of the body."""
    return msgspec.structs.replace(_answer_of(response), body=response.content)


# -- size


def _pages(database: Path) -> int:
    ((count,),) = query(database, "PRAGMA page_count")
    return int(count)


def _grown(server: Server, organization: Organization, admin: httpx.Client, times: int) -> int:
    """The bytes by which no-ops with a key, on a large assistant, make the database grow."""
    path = f"{ASSISTANTS}/{admin.post(ASSISTANTS, json={'name': 'Large'} | _LARGE).json()['id']}"
    before = _pages(server.database) if on_sqlite() else 0
    for number in range(times):
        answer = admin.patch(path, json={"name": "Large"}, headers=keyed(f"no-op {number}"))
        assert (answer.status_code, answer.json()["version"]) == (200, 1)
        assert len(answer.content) > 900_000
    rows = stored.rows(server.database, organization.id)
    assert len(rows["events"]) == 1
    assert len(rows["answers"]) == times
    if on_sqlite():
        return (_pages(server.database) - before) * 4096
    return sum(len(row["sealed"]) for row in rows["answers"])


def test_no_ops_with_a_key_store_no_settings(tmp_path: Path) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 1)
    (organization,) = waiting
    with serving(database, waiting) as server, server.client(organization.admin) as admin:
        assert _grown(server, organization, admin, 20) < 100_000


def test_answers_that_were_stored_whole_would_fill_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control."""
    monkeypatch.setattr(stored_answers, "answer_of", store_whole)
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 1)
    (organization,) = waiting
    with serving(database, waiting) as server, server.client(organization.admin) as admin:
        assert _grown(server, organization, admin, 3) > 2_500_000


# -- the same bytes


def _prompt(text: str) -> dict[str, Any]:
    return {"llm_settings": {"system_prompt": text}}


_MINE = _prompt("Mine. " * 99) | {"base_version": 3}
# Requests whose bodies show settings, in an order in which each can be made.
_SENT: list[tuple[str, str, Any, dict[str, str]]] = [
    ("POST", ASSISTANTS, {"name": "Night desk", "webhook_url": "https://u:pw@x.io/"}, {}),
    ("PATCH", _PATH, {"llm_provider_config": {"api_key": "sk-of-theirs"}}, {}),
    ("PATCH", _PATH, _prompt("Ask. " * 50), {}),
    ("PATCH", _PATH, _prompt("Ask."), {}),  # with a warning: it shrinks
    ("PATCH", _PATH, {"nothing": 1, "name": "Desk"}, {"prefer": "handling=lenient"}),
    ("PATCH", _PATH, {"name": "Desk"}, {}),  # a no-op
    ("PATCH", _PATH, {"description": "short"}, {"prefer": "return=minimal"}),
    ("PATCH", _PATH, {"base_version": 2, "description": "other", "on_conflict": "theirs"}, {}),
    ("PATCH", _PATH, {"base_version": 2, "description": "other", "on_conflict": "yours"}, {}),
    ("PATCH", _PATH, _prompt("Theirs. " * 99), {}),
    ("PATCH", _PATH, _MINE | {"on_conflict": "theirs"}, {}),
    ("PATCH", _PATH, _MINE | {"on_conflict": "yours"}, {}),
    ("PUT", _PATH, {"llm_settings": {"temperature": 0.25}}, {}),
    ("PATCH", f"{_PATH}/status?is_active=false", None, {}),
    ("POST", f"{_PATH}/rollback", {"to_version": 2}, {}),
    ("POST", f"{_PATH}/undo", {"version": 3, "on_conflict": "force"}, {}),
    ("POST", f"{_PATH}/duplicate", None, {}),
    ("POST", CHANGE_SETS, {"assistant_ids": [2, 1], "patch": _prompt("All. " * 9)}, {}),
    ("POST", CHANGE_SETS, {"assistant_ids": [1, 2], "patch": _prompt("All. " * 9)}, {}),
    ("POST", "revert", {}, {}),
    ("DELETE", _PATH, None, {}),
    ("POST", f"{_PATH}/restore", None, {}),
    ("POST", KEYS, {"name": "CI"}, {}),
]


def _send_all(admin: httpx.Client, set_id: int | None = None) -> tuple[list[httpx.Response], int]:
    """The answers to the requests, each with its key; and the id of the change set."""
    answers: list[httpx.Response] = []
    for number, (verb, path, body, headers) in enumerate(_SENT):
        if path == "revert":
            set_id = set_id or answers[-2].json()["change_set_id"]
            path = f"{CHANGE_SETS}/{set_id}/revert"  # noqa: PLW2901  # known only now
        headers = keyed(f"of {number}") | headers  # noqa: PLW2901  # as above
        answers.append(admin.request(verb, path, json=body, headers=headers))
        assert answers[-1].is_success, answers[-1].text
    return answers, set_id or 0


def _change_everything(admin: httpx.Client) -> None:
    """Later changes, past a keyframe; rotated keys, erased secrets, and a deletion."""
    for number in range(EVERY):
        assert admin.patch(_PATH, json=_prompt(f"It is {number}")).is_success
    assert admin.post("/api/v1/vault/rotate", json={"data_keys": True}).is_success
    assert admin.delete(f"{_PATH}/secrets").is_success
    assert admin.delete("/api/v1/vault/secrets").is_success
    assert admin.delete(_PATH).is_success


def _check_replayed(admin: httpx.Client, first: list[httpx.Response], set_id: int) -> None:
    again, _ = _send_all(admin, set_id)
    for one, other, sent in zip(first, again, _SENT, strict=True):
        assert not is_replayed(one)
        assert is_replayed(other), sent
        assert content_of(other) == content_of(one), sent


def test_a_replayed_answer_has_the_bytes_of_the_first_whatever_came_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 1)
    (organization,) = waiting
    with serving(database, waiting) as server, server.client(organization.admin) as admin:
        first, set_id = _send_all(admin)
        _check_replayed(admin, first, set_id)  # of what is current
        _change_everything(admin)
        before = stored.rows(database, organization.id)
        _check_replayed(admin, first, set_id)
    with serving(database, waiting) as server, server.client(organization.admin) as admin:
        _check_replayed(admin, first, set_id)
        # The control: the current state in place of that of the version.
        monkeypatch.setattr(current, "after", lambda *at: projections.current.load(*at[:1], *at[1]))
        with pytest.raises(AssertionError, match="Night desk"):
            _check_replayed(admin, first, set_id)
    assert stored.rows(database, organization.id) == before
    assert max(len(row["sealed"]) for row in before["answers"]) < 4096


# -- two releases


class _EarlierAnswer(Struct, frozen=True, kw_only=True):
    """An answer as the first releases know it."""

    status: int
    media_type: str
    headers: dict[str, str]
    body: bytes


def test_an_answer_that_an_earlier_release_stored_whole_is_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 1)
    (organization,) = waiting
    with monkeypatch.context() as patched:
        patched.setattr(stored_answers, "answer_of", store_whole)
        with serving(database, waiting) as server, server.client(organization.admin) as admin:
            first, set_id = _send_all(admin)
    with serving(database, waiting) as server, server.client(organization.admin) as admin:
        _check_replayed(admin, first, set_id)


def test_a_process_of_an_earlier_release_does_not_carry_out_again_what_this_one_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 1)
    (organization,) = waiting

    def send(admin: httpx.Client) -> httpx.Response:
        return admin.post(ASSISTANTS, json={"name": "Front desk"}, headers=keyed("once"))

    with serving(database, waiting) as server, server.client(organization.admin) as admin:
        first = send(admin)
        before = stored.rows(database, organization.id)
    with monkeypatch.context() as patched, capture_logs():
        patched.setattr(idempotency, "Answer", _EarlierAnswer)
        with serving(database, waiting) as server, server.client(organization.admin) as admin:
            failed = send(admin)
    assert (failed.status_code, problem(failed)) == (500, "internal")
    assert stored.rows(database, organization.id) == before
    with serving(database, waiting) as server, server.client(organization.admin) as admin:
        assert content_of(send(admin)) == content_of(first)


# -- what changes nothing


_NO_OPS: dict[str, Callable[[httpx.Client], httpx.Response]] = {
    "patch": lambda admin: admin.patch(_PATH, json={"name": "Desk", "change_description": "Why"}),
    "put": lambda admin: admin.put(_PATH, json={"name": "Desk"}),
    "status": lambda admin: admin.patch(f"{_PATH}/status?is_active=true"),
    "rollback": lambda admin: admin.post(f"{_PATH}/rollback", json={"to_version": 1}),
    "change set": lambda admin: admin.post(
        CHANGE_SETS, json={"assistant_ids": [1], "patch": {"name": "Desk"}}
    ),
    "policy": lambda admin: admin.put("/api/v1/policy", json={"require_reason": False}),
    "label": lambda admin: admin.put(f"{_PATH}/versions/1/label", json={"label": "first"}),
    "no label": lambda admin: admin.delete(f"{_PATH}/versions/2/label"),
    "erasure": lambda admin: admin.delete(f"{_PATH}/secrets"),
    "dry run": lambda admin: admin.patch(
        _PATH, json={"name": "New"}, headers=keyed("dry") | {"prefer": "dry-run"}
    ),
}


def test_what_changes_nothing_stores_nothing_at_any_door(
    server: Server, organization: Organization, admin: httpx.Client
) -> None:
    admin.post(ASSISTANTS, json={"name": "Desk"})
    admin.patch(_PATH, json={"description": "New"})
    admin.patch(_PATH, json={"description": None})
    admin.put(f"{_PATH}/versions/1/label", json={"label": "first"})
    before = stored.rows(server.database, organization.id)
    for name, send in _NO_OPS.items():
        for _ in range(2):
            assert send(admin).is_success, name
            assert stored.rows(server.database, organization.id) == before, name
