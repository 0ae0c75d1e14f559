"""The proof of the logs finds the same in a process of its own as in that of the command."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.assistants import changes
from app.cli import proving
from app.services import utc_now
from app.transactions.caller import system
from app.transactions.unit_of_work import UnitOfWork
from app.vault.keys import open_vault
from events.bodies.patch import read_create
from events.tables import events, organizations
from tests.conftest import make_organizations
from tests.databases import config_of, reading_engine, unguarded, url_of, writing_engine

ENOUGH = 10**6  # events, for another process to be worth it


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(proving, "_cores", lambda: 2)
    path = tmp_path / "proven.db"
    make_organizations(path, 2)
    engine = writing_engine(path)
    with engine.begin() as connection:
        unit = UnitOfWork(connection, open_vault(config_of(path)), utc_now)
        for organization_id in (1, 2):
            caller = system(organization_id, "tests")
            changes.create(unit, caller, read_create({"name": "Front desk"}))
        unit.flush()
    engine.dispose()
    return path


@pytest.fixture
def snapshot(database: Path) -> Iterator[sa.Connection]:
    engine = reading_engine(database)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def tamper(database: Path) -> None:
    engine = writing_engine(database)
    with engine.begin() as connection:
        connection.exec_driver_sql(unguarded("events_are_not_updated"))
        of_second = events.c.organization_id == 2
        connection.execute(sa.update(events).where(of_second).values(occurred_at=0))
    engine.dispose()


@pytest.mark.parametrize("count", [0, ENOUGH], ids=["here", "beside"])
def test_each_log_is_proven_and_each_event_counted(
    database: Path, snapshot: sa.Connection, count: int
) -> None:
    heads = snapshot.scalars(sa.select(organizations.c.sequence)).all()
    counts: list[int] = []
    with proving.beside(url_of(database), count) as prove:
        assert len(multiprocessing.active_children()) == (count == ENOUGH)
        assert prove(snapshot, counts.append) == {1: None, 2: None}
    assert sum(counts) == sum(heads) > 0
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("count", [0, ENOUGH], ids=["here", "beside"])
def test_what_is_not_what_was_hashed_is_found(database: Path, count: int) -> None:
    tamper(database)
    engine = reading_engine(database)
    with engine.connect() as connection, proving.beside(url_of(database), count) as prove:
        assert prove(connection, lambda _: None) == {1: None, 2: 1}
    engine.dispose()


def test_what_the_other_process_did_not_prove_is_proven_here(
    database: Path, snapshot: sa.Connection
) -> None:
    tamper(database)
    with proving.beside(url_of(database), ENOUGH) as prove:
        (process,) = multiprocessing.active_children()
        process.kill()
        process.join()
        counts: list[int] = []
        assert prove(snapshot, counts.append) == {1: None, 2: 1}
    assert sum(counts) > 0


@pytest.mark.sqlite  # where a file is missing; a server has an empty database
def test_an_error_of_the_other_process_is_met_here(tmp_path: Path, snapshot: sa.Connection) -> None:
    with proving.beside(url_of(tmp_path / "missing.db"), ENOUGH) as prove:
        assert prove(snapshot, lambda _: None) == {1: None, 2: None}


def test_no_process_is_left_where_nobody_waits_for_it(database: Path) -> None:
    with pytest.raises(LookupError), proving.beside(url_of(database), ENOUGH):
        raise LookupError
    assert multiprocessing.active_children() == []


def test_no_process_is_begun_without_a_core_for_it(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proving, "_cores", lambda: 1)
    with proving.beside(url_of(database), ENOUGH) as prove:
        assert multiprocessing.active_children() == []
        assert prove is proving.prove
