"""What the API answers from memory is what the database holds, at every moment."""

from __future__ import annotations

import secrets
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from app.assistants.view_cache import ViewCache
from tests.app import stored
from tests.app.api.test_statements import make_ids
from tests.app.route_table import OPERATIONS, Operation
from tests.conftest import ASSISTANTS, make_organizations, serving_process, version_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Organization, Server

WRITES = [one for one in OPERATIONS if one.verb != "GET"]
SECONDS = 2.0
READERS, WRITERS = 6, 3
# Headers that differ between two answers to the same request.
_OF_THE_MOMENT = frozenset(("date", "x-request-id"))


def comparable(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    headers = {name: v for name, v in answer.headers.items() if name not in _OF_THE_MOMENT}
    return answer.status_code, headers, answer.content


@pytest.fixture(scope="module")
def tenant(server: Server) -> Organization:
    return server.organization()


@pytest.fixture(scope="module")
def boss(server: Server, tenant: Organization) -> Iterator[httpx.Client]:
    with server.client(tenant.admin) as client:
        yield client


@pytest.mark.parametrize("operation", WRITES, ids=str)
def test_a_read_after_any_acknowledged_write_shows_it(
    boss: httpx.Client, operation: Operation
) -> None:
    ids = make_ids(boss)
    operation.prepare(boss, ids)
    path = f"{ASSISTANTS}/{ids['assistant_id']}"
    before = [boss.get(path) for _ in range(2)]
    assert comparable(before[0]) == comparable(before[1])
    assert operation.send(boss, ids).is_success
    for _ in range(2):
        now, truth = boss.get(path), boss.get(path, params={"version": "latest"})
        assert now.status_code == truth.status_code
        listed = {one["id"]: one for one in boss.get(ASSISTANTS, params={"limit": 1000}).json()}
        if truth.is_success:
            assert now.content == truth.content
            assert version_of(now) == version_of(truth)
        assert listed.get(ids["assistant_id"]) == (truth.json() if truth.is_success else None)


@pytest.mark.sqlite  # elsewhere it is compared with the version
def test_a_view_that_is_cached_is_answered_without_a_statement(
    editor: httpx.Client, assistant: dict[str, Any]
) -> None:
    path = f"{ASSISTANTS}/{assistant['id']}"
    editor.get(path)
    tag = editor.get(path).headers["etag"]
    with stored.statements() as seen:
        for held, status in ((tag, 304), ('"1"', 200), ('"2"', 200)):
            assert editor.get(path, headers={"if-none-match": held}).status_code == status
    assert [one for one in seen if one.table == "assistants"] == []
    with stored.statements() as seen:  # the control: this one does ask
        editor.get(path, params={"version": "1"})
    assert [one for one in seen if one.table == "assistants"]


@pytest.mark.sqlite  # elsewhere each read compares the version
def test_what_was_just_changed_is_read_from_memory(
    editor: httpx.Client, assistant: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{ASSISTANTS}/{assistant['id']}"

    def tables_read_after_a_change() -> set[str | None]:
        changed = editor.patch(path, json={"description": secrets.token_hex()})
        with stored.statements() as seen:
            read = editor.get(path)
        assert (read.content, read.headers["etag"]) == (changed.content, changed.headers["etag"])
        return {one.table for one in seen} & {"assistants"}

    assert tables_read_after_a_change() == set()
    keep = ViewCache.after_commit
    monkeypatch.setattr(ViewCache, "after_commit", lambda views, _: keep(views, {}))
    assert tables_read_after_a_change() == {"assistants"}  # the control


@pytest.mark.parametrize(
    ("plain", "other"),
    [
        ({}, {"if-none-match": 'W/"7"'}),
        ({"if-none-match": '"7"'}, {"if-none-match": '"7", "8"'}),
        ({"if-none-match": '"1"'}, {"if-none-match": '"1", "8"'}),
        ({"if-none-match": "{}"}, {"if-none-match": '{}, "8"'}),
        ({"if-none-match": "{}"}, {"if-none-match": "W/{}"}),
        ({"if-none-match": "{}"}, {"if-none-match": "*"}),
        ({"prefer": "return=minimal"}, {"if-match": '"1"'}),
    ],
)
def test_the_fast_path_answers_as_the_route_does(
    editor: httpx.Client,
    assistant: dict[str, Any],
    plain: dict[str, str],
    other: dict[str, str],
) -> None:
    path = f"{ASSISTANTS}/{assistant['id']}"
    tag = editor.get(path).headers["etag"]

    def get(headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        filled = {name: value.replace("{}", tag) for name, value in headers.items()}
        return comparable(editor.get(path, headers=filled))

    assert get(plain) == get(other)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"headers": {"authorization": "Bearer none"}}, 401),
        ({"headers": {"if-none-match": "7"}}, 422),
        ({"headers": {"if-none-match": '"7'}}, 422),
        ({"headers": {"if-match": "7"}}, 422),
        ({"headers": {"accept-datetime": "yesterday"}}, 400),
        ({"params": {"version": "0"}}, 404),
        ({"params": {"as_of": "1999-01-01T00:00:00Z"}}, 404),
    ],
    ids=str,
)
def test_what_is_cached_hides_no_refusal(
    editor: httpx.Client, assistant: dict[str, Any], change: dict[str, Any], status: int
) -> None:
    path = f"{ASSISTANTS}/{assistant['id']}"
    assert editor.get(path).status_code == 200
    assert editor.get(path, **change).status_code == status


def test_what_one_organization_reads_no_other_is_shown(server: Server) -> None:
    ours, others = server.organization(), server.organization()
    with server.client(ours.admin) as boss, server.client(others.admin) as outsider:
        number = boss.post(ASSISTANTS, json={"name": "Ours"}).json()["id"]
        for _ in range(2):
            assert boss.get(f"{ASSISTANTS}/{number}").json()["name"] == "Ours"
            assert outsider.get(f"{ASSISTANTS}/{number}").status_code == 404


def stale_reads(server: Server, organization: Organization) -> tuple[int, int]:
    """The number of reads, and how many of them showed an older version than an earlier read.

    Readers take turns between the plain read and the list, which reads the database.
    """
    newest = {"version": 0}
    counted, stale = [], []
    until = time.monotonic() + SECONDS

    def see(version: int, floor: int) -> None:
        counted.append(version)
        if version < floor:
            stale.append(version)
        newest["version"] = max(newest["version"], version)

    def read(number: int) -> None:
        with server.client(organization.viewer) as client:
            while time.monotonic() < until:
                floor = newest["version"]
                if number % 3:
                    see(client.get(f"{ASSISTANTS}/1").json()["version"], floor)
                else:
                    see(client.get(ASSISTANTS).json()[0]["version"], floor)

    def write(number: int) -> None:
        with server.client(organization.editor) as client:
            count = 0
            while time.monotonic() < until:
                count += 1
                body = {"description": f"{number}, {count}"}
                floor = newest["version"]
                see(client.patch(f"{ASSISTANTS}/1", json=body).json()["version"], floor)

    with server.client(organization.editor) as client:
        assert client.post(ASSISTANTS, json={"name": "Front desk"}).is_success
    threads = [threading.Thread(target=read, args=(n,)) for n in range(READERS)]
    threads += [threading.Thread(target=write, args=(n,)) for n in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(counted), len(stale)


_GUARDED = ""
_WITHOUT_INVALIDATION = """
from app.assistants.view_cache import Listed, ViewCache, listed
ViewCache.before_commit = lambda self, keys: None
"""


@pytest.mark.parametrize(
    ("preamble", "is_guarded"),
    [
        (_GUARDED, True),
        pytest.param(
            _WITHOUT_INVALIDATION, False, marks=pytest.mark.sqlite
        ),  # elsewhere none is needed
    ],
)
def test_no_reader_is_shown_less_than_somebody_saw_before(
    tmp_path: Path, preamble: str, *, is_guarded: bool
) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 1)
    with serving_process(database, waiting, preamble=preamble) as running:
        count, stale = stale_reads(running, running.organization())
    assert count > 50
    assert (stale == 0) is is_guarded
