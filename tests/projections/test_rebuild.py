from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given as for_all

from events import store
from projections import current, keyframes
from projections.check import differences
from projections.rebuild import rebuild
from projections.views import TABLES
from tests.events.log import ORGANIZATIONS, Desk, Log, play, rows
from tests.events.strategies import few, many
from tests.projections.changes import OFTEN, STEPS, differences_of, every_view, silent


def rebuilt_is_live(log: Log, steps: list[tuple[int, Any]]) -> None:
    with log.undone() as connection, pytest.MonkeyPatch.context() as patch:
        patch.setattr(keyframes, "EVERY", OFTEN)
        play(Desk(log, connection), steps)
        live = every_view(connection)
        assert differences_of(connection) == []
        rebuild(connection, silent)
        assert every_view(connection) == live


@few
@for_all(STEPS)
def test_the_rebuilt_view_is_the_live_view_byte_for_byte(
    log: Log, steps: list[tuple[int, Any]]
) -> None:
    rebuilt_is_live(log, steps)


@pytest.mark.long
@many
@for_all(STEPS)
def test_every_rebuilt_view_is_the_live_view_byte_for_byte(
    log: Log, steps: list[tuple[int, Any]]
) -> None:
    """Run it with: pytest -m long tests/projections/test_rebuild.py."""
    rebuilt_is_live(log, steps)


def test_the_law_is_held_against_rows_of_every_view(viewed: sa.Connection) -> None:
    live = every_view(viewed)
    assert [name for name, kept in live.items() if not kept] == []
    assert differences_of(viewed) == []
    for table in TABLES:
        viewed.execute(sa.delete(table))
    assert all(not kept for kept in every_view(viewed).values())
    rebuild(viewed, silent)
    assert every_view(viewed) == live


@pytest.mark.parametrize("organization_id", [1, 2, 3])
def test_rebuilding_mends_what_was_tampered_with(
    views: sa.Connection, organization_id: int
) -> None:
    live = rows(views)
    of_one = current.assistants.c.organization_id == organization_id
    views.execute(sa.update(current.assistants).where(of_one).values(settings=b"{}", version=5))
    assert differences_of(views)
    rebuild(views, silent)
    assert differences_of(views) == []
    assert rows(views) == live


def test_rebuilding_from_nothing_writes_every_row(views: sa.Connection) -> None:
    live = rows(views)
    views.execute(sa.delete(current.assistants))
    rebuild(views, silent)
    assert rows(views) == live


def test_the_progress_counts_every_event_once(views: sa.Connection) -> None:
    for work in (
        lambda progress: list(differences(views, progress)),
        lambda progress: rebuild(views, progress),
    ):
        counts: list[int] = []
        work(counts.append)
        assert sum(counts) == sum(store.count_events(views, n) for n in ORGANIZATIONS) == 6


def test_rebuilding_more_assistants_than_go_into_one_batch_keeps_them_all(log: Log) -> None:
    with log.undone() as connection:
        desk = Desk(log, connection)
        for number in range(403):
            desk.create(1, {"name": f"Desk {number}"})
        desk.rest()
        live = rows(connection)
        rebuild(connection, silent)
        assert len(live) == 403
        assert rows(connection) == live
