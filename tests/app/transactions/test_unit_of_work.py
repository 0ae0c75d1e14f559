from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given as for_all

from app.storage.tables import sealed_secrets
from app.transactions.caller import Caller
from app.transactions.unit_of_work import UnitOfWork
from events import store
from events.bodies.patch import read_create, read_patch
from events.changed import Cause, Versioned
from events.commands import ChangeSettings, CreateAssistant
from tests.events.given import ACTOR, at
from tests.events.log import ORGANIZATIONS, Desk, Log, opened, play, rows
from tests.events.strategies import few
from tests.projections.changes import STEPS


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    with opened(tmp_path_factory.mktemp("unit") / "backstory.db") as made:
        yield made


@few
@for_all(STEPS)
def test_the_log_of_an_organization_has_no_gaps(log: Log, steps: list[tuple[int, Any]]) -> None:
    with log.undone() as connection:
        play(Desk(log, connection), steps)
        for organization_id in ORGANIZATIONS:
            recorded = list(store.read_log(connection, organization_id))
            assert [event.sequence for event in recorded] == list(range(1, len(recorded) + 1))
            of_streams = [event for event in recorded if isinstance(event, Versioned)]
            assert store.count_events(connection, organization_id) == len(of_streams)
            moments = [event.occurred_at for event in recorded]
            assert moments == sorted(moments)


def test_a_clock_that_runs_backwards_does_not_turn_the_log_around(log: Log) -> None:
    minutes = iter([9, 3, 5, 12])
    with log.undone() as connection:
        caller = Caller(organization_id=1, actor=ACTOR)
        unit = UnitOfWork(connection, log.vault, lambda: at(next(minutes)))
        body = read_create({"name": "Front desk"}).tree
        for _ in range(4):
            unit.handle(caller, None, CreateAssistant(patch=body))
        unit.flush()
        moments = [event.occurred_at for event in store.read_log(connection, 1)]
    assert moments == [at(9), at(9), at(9), at(12)]
    assert moments[3] - moments[0] == timedelta(minutes=3)


def test_a_unit_that_is_never_flushed_has_written_nothing(log: Log) -> None:
    with log.undone() as connection:
        unit = UnitOfWork(connection, log.vault, lambda: at(1))
        caller = Caller(organization_id=1, actor=ACTOR)
        body = read_create({"name": "a", "api_keys": {"a": "sk-not-a-real-key"}}).tree
        assistant_id, state = unit.handle(caller, None, CreateAssistant(patch=body))
        assert state.version == 1
        assert rows(connection) == []
        assert rows(connection, sealed_secrets) == []
        assert list(store.read_log(connection, 1)) == []
        unit.flush()
        assert len(list(store.read_stream(connection, 1, assistant_id))) == 1


def test_commands_of_one_unit_see_what_those_before_them_left(log: Log) -> None:
    with log.undone() as connection:
        unit = UnitOfWork(connection, log.vault, lambda: at(1))
        caller = Caller(organization_id=1, actor=ACTOR)
        created = CreateAssistant(patch=read_create({"name": "a"}).tree)
        assistant_id, _ = unit.handle(caller, None, created)
        for number in itertools.islice(itertools.count(1), 3):
            body = read_patch({"name": str(number)}).tree
            command = ChangeSettings(patch=body, cause=Cause(type="put"))
            assert unit.handle(caller, assistant_id, command)[1].version == number + 1
        assert list(store.read_stream(connection, 1, assistant_id)) == []
        unit.flush()
        assert [e.version for e in store.read_stream(connection, 1, assistant_id)] == [1, 2, 3, 4]
