"""A view that is remembered shows what the database holds, to everybody and at every moment."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest

from app.accounts.principals import Seen
from app.assistants import changes, representation
from app.assistants.requests import ChangeRequest
from app.assistants.view_cache import Listed, View, ViewCache, listed
from app.services import utc_now
from app.storage.database import Database
from app.transactions.caller import system
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import open_vault
from events.assistant_key import AssistantKey
from events.bodies.patch import read_create, read_patch
from events.changed import Cause
from events.errors import AssistantNotFound
from projections import current
from projections.current import Selection
from tests.app import stored
from tests.app.api.test_statements import make_ids
from tests.app.route_table import OPERATIONS, Operation
from tests.conftest import ASSISTANTS, make_organizations, serving_process, version_of
from tests.databases import config_of, copy_database, url_of, writing_engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.conftest import Organization, Server

WRITES = [one for one in OPERATIONS if one.verb != "GET"]
SECONDS = 2.0
READERS, WRITERS = 6, 3
# Headers that differ between two answers to the same request.
_OF_THE_MOMENT = frozenset(("date", "x-request-id"))


def said(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    headers = {name: v for name, v in answer.headers.items() if name not in _OF_THE_MOMENT}
    return answer.status_code, headers, answer.content


@pytest.fixture(scope="module")
def tenant(server: Server) -> Organization:
    return server.organization()


@pytest.fixture(scope="module")
def boss(server: Server, tenant: Organization) -> Iterator[httpx.Client]:
    with server.client(tenant.admin) as client:
        yield client


# -- over HTTP


@pytest.mark.parametrize("operation", WRITES, ids=str)
def test_a_reading_after_any_acknowledged_write_shows_it(
    boss: httpx.Client, operation: Operation
) -> None:
    ids = make_ids(boss)
    operation.prepare(boss, ids)
    path = f"{ASSISTANTS}/{ids['assistant_id']}"
    before = [boss.get(path) for _ in range(2)]
    assert said(before[0]) == said(before[1])
    assert operation.send(boss, ids).is_success
    for _ in range(2):
        now, truth = boss.get(path), boss.get(path, params={"version": "latest"})
        assert now.status_code == truth.status_code
        listed = {one["id"]: one for one in boss.get(ASSISTANTS, params={"limit": 1000}).json()}
        if truth.is_success:
            assert now.content == truth.content
            assert version_of(now) == version_of(truth)
        assert listed.get(ids["assistant_id"]) == (truth.json() if truth.is_success else None)


@pytest.mark.sqlite  # elsewhere it is held against the version
def test_a_view_that_is_remembered_is_answered_without_a_statement(
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


@pytest.mark.sqlite  # elsewhere each reading compares the version
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
def test_the_shortcut_answers_as_the_route_does(
    editor: httpx.Client,
    assistant: dict[str, Any],
    plain: dict[str, str],
    other: dict[str, str],
) -> None:
    path = f"{ASSISTANTS}/{assistant['id']}"
    tag = editor.get(path).headers["etag"]

    def get(headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        filled = {name: value.replace("{}", tag) for name, value in headers.items()}
        return said(editor.get(path, headers=filled))

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
def test_what_is_remembered_hides_no_refusal(
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


# -- many at once


def stale_readings(server: Server, organization: Organization) -> tuple[int, int]:
    """How many readings there were, and how many showed less than somebody had seen before.

    Readers take turns between the plain reading and the list, which reads the database.
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
_NEVER_FORGETS = """
from app.assistants.view_cache import Listed, ViewCache, listed
ViewCache.before_commit = lambda self, keys: None
"""


@pytest.mark.parametrize(
    ("preamble", "is_guarded"),
    [
        (_GUARDED, True),
        pytest.param(_NEVER_FORGETS, False, marks=pytest.mark.sqlite),  # elsewhere none is needed
    ],
)
def test_no_reader_is_shown_less_than_somebody_saw_before(
    tmp_path: Path, preamble: str, *, is_guarded: bool
) -> None:
    database = tmp_path / "backstory.db"
    waiting = make_organizations(database, 1)
    with serving_process(database, waiting, preamble=preamble) as running:
        count, stale = stale_readings(running, running.organization())
    assert count > 50
    assert (stale == 0) is is_guarded


# -- the memory itself


def kept(views: ViewCache, number: int) -> bool:
    return views._views.peek(AssistantKey(1, number)) is not None  # noqa: SLF001  # nobody else asks


class Slow:
    """Makes each glance at a database wait with its result until it may go, as a server may."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self._glance = database.glance
        self.has_read, self.may_go = asyncio.Event(), asyncio.Event()
        monkeypatch.setattr(database, "glance", self.glance)

    async def glance(self, query: Any, **values: Any) -> Any:
        result = await self._glance(query, **values)
        self.has_read.set()
        await self.may_go.wait()
        return result


class Beside:
    """A database that somebody else writes, and what reads it."""

    def __init__(self, path: Path, database: Database) -> None:
        self.database = database
        self._path = path
        self._safe = open_vault(config_of(path))
        self._engine = writing_engine(path)
        self._caller = system(1, "tests")

    def create(self, description: str = "", **settings: Any) -> None:
        with self._engine.begin() as connection:
            unit = UnitOfWork(connection, self._safe, utc_now)
            settings = {"name": "Front desk", "description": description} | settings
            patch = read_create(settings)
            changes.create(unit, self._caller, patch)
            unit.flush()

    def change(self, assistant_id: int, name: str) -> None:
        with self._engine.begin() as connection:
            unit = UnitOfWork(connection, self._safe, utc_now)
            change_request = ChangeRequest(caller=self._caller, assistant_id=assistant_id)
            changes.change(unit, change_request, read_patch({"name": name}), Cause(type="patch"))
            unit.flush()

    def delete(self, assistant_id: int) -> None:
        with self._engine.begin() as connection:
            unit = UnitOfWork(connection, self._safe, utc_now)
            changes.delete(unit, ChangeRequest(caller=self._caller, assistant_id=assistant_id))
            unit.flush()

    def copied(self, path: Path) -> Beside:
        """The same as of now, in a database of its own."""
        self._engine.dispose()
        copy_database(self._path, path)
        return Beside(path, Database(url_of(path)))

    def close(self) -> None:
        self._engine.dispose()


@asynccontextmanager
async def beside(folder: Path) -> AsyncIterator[Beside]:
    path = folder / "backstory.db"
    make_organizations(path, 1)
    database = Database(url_of(path))
    writer = Beside(path, database)
    try:
        yield writer
    finally:
        writer.close()
        await database.close()


@pytest.mark.parametrize("is_guarded", [True, False])
def test_what_was_read_before_a_change_is_not_remembered_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_guarded: bool
) -> None:
    async def story() -> tuple[int, int]:
        async with beside(tmp_path) as writer:
            writer.create()
            slow = Slow(writer.database, monkeypatch)
            views = ViewCache(writer.database, is_alone=True)
            early = asyncio.create_task(views.view(AssistantKey(1, 1)))
            await slow.has_read.wait()
            if is_guarded:
                views.before_commit([AssistantKey(1, 1)])
            writer.change(1, "Night desk")
            views.after_commit({})
            slow.may_go.set()
            return (await early).version, (await views.view(AssistantKey(1, 1))).version

    assert asyncio.run(story()) == (1, 2 if is_guarded else 1)


def test_who_reads_while_a_change_is_committed_reads_the_database(tmp_path: Path) -> None:
    async def story() -> None:
        async with beside(tmp_path) as writer:
            writer.create()
            views = ViewCache(writer.database, is_alone=True)
            assert (await views.view(AssistantKey(1, 1))).version == 1
            views.before_commit([AssistantKey(1, 1)])
            assert (await views.view(AssistantKey(1, 1))).version == 1
            writer.change(1, "Night desk")
            assert (await views.view(AssistantKey(1, 1))).version == 2  # others may have seen it
            views.after_commit({})
            assert not kept(views, 1)
            assert (await views.view(AssistantKey(1, 1))).version == 2
            assert kept(views, 1)

    asyncio.run(story())


@pytest.mark.parametrize("is_guarded", [True, False])
def test_what_was_listed_before_a_change_is_not_remembered_after_it(
    tmp_path: Path, *, is_guarded: bool
) -> None:
    async def story() -> tuple[list[int], int, list[int]]:
        async with beside(tmp_path) as writer:
            for _ in range(3):
                writer.create()
            views = ViewCache(writer.database, is_alone=True)
            reading = writer.database.snapshot

            async def slow(work: Any, *args: Any, **named: Any) -> Any:
                found = await reading(work, *args, **named)
                if is_guarded:
                    views.before_commit([AssistantKey(1, 2)])
                writer.change(2, "Night desk")
                views.after_commit({})
                return found

            monkeypatch = pytest.MonkeyPatch()
            monkeypatch.setattr(writer.database, "snapshot", slow)
            monkeypatch.setattr(
                views, "after_commit", views.after_commit if is_guarded else lambda _: None
            )
            before = versions(await views.select(1, Selection(), skip=0, limit=2))
            monkeypatch.undo()
            after = versions(await views.select(1, Selection(), skip=0, limit=2))
            return before, (await views.view(AssistantKey(1, 2))).version, after

    now = 2 if is_guarded else 1
    assert asyncio.run(story()) == ([1, 1], now, [1, now])


@pytest.mark.parametrize("is_guarded", [True, False])
def test_a_list_that_is_read_while_a_commit_runs_is_not_remembered(
    tmp_path: Path, *, is_guarded: bool
) -> None:
    async def story() -> list[int]:
        async with beside(tmp_path) as writer:
            writer.create()
            views = ViewCache(writer.database, is_alone=True)
            if is_guarded:
                views.before_commit([AssistantKey(1, 1)])
            assert versions(await views.select(1, Selection(), skip=0, limit=2)) == [1]
            writer.change(1, "Night desk")
            views.after_commit({})
            return versions(await views.select(1, Selection(), skip=0, limit=2))

    assert asyncio.run(story()) == [2 if is_guarded else 1]


def test_a_list_reads_only_what_is_not_remembered(tmp_path: Path) -> None:
    async def story() -> None:
        async with beside(tmp_path) as writer:
            for _ in range(3):
                writer.create()
            views = ViewCache(writer.database, is_alone=True)
            first = await views.select(1, Selection(), skip=0, limit=9)
            assert versions(first) == [1, 1, 1]
            shown = [await views.view(AssistantKey(1, number)) for number in (3, 2, 1)]
            bodies = [view.body for view in shown]
            again = listed(1, bodies, Selection(), 0, 9)
            assert (first.body, first.tag) == (again.body, again.tag)
            assert first.body == b"[" + b",".join(bodies) + b"]"
            assert await views.select(1, Selection(), skip=0, limit=9) is first
            views.before_commit([AssistantKey(1, 2)])
            writer.change(2, "Night desk")
            views.after_commit({})
            second = await views.select(1, Selection(), skip=0, limit=9)
            assert versions(second) == [1, 2, 1]
            assert [
                await views.view(AssistantKey(1, number)) is one
                for number, one in zip((3, 2, 1), shown, strict=True)
            ] == [True, False, True]
            assert versions(await views.select(1, Selection(), skip=1, limit=1)) == [2]

    asyncio.run(story())


def versions(found: Listed) -> list[int]:
    return [assistant["version"] for assistant in msgspec.json.decode(found.body)]


def test_a_reading_that_fails_is_not_remembered(tmp_path: Path) -> None:
    async def story() -> None:
        async with beside(tmp_path) as writer:
            views = ViewCache(writer.database, is_alone=True)
            for _ in range(2):
                with pytest.raises(AssistantNotFound):
                    await views.view(AssistantKey(1, 1))
            writer.create()
            assert (await views.view(AssistantKey(1, 1))).version == 1

    asyncio.run(story())


@pytest.mark.parametrize("is_alone", [False, True])
def test_where_others_write_each_reading_looks_at_the_version(
    tmp_path: Path, *, is_alone: bool
) -> None:
    async def story() -> tuple[int, bool, bool]:
        async with beside(tmp_path) as writer:
            writer.create()
            views = ViewCache(writer.database, is_alone=is_alone)
            first = await views.view(AssistantKey(1, 1))
            is_same = await views.view(AssistantKey(1, 1)) is first
            writer.change(1, "Night desk")
            version = (await views.view(AssistantKey(1, 1))).version
            writer.delete(1)
            try:
                await views.view(AssistantKey(1, 1))
            except AssistantNotFound:
                return version, is_same, True
            return version, is_same, False

    # The control is who thinks itself alone, and is not.
    assert asyncio.run(story()) == ((1, True, False) if is_alone else (2, True, True))


@pytest.mark.parametrize("is_guarded", [True, False])
def test_a_version_of_another_history_is_not_the_one_that_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_guarded: bool
) -> None:
    """The database is put back to an older copy, and changed as often as the one before."""

    async def story() -> tuple[list[str], list[str]]:
        async with beside(tmp_path) as writer:
            writer.create()
            older = writer.copied(tmp_path / "older.db")
            views = ViewCache(writer.database, is_alone=False)
            for one, name in ((writer, "Lost"), (older, "Kept")):
                one.change(1, name)
            before = await names(views)
            monkeypatch.setattr(views, "_database", older.database)
            after = await names(views)
            older.close()
            await older.database.close()
            return before, after

    if not is_guarded:
        monkeypatch.setattr(View, "has", lambda self, stamp: self.version == stamp[0])
    after = "Kept" if is_guarded else "Lost"
    assert asyncio.run(story()) == (["Lost", "Lost"], [after, after])


async def names(views: ViewCache) -> list[str]:
    """What the assistant is called where it is read alone, and in the list."""
    alone = msgspec.json.decode((await views.view(AssistantKey(1, 1))).body)
    (of_list,) = msgspec.json.decode((await views.select(1, Selection(), skip=0, limit=2)).body)
    return [alone["name"], of_list["name"]]


@pytest.mark.parametrize("is_guarded", [True, False])
def test_what_may_be_stale_is_never_older_than_what_the_same_process_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_guarded: bool
) -> None:
    """One reading begins before the commit, and one while it runs; both end after it."""

    async def story() -> tuple[list[int], int]:
        async with beside(tmp_path) as writer:
            writer.create()
            slow = Slow(writer.database, monkeypatch)
            views = ViewCache(writer.database, is_alone=False, staleness=timedelta(hours=1))
            early = asyncio.create_task(views.view(AssistantKey(1, 1)))
            await slow.has_read.wait()
            slow.has_read.clear()
            views.before_commit([AssistantKey(1, 1)])
            meanwhile = asyncio.create_task(views.view(AssistantKey(1, 1)))
            await slow.has_read.wait()
            writer.change(1, "Night desk")
            views.after_commit({})
            slow.may_go.set()
            shown = [(await one).version for one in (early, meanwhile)]
            return shown, (await views.view(AssistantKey(1, 1))).version

    if not is_guarded:
        for name in ("before_commit", "after_commit"):
            monkeypatch.setattr(ViewCache, name, lambda *_: None)
    assert asyncio.run(story()) == ([1, 1], 2 if is_guarded else 1)


def test_memory_is_bounded_and_what_was_read_first_goes_first(tmp_path: Path) -> None:
    async def story() -> None:
        async with beside(tmp_path) as writer:
            for _ in range(6):
                writer.create()
            writer.create("x" * 30_000)
            sizes = ViewCache(writer.database, is_alone=True)
            await sizes.view(AssistantKey(1, 1))
            room = sizes.size * 4 + 100
            views = ViewCache(writer.database, is_alone=True, most_bytes=room)
            for number in (1, 2, 3, 4, 1, 5, 6):
                await views.view(AssistantKey(1, number))
                assert views.size <= room
            known = [number for number in range(1, 8) if kept(views, number)]
            assert known == [1, 4, 5, 6]
            await views.view(AssistantKey(1, 7))  # larger than all of it: it is not kept
            assert not kept(views, 7)
            assert kept(views, 6)

    asyncio.run(story())


@pytest.mark.parametrize("is_guarded", [True, False])
def test_a_stamp_that_was_read_with_the_key_is_compared_and_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_guarded: bool
) -> None:
    async def story() -> list[int]:
        async with beside(tmp_path) as writer:
            writer.create()
            views = ViewCache(writer.database, is_alone=False)
            key = AssistantKey(1, 1)
            old = seen_with(await views.view(key))
            with stored.statements() as statements:
                assert (await views.view(key, old)).version == 1
            assert statements == []
            with stored.statements() as statements:  # the control: without it, one is read
                assert (await views.view(key, seen_with())).version == 1
            assert len(statements) == 1
            writer.change(1, "Night desk")
            new = seen_with(await ViewCache(writer.database, is_alone=False).view(key))
            return [(await views.view(key, one)).version for one in (new, new)]

    if not is_guarded:
        monkeypatch.setattr(View, "has", lambda *_: True)
    assert asyncio.run(story()) == ([2, 2] if is_guarded else [1, 1])


def seen_with(view: View | None = None) -> Seen:
    """What is read with a key while the database holds a view; nothing of it without one."""
    return Seen(read_at=0, head=(0, b""), stamps={1: view.stamp} if view else {})


@pytest.mark.parametrize("is_alone", [False, True])
def test_a_list_of_an_unchanged_organization_needs_no_query_but_for_the_head_of_its_log(
    tmp_path: Path, *, is_alone: bool
) -> None:
    async def story() -> tuple[list[int], list[int]]:
        async with beside(tmp_path) as writer:
            writer.create()
            views = ViewCache(writer.database, is_alone=is_alone)
            first = await views.select(1, Selection(), skip=0, limit=9)
            with stored.statements() as statements:
                assert await views.select(1, Selection(), skip=0, limit=9) is first
            assert [one.table for one in statements] == ([] if is_alone else ["organizations"])
            seen = Seen(read_at=0, head=first.head, stamps={})  # type: ignore[arg-type]
            with stored.statements() as statements:
                assert await views.select(1, Selection(), skip=0, limit=9, seen=seen) is first
            assert statements == []
            writer.change(1, "Night desk")
            changed = await views.select(1, Selection(), skip=0, limit=9)
            return versions(first), versions(changed)

    # The control is who thinks itself alone, and is not.
    assert asyncio.run(story()) == ([1], [1 if is_alone else 2])


@pytest.mark.parametrize("size", [30_000, 90_000])
def test_what_is_shown_in_its_stored_bytes_is_what_is_shown_of_its_state(
    tmp_path: Path, size: int
) -> None:
    """A large row is not read on the event loop, and secrets are masked."""
    secret: dict[str, Any] = {"llm_provider_config": {"api_key": "sk-hidden"}}
    large: dict[str, Any] = {"llm_settings": {"system_prompt": '\u00e9"$secret": ' + "x" * size}}

    async def story() -> None:
        async with beside(tmp_path) as writer:
            for settings in ({}, large, secret, large | secret):
                writer.create(**settings)
            views = ViewCache(writer.database, is_alone=True)
            for number in range(1, 5):
                key = AssistantKey(1, number)
                with stored.statements() as statements:
                    view = await views.view(key)
                is_large = size > 64 * 1024 and number in (2, 4)
                assert len(statements) == (2 if is_large else 1)
                state = await writer.database.read(current.load, *key)
                assert state is not None
                shown = representation.of(*key, state)
                assert (view.body, view.tag) == (shown.body, shown.tag)
                assert view.stamp == current.stamp_of(state)
                assert b"sk-hidden" not in view.body

    asyncio.run(story())
