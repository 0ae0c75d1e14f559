from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from projections import keyframes
from tests.events.log import Desk, Log, opened


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    with opened(tmp_path_factory.mktemp("projections") / "backstory.db") as made:
        yield made


@pytest.fixture
def viewed(log: Log) -> Iterator[sa.Connection]:
    """Views of an organization with a long stream, labels, reversals, numbers and a policy."""
    with log.undone() as connection:
        desk = Desk(log, connection)
        desk.create(1, {})
        for number in range(2, 2 * keyframes.EVERY + 3):
            desk.patch(1, 1, {"custom_settings": {f"n{number % 5}": number}})
        desk.undo(1, 1, keyframes.EVERY - 1)  # version 65, which others changed since: forced
        desk.roll_back(1, 1, 70, ("/custom_settings",))
        desk.label(1, 1, 0, "first")
        desk.label(1, 1, 1, "second")
        desk.delete(1, 1)
        desk.revive(1, 1)
        desk.add_number(1, 0)
        desk.assign(1, 1, 0)
        desk.demand(1, {"require_reason": True})
        desk.rest()
        yield connection


@pytest.fixture
def views(log: Log) -> Iterator[sa.Connection]:
    """The current view of three organizations, the second of which has two assistants."""
    with log.undone() as connection:
        desk = Desk(log, connection)
        for organization_id in (1, 2, 2, 3):
            desk.create(organization_id, {"name": f"Desk of {organization_id}"})
        desk.patch(2, 1, {"llm_settings": {"temperature": 1.5}})
        desk.delete(2, 2)
        desk.rest()
        yield connection
