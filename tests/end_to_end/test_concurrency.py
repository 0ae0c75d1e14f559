"""Many clients at once: nothing that was answered is lost, and nothing has a hole."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import sqlalchemy as sa

from app.assistants import changes as service
from app.assistants import current
from app.services import Services, open_services, utc_now
from app.storage.disk_state import DiskFull, DiskState, WritingSuspended
from app.transactions.caller import Caller
from app.transactions.unit_of_work import UnitOfWork
from app.transactions.write_queue import OutcomeUnknown
from events.assistant_key import AssistantKey
from events.bodies.patch import read_create, read_patch
from events.changed import Actor, Cause
from events.commands import ChangeSettings
from events.errors import AssistantNotFound, InvalidSettings
from tests.conftest import ASSISTANTS, Organization, make_organizations, version_of
from tests.databases import chosen, config_of, copy_database, edited, execute, unguarded
from tests.end_to_end.acknowledged import Acknowledged, log_of, prove
from tests.end_to_end.processes import EQUAL, Running, client, run, serving

T = TypeVar("T")

CLIENTS = 32
EVERY = 10  # one in so many requests is one that must be refused
MISSING = 4_711
# The second reaches the batch and is refused there: only the state tells that no secret is kept.
REFUSED: list[tuple[dict[str, Any], int]] = [
    ({"max_call_length": 0}, 422),
    ({"llm_fallback_providers": {"fallbacks": [{"provider": "x", "api_key": "********"}]}}, 422),
]


# -- a real server, many clients


async def patch_all(
    running: Running, organizations: list[Organization], patches: int
) -> list[Acknowledged]:
    """Share the patches out among the clients; what each was told, in no order."""
    per_client = [len(range(n, patches, CLIENTS)) for n in range(CLIENTS)]
    answered = await asyncio.gather(
        *(
            one_client(running.url, organizations[number % len(organizations)], number, count)
            for number, count in enumerate(per_client)
        )
    )
    return [change for changes in answered for change in changes]


async def one_client(
    url: str, organization: Organization, number: int, patches: int
) -> list[Acknowledged]:
    changes = []
    headers = {"authorization": f"Bearer {organization.editor}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as editor:
        for turn in range(patches):
            assistant_id = 1 + turn % 2
            reason = f"client {number}, turn {turn}"
            body = {"custom_settings": {f"of_{number}": turn}, "change_description": reason}
            answer = await editor.patch(f"{ASSISTANTS}/{assistant_id}", json=body)
            assert answer.status_code == 200, answer.text
            version = version_of(answer)
            assert answer.json()["custom_settings"][f"of_{number}"] == turn
            changes.append(Acknowledged(organization.id, assistant_id, version, reason))
            if turn % EVERY == 0:
                await be_refused(editor, assistant_id)
    return changes


async def be_refused(editor: httpx.AsyncClient, assistant_id: int) -> None:
    reason = {"change_description": "refused"}
    for body, status in REFUSED:
        answer = await editor.patch(f"{ASSISTANTS}/{assistant_id}", json=body | reason)
        assert answer.status_code == status, answer.text
    answer = await editor.patch(f"{ASSISTANTS}/{MISSING}", json={"is_active": False} | reason)
    assert answer.status_code == 404, answer.text


def history(running: Running, organization: Organization, assistant_id: int) -> dict[int, Any]:
    """The whole settings history as the API pages it, by version."""
    found = {}
    with client(running.url, organization.viewer) as viewer:
        following: str | None = f"{ASSISTANTS}/{assistant_id}/settings-history?limit=200"
        while following:
            page = viewer.get(following)
            found.update({entry["version"]: entry for entry in page.json()})
            link = re.fullmatch(r'<(.*)>; rel="next"', page.headers.get("link", ""))
            following = link[1] if link else None
    return found


@pytest.mark.parametrize("patches", [640, pytest.param(2_000, marks=pytest.mark.long)])
def test_what_32_clients_were_told_is_all_in_the_history_and_nothing_is_between(
    tmp_path: Path, patches: int
) -> None:
    """The long form: ``.venv/bin/pytest -m long -k 32_clients tests/end_to_end``."""
    database = tmp_path / "backstory.db"
    organizations = make_organizations(database, 2)
    with serving(database) as running:
        for organization in organizations:
            with client(running.url, organization.editor) as editor:
                for name in ("One", "Two"):
                    assert editor.post(ASSISTANTS, json={"name": name}).json()["version"] == 1
        changes = asyncio.run(patch_all(running, organizations, patches))
        assert len(changes) == patches
        assert len({(c.organization_id, c.assistant_id, c.version) for c in changes}) == patches
        for organization in organizations:
            own = [c for c in changes if c.organization_id == organization.id]
            log = log_of(database, organization.id)
            prove(own, log)
            assert len(log) == len(own) + 2  # the two creations; the refused left nothing
            for assistant_id in (1, 2):
                entries = history(running, organization, assistant_id)
                told = {c.version: c.reason for c in own if c.assistant_id == assistant_id}
                said = {v: entry["change_description"] for v, entry in entries.items()}
                assert said == told
                assert sorted(entries) == list(range(2, len(entries) + 2))
        checked = run(tmp_path, "check")
        assert (checked.returncode, checked.stdout) == (0, EQUAL)

    # Controls, on copies: the same proofs fail when one event, or one byte of a view, is another.
    log = log_of(without_one_event(database, tmp_path / "hole"), 1)
    with pytest.raises(AssertionError):
        prove([], log)
    with pytest.raises(AssertionError):
        prove([Acknowledged(1, 1, 2, "nobody said this")], log_of(database, 1))
    assert run(with_another_byte(database, tmp_path / "byte"), "check").returncode == 1


def without_one_event(database: Path, folder: Path) -> Path:
    copied = copy(database, folder)
    execute(copied, unguarded("events_are_not_deleted"))
    execute(copied, "DELETE FROM events WHERE organization_id = 1 AND sequence = 100")
    return copied


def with_another_byte(database: Path, folder: Path) -> Path:
    another = edited("settings", '"of_0":', '"of_0": ')
    which = "organization_id = 1 AND assistant_id = 1"
    execute(copy(database, folder), f"UPDATE assistants SET settings = {another} WHERE {which}")
    return folder


def copy(database: Path, folder: Path) -> Path:
    folder.mkdir()
    return copy_database(database, folder / database.name)


# -- one batch, in this process, on a real database


CALLER = Caller(organization_id=1, actor=Actor(type="api_key", id=1, name="admin key", user_id=1))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    make_organizations(tmp_path / "backstory.db", 1)
    return tmp_path / "backstory.db"


def with_services(database: Path, scenario: Callable[[Services], Awaitable[T]]) -> T:
    """Run a scenario that has one assistant, whose id is 1."""

    async def opened() -> T:
        async with open_services(config_of(database)) as services:
            named = read_create({"name": "Front desk"})
            await services.writer.write(
                CALLER.organization_id, lambda unit: service.create(unit, CALLER, named)
            )
            return await scenario(services)

    return asyncio.run(opened())


def change(number: int, **settings: Any) -> Callable[[UnitOfWork], int]:
    """Work that changes the assistant, and answers its version."""
    settings = settings or {"custom_settings": {f"of_{number}": number}}
    patch = read_patch(settings | {"change_description": f"change {number}"})

    def work(unit: UnitOfWork) -> int:
        command = ChangeSettings(patch=patch.tree, cause=Cause(type="patch"))
        return unit.handle(CALLER, 1, command, patch.reason)[1].version

    return work


def broken(unit: UnitOfWork) -> int:
    change(99)(unit)
    raise ZeroDivisionError("by a defect, after it had recorded a change")


async def together(services: Services, *works: Callable[[UnitOfWork], int]) -> list[Any]:
    """Let work wait side by side, which puts it into one batch."""
    return await asyncio.gather(
        *(services.writer.write(1, work) for work in works), return_exceptions=True
    )


def reasons(database: Path) -> list[str | None]:
    return [event.reason for event in log_of(database, 1)[1:]]


@contextmanager
def counted_commits() -> Iterator[list[sa.Connection]]:
    """The commits of every engine while the context is open."""
    counted: list[sa.Connection] = []

    def count(connection: sa.Connection) -> None:
        counted.append(connection)

    sa.event.listen(sa.Engine, "commit", count)
    try:
        yield counted
    finally:
        sa.event.remove(sa.Engine, "commit", count)


def test_work_that_breaks_leaves_its_batch_alone(database: Path) -> None:
    outcomes = with_services(database, lambda s: together(s, change(1), broken, change(2)))
    assert [outcomes[0], outcomes[2]] == [2, 3]
    assert isinstance(outcomes[1], ZeroDivisionError)
    assert reasons(database) == ["change 1", "change 2"]
    prove([Acknowledged(1, 1, 2, "change 1")], log_of(database, 1))


def test_control_in_one_plain_transaction_it_takes_the_others_with_it(database: Path) -> None:
    async def scenario(services: Services) -> None:
        def work(connection: sa.Connection) -> None:
            unit = UnitOfWork(connection, services.vault, utc_now)
            for one in (change(1), broken, change(2)):
                one(unit)
            unit.flush()

        with pytest.raises(ZeroDivisionError):
            await services.database.write(work)

    with_services(database, scenario)
    assert reasons(database) == []


def test_refused_work_shares_one_commit_with_its_neighbours(database: Path) -> None:
    async def scenario(services: Services) -> tuple[list[Any], int]:
        def missing(unit: UnitOfWork) -> int:
            command = ChangeSettings(patch={"is_active": False}, cause=Cause(type="patch"))
            return unit.handle(CALLER, MISSING, command)[1].version

        invalid = change(99, **REFUSED[1][0])
        with counted_commits() as commits:
            outcomes = await together(services, missing, change(1), invalid, change(2), missing)
        return outcomes, len(commits)

    outcomes, commits = with_services(database, scenario)
    assert [outcomes[1], outcomes[3]] == [2, 3]
    assert [type(outcomes[n]) for n in (0, 2, 4)] == [
        AssistantNotFound, InvalidSettings, AssistantNotFound,
    ]  # fmt: skip
    assert commits == 1
    assert reasons(database) == ["change 1", "change 2"]


def test_each_of_a_batch_is_decided_against_what_the_one_before_it_left(database: Path) -> None:
    same = {"llm_settings": {"temperature": 0.9}}
    outcomes = with_services(
        database, lambda s: together(s, change(1, **same), change(2, **same), change(3))
    )
    assert outcomes == [2, 2, 3]
    assert reasons(database) == ["change 1", "change 3"]


@pytest.mark.sqlite
def test_a_change_that_does_not_fit_on_the_disk_fails_alone(database: Path) -> None:
    async def scenario(services: Services) -> list[Any]:
        await services.database.write(leave_room_for(pages=100))
        huge = change(99, llm_settings={"system_prompt": "x" * 1_000_000})
        return await together(services, change(1), huge, change(2))

    outcomes = with_services(database, scenario)
    assert [outcomes[0], outcomes[2]] == [2, 3]
    assert isinstance(outcomes[1], DiskFull)
    assert reasons(database) == ["change 1", "change 2"]


def leave_room_for(pages: int) -> Callable[[sa.Connection], None]:
    def work(connection: sa.Connection) -> None:
        used = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {used + pages}")

    return work


def test_waiting_writes_share_commits(database: Path) -> None:
    async def scenario(services: Services) -> int:
        with counted_commits() as commits:
            versions = await together(services, *map(change, range(256)))
        assert versions == list(range(2, 258))
        return len(commits)

    assert with_services(database, scenario) <= 256 // 32


def test_control_writes_that_do_not_wait_together_have_a_commit_each(database: Path) -> None:
    async def scenario(services: Services) -> int:
        with counted_commits() as commits:
            for number in range(64):
                assert await services.writer.write(1, change(number)) == number + 2
        return len(commits)

    assert with_services(database, scenario) == 64


def test_a_client_that_goes_away_leaves_its_batch_alone(database: Path) -> None:
    async def scenario(services: Services) -> list[Any]:
        leaving = asyncio.create_task(services.writer.write(1, change(99)))
        staying = asyncio.create_task(services.writer.write(1, change(1)))
        leaving.cancel()
        return list(await asyncio.gather(leaving, staying, return_exceptions=True))

    outcomes = with_services(database, scenario)
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert outcomes[1] == 2
    assert reasons(database) == ["change 1"]


# -- a commit that fails


def unconfirmable(unit: UnitOfWork) -> int:
    """Work whose every statement succeeds, and whose commit is refused: a deferred key."""
    for statement in (
        "CREATE TABLE parents (id INTEGER PRIMARY KEY)",
        "CREATE TABLE children (parent INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)",
        "INSERT INTO children VALUES (1)",
    ):
        unit.execute(sa.text(statement))
    return 0


@pytest.mark.sqlite
@pytest.mark.parametrize("is_guarded", [True, False])
def test_after_a_commit_that_failed_nothing_is_written_before_the_disk_is_tried(
    database: Path, monkeypatch: pytest.MonkeyPatch, *, is_guarded: bool
) -> None:
    if not is_guarded:
        monkeypatch.setattr(DiskState, "check_writing", lambda _: None)

    async def scenario(services: Services) -> None:
        assert await services.writer.write(1, change(1)) == 2
        await services.database.check()
        outcomes = await together(services, change(2), unconfirmable, change(3))
        assert [type(outcome) for outcome in outcomes] == [OutcomeUnknown] * 3
        state = await services.database.read(current.head, AssistantKey(1, 1))
        assert state.version == 2  # what was committed before is still served
        outcomes = await together(services, change(4), change(5))
        if not is_guarded:
            assert outcomes == [3, 4]
            return
        assert [type(outcome) for outcome in outcomes] == [WritingSuspended] * 2
        with pytest.raises(WritingSuspended):
            await services.database.check()
        await services.database.resume()
        await services.database.check()
        assert await together(services, change(4), change(5)) == [3, 4]

    with_services(database, scenario)
    assert reasons(database) == ["change 1", "change 4", "change 5"]


def test_where_others_write_too_a_commit_that_failed_is_unknown_and_the_next_one_is_made(
    tmp_path: Path,
) -> None:
    async def scenario(services: Services) -> None:
        outcomes = await together(services, change(2), unconfirmable, change(3))
        assert [type(outcome) for outcome in outcomes] == [OutcomeUnknown] * 3
        services.writer.check()
        assert await together(services, change(4)) == [2]

    with chosen("postgresql"):
        make_organizations(tmp_path / "server", 1)
        with_services(tmp_path / "server", scenario)
        assert reasons(tmp_path / "server") == ["change 4"]
