"""Glances: short reads beside SQLAlchemy, which see every commit and wait for none."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from app.storage.database import Busy, Database
from events import log_head
from events.tables import organizations
from tests.conftest import make_organizations
from tests.databases import (
    allow_connections,
    chosen,
    on_sqlite,
    refuse_connections,
    url_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "backstory.db"
    make_organizations(made, 1)
    return made


def run(path: Path, story: Callable[[Database], Coroutine[Any, Any, Any]]) -> Any:
    async def opened() -> Any:
        database = Database(url_of(path))
        try:
            return await story(database)
        finally:
            await database.close()

    return asyncio.run(opened())


async def sequence(database: Database) -> int:
    ((found, _),) = await database.glance(log_head.END, organization_id=1)
    return int(found)


def count_on(connection: sa.Connection) -> None:
    connection.execute(sa.update(organizations).values(sequence=organizations.c.sequence + 1))


def test_a_glance_sees_what_is_committed_and_waits_for_no_transaction(path: Path) -> None:
    async def story(database: Database) -> list[int]:
        has_written, may_commit = threading.Event(), threading.Event()

        def work(connection: sa.Connection) -> None:
            count_on(connection)
            has_written.set()
            assert may_commit.wait(30)

        seen = [await sequence(database)]
        writing = asyncio.create_task(database.write(work))
        await asyncio.to_thread(has_written.wait)
        seen.append(await sequence(database))
        may_commit.set()
        await writing
        return [*seen, await sequence(database)]

    before, meanwhile, after = run(path, story)
    assert (meanwhile, after) == (before, before + 1)


def test_a_glance_of_what_is_not_there_has_no_rows(path: Path) -> None:
    assert list(run(path, lambda d: d.glance(log_head.END, organization_id=9))) == []


def test_one_glance_at_a_server_gives_the_sequences_of_several_logs(tmp_path: Path) -> None:
    path = tmp_path / "server"

    async def story(database: Database) -> dict[int, int]:
        await database.write(
            lambda c: c.execute(
                sa.update(organizations)
                .where(organizations.c.organization_id == 2)
                .values(sequence=organizations.c.sequence + 5)
            )
        )
        rows = await database.glance(log_head.SEQUENCES, organization_ids=[1, 2, 9])
        return {row[0]: row[1] for row in rows}

    with chosen("postgresql"):
        make_organizations(path, 3)
        found = run(path, story)
    assert found == {1: found[1], 2: found[1] + 5}


@pytest.mark.sqlite  # the server keeps its own files
def test_a_glance_leaves_no_snapshot_open_that_would_keep_the_log_from_being_emptied(
    path: Path,
) -> None:
    async def story(database: Database) -> bool:
        await sequence(database)
        await database.write(lambda connection: connection.exec_driver_sql("PRAGMA user_version=1"))
        await sequence(database)
        return await database.scrub()

    assert run(path, story) is True


@pytest.mark.sqlite  # a file's other users are commands
def test_a_glance_at_a_file_that_another_program_keeps_to_itself_is_refused_at_once(
    path: Path,
) -> None:
    async def story(database: Database) -> None:
        other = sqlite3.connect(path)
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("PRAGMA user_version=1")
        with pytest.raises(Busy):
            await sequence(database)
        other.close()
        assert await sequence(database) == 0

    run(path, story)


def test_a_connection_that_was_lost_is_opened_again(path: Path) -> None:
    """On a server: when it is started anew, every connection ends."""

    async def story(database: Database) -> tuple[int, int]:
        before = await sequence(database)
        if not on_sqlite():
            refuse_connections(path)
            allow_connections(path)
        return before, await sequence(database)

    before, after = run(path, story)
    assert before == after
